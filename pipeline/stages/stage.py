"""The only loop that runs a stage over a shard.

Purpose: a stage that looks at one row at a time says how to score and how to decide (`protocols`). Everything else happens
here, once: which rows are alive, alignment, reuse of stored scores, writing, counting, resuming.
Guarantee: scores and verdicts have the rows of the documents in their order. A finished shard is not done again while its
identity and its files hold. A resumed shard has the bytes of an undisturbed one.
Cost: one shard of text in memory and one pass over it. A changed threshold reads scores only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import files, manifest, schema, shards, state
from tokenmill.pipeline.base.edits import Edit, merge, project
from tokenmill.pipeline.base.errors import Misaligned
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Counts, Shard
from tokenmill.pipeline.base.shards import Alive, Named, View
from tokenmill.pipeline.stages.protocols import Editor, Reader, Scorer, Stage

Stages = TypeVar("Stages", bound=Scorer, covariant=True)


@dataclass(frozen=True, kw_only=True)
class ShardTask(Generic[Stages]):
    """One shard for one stage. Picklable."""

    stage: Stages
    view: View


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """The result of running a shard: how many rows were scored now (`scored`), and whether anything was written."""

    shard: Shard
    scored: int = 0
    recomputed: bool = False


def name_of(stage: str, kind: str, shard: str) -> str:
    """Path of a stage's table below the corpus folder."""
    return f"{stage}/{kind}/{shard}.parquet"


def run_shard(task: ShardTask[Stage]) -> ShardResult:
    """Score and decide one shard, unless it is done already. Raises what reading raises, and what the stage raises."""
    stage, view = task.stage, task.view
    identity = _identity(stage, view, decisions=True)
    known = state.load(state.path_of(view.root, stage.name, view.name))
    done = state.finished(view.root, known, identity)
    if done is not None:
        return ShardResult(shard=done)
    alive, named, scores, scored = _score(task, known)
    verdict = stage.decide(scores)
    shard = publish(task, alive, {named[0]: named[1]}, scores, verdict, lengths_of(view, alive))
    state.record_shard(view.root, stage.name, shard, identity, scores=_identity(stage, view, decisions=False))
    return ShardResult(shard=shard, scored=scored, recomputed=True)


def score_shard(task: ShardTask[Scorer]) -> ShardResult:
    """Score only, for a stage whose decisions need all shards. The result's counts are empty."""
    stage, view = task.stage, task.view
    known = state.load(state.path_of(view.root, stage.name, view.name))
    identity = _identity(stage, view, decisions=False) + ":" + str(view.verdicts[1].sha256 if view.verdicts else None)
    done = state.finished(view.root, known, identity)
    if done is not None:
        return ShardResult(shard=done)
    _, (name, entry), _, scored = _score(task, known)
    shard = Shard(name=view.name, files={name: entry})
    state.record_shard(view.root, stage.name, shard, identity, scores=_identity(stage, view, decisions=False))
    return ShardResult(shard=shard, scored=scored, recomputed=True)


def publish(
    task: ShardTask[Scorer],
    alive: Alive,
    written: Mapping[str, FileEntry],
    scores: pa.RecordBatch | None,
    verdict: pa.RecordBatch,
    lengths: npt.NDArray[np.int64],
) -> Shard:
    """Write the verdicts (and, given scores, the edits of an Editor) of the rows alive, and count them.

    lengths: int64 [alive], bytes of each text. Raises Misaligned if verdicts or edits are not of these rows.
    """
    stage, view = task.stage, task.view
    _require_rows(f"{stage.name} {view.name}: verdicts", verdict.num_rows, len(alive.rows))
    name = name_of(stage.name, "verdicts", view.name)
    entries = {**written, name: shards.write(view.root, name, _with_ids(view, alive, verdict))}
    kept = schema.alive(verdict["reason"])
    if scores is not None and isinstance(stage, Editor):
        name = name_of(stage.name, "edits", view.name)
        spans = stage.edits(scores, verdict)
        _require_rows(f"{stage.name} {view.name}: edits", len(spans), len(alive.rows))
        entries[name] = shards.write(view.root, name, _edit_table(alive, kept, spans))
    dropped = pc.value_counts(verdict["reason"].cast(pa.string()).filter(pa.array(~kept))).to_pylist()
    counts = Counts(
        read=len(kept),
        kept=int(kept.sum()),
        dropped={item["values"]: item["counts"] for item in sorted(dropped, key=lambda item: item["values"])},
        bytes_in=int(lengths.sum()),
        bytes_kept=int(lengths[kept].sum()),
    )
    return Shard(name=view.name, files=entries, counts=counts)


def publish_resolved(task: ShardTask[Scorer], named: Named, verdict: pa.RecordBatch) -> Shard:
    """`publish` for a stage that decided over all shards. `named`: its scores, whose `bytes` save reading the texts."""
    view = task.view
    if isinstance(task.stage, Editor) or "bytes" not in task.stage.scores.names:
        alive = view.read()
        scores = one_batch(shards.read(view.root, named).take(pa.array(alive.rows)).drop_columns(["doc_id"]))
        return publish(task, alive, dict([named]), scores, verdict, lengths_of(view, alive))
    alive = view.read(["doc_id"])
    lengths = shards.read(view.root, named, ["bytes"])["bytes"].take(pa.array(alive.rows)).to_numpy()
    return publish(task, alive, dict([named]), None, verdict, lengths)


