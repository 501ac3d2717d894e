"""A corpus with near duplicates at known similarities: documents of about 500 words, in shards as collection writes them.

Purpose: what deduplication finds, and how fast, where the truth is known for any number of documents.
Guarantee: a document follows from its number and the seed alone, so the same corpus comes from any number of workers, and a
smaller one is a prefix of a larger one. A copy has a block of its original's words replaced by others, so long that the
Jaccard similarity of their word 5-grams is one of LEVELS, but for rounding and for 5-grams that occur twice in a document.
Cost: about 100,000 documents (300 MB) per core in 10 seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import manifest, schema, shards
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.manifest import Counts, Shard
from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.stages.step import Work

SOURCE = "planted"
DOCUMENTS_PER_SHARD = 5_000
LEAST_WORDS, MOST_WORDS = 350, 650
COPIES_IN_100 = 30
LEVELS = (0.5, 0.6, 0.7, 0.75, 0.78, 0.82, 0.85, 0.9, 0.95, 1.0)
"""Each as frequent as the others; 1 is a copy word by word."""
NGRAM = 5
VOCABULARY = 50_000
SENTENCE = 17
"""Words from one full stop to the next."""

GOLDEN = 0x9E3779B97F4A7C15
ORIGINAL, KIND, PLACE, FRESH = 1, 2, 3, 4
"""What a random number is for."""

Words = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]


@inlined
def _random(seed: int, number: int, purpose: int) -> np.uint64:
    return mix64(np.uint64(seed) + np.uint64(GOLDEN) * (np.uint64(number) * np.uint64(8) + np.uint64(purpose)))


@leaf
def original_of(number: int, seed: int) -> int:
    """The document that `number` is a copy of; itself where it is none. Copies are of originals before them."""
    if not number or _random(seed, number, KIND) % np.uint64(100) >= np.uint64(COPIES_IN_100):
        return number
    found = np.int64(_random(seed, number, ORIGINAL) % np.uint64(number))
    while found and _random(seed, found, KIND) % np.uint64(100) < np.uint64(COPIES_IN_100):
        found -= 1
    return found


@leaf
def words_of(number: int, seed: int) -> int:
    """How many words a document has: as many as its original."""
    original = original_of(number, seed)
    return LEAST_WORDS + np.int64(_random(seed, original, PLACE) % np.uint64(MOST_WORDS - LEAST_WORDS + 1))


@leaf
def changed_words(number: int, seed: int, levels: npt.NDArray[np.float64]) -> int:
    """How many words of its original a copy replaces. A block of k words changes k + 4 of the 5-grams."""
    level = levels[np.int64(_random(seed, number, PLACE) % np.uint64(len(levels)))]
    ngrams = words_of(number, seed) - NGRAM + 1
    return max(0, np.int64(round(ngrams * (1 - level) / (1 + level))) - NGRAM + 1)


@leaf
def _write(number: int, seed: int, levels: npt.NDArray[np.float64], words: Words, out: npt.NDArray[np.uint8]) -> int:
    """Write one text; its bytes."""
    letters, starts, odds, others = words
    original, count = original_of(number, seed), words_of(number, seed)
    first = last = 0
    if original != number:
        # Inside the text, so that the block touches 5-grams on both sides.
        last = changed_words(number, seed, levels)
        first = NGRAM + np.int64(_random(seed, number, FRESH) % np.uint64(count - last - 2 * NGRAM))
        last += first
    size = 0
    for at in range(count):
        source = number if first <= at < last else original
        draw = mix64(_random(seed, source, FRESH) + np.uint64(GOLDEN) * np.uint64(at + 1))
        # Walker's alias method.
        word = np.int64((draw >> np.uint64(32)) % np.uint64(len(odds)))
        if (draw & np.uint64(0xFFFFFFFF)) * 2.0**-32 >= odds[word]:
            word = others[word]
        for place in range(starts[word], starts[word + 1]):
            out[size] = letters[place]
            size += 1
        if at % SENTENCE == SENTENCE - 1:
            out[size] = 0x2E
            size += 1
        out[size] = 0x20
        size += 1
    return size - 1


@leaf
def _write_all(
    first: int,
    seed: int,
    levels: npt.NDArray[np.float64],
    words: Words,
    offsets: npt.NDArray[np.int64],
    out: npt.NDArray[np.uint8],
) -> None:
    for row in range(len(offsets) - 1):
        size = _write(first + row, seed, levels, words, out[offsets[row] :])
        offsets[row + 1] = offsets[row] + size


def vocabulary(seed: int) -> Words:
    """Words, frequent ones shorter, and the alias table of frequencies that fall as 1 / (rank + 2.7) (Zipf, Mandelbrot)."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.poisson(1 + np.log10(np.arange(1, VOCABULARY + 1)) * 1.8), 1, 14)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    letters = rng.integers(ord("a"), ord("z") + 1, starts[-1]).astype(np.uint8)
    odds = 1 / (np.arange(VOCABULARY) + 2.7)
    odds *= VOCABULARY / odds.sum()
    others = np.arange(VOCABULARY)
    small, large = list(np.flatnonzero(odds < 1)), list(np.flatnonzero(odds >= 1))
    while small and large:
        one, other = small.pop(), large[-1]
        others[one] = other
        odds[other] -= 1 - odds[one]
        if odds[other] < 1:
            small.append(large.pop())
    return letters, starts, odds, others


