"""What the stage `repeats` took out of texts: by source, the lines or paragraphs that stand in most documents.

Guarantee: read from the published table of repeated units alone. Memory: that table. Cost: one read of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages.repeats.kind import REPEATS

SHOWN = 15


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Of one source: how many different units are repeated, what of them went, and the rows of the most frequent ones."""

    source: str
    units: int
    removed: int
    removed_bytes: int
    shown: list[dict[str, Any]]


def repeats(corpus: CorpusFolder) -> list[Repeats] | None:
    """By source, in document order; None where the stage was left out. Raises CorruptFile."""
    made = corpus.step(REPEATS.name)
    if made is None:
        return None
    (named,) = made.files.items()
    table = shards.read(corpus.root, named)
    sources = table["source"].cast(pa.string())
    found = []
    for source in sources.unique().to_pylist():
        # The table has the units of most documents first.
        mine = table.filter(pc.equal(sources, source))
        sums = {name: pc.sum(mine[name]).as_py() for name in ("removed", "removed_bytes")}
        found.append(Repeats(source=source, units=mine.num_rows, **sums, shown=mine.slice(0, SHOWN).to_pylist()))
    return found
