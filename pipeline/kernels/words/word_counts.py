"""Counts the words of a text without splitting the same chunk twice: texts consist of few chunks that repeat often.

Purpose: some rules need only the number of words. A chunk is the text between ASCII white space; its words depend on nothing
else (see `split`), so their number is remembered.
Guarantee: the count is that of `split.split`. A remembered chunk is compared in all its bytes.
Cost: 0.7 ns per byte of English, plus the splitter's cost for chunks that are new or longer than `MOST_BYTES`. 16 bytes per
slot, 256 kB in total, which fits into a processor's cache; a new chunk replaces the one in its slot.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import load
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text import masks
from tokenmill.pipeline.kernels.words.classes import Tables
from tokenmill.pipeline.kernels.words.split import spans

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Chunks = npt.NDArray[np.uint64]

MOST_BYTES = 15
SLOT_BITS = 14
_WORDS_SHIFT, _SIZE_SHIFT = 56, 60


def remembered() -> Chunks:
    """An empty table, uint64 [2 * slots]. A slot holds a chunk's bytes and, in its last byte, the chunk's size and words."""
    return np.zeros(2 << SLOT_BITS, dtype=np.uint64)


@inlined
def _words_of(data: Bytes, start: int, stop: int, tables: Tables, starts: Places, ends: Places, chunks: Chunks) -> int:
    """The number of words in one chunk."""
    size = stop - start
    if size > MOST_BYTES:
        return spans(data, start, stop, tables, starts, ends)
    front = load(data, np.uint64(start)) & masks.first(8 * size)
    back = load(data, np.uint64(start + 8)) & masks.first(8 * max(size - 8, 0)) | np.uint64(size) << np.uint64(_SIZE_SHIFT)
    key = (front ^ back * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xD6E8FEB86659FD93)
    slot = (key >> np.uint64(64 - SLOT_BITS)) << np.uint64(1)
    found = chunks[slot + np.uint64(1)]
    if chunks[slot] == front and found & ~(np.uint64(0xF) << np.uint64(_WORDS_SHIFT)) == back:
        return int(np.int64(found >> np.uint64(_WORDS_SHIFT) & np.uint64(0xF)))
    count = spans(data, start, stop, tables, starts, ends)
    chunks[slot], chunks[slot + np.uint64(1)] = front, back | np.uint64(count) << np.uint64(_WORDS_SHIFT)
    return count


@leaf
def count_words(data: Bytes, start: int, stop: int, tables: Tables, starts: Places, ends: Places, chunks: Chunks) -> int:
    """The number of words in `data[start:stop]`.

    `data` is read up to `masks.BLOCK` bytes behind `stop`. `starts`, `ends`: scratch for the words of one chunk; `chunks`: the
    table made by `remembered`, which is passed from call to call.
    """
    count = 0
    begun = at = start
    before = np.uint64(1)
    inside = False
    while at < stop:
        spaces = masks.ascii_spaces(data, np.uint64(at)) | ~masks.first(stop - at)
        edges = spaces ^ (spaces << np.uint64(1) | before)
        before = spaces >> np.uint64(masks.BLOCK - 1)
        while edges:
            edge = at + masks.place(edges)
            edges &= edges - np.uint64(1)
            if inside:
                count += _words_of(data, begun, edge, tables, starts, ends, chunks)
            begun, inside = edge, not inside
        at += masks.BLOCK
    if inside:
        count += _words_of(data, begun, stop, tables, starts, ends, chunks)
    return count
