"""Deduplication over all tasks of a pipeline of datatrove's, in three steps, as datatrove's own.

    signatures   every task: its documents and their signatures go to a folder, which all tasks see
    verdicts     one task, after all of those: pairs are found and compared, and who stays is decided
    filter       every task, over the same documents: duplicates are dropped

Purpose: the stage `dedup` decides over all documents; a pipeline sees those of one task. So the work lies in three pipelines.
Guarantee: the verdicts are those of a build of a source named `datatrove` with the same ids and texts, whatever the number of
tasks: a near duplicate is dropped only where its true Jaccard similarity to a kept text reaches the threshold. The filter
compares ids, so that other documents than those that were signed are an error and never the wrong ones dropped. Ids that
repeat are an error. What another number of tasks left behind is refused.
Cost: see `pipeline.stages.dedup`; the task of the verdicts holds some 50 bytes a document more, to compare ids. The folder
holds the texts, compressed, until it is removed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.writers.disk_base import DiskWriter

from tokenmill.flows.datatrove.columns import texts_of
from tokenmill.pipeline.base import executor, manifest, schema, shards, state
from tokenmill.pipeline.base.errors import ConfigError, InputError, Misaligned, NotBuilt
from tokenmill.pipeline.base.manifest import Shard
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.collect import memory
from tokenmill.pipeline.config import given
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.stage import ShardTask, score_shard
from tokenmill.pipeline.stages.step import StageStep, Work, perform

SOURCE = "datatrove"
MOST_ROWS = 100_000
"""Documents in a shard."""


class DedupSignatures(PipelineStep):
    """Store the documents of each task, with their signatures. Documents go on unchanged.

    Parameters
    ----------
    folder
        A new folder on a disk that all tasks share.
    settings
        Settings of the section `dedup`, as `{"threshold": 0.7}`. `tokenmill config explain dedup` describes them. Give the
        same ones to `DedupVerdicts`.

    Raises
    ------
    ConfigError
        There is no such setting, or it is out of bounds.
    """

    type = "🫂 - DEDUPS"
    name = "tokenmill: dedup, signatures"

    def __init__(self, folder: str | Path, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.root = Path(folder)
        self.stage = _stage(settings)
        self.stage.prepare()

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The documents of this task, once they are stored."""
        made: list[dict[str, Any]] = []
        for held in _of_a_shard(data):
            made.append(self._store(f"{SOURCE}/{rank:06d}-{len(made):06d}", held))
            yield from held
        state.save(_record(self.root, rank), {"tasks": world_size, "shards": made}, durable=True)

    def _store(self, name: str, documents: Sequence[Document]) -> dict[str, Any]:
        with self.track_time("batch"):
            texts, _ = texts_of(documents)
            shard = memory.write(self.root, name, [_id_of(document) for document in documents], texts)
            (view,) = views(self.root, (memory.manifest_of([shard]),))
            score_shard(ShardTask(stage=self.stage, view=view))
        for document in documents:
            self.update_doc_stats(document)
        return manifest.shard_to_plain(shard)


class DedupVerdicts(PipelineStep):
    """Decide which documents are duplicates, once `DedupSignatures` has run in all tasks. It runs in one task.

    Parameters
    ----------
    folder
        The folder of `DedupSignatures`.
    settings
        Settings of the section `dedup`. What signatures do not depend on, as `loses`, may differ from what
        `DedupSignatures` had; so may `threshold` where `bands` and `rows` are given.
    workers
        Processes.

    Raises
    ------
    ConfigError
        There is no such setting, or it is out of bounds.
    NotBuilt
        A task has not stored its documents.
    InputError
        Two documents have one id, or tasks of runs with other numbers of tasks are in the folder.
    """

    type = "🫂 - DEDUPS"
    name = "tokenmill: dedup, verdicts"

    def __init__(self, folder: str | Path, settings: Mapping[str, Any] | None = None, workers: int = 1) -> None:
        super().__init__()
        self.root = Path(folder)
        self.stage = _stage(settings)
        self.workers = workers

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """No documents. Tasks but the first one do nothing."""
        if rank == 0:
            stored = [shard for made in _stored(self.root) for shard in made]
            self._require_ids(stored)
            collected = manifest.commit(self.root, memory.manifest_of(stored))
            with self.track_time("batch"), executor.local(self.workers) as pool:
                work = Work(root=self.root, before=(collected,), executor=pool)
                counts = perform(StageStep(self.stage), work, downstream=()).manifest.counts
            self.stat_update("total", value=counts.read)
            self.stat_update("forwarded", value=counts.kept)
            for reason, count in counts.dropped.items():
                self.stat_update(f"dropped_{reason}", value=count)
        yield from ()

    def _require_ids(self, stored: Sequence[Shard]) -> None:
        """Raises InputError if an id repeats."""
        ids = [shards.read(self.root, _named(shard, "documents"), ["doc_id"])["doc_id"] for shard in stored]
        counts = pc.value_counts(pa.chunked_array([chunk for column in ids for chunk in column.chunks], schema.DOC_ID.type))
        again = counts.filter(pc.greater(counts.field("counts"), 1))
        if len(again):
            first = again[0]["values"].as_py().hex()
            raise InputError(
                f"{self.root}: {len(again):,} ids belong to several documents, such as doc_id {first}; verdicts "
                "are by ids, so give each document its own (`id_key` or `adapter` of the reader)"
            )


