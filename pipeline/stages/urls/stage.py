"""The stage `urls`: scores are the hits of each list, and lists that block or allow decide.

Guarantee: scores depend on the URL and on the bytes of the lists. Whether a list blocks, allows or is off, and how many hits
count, is decided from scores. A document that a list allows is kept; else it is dropped by the first list that blocks it, by
name; else, if `only_allowed`, because no list allows it. The verdict names the list and its entry, also of what is allowed.
Only URLs are read, no text. Cost: see `hits`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.stages.step import Provided, Work
from tokenmill.pipeline.stages.urls import build, column
from tokenmill.pipeline.stages.urls.hits import hits
from tokenmill.pipeline.stages.urls.index import ListIndex
from tokenmill.pipeline.stages.urls.settings import UrlsConfig

NO_URL = "no_url"
NOT_ALLOWED = "not_allowed"
LISTED = "listed_"
"""Begins the reason of what a list drops; the name of the list ends it."""
HOST = pa.field("host", pa.string())
"""The canonical host of the URL; "(IP address)" for any such, and "" if there is none."""
EVIDENCE = (pa.field("list", pa.dictionary(pa.int32(), pa.string())), pa.field("entry", pa.string()))
"""The list that decided, and its entry: of addresses the most special one that hit, of words all."""


@dataclass(frozen=True, kw_only=True)
class Urls:
    """The stage for `config`. `indexes`: of its lists, by name, once `provide` has made them."""

    config: UrlsConfig
    indexes: tuple[ListIndex, ...] = ()
    name: ClassVar[str] = "urls"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("url",)

    @property
    def scores(self) -> pa.Schema:
        """`host`, and of each list `hits_<name>` and `entry_<name>`, which is null where there is no hit."""
        types = {"hits": pa.int32(), "entry": pa.string()}
        return pa.schema([HOST, *(pa.field(f"{one}_{name}", types[one]) for name, _ in self.config.by_name for one in types)])

    @property
    def scoring(self) -> Mapping[str, Any]:
        """Raises ConfigError if a list cannot be read."""
        return {"lists": {one.name: one.identity for one in self.indexes} if self.indexes else self._identities}

    @functools.cached_property
    def _identities(self) -> dict[str, Any]:
        """Once for a build, so that a list that changes meanwhile is not taken for the one that was read."""
        return {name: build.identity(name, given) for name, given in self.config.by_name}

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {
            "lists": {name: {"use": given.use, "max_hits": given.max_hits} for name, given in self.config.by_name},
            "only_allowed": self.config.only_allowed,
            "without_url": self.config.without_url,
        }

    def prepare(self) -> None:
        """Raises ConfigError if a list is missing."""
        for name, given in self.config.by_name:
            build.paths_of(name, given)

    def provide(self, work: Work) -> Provided:
        """The stage with the indexes of its lists, and what these hold as facts. Raises ConfigError, InputError, OSError."""
        found, facts = build.indexes(self.config.by_name, self._identities, work)
        plain = {name: dataclasses.asdict(one) for name, one in facts.items()}
        return Provided(stage=dataclasses.replace(self, indexes=tuple(found)), facts=plain)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The hits of each list on the URLs of a batch. Needs what `provide` gives."""
        found = column.of(batch["url"])
        columns: list[Any] = [found.shown_hosts()]
        for counts, entries in hits(found, self.indexes):
            columns += [pa.array(counts), entries]
        return pa.record_batch(
            [pa.array(values, field.type) for values, field in zip(columns, self.scores, strict=True)], schema=self.scores
        )

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """Reasons: `listed_<name>`, `not_allowed`, `no_url`."""
        rows = scores.num_rows
        by: dict[str, np.ndarray[Any, np.dtype[np.bool_]]] = {
            name: scores[f"hits_{name}"].to_numpy() > given.max_hits for name, given in self.config.by_name
        }
        uses = {use: [name for name, given in self.config.by_name if given.use == use] for use in ("allow", "block")}
        order = [*uses["allow"], *uses["block"]]
        decided = np.select([by[name] for name in order], np.arange(len(order)), default=-1) if order else np.full(rows, -1)
        blocked = [LISTED + name for name in uses["block"]]
        found = np.array([*(schema.KEPT for _ in uses["allow"]), *blocked, schema.KEPT], dtype=object)[decided]
        if self.config.only_allowed:
            found[decided < 0] = NOT_ALLOWED
        if self.config.without_url == "drop":
            found[np.asarray(pc.equal(scores["host"], "").to_numpy(zero_copy_only=False))] = NO_URL
        entries = pa.nulls(rows, pa.string())
        for number, name in enumerate(order):
            entries = pc.if_else(pa.array(decided == number), scores[f"entry_{name}"], entries)
        named = pa.DictionaryArray.from_arrays(pa.array(decided, pa.int32(), mask=decided < 0), pa.array(order, pa.string()))
        return pa.record_batch([schema.reasons(found), named, entries], schema=pa.schema([schema.REASON, *EVIDENCE]))
