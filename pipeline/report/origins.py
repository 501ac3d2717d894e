"""Where documents come from: their sources, their domains or folders, and the newest date that their metadata name.

Purpose: a source or a site of which little is left is seen, with the reason, and its documents are looked at.
Guarantee: names and counts do not depend on workers. Above MOST domains, those with the fewest documents are forgotten from
time to time, so counts of small ones may be too low; `forgotten` says so. Memory: MOST names with a few ids each.
Cost: one read of ids, URLs and metadata; 5 us for a document.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.report.fates import SURVIVED, Fate, coded
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.dedup.survivor import moment

MOST = 50_000
LEFT = 10_000
"""So many names stay when there are more than MOST."""
SHOWN = 40
SAMPLES = 2
"""Documents of a place, of the dropped and of the kept ones."""
NAME_CHARACTERS = 100
DATE = r'"date":\s*"(?P<date>\d{4}[^"\\]*)"'
DATES = 1_000
"""So many of the last dates of a shard are compared as moments."""
HOST = r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#]*@)?(?P<host>[^/?#:]+)"


class Origin(NamedTuple):
    """A source, or a domain or folder. `kind`: "source" or "place"."""

    kind: str
    name: str


@dataclass(kw_only=True)
class PlaceTotals:
    """`fates`: documents by what became of them. `samples`: (key, id) with the lowest keys, of dropped and of kept ones."""

    fates: Counter[Fate] = field(default_factory=Counter)
    samples: dict[bool, list[tuple[int, bytes]]] = field(default_factory=lambda: {False: [], True: []})

    @property
    def documents(self) -> int:
        return self.fates.total()

    @property
    def kept(self) -> int:
        return self.fates[SURVIVED]

    @property
    def first_reason(self) -> tuple[Fate, int] | None:
        """The reason that dropped most, with its number of documents; None if nothing was dropped."""
        dropped = sorted(((-number, fate) for fate, number in self.fates.items() if fate != SURVIVED))
        return (dropped[0][1], -dropped[0][0]) if dropped else None


@dataclass(kw_only=True)
class Origins:
    """What the passes over the small columns found. `newest`: a date in UTC; None where no document has one."""

    places: dict[Origin, PlaceTotals] = field(default_factory=dict)
    newest: datetime | None = None
    forgotten: bool = False

    def add(
        self,
        table: pa.Table,
        codes: npt.NDArray[np.int64],
        known: list[Fate],
        keys: npt.NDArray[np.uint64],
        censor: Censor,
    ) -> None:
        """Add a shard: `doc_id`, `source`, `url`, `metadata`. `codes`, `known`: the fates of its rows; `keys`: their hashes."""
        self._add_dates(table["metadata"])
        columns = {"source": table["source"], "place": places(table)}
        for kind, column in columns.items():
            names, spelled = coded(column)
            spelled = [censor.value(name) for name in spelled]
            pairs = names * len(known) + codes
            # Within a group, the rows with the lowest keys come first.
            order = np.lexsort((keys, pairs))
            groups, starts, counts = np.unique(pairs[order], return_index=True, return_counts=True)
            for pair, start, number in zip(groups.tolist(), starts.tolist(), counts.tolist(), strict=True):
                if pair < 0:
                    continue
                place = self.places.setdefault(Origin(kind, spelled[pair // len(known)]), PlaceTotals())
                fate = known[pair % len(known)]
                place.fates[fate] += number
                first = order[start : start + min(number, SAMPLES)]
                best = [(int(keys[row]), table["doc_id"][int(row)].as_py()) for row in first]
                side = fate == SURVIVED
                place.samples[side] = heapq.nsmallest(SAMPLES, [*place.samples[side], *best])
        if len(self.places) > MOST:
            self.forgotten = True
            self.places = dict(heapq.nsmallest(LEFT, self.places.items(), key=_size))

    def ranked(self, kind: str) -> list[tuple[str, PlaceTotals]]:
        """The places of a kind with the most documents, the largest first; at most SHOWN."""
        mine = [item for item in self.places.items() if item[0].kind == kind]
        return [(place.name, one) for place, one in heapq.nsmallest(SHOWN, mine, key=_size)]

    def number(self, kind: str) -> int:
        """How many places of a kind are known."""
        return sum(place.kind == kind for place in self.places)

    def ids(self) -> set[bytes]:
        """Every document that is a sample of a place that is shown."""
        shown = (one for kind in ("source", "place") for _, one in self.ranked(kind))
        return {doc_id for one in shown for side in one.samples.values() for _, doc_id in side}

    def _add_dates(self, metadata: pa.ChunkedArray) -> None:
        """ISO dates are ordered as their text is, but for their offsets, so only the last of them are read as dates."""
        dates = pc.struct_field(pc.extract_regex(metadata, DATE), "date")
        last = pc.array_sort_indices(dates, order="descending").slice(0, min(DATES, len(dates) - dates.null_count))
        moments = [found for found in map(moment, metadata.take(last).to_pylist()) if found is not None]
        if moments:
            newest = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=max(moments))
            self.newest = newest if self.newest is None else max(self.newest, newest)


def _size(item: tuple[Origin, PlaceTotals]) -> tuple[int, Origin]:
    return -item[1].documents, item[0]


def places(table: pa.Table) -> pa.ChunkedArray:
    """For each row the host of its URL, else the first part of its path; null where there is neither."""
    hosts = pc.struct_field(pc.extract_regex(table["url"].cast(pa.string()), HOST), "host")
    hosts = pc.utf8_slice_codeunits(pc.utf8_lower(hosts), 0, NAME_CHARACTERS)
    rest = np.flatnonzero(np.asarray(hosts.is_null().to_numpy(), dtype=np.bool_))
    found = np.full(len(table), None, dtype=object)
    for row, metadata in zip(rest.tolist(), table["metadata"].take(pa.array(rest)).to_pylist(), strict=True):
        found[row] = path_of(metadata).partition("/")[0][:NAME_CHARACTERS] or None
    return pa.chunked_array([pc.coalesce(hosts.combine_chunks(), pa.array(found, pa.string()))])


def path_of(metadata: str) -> str:
    """The path of a document below its source; "" if its metadata have none."""
    path = json.loads(metadata).get("path")
    return path if isinstance(path, str) else ""


def where(url: str | None, metadata: str, spelled: str) -> str:
    """The address of a document as it is shown (`spelled`), else its path, with its number in a file of many records."""
    if url:
        return spelled
    path, record = path_of(metadata), json.loads(metadata).get("record")
    return f"{path}#{record}" if path and record is not None else path