def stored_verdict(task: ShardTask[Scorer], shard: Shard) -> pa.Table:
    """The verdicts that `publish` was given for `shard`, read back from its file."""
    name = name_of(task.stage.name, "verdicts", task.view.name)
    table = shards.read(task.view.root, (name, shard.files[name])).drop_columns(["doc_id"])
    return plain(table.filter(table["reason"].is_valid()))


def plain(table: pa.Table) -> pa.Table:
    """The table with dictionaries decoded, so that comparing ignores their order and unused values."""
    fields = [field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in table.schema]
    return table.cast(pa.schema(fields))


def lengths_of(view: View, alive: Alive) -> npt.NDArray[np.int64]:
    """Bytes of the texts of the rows alive. int64 [alive]"""
    if "text" in alive.table.column_names:
        return np.asarray(pc.binary_length(alive.table["text"]).to_numpy(), dtype=np.int64)
    return view.text_bytes(alive)


def _score(task: ShardTask[Scorer], known: Mapping[str, Any] | None) -> tuple[Alive, Named, pa.RecordBatch, int]:
    """The scores of the rows alive. Scores stored for the same text and settings are reused, not computed again.

    Raises Misaligned if the stage gives other rows or columns than it should.
    """
    stage, view = task.stage, task.view
    name = name_of(stage.name, "scores", view.name)
    alive = view.read(("doc_id", *stage.reads) if isinstance(stage, Reader) else ("doc_id", "text"))
    batch = one_batch(alive.table)
    stored = _stored_scores(task, known, name)
    if stored is None:
        scores = _computed(stage, view, batch)
        scored = batch.num_rows
    else:
        first = stage.scores.names[0]
        there = np.asarray(stored[first].is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)[alive.rows]
        scored = int((~there).sum())
        old = stored.take(pa.array(alive.rows)).drop_columns(["doc_id"])
        if scored:
            fresh = pa.Table.from_batches([_computed(stage, view, batch.filter(pa.array(~there)))])
            position = np.where(there, np.cumsum(there) - 1, int(there.sum()) + np.cumsum(~there) - 1)
            old = pa.concat_tables([old.filter(pa.array(there)), fresh]).take(pa.array(position))
        scores = one_batch(old)
    return alive, (name, shards.write(view.root, name, _with_ids(view, alive, scores))), scores, scored


def _computed(stage: Scorer, view: View, batch: pa.RecordBatch) -> pa.RecordBatch:
    """What `stage.score` gives, if it has the rows of `batch` and the columns of `stage.scores`."""
    scores = stage.score(batch)
    if scores.schema.names != stage.scores.names:
        raise Misaligned(f"{stage.name} {view.name}: scores have the columns {scores.schema.names}, not {stage.scores.names}")
    _require_rows(f"{stage.name} {view.name}: scores", scores.num_rows, batch.num_rows)
    return scores


def _require_rows(what: str, rows: int, wanted: int) -> None:
    if rows != wanted:
        raise Misaligned(f"{what} of {rows} rows for {wanted} rows alive; the stage must give one for each")


def _stored_scores(task: ShardTask[Scorer], known: Mapping[str, Any] | None, name: str) -> pa.Table | None:
    stage, view = task.stage, task.view
    if known is None or known["scores"] != _identity(stage, view, decisions=False):
        return None
    entry = manifest.shard_from_plain(known["shard"]).files[name]
    return shards.read(view.root, (name, entry)) if files.holds(view.root, name, entry) else None


def _identity(stage: Scorer, view: View, *, decisions: bool) -> str:
    config = {"scoring": stage.scoring, "deciding": stage.deciding if decisions else None}
    inputs = view.identity if decisions else view.text_identity
    return manifest.fingerprint(stage.name, stage.version, config, inputs)


def _with_ids(view: View, alive: Alive, batch: pa.RecordBatch) -> pa.Table:
    """The columns of `batch` spread over all rows of the shard, with `doc_id` first."""
    ids = shards.read(view.root, view.documents, ["doc_id"])["doc_id"]
    return alive.spread(batch).add_column(0, schema.DOC_ID, ids).combine_chunks()


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """The table as one batch, which may have no rows."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _edit_table(alive: Alive, kept: npt.NDArray[np.bool_], spans: list[list[tuple[int, int, str]]]) -> pa.Table:
    """Edits of the kept rows, in bytes of the stored text."""
    rows: list[dict[str, Any]] = []
    ids = alive.table["doc_id"]
    for at in np.flatnonzero(kept):
        mine = spans[at]
        if not mine:
            continue
        places = project(alive.edits.get(int(alive.rows[at]), []), [(start, end) for start, end, _ in mine])
        merged = merge(Edit(*place, text.encode()) for place, (_, _, text) in zip(places, mine, strict=True))
        rows += [
            {"doc_id": ids[int(at)].as_py(), "start": edit.start, "end": edit.end, "replacement": edit.replacement.decode()}
            for edit in merged
        ]
    return pa.Table.from_pylist(rows, schema=schema.EDITS)
