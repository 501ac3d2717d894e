"""What lists of URLs did: for each list the documents that it hit and decided on, and the entries that did most, by source.

Guarantee: it reads published tables alone. Counts do not depend on workers; above MOST entries of a list, those with the fewest
documents are forgotten from time to time, and `forgotten` says so. Memory: MOST entries for each list.
Cost: one read of the scores and verdicts of the stage.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report.fates import coded
from tokenmill.pipeline.stages.urls.kind import URLS

MOST = 50_000
LEFT = 10_000
"""So many entries stay when there are more than MOST."""
SHOWN = 15


@dataclass(kw_only=True)
class ListTotals:
    """One list. `hit`: the documents that it hit often enough; `decided`: those that it dropped or kept, by source."""

    name: str
    use: str
    held: Mapping[str, Any]
    """What the manifest says that the list held."""
    hit: int = 0
    decided: Counter[str] = field(default_factory=Counter)
    entries: Counter[str] = field(default_factory=Counter)
    """Documents that the list decided on, by entry."""
    forgotten: bool = False

    def add(self, entries: Mapping[str, int]) -> None:
        """Add the entries of a shard."""
        self.entries.update(entries)
        if len(self.entries) > MOST:
            self.forgotten = True
            self.entries = Counter(dict(heapq.nsmallest(LEFT, self.entries.items(), key=_size)))

    def shown(self) -> list[tuple[str, int]]:
        """The entries that decided on most documents."""
        return heapq.nsmallest(SHOWN, self.entries.items(), key=_size)


@dataclass(frozen=True, kw_only=True)
class UrlTotals:
    """All lists by name, and the documents with a URL that has a host, by source."""

    lists: list[ListTotals]
    with_host: Counter[str]
    read: Mapping[str, int]
    """Documents that reached the stage, by source."""


def urls(corpus: CorpusFolder) -> UrlTotals | None:
    """What the lists did; None if the stage was left out. Raises CorruptFile."""
    made = corpus.step(URLS.name)
    if made is None:
        return None
    given = made.config["deciding"]["lists"]
    lists = [ListTotals(name=name, use=given[name]["use"], held=made.facts[name]) for name in sorted(given)]
    with_host: Counter[str] = Counter()
    for shard in corpus.shards:
        scores = shards.read(corpus.published, shard.tables[URLS.name, "scores"])
        verdicts = shards.read(corpus.published, shard.tables[URLS.name, "verdicts"])
        reached = verdicts["reason"].is_valid()
        with_host[shard.source] += int(
            pc.sum(pc.and_(reached, pc.fill_null(pc.not_equal(scores["host"], ""), False))).as_py() or 0
        )
        codes, names = coded(verdicts["list"])
        for one in lists:
            hit = pc.greater(scores[f"hits_{one.name}"], given[one.name]["max_hits"])
            one.hit += int(pc.sum(pc.and_(reached, pc.fill_null(hit, False))).as_py() or 0)
            rows = np.flatnonzero(codes == (names.index(one.name) if one.name in names else len(names)))
            one.decided[shard.source] += len(rows)
            counted = pc.value_counts(verdicts["entry"].take(pa.array(rows))).to_pylist()
            entries = Counter[str]()
            for item in counted:
                entries[corpus.censor.value(item["values"])] += item["counts"]
            one.add(entries)
    read = {source: counts.read for source, counts in made.by_source().items()}
    return UrlTotals(lists=lists, with_host=with_host, read=read)


def _size(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
