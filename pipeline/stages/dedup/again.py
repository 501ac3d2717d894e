"""Decides a finished corpus again under other settings, for somebody who asks what they would keep.

Purpose: `whatif` on `dedup.threshold`, `dedup.loses` and all that `deciding` names.
Guarantee: the verdicts are those of a build, because the same code makes them, from the stored signatures and similarities. The
corpus is only read. A pair that no build has compared, such as a revision near another threshold, is compared now.
Cost: that of a build whose signatures stand: sorting bands, and the text of the shards with pairs that are new. The files
stand in a temporary folder: 200 bytes a document, 80 for each pair.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa

from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.stages.dedup import known
from tokenmill.pipeline.stages.kind import Again
from tokenmill.pipeline.stages.step import Work


def decide_again(asked: Again) -> list[pa.RecordBatch]:
    """The verdicts of the rows alive, shard by shard. Raises what `Dedup.resolve` raises."""
    name = asked.stage.name
    with tempfile.TemporaryDirectory(prefix="tokenmill-") as folder:
        work = Work(root=Path(folder), before=asked.before, executor=InProcess())
        for stored in (known.SIMILARITIES, known.REVISIONS):
            known.copy(asked.root, work.root, stored)
        asked.stage.prepare()
        with runs.scratch(work.scratch(name)):
            found = asked.stage.resolve(asked.scored, work).verdicts
            return [one if isinstance(one, pa.RecordBatch) else one.read() for one in found]
