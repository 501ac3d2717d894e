"""Look-ups of characters and expressions in UTF-8 bytes.

Purpose: the kernels that split words use these to read the tables of `classes` and `expressions`.
Guarantee: nothing behind the end of the array is read, and only the bytes of the span affect the result.
Cost: 1 to 2 ns each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, hash_word, mix64
from tokenmill.pipeline.kernels.leaf import inlined
from tokenmill.pipeline.kernels.text.utf8 import Integer, before, decode
from tokenmill.pipeline.kernels.words.classes import ASCII
from tokenmill.pipeline.kernels.words.expressions import MOST_BYTES, SIZE_SHIFT, SLOTS

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Classes = npt.NDArray[np.uint32]
Expressions = npt.NDArray[np.uint64]


@inlined
def class_at(data: Bytes, at: int, stop: int, classes: Classes) -> tuple[Integer, int]:
    """The classes of the character at `at`, and where the next character begins."""
    if data[at] < 0x80:
        return np.int64(classes[ASCII + data[at]]), at + 1
    code, after = decode(data, at, stop)
    return np.int64(classes[np.int64(classes[code >> 8]) + (code & 0xFF)]), after


@inlined
def last_class(data: Bytes, start: int, end: int, classes: Classes) -> tuple[Integer, int]:
    """The classes of the character that ends at `end`, and where it begins."""
    at = before(data, start, end)
    cell, _ = class_at(data, at, end, classes)
    return cell, at


@inlined
def hash_span(data: Bytes, start: int, end: int) -> np.uint64:
    """A hash of the span. If it ends in NUL, its size is mixed in, since `hash_bytes` fills up the last 8 bytes with zeros."""
    found = hash_bytes(data, start, end)
    if end > start and data[end - 1] == 0:
        return mix64(found ^ np.uint64(end - start) * np.uint64(0x9E3779B97F4A7C15))
    return found


@inlined
def hash_bytes(data: Bytes, start: int, end: int) -> np.uint64:
    """The same as `hash_word`, also if fewer than PADDING_BYTES bytes follow the span in `data`."""
    if end + PADDING_BYTES <= len(data):
        return hash_word(data, start, end)
    state, taken = np.uint64(0), np.uint64(0)
    for at in range(start, end):
        place = np.uint64((at - start) & 7)
        taken |= np.uint64(data[at]) << (place << np.uint64(3))
        if place == np.uint64(7) or at == end - 1:
            state, taken = mix64(state ^ taken), np.uint64(0)
    return state


@inlined
def role_by_hash(key: np.uint64, size: int, expressions: Expressions) -> Integer:
    """The role of the expression of `size` bytes with this hash; 0 if there is none."""
    slot = (key & np.uint64(SLOTS - 1)) << np.uint64(1)
    while expressions[slot]:
        if expressions[slot] == key:
            role = np.int64(expressions[slot + np.uint64(1)])
            return role if role >> SIZE_SHIFT == size else 0
        slot = (slot + np.uint64(2)) & np.uint64(2 * SLOTS - 1)
    return 0


@inlined
def role_of(data: Bytes, start: int, end: int, expressions: Expressions) -> Integer:
    """The role of the expression `data[start:end]`; 0 if it is none."""
    return role_by_hash(hash_span(data, start, end), end - start, expressions) if 0 < end - start <= MOST_BYTES else 0
