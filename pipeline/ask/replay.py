"""Decides a whole corpus again under other thresholds, from stored scores.

Purpose: computes what every stage would read, keep and drop, and which documents change sides, without reading any text.
Guarantee: the stage's own `decide` decides each row, over the stage's own scores; of a stage that decides over all shards, its
own verdicts are taken. Rows that stored scores cannot decide are counted, not guessed: a row that is newly kept by one stage
has no scores at the next, nor has one whose text changes (`not_scored`), and a duplicate of a document that is now dropped
before deduplication may take its place (`undecided`). If both counts are 0, the numbers are those of a build.
Cost: one read of the verdicts, and two reads of the scores of stages whose settings change. Memory: 20 bytes per document, 20
more for each document that changes sides, and one shard of scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import Manifest, Shard
from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.protocols import Chooser, LateEditor, Limited, Stage
from tokenmill.pipeline.stages.stage import name_of, one_batch
from tokenmill.pipeline.stages.step import Resolver

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Reasons = npt.NDArray[np.object_]
"""A reason per row; None if the row does not reach the stage, or if its verdict is not known."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Documents of one shard that change sides at one stage for one reason, by one limit."""

    shard: int
    kept: bool
    """True: dropped before, kept now."""
    reason: str
    """The reason for which they are dropped: before if `kept`, else now."""
    rows: npt.NDArray[np.int64]
    limit: Limit | None
    """The limit under the new settings; None if the reason compares no number."""
    values: Floats
    """The values that `limit` compares; NaN without a limit."""
    characters: npt.NDArray[np.int64] | None = None
    """int64 [rows, 2]: where texts change, their characters before and after."""


@dataclass(kw_only=True)
class Replayed:
    """One stage under the new settings. read == kept + sum(dropped) + not_scored + undecided (+ quarantined, of collection)."""

    stage: str
    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    not_scored: int = 0
    undecided: int = 0
    groups: list[Group] = field(default_factory=list)
    margins: dict[Limit, list[Floats]] = field(default_factory=dict)
    """For each limit that moved: the values of all rows that it applies to, shard by shard."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A stage under the old settings and under the new ones."""

    before: Stage | Resolver
    after: Stage | Resolver
    decided: Sequence[pa.RecordBatch] | None = None
    """The new verdicts of the rows alive, shard by shard, where the stage cannot give them row by row."""


def replay(root: Path, documents: Sequence[int], made: Sequence[Manifest], changes: Mapping[str, Change]) -> list[Replayed]:
    """Replay the stages `made` in order, with `changes` by stage name. `documents`: rows of each shard. Raises CorruptFile."""
    alive: list[Mask] = [np.ones(rows, dtype=np.bool_) for rows in documents]
    stale: list[Mask] = [np.zeros(rows, dtype=np.bool_) for rows in documents]
    found = []
    for manifest in made:
        before = [_reasons(shards.read(root, _file(manifest, shard, "verdicts"), ["reason"])) for shard in manifest.shards]
        known = [entering & ~_none(reasons) & ~new for entering, reasons, new in zip(alive, before, stale, strict=True)]
        done = Replayed(stage=manifest.stage, read=sum(int(entering.sum()) for entering in alive))
        done.not_scored = done.read - sum(int(rows.sum()) for rows in known)
        after = [_only(rows, reasons) for rows, reasons in zip(known, before, strict=True)]
        done.undecided = _leave_open(root, manifest, before, after)
        change = changes.get(manifest.stage)
        if change is not None:
            after, cuts, changed = _decide(root, manifest, change, known)
            stale = [old | new for old, new in zip(stale, changed, strict=True)]
            _tell(done, root, manifest, change, cuts, known, before, after)
        alive = [reasons == KEPT for reasons in after]
        done.kept = sum(int(rows.sum()) for rows in alive)
        for rows, reasons in zip(alive, after, strict=True):
            done.dropped.update(_counts(reasons[~rows & ~_none(reasons)]))
        found.append(done)
    return found


def _file(manifest: Manifest, shard: Shard, kind: str) -> Named:
    name = name_of(manifest.stage, kind, shard.name)
    return name, shard.files[name]


