"""The published tables of a corpus, as the report reads them: which stages exist, in which order, and why rows were dropped.

Guarantee: every stage's inputs are the manifests beside it (StaleInput otherwise), and row-aligned tables are compared by
`doc_id` before they are read together.
Cost: manifests are read once; a shard's verdicts are a few bytes per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import manifest, shards
from tokenmill.pipeline.base.errors import CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.config import MIDDLE
from tokenmill.pipeline.stages.stage import name_of


@dataclass(frozen=True, order=True)
class Fate:
    """Which stage dropped a row, and why; both empty for a row that every stage kept."""

    stage: str
    reason: str


SURVIVED = Fate("", KEPT)


@dataclass(frozen=True, kw_only=True)
class ShardTables:
    """The tables of one shard: its documents, and by stage its verdicts and scores."""

    name: str
    documents: Named
    verdicts: Mapping[str, Named]
    scores: Mapping[str, Named]

    @property
    def source(self) -> str:
        return self.name.split("/", 1)[0]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What is published below `root`.

    `middle`: the stages between collection and the tokenizer, in the order in which they ran.
    """

    root: Path
    collect: Manifest
    middle: tuple[Manifest, ...]
    tokenizer: Manifest | None
    pack: Manifest | None
    shards: tuple[ShardTables, ...]

    @property
    def deciding(self) -> tuple[Manifest, ...]:
        """The stages of the funnel, in order."""
        return (self.collect, *self.middle)

    @property
    def published(self) -> tuple[Manifest, ...]:
        """All stages that exist, in order."""
        return (*self.deciding, *(made for made in (self.tokenizer, self.pack) if made is not None))

    def stage(self, name: str) -> Manifest | None:
        """The manifest of a stage of the middle; None if the stage was left out."""
        return next((made for made in self.middle if made.stage == name), None)


def load(root: Path) -> Corpus:
    """Read the manifests below `root`. Raises NotBuilt without a collection, CorruptFile, StaleInput."""
    collect = manifest.load(root, "collect")
    found = [made for made in (_if_there(root, name) for name in MIDDLE) if made is not None]
    names = {made.stage for made in found}
    middle = tuple(sorted(found, key=lambda made: (len(names & made.inputs.keys()), MIDDLE.index(made.stage))))
    corpus = Corpus(
        root=root,
        collect=collect,
        middle=middle,
        tokenizer=_if_there(root, "tokenizer"),
        pack=_if_there(root, "pack"),
        shards=tuple(_tables(root, collect, middle)),
    )
    _check_lineage(corpus)
    return corpus


def fates(corpus: Corpus, shard: ShardTables, ids: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[Fate]]:
    """What became of each row of a shard: int64 [rows], indices into the list of fates. Raises Misaligned.

    The first fate in the list is SURVIVED.
    """
    codes = np.zeros(len(ids), dtype=np.int64)
    known = [SURVIVED]
    for made in corpus.middle:
        named = shard.verdicts[made.stage]
        table = shards.read(corpus.root, named, ["doc_id", "reason"])
        shards.align(shard.documents, ids, named, table["doc_id"])
        reasons, names = coded(table["reason"])
        for number, name in enumerate(names):
            if name != KEPT:
                codes[(reasons == number) & (codes == 0)] = len(known)
                known.append(Fate(made.stage, name))
    return codes, known


def coded(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """A column of strings as int64 [rows], indices into the list of its values; -1 for null."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.combine_chunks()
    indices = array.indices.cast(pa.int64()).fill_null(-1)
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64), array.dictionary.to_pylist()


def id_words(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The ids as uint64 [rows, 2], little-endian, without a Python object per row."""
    joined = ids.combine_chunks()
    buffer = joined.buffers()[1]
    if buffer is None or not len(joined):
        return np.zeros((0, 2), dtype=np.uint64)
    words = np.frombuffer(buffer, dtype="<u8").reshape(-1, 2)
    return words[joined.offset : joined.offset + len(joined)]


def _if_there(root: Path, stage: str) -> Manifest | None:
    try:
        return manifest.load(root, stage)
    except NotBuilt:
        return None


def _tables(root: Path, collect: Manifest, middle: tuple[Manifest, ...]) -> list[ShardTables]:
    entries = {made.stage: dict(made.entries()) for made in middle}

    def named(stage: str, kind: str, shard: str) -> Named | None:
        name = name_of(stage, kind, shard)
        entry = entries[stage].get(name)
        return None if entry is None else (name, entry)

    made: list[ShardTables] = []
    for shard in collect.shards:
        documents = next(((name, entry) for name, entry in shard.files.items() if name.startswith("documents/")), None)
        if documents is None:
            raise CorruptFile(
                f"{manifest.path_of(root, 'collect')}: shard {shard.name!r} names no documents; run the build again"
            )
        verdicts = {stage: named(stage, "verdicts", shard.name) for stage in entries}
        missing = sorted(stage for stage, table in verdicts.items() if table is None)
        if missing:
            raise StaleInput(f"stage {missing[0]!r} has no verdicts on shard {shard.name!r} of collect; run the build again")
        scores = {stage: named(stage, "scores", shard.name) for stage in entries}
        made.append(
            ShardTables(
                name=shard.name,
                documents=documents,
                verdicts={stage: table for stage, table in verdicts.items() if table is not None},
                scores={stage: table for stage, table in scores.items() if table is not None},
            )
        )
    return made


def _check_lineage(corpus: Corpus) -> None:
    hashes = {made.stage: made.hash for made in corpus.published}
    for made in corpus.published:
        for name, claimed in made.inputs.items():
            if name in hashes and claimed != hashes[name]:
                raise StaleInput(
                    f"stage {made.stage!r} was made from {name} {claimed}, but {name} is {hashes[name]}; run the build again"
                )
