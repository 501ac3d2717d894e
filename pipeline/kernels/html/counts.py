"""Counts over the text of a block, from which features are made.

Guarantee: integers only, equal on every machine. Counts are of the source: `&amp;` counts as five characters.
Cost: about 1.5 ns a byte.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.values import Bytes
from tokenmill.pipeline.kernels.leaf import inlined, leaf

MOST = (1 << n.FIELD) - 1
"""Bytes whose counts fit into one sum."""
FIELDS = (c.CHARS, c.SENTENCES, c.COMMAS, c.DIGITS, c.CAPITALS, c.BARS)
"""The counts of `Names.counted`, in its order."""


@inlined
def count(page: Bytes, start: int, stop: int, flags: int, linked: bool, names: n.Names, found: Scanned, block: int) -> None:
    """Add the text in page[start:stop] to the counts of a block."""
    state, row = found.state, found.blocks[block]
    before = np.int64(row[c.CHARS])
    in_word = np.int64(state[c.IN_WORD])
    words = np.int64(0)
    text = found.hashes[block]
    while start < stop:
        end = min(start + MOST, stop)
        sums = np.uint64(0)
        for at in range(start, end):
            byte = page[at]
            kind = np.int64(names.bytes_[byte])
            sums += names.counted[byte]
            if byte > 0x20:
                text = (text ^ np.uint64(byte)) * np.uint64(n.PRIME)
            word = kind & n.WORD | (in_word & kind >> 1)
            if kind & n.LEAD:
                word = np.int64(_longer(page, at, stop, row))
            words += word & ~in_word
            in_word = word
        for field in range(len(FIELDS)):
            row[FIELDS[field]] += np.int64(sums >> np.uint64(field * n.FIELD) & np.uint64(MOST))
        start = end
    state[c.IN_WORD] = in_word
    found.hashes[block] = text
    row[c.WORDS] += words
    row[c.SEGMENTS] += 1
    chars = row[c.CHARS] - before
    if linked:
        row[c.LINK_CHARS] += chars
    if flags & n.BOLD:
        row[c.BOLD_CHARS] += chars
    if flags & n.TIME:
        row[c.TIME_CHARS] += chars
    if flags & n.CODE:
        row[c.CODE_CHARS] += chars


@leaf
def _longer(page: Bytes, at: int, stop: int, row: npt.NDArray[np.int32]) -> int:
    """Count the character of several bytes at `at`. Returns 1 if it is part of a word, 0 for signs and for CJK."""
    byte = page[at]
    after = page[at + 1] if at + 1 < stop else np.uint8(0)
    last = page[at + 2] if at + 2 < stop else np.uint8(0)
    if 0xE3 <= byte <= 0xED:
        row[c.CJK] += 1
        if byte == 0xE3 and after == 0x80:
            row[c.SENTENCES] += last == 0x82
            row[c.COMMAS] += last == 0x81
        return 0
    if byte == 0xEF and after == 0xBC:
        row[c.SENTENCES] += last == 0x81 or last == 0x9F
        row[c.COMMAS] += last == 0x8C
        return 0
    if byte == 0xC2:
        row[c.COPYRIGHT] += after == 0xA9
        row[c.BARS] += after == 0xB7
        return 0
    return 0 if byte == 0xE2 and (after == 0x80 or after == 0x81) else 1
