"""The work of one task: read a split within its budget, write its shards, and record that it is done.

Guarantee: a split is not read again while its identity (settings, budget and the hashes of its files) and its output files
hold. Under a cap, files are visited in the order of a seeded hash of their names, and written in their own order.
Cost: one pass over the split's input. Under a cap, memory of the text that the budget allows.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, manifest, shards, state
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.losses import OVER_CAP, Losses
from tokenmill.pipeline.base.manifest import COLLECT
from tokenmill.pipeline.collect import hub, remote, unique
from tokenmill.pipeline.collect.html.extraction import model_digest
from tokenmill.pipeline.collect.kinds import WEB_ARCHIVES
from tokenmill.pipeline.collect.parser import attempts
from tokenmill.pipeline.collect.plan import InputSplit, Piece, unit_hash
from tokenmill.pipeline.collect.records import Document, Limits, Place, PlainLines, Record, Skipped, dropped, place_of
from tokenmill.pipeline.collect.write import Instead, Made, Writer, documents_name
from tokenmill.pipeline.config import AnySource, DatasetSource, DatatroveSource, FilesSource, InstalledSource
from tokenmill.pipeline.external.runs import Run

VERSION = 9
"""Version of the step, increased whenever the meaning of the output changes."""
REFUSALS = 8
"""A budget is spent when this many documents did not fit in it. Looking on for shorter ones would read everything."""


@dataclass(frozen=True, kw_only=True)
class SplitTask:
    """One split, and everything that its result depends on. Picklable."""

    root: Path
    number: int
    """Its place among the splits, in document order."""
    ids: Path
    """Where the ids of its documents go; see `unique.write`."""
    source: AnySource
    split: InputSplit
    content: str
    """A hash of the names and contents of the split's files."""
    limits: Limits
    shard_bytes: int
    seed: int
    budget_bytes: int | None
    budget_documents: int | None
    instead: Instead | None = None

    @property
    def identity(self) -> str:
        """Identifies this task's result."""
        config = {
            "source": settings(self.source),
            "extractor": extractor(self.source),
            "document_bytes": self.limits.document_bytes,
            "shard_bytes": self.shard_bytes,
            "seed": self.seed,
            "budget": [self.budget_bytes, self.budget_documents],
            "pieces": [[piece.file.name, piece.begin, piece.end, piece.before] for piece in self.split.pieces],
        }
        return manifest.fingerprint(COLLECT, VERSION, config, {self.split.name: self.content})


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """The shards of a split in order, whether they were written now, and the run of their ids."""

    made: tuple[Made, ...]
    recomputed: bool
    ids: Run


@dataclass(frozen=True, kw_only=True)
class RepeatedIds:
    """A split with other repeated ids than are taken out: `rows` to take out, for each of its shards. Picklable."""

    task: SplitTask
    ids: Run
    rows: tuple[tuple[int, ...], ...]


def settings(source: AnySource) -> dict[str, Any]:
    """The settings of a source that documents depend on: all but its location on this machine."""
    found = source.model_dump(mode="json", exclude={"path", "paths"})
    # Without a separator, a source is what it was before there were separators, and is not collected anew.
    return {name: value for name, value in found.items() if name != "separator" or value is not None}


def extractor(source: AnySource) -> str | None:
    """What identifies the extractor of a source's pages, or the readers of its files, beside its settings."""
    if isinstance(source, DatatroveSource):
        return datatrove_version(source)
    return model_digest() if isinstance(source, FilesSource | InstalledSource) and source.extract == "blocks" else None


def datatrove_version(source: DatatroveSource) -> str:
    """The version whose readers read the source. Raises ConfigError if it is not installed, or what its readers need."""
    try:
        importlib.metadata.version("orjson")
        return f"datatrove {importlib.metadata.version('datatrove')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"source {source.name}: kind = \"datatrove\" needs {error.name}: pip install 'tokenmill[datatrove]'"
        ) from error


def stores_scores(source: AnySource) -> bool:
    """Whether scores of blocks are stored beside the documents of a source."""
    return isinstance(source, FilesSource | InstalledSource) and source.extract_scores is True


@dataclass(kw_only=True)
class _Budget:
    bytes: int | None
    documents: int | None
    refused: int = 0

    def take(self, size_bytes: int) -> bool:
        fits = not self.spent and (self.bytes is None or size_bytes <= self.bytes)
        if not fits:
            self.refused += 1
            return False
        self.bytes = None if self.bytes is None else self.bytes - size_bytes
        self.documents = None if self.documents is None else self.documents - 1
        return True

    @property
    def limited(self) -> bool:
        return self.bytes is not None or self.documents is not None

    @property
    def spent(self) -> bool:
        return self.bytes == 0 or self.documents == 0 or self.refused >= REFUSALS


def run_split(task: SplitTask) -> SplitResult:
    """Collect one split, unless it is done already. Raises StaleInput if a file changes meanwhile."""
    done = _done(task)
    if done is not None:
        return _result(task, done, recomputed=False)
    writer = Writer(
        root=task.root,
        source=task.source.name,
        split=task.split.name,
        shard_bytes=task.shard_bytes,
        with_scores=stores_scores(task.source),
        instead=task.instead,
    )
    for record in _records(task):
        writer.add(record)
    made = tuple(writer.finish())
    save(task, made)
    return _result(task, made, recomputed=True)


