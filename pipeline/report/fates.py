"""What became of each document of a shard, and columns as NumPy sees them.

Guarantee: row-aligned tables are compared by `doc_id` before they are read together. Cost: a few bytes per row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.corpus import CorpusFolder, CorpusShard
from tokenmill.pipeline.tokens.order import mix


@dataclass(frozen=True, order=True)
class Fate:
    """Which stage dropped a row, and why; both empty for a row that every stage kept."""

    stage: str
    reason: str


SURVIVED = Fate("", KEPT)


def fates(corpus: CorpusFolder, shard: CorpusShard, ids: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[Fate]]:
    """What became of each row of a shard: int64 [rows] into a list whose first member is SURVIVED. Raises Misaligned."""
    codes = np.zeros(len(ids), dtype=np.int64)
    known = [SURVIVED]
    for _, made in corpus.stages:
        named = shard.tables[made.stage, "verdicts"]
        table = shards.read(corpus.published, named, ["doc_id", "reason"])
        shards.align(shard.documents, ids, named, table["doc_id"])
        reasons, names = coded(table["reason"])
        for number, name in enumerate(names):
            if name != KEPT:
                codes[(reasons == number) & (codes == 0)] = len(known)
                known.append(Fate(made.stage, name))
    return codes, known


def coded(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """A column of strings as int64 [rows] into a list of its values; -1 for null."""
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


def keyed(ids: pa.ChunkedArray, seed: np.uint64) -> npt.NDArray[np.uint64]:
    """A keyed hash of each id: uint64 [rows]. The documents with the lowest ones are a sample that hardly changes."""
    words = id_words(ids)
    return mix(words[:, 0] ^ words[:, 1] ^ seed)
