"""Loops over token ids: counting ids, fingerprints of the windows at every position, copying documents in another order.

Guarantee: ids of any unsigned type and value are safe; an id beyond the table of counts is reported, not counted.
Cost: one pass each; about 1 ns per id to count, 2 ns for windows, 0.2 ns to copy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.leaf import leaf

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@leaf
def count_ids(ids: npt.NDArray[np.unsignedinteger], counts: npt.NDArray[np.int64]) -> int:
    """Add to `counts` (int64 [vocabulary]) how often each of `ids` occurs. Returns the number of ids beyond the table."""
    beyond = 0
    for at in range(len(ids)):
        number = np.int64(ids[at])
        if number < len(counts):
            counts[number] += 1
        else:
            beyond += 1
    return beyond


@leaf
def lay_documents(
    ids: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    end_of_text: int,
    out: npt.NDArray[np.unsignedinteger],
) -> tuple[int, int]:
    """Copy the documents `ids[starts[i]:starts[i] + counts[i]]` to `out` end to end, with an end-of-text after each.

    `out` has room for all ids and one more per document. Returns the highest of the copied ids, and how many of them are
    end-of-text. If the type of `out` cannot hold the highest id, the content of `out` is invalid.
    """
    at = np.uint64(0)
    highest, ends, end = np.uint32(0), np.uint32(0), np.uint32(end_of_text)
    for row in range(len(starts)):
        # Unsigned: indices that may be negative, and so count from the end, keep LLVM from copying many ids at a time.
        start, count = np.uint64(starts[row]), np.uint64(counts[row])
        for i in range(count):
            number = ids[start + i]
            out[at + i] = number
            highest = max(highest, number)
            ends += np.uint32(number == end)
        at += count
        out[at] = end_of_text
        at += np.uint64(1)
    return int(highest), int(ends)


@leaf
def window_fingerprints(
    ids: npt.NDArray[np.unsignedinteger],
    end_of_text: int,
    width: int,
    level: int,
    fingerprints: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int64],
) -> int:
    """Fingerprint the windows of `width` ids without an end-of-text, and choose the fingerprints that end in `level` zero bits.

    A fingerprint is a rolling polynomial (Karp and Rabin 1987) modulo 2**64, mixed. The chosen fingerprints and the starts of
    their windows are written to `fingerprints` (uint64) and `places` (int64), both at least as long as `ids`. Returns their
    number.
    """
    leaving = np.uint64(1)
    for _ in range(width):
        leaving *= MULTIPLIER
    chosen, run = 0, 0
    rolling = np.uint64(0)
    mask = np.uint64((np.uint64(1) << np.uint64(level)) - np.uint64(1))
    for at in range(len(ids)):
        number = np.int64(ids[at])
        if number == end_of_text:
            run = 0
            rolling = np.uint64(0)
            continue
        rolling = rolling * MULTIPLIER + np.uint64(number + 1)
        run += 1
        if run > width:
            rolling -= leaving * np.uint64(np.int64(ids[at - width]) + 1)
        if run >= width:
            mixed = mix64(rolling)
            if mixed & mask == 0:
                fingerprints[chosen] = mixed
                places[chosen] = at - width + 1
                chosen += 1
    return chosen
