"""A bounded sample of the surviving text.

Guarantee: which documents are in it depends on their ids, their text and the seed, never on how they lie in shards or on
who reads them. Cost: one read of the surviving text to choose, one for each use; memory is one shard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.executor import Executor
from pipeline.shards import View


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The documents of `views` whose key (uint64, from seed and doc_id) is at most `last_key`."""

    views: tuple[View, ...]
    seed: int
    last_key: int
    documents: int
    bytes: int

    def texts(self) -> Iterator[list[str]]:
        """The texts, shard by shard, in document order."""
        for view in self.views:
            yield self.of(view).to_pylist()

    def of(self, view: View) -> pa.Array:
        """The texts that are in one shard. large_string [documents]"""
        table = view.read().table
        chosen = _keys(table["doc_id"], self.seed) <= np.uint64(self.last_key)
        return table["text"].filter(pa.array(chosen)).combine_chunks()


def choose(views: Sequence[View], executor: Executor, *, most_bytes: int, seed: int) -> Sample:
    """Documents in the order of their keys until there are `most_bytes` of text: more by less than the last document."""
    answers = executor.map(_candidates, [_Question(view=view, most_bytes=most_bytes, seed=seed) for view in views])
    keys = np.concatenate([np.zeros(0, dtype=np.uint64), *(keys for keys, _ in answers)])
    sizes = np.concatenate([np.zeros(0, dtype=np.int64), *(sizes for _, sizes in answers)])
    keys, sizes = _first(keys, sizes, most_bytes)
    return Sample(
        views=tuple(view for view, (mine, _) in zip(views, answers, strict=True) if len(mine) and mine[0] <= keys[-1]),
        seed=seed,
        last_key=int(keys[-1]) if len(keys) else 0,
        documents=len(keys),
        bytes=int(sizes.sum()),
    )


@dataclass(frozen=True, kw_only=True)
class _Question:
    view: View
    most_bytes: int
    seed: int


def _candidates(question: _Question) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Keys and text bytes of the documents of a shard that could be in the sample, by key."""
    table = question.view.read().table
    sizes = pc.binary_length(table["text"]).to_numpy().astype(np.int64)
    return _first(_keys(table["doc_id"], question.seed), sizes, question.most_bytes)


def _first(
    keys: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64], most_bytes: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    keys, sizes = keys[order], sizes[order]
    enough = int(np.searchsorted(np.cumsum(sizes), most_bytes)) + 1
    return keys[:enough], sizes[:enough]


def _keys(doc_ids: pa.ChunkedArray, seed: int) -> npt.NDArray[np.uint64]:
    """uint64 [documents]"""
    salt = str(seed).encode()
    digests = (
        hashlib.blake2b(value, digest_size=8, key=salt, person=b"tokenmill.sample").digest() for value in doc_ids.to_pylist()
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