def _reasons(table: pa.Table | pa.RecordBatch) -> Reasons:
    column = (one_batch(table) if isinstance(table, pa.Table) else table)["reason"]
    names = np.array([*column.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(names[column.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)], dtype=object)


def _none(reasons: Reasons) -> Mask:
    return np.asarray(reasons == np.array(None, dtype=object), dtype=np.bool_)


def _only(rows: Mask, reasons: Reasons) -> Reasons:
    found = reasons.copy()
    found[~rows] = None
    return found


def _placed(rows: Mask, reasons: Reasons) -> Reasons:
    """The reasons of these rows, and None for others."""
    found = np.full(len(rows), None, dtype=object)
    found[rows] = reasons
    return found


def _counts(reasons: Reasons) -> dict[str, int]:
    names, numbers = np.unique(reasons.astype(str), return_counts=True)
    return dict(zip(names.tolist(), numbers.tolist(), strict=True))


def _leave_open(root: Path, manifest: Manifest, before: Sequence[Reasons], after: Sequence[Reasons]) -> int:
    """Set rows of `after` to None if their evidence names a kept document that is now dropped. Returns their number."""
    gone = [~_none(then) & _none(now) for then, now in zip(before, after, strict=True)]
    if not any(rows.any() for rows in gone):
        return 0
    tables = [shards.read(root, _file(manifest, shard, "verdicts")) for shard in manifest.shards]
    if not all("kept_doc_id" in table.column_names for table in tables):
        return 0
    lost = pa.concat_tables([table.select(["doc_id"]).filter(pa.array(rows)) for table, rows in zip(tables, gone, strict=True)])
    value_set = lost["doc_id"].combine_chunks()
    total = 0
    for table, reasons in zip(tables, after, strict=True):
        named = pc.is_in(table["kept_doc_id"].combine_chunks(), value_set=value_set)
        orphans = np.asarray(named.to_numpy(zero_copy_only=False), dtype=np.bool_) & ~_none(reasons)
        reasons[orphans] = None
        total += int(orphans.sum())
    return total


def _scores(root: Path, manifest: Manifest, change: Change) -> Iterator[pa.Table]:
    """The columns of scores that decisions need, shard by shard; none but `doc_id` where these are made already."""
    fields = change.after.scores if change.decided is None else ()
    choosing = change.after.choosing if isinstance(change.after, Chooser) else ()
    names = [field.name for field in fields if field.name in choosing or not pa.types.is_nested(field.type)]
    for shard in manifest.shards:
        yield shards.read(root, _file(manifest, shard, "scores"), ["doc_id", *names])


def _decide(
    root: Path, manifest: Manifest, change: Change, known: Sequence[Mask]
) -> tuple[list[Reasons], dict[str, float], list[Mask]]:
    """The reasons of the rows `known`; of a stage that chooses, its cuts (lowest kept scores); and which texts change."""
    changed = [np.zeros(len(rows), dtype=np.bool_) for rows in known]
    if change.decided is not None:
        return [_placed(rows, _reasons(verdict)) for rows, verdict in zip(known, change.decided, strict=True)], {}, changed
    judge = cast(Stage, change.after)
    choosing = judge.choosing if isinstance(judge, Chooser) else ()
    decided: list[Reasons] = []
    passing: list[pa.Table] = []
    for table, rows in zip(_scores(root, manifest, change), known, strict=True):
        scored = table.filter(pa.array(rows))
        reasons = _placed(rows, _reasons(judge.decide(one_batch(scored.drop_columns(["doc_id"])))))
        decided.append(reasons)
        passing.append(table.select(["doc_id", *choosing]).filter(pa.array(reasons == KEPT)))
    if not isinstance(judge, Chooser):
        return decided, {}, changed
    if isinstance(judge, LateEditor):
        for rows, reasons, new in zip(changed, decided, judge.changed(change.before, passing), strict=True):
            rows[reasons == KEPT] = new
    chosen, facts = judge.choose(passing)
    for reasons, now in zip(decided, chosen, strict=True):
        reasons[reasons == KEPT] = now
    return decided, judge.cuts(facts), changed


def _limits(judge: Stage | Resolver, cuts: Mapping[str, float]) -> list[tuple[str, Limit]]:
    return judge.limits(cuts) if isinstance(judge, Limited) else []


def _tell(
    done: Replayed,
    root: Path,
    manifest: Manifest,
    change: Change,
    cuts: Mapping[str, float],
    known: Sequence[Mask],
    before: Sequence[Reasons],
    after: Sequence[Reasons],
) -> None:
    """Add to `done` the documents that change sides, and the values for the limits that moved."""
    asked = _limits(change.after, cuts)
    # Another setting may change which rows a threshold applies to. A threshold counts as moved only if its own value changes.
    unmoved = {(limit.setting, limit.threshold) for _, limit in _limits(change.before, {}) if limit.column not in cuts}
    moved = list(dict.fromkeys(limit for _, limit in asked if (limit.setting, limit.threshold) not in unmoved))
    done.margins = {limit: [] for limit in moved}
    for number, table in enumerate(_scores(root, manifest, change)):
        rows, then, now = known[number], before[number], after[number]
        of_limit = {limit: limit.rows_of(table) & rows for _, limit in asked}
        for limit in moved:
            done.margins[limit].append(_values(table, limit)[of_limit[limit]])
        for kept, side, other in ((False, now, then), (True, then, now)):
            moving = rows & (other == KEPT) & (side != KEPT)
            for reason in _counts(side[moving]):
                those = moving & (side == reason)
                for limit in [limit for name, limit in asked if name == reason]:
                    _add(done, number, kept, reason, np.flatnonzero(those & of_limit[limit]), limit, table)
                    those &= ~of_limit[limit]
                _add(done, number, kept, reason, np.flatnonzero(those), None, table)


def _values(table: pa.Table, limit: Limit) -> Floats:
    return np.asarray(table[limit.column].cast(pa.float64()).to_numpy(), dtype=np.float64)


def _add(
    done: Replayed, shard: int, kept: bool, reason: str, rows: npt.NDArray[np.int64], limit: Limit | None, table: pa.Table
) -> None:
    if len(rows):
        values = np.full(len(rows), np.nan) if limit is None else _values(table, limit)[rows]
        done.groups.append(Group(shard=shard, kept=kept, reason=reason, rows=rows, limit=limit, values=values))
