"""Which rows of a shard fail which rules of a stage.

Guarantee: a row that reached the stage fails a rule here exactly if the stage's decision compares it so; tables are compared
by `doc_id` before they are read together. Memory: one byte per row and rule of one shard.
Cost: one comparison per row and rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import StaleInput
from tokenmill.pipeline.corpus import CorpusFolder, CorpusShard
from tokenmill.pipeline.report.fates import coded
from tokenmill.pipeline.stages.criteria import Criterion

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One shard in one stage. `reached`, `kept`: bool [rows]. `fails`: bool [criteria, rows]; false where not reached."""

    criteria: tuple[Criterion, ...]
    scores: pa.Table
    reached: Mask
    kept: Mask
    fails: Mask
    failing: npt.NDArray[np.int64]
    """How many rules each row fails: int64 [rows]."""

    def first(self, at: int) -> Mask:
        """The rows whose first failing rule is this one."""
        return np.asarray(self.fails[at] & ~self.fails[:at].any(axis=0), dtype=np.bool_)

    def only(self, at: int) -> Mask:
        """The rows that fail this rule alone."""
        return np.asarray(self.fails[at] & (self.failing == 1), dtype=np.bool_)

    def concerned(self, at: int) -> Mask:
        """The rows that reached the stage and have a value to compare."""
        return self.reached & self.criteria[at].concerned(self.scores)


def judge(
    corpus: CorpusFolder, shard: CorpusShard, stage: str, criteria: tuple[Criterion, ...], ids: pa.ChunkedArray
) -> Judged:
    """Read the scores and verdicts of a shard. Rules whose scores are not stored are left out. Raises what reading raises."""
    scores = table_of(corpus, shard, stage, "scores", ids)
    named = shard.tables[stage, "verdicts"]
    verdicts = shards.read(corpus.published, named, ["doc_id", "reason"])
    shards.align(shard.documents, ids, named, verdicts["doc_id"])
    codes, names = coded(verdicts["reason"])
    reasons = np.array([*names, None], dtype=object)[codes]
    reached = codes >= 0
    there = tuple(one for one in criteria if (one.limit.column if one.limit else one.label_column) in scores.column_names)
    fails = np.zeros((len(there), len(ids)), dtype=np.bool_)
    for at, one in enumerate(there):
        fails[at] = one.fails(scores, reasons) & reached
    return Judged(
        criteria=there,
        scores=scores,
        reached=reached,
        kept=reached & (reasons == ""),
        fails=fails,
        failing=fails.sum(axis=0, dtype=np.int64),
    )


def table_of(corpus: CorpusFolder, shard: CorpusShard, stage: str, kind: str, ids: pa.ChunkedArray) -> pa.Table:
    """The scores or verdicts of a stage, without the columns of lists. Raises StaleInput, CorruptFile, Misaligned."""
    named = shard.tables.get((stage, kind))
    if named is None:
        raise StaleInput(f"stage {stage!r} has no {kind} of shard {shard.name!r}; run the build again")
    table = shards.read(corpus.published, named)
    shards.align(shard.documents, ids, named, table["doc_id"])
    return table.select([field.name for field in table.schema if not pa.types.is_nested(field.type)])