class DedupFilter(BaseFilter):
    """Drop duplicates. It runs over the documents of `DedupSignatures`, in as many tasks, once `DedupVerdicts` has run.

    Metadata get `doc_id`, and those of duplicates `kept_doc_id` and `jaccard`: the document that stays in its place, and their
    similarity.

    Parameters
    ----------
    folder
        The folder of `DedupSignatures`.
    exclusion_writer
        A writer of datatrove's for duplicates, with `filter_reason` in their metadata: `exact_duplicate` or `near_duplicate`.
    batch_size
        Documents that are looked up at once.

    Raises
    ------
    NotBuilt
        There are no verdicts, or none for this task.
    Misaligned
        The documents are not those that were signed.
    """

    name = "tokenmill: dedup, filter"

    def __init__(self, folder: str | Path, exclusion_writer: DiskWriter | None = None, batch_size: int = 1_000) -> None:
        super().__init__(exclusion_writer, batch_size)
        self.root = Path(folder)
        self._rows: Iterator[dict[str, Any]] = iter(())

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The documents of this task that stay."""
        self._rows = self._verdicts(rank, world_size)
        yield from super().run(data, rank, world_size)
        left = sum(1 for _ in self._rows)
        if left:
            raise Misaligned(f"task {rank}: {left} documents of those that were signed are not there; run all steps again")

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """The verdict on the next document."""
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        """The verdicts on the next documents."""
        rows = list(itertools.islice(self._rows, len(batch)))
        ids = [_id_of(document) for document in batch]
        if ids != [row["doc_id"] for row in rows]:
            at = next(at for at, name in enumerate(ids) if at >= len(rows) or name != rows[at]["doc_id"])
            raise Misaligned(f"the document {batch[at].id!r} is not the one that was signed in its place; run all steps again")
        for document, row in zip(batch, rows, strict=True):
            document.metadata["doc_id"] = row["doc_id"].hex()
            if row["reason"] != schema.KEPT:
                document.metadata |= {"kept_doc_id": row["kept_doc_id"].hex(), "jaccard": row["jaccard"]}
        return [True if row["reason"] == schema.KEPT else (False, row["reason"]) for row in rows]

    def _verdicts(self, rank: int, world_size: int) -> Iterator[dict[str, Any]]:
        """Row by row, what was decided for a task."""
        made = manifest.find(self.root, "dedup")
        if made is None:
            raise NotBuilt(f"{self.root}: there are no verdicts; run DedupVerdicts first")
        tasks = _stored(self.root)
        if len(tasks) != world_size:
            raise NotBuilt(f"{self.root}: {len(tasks)} tasks were signed, and {world_size} run now; run as many tasks")
        published = {shard.name: shard for shard in made.shards}
        for shard in tasks[rank]:
            if shard.name not in published:
                raise NotBuilt(f"{self.root}: no verdicts for {shard.name}; run DedupVerdicts again")
            named = _named(published[shard.name], "dedup/verdicts")
            yield from shards.read(self.root, named, ["doc_id", "reason", "kept_doc_id", "jaccard"]).to_pylist()


def _of_a_shard(data: Iterable[Document]) -> Iterator[list[Document]]:
    """The documents of one shard after another."""
    held: list[Document] = []
    held_bytes = 0
    for document in data:
        held.append(document)
        held_bytes += len(document.text)
        if held_bytes >= memory.SHARD_BYTES or len(held) >= MOST_ROWS:
            yield held
            held, held_bytes = [], 0
    if held:
        yield held


def _stage(settings: Mapping[str, Any] | None) -> Dedup:
    config = given(DedupConfig, settings or {}, "dedup")
    if config.keys:
        raise ConfigError(f"dedup.keys = {list(config.keys)}: these steps store texts, without URLs and metadata; leave it out")
    return Dedup(config=config, sources=(SOURCE,))


def _id_of(document: Document) -> bytes:
    return schema.doc_id(SOURCE, str(document.id))


def _record(root: Path, rank: int) -> Path:
    return state.path_of(root, SOURCE, f"{rank:06d}")


def _stored(root: Path) -> list[list[Shard]]:
    """For each task, the shards that it stored. Raises NotBuilt, InputError."""
    first = state.load(_record(root, 0))
    tasks = 1 if first is None else int(first["tasks"])
    found = []
    for rank in range(tasks):
        record = first if rank == 0 else state.load(_record(root, rank))
        if record is None:
            raise NotBuilt(f"{root}: task {rank} has not stored its documents; run DedupSignatures to its end")
        if record["tasks"] != tasks:
            raise InputError(f"{root}: task {rank} was one of {record['tasks']}, task 0 one of {tasks}; take a new folder")
        found.append([manifest.shard_from_plain(plain) for plain in record["shards"]])
    return found


def _named(shard: Shard, folder: str) -> shards.Named:
    return next(named for named in shard.files.items() if named[0].startswith(f"{folder}/"))
