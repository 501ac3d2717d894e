"""What the stage `repeats` removed from texts: for each source, the lines or paragraphs that occur in most documents.

Guarantee: it reads only the published table of repeated units. Memory: that table. Cost: one read of it.
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
class SourceRepeats:
    """The repeats of one source.

    `units`: the number of different repeated units. `removed`, `removed_bytes`: how many occurrences were removed, and their
    size. `shown`: the rows of the units that occur in most documents.
    """

    source: str
    units: int
    removed: int
    removed_bytes: int
    shown: list[dict[str, Any]]


def repeats(corpus: CorpusFolder) -> list[SourceRepeats] | None:
    """The repeats by source, in document order; None if the stage was left out. Raises CorruptFile."""
    made = corpus.step(REPEATS.name)
    if made is None:
        return None
    (named,) = made.files.items()
    table = shards.read(corpus.published, named)
    sources = table["source"].cast(pa.string())
    found = []
    for source in sources.unique().to_pylist():
        # The table is sorted: units that occur in most documents come first.
        mine = table.filter(pc.equal(sources, source))
        sums = {name: pc.sum(mine[name]).as_py() for name in ("removed", "removed_bytes")}
        found.append(SourceRepeats(source=source, units=mine.num_rows, **sums, shown=mine.slice(0, SHOWN).to_pylist()))
    return found