@dataclass(frozen=True, kw_only=True)
class _Task:
    root: Path
    first: int
    last: int
    seed: int


def texts(first: int, last: int, seed: int = 1) -> pa.LargeStringArray:
    """The texts of the documents from `first` to before `last`."""
    words = vocabulary(seed)
    most = (last - first) * MOST_WORDS * 16
    offsets, out = np.zeros(last - first + 1, dtype=np.int64), np.empty(most, dtype=np.uint8)
    _write_all(first, seed, np.array(LEVELS), words, offsets, out)
    return pa.LargeStringArray.from_buffers(last - first, pa.py_buffer(offsets), pa.py_buffer(out[: offsets[-1]]))


def doc_id(number: int) -> bytes:
    """The id of a document."""
    return schema.doc_id(SOURCE, str(number))


def _write_shard(task: _Task) -> Shard:
    column = texts(task.first, task.last, task.seed)
    rows = len(column)
    table = pa.table(
        {
            "doc_id": pa.array([doc_id(number) for number in range(task.first, task.last)], schema.DOC_ID.type),
            "source": pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), [SOURCE]),
            "url": pa.nulls(rows, pa.string()),
            "text": column,
            "metadata": pa.array(["{}"] * rows),
        },
        schema=schema.DOCUMENTS,
    )
    split = f"{task.first // DOCUMENTS_PER_SHARD:06d}"
    name = f"documents/{SOURCE}/{split}.parquet"
    size = column.nbytes - 8 * (rows + 1)
    counts = Counts(read=rows, kept=rows, bytes_in=size, bytes_kept=size)
    return Shard(name=f"{SOURCE}/{split}", files={name: shards.write(task.root, name, table)}, counts=counts)


def corpus(root: Path, documents: int, executor: Executor, *, seed: int = 1) -> Work:
    """Write a finished `collect` stage of so many documents below `root`."""
    texts(0, 2, seed)
    firsts = range(0, documents, DOCUMENTS_PER_SHARD)
    tasks = [_Task(root=root, first=at, last=min(documents, at + DOCUMENTS_PER_SHARD), seed=seed) for at in firsts]
    made = manifest.Manifest(stage="collect", version=1, config={}, inputs={}, shards=tuple(executor.map(_write_shard, tasks)))
    manifest.commit(root, made)
    return Work(root=root, before=(made,), executor=executor)