def run_again(repeated: RepeatedIds) -> SplitResult:
    """Take the rows with repeated ids out of a split's shards. Raises what `run_split` raises.

    A task that is done again, also after a worker was lost in it, gives the same.
    """
    task, made = repeated.task, _done(repeated.task)
    if made is None or tuple(one.removed for one in made) != repeated.rows:
        if made is None or any(one.removed for one in made):
            # Other rows were removed, or a worker was lost meanwhile. Read the split again, so that all its rows are there.
            files.remove(state.path_of(task.root, COLLECT, task.split.name))
            made = run_split(task).made
        made = tuple(
            unique.without(task.root, one, rows, task.source.name) if rows else one
            for one, rows in zip(made, repeated.rows, strict=True)
        )
        save(task, made)
    return SplitResult(made=tuple(replace(one, ids=b"") for one in made), recomputed=True, ids=repeated.ids)


def _result(task: SplitTask, made: tuple[Made, ...], *, recomputed: bool) -> SplitResult:
    ids = unique.write(task.ids, task.number, [one.ids for one in made])
    return SplitResult(made=tuple(replace(one, ids=b"") for one in made), recomputed=recomputed, ids=ids)


def save(task: SplitTask, made: tuple[Made, ...]) -> None:
    """Record that the split is done with these shards."""
    record = {"identity": task.identity, "made": [one.plain() for one in made]}
    state.save(state.path_of(task.root, COLLECT, task.split.name), record)


def _done(task: SplitTask) -> tuple[Made, ...] | None:
    known = state.load(state.path_of(task.root, COLLECT, task.split.name))
    if known is None or known["identity"] != task.identity:
        return None
    made: list[Made] = []
    for plain in known["made"]:
        shard = state.finished(task.root, {"identity": task.identity, "shard": plain["shard"]}, task.identity)
        rejected = {table: (name, FileEntry(**entry)) for table, (name, entry) in plain["rejected"].items()}
        if shard is None or not all(files.holds(task.root, *named) for named in rejected.values()):
            return None
        documents = documents_name(shard.name)
        ids = shards.read(task.root, (documents, shard.files[documents]), ["doc_id"])["doc_id"].to_pylist()
        for row, removed in plain["removed"]:
            ids.insert(row, bytes.fromhex(removed))
        removed = tuple(zip(*plain["removed"], strict=True)) or ((), ())
        made.append(
            Made(
                shard=shard,
                rejected=rejected,
                ids=b"".join(ids),
                removed=removed[0],
                removed_ids=removed[1],
                losses=Losses(**plain["losses"]),
                left_out=plain["left_out"],
                record_types=plain["record_types"],
            )
        )
    return tuple(made)


def _records(task: SplitTask) -> Iterator[Record]:
    """The records of a split in the order of its pieces."""
    budget = _Budget(bytes=task.budget_bytes, documents=task.budget_documents)
    pieces = task.split.pieces
    if not budget.limited or len(pieces) == 1:
        for piece in pieces:
            yield from _within(budget, piece, task)
        return
    held: dict[int, list[Record]] = {}
    for number in sorted(range(len(pieces)), key=lambda number: (unit_hash(pieces[number].file.name, str(task.seed)), number)):
        held[number] = list(_within(budget, pieces[number], task))
    for number in range(len(pieces)):
        yield from held.pop(number)


def _within(budget: _Budget, piece: Piece, task: SplitTask) -> Iterator[Record]:
    """The records of a piece that fit in the budget. All that is not read counts as one record."""
    if budget.spent:
        yield dropped(Place(path=piece.file.name), OVER_CAP, "not read: the cap on the corpus is reached")
        return
    found = chain.from_iterable(
        one.documents if isinstance(one, PlainLines) and budget.limited else (one,) for one in _read(piece, task)
    )
    for record in found:
        if isinstance(record, Document) and not budget.take(len(record.text)):
            place, size = place_of(record.metadata), len(record.text)
            yield dropped(place, OVER_CAP, "the cap on the corpus leaves no room for it", record.text, size)
        else:
            yield record
        if budget.spent and any(not isinstance(rest, Skipped) for rest in found):
            place = Place(path=piece.file.name, record="rest")
            yield dropped(place, OVER_CAP, "the rest is not read: the cap on the corpus is reached")
            return


def _read(piece: Piece, task: SplitTask) -> Iterator[Record]:
    """Every record of a piece. An empty file is one record without text."""
    if isinstance(task.source, DatasetSource) and piece.file.kind == "dataset":
        yield from hub.read(piece, task.source, task.limits)
        return
    file = remote.fetched(task.root, piece.file)
    offered = 0
    for record in attempts.records(file, (piece.begin, piece.end, piece.before), settings(task.source), task.limits):
        offered += not isinstance(record, Skipped)
        yield record
    if not file.is_as_listed():
        raise file.changed()
    whole = piece.begin == 0 and (piece.end >= piece.file.size_bytes or piece.file.kind == "parquet")
    if whole and not offered and (piece.file.kind not in WEB_ARCHIVES or not piece.file.size_bytes):
        yield dropped(Place(path=piece.file.name), "empty", "the file holds no record")
