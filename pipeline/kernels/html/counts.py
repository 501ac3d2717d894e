"""Counts over the text of a block, from which features are made.

Guarantee: integers only, equal on every machine. Counts are of the source: `&amp;` counts as five characters.
Cost: about 1.5 ns a byte.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.attributes import Bytes
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.leaf import leaf


@leaf
def count(page: Bytes, start: int, stop: int, flags: int, linked: bool, found: Scanned, block: int) -> None:
    """Add the text in page[start:stop] to the counts of a block."""
    state, row = found.state, found.blocks[block]
    in_word = state[c.IN_WORD]
    chars = words = sentences = commas = digits = capitals = cjk = bars = copyrights = np.int64(0)
    text = found.hashes[block]
    for at in range(start, stop):
        byte = np.int64(page[at])
        if byte <= 0x20:
            in_word = 0
            continue
        text = (text ^ np.uint64(byte)) * np.uint64(n.PRIME)
        if byte < 0x80:
            chars += 1
            letter = byte | 0x20
            if 0x61 <= letter <= 0x7A:
                words += 1 - in_word
                in_word = 1
                capitals += byte < 0x61
            elif 0x30 <= byte <= 0x39:
                words += 1 - in_word
                in_word = 1
                digits += 1
            else:
                if byte != 0x27:
                    in_word = 0
                sentences += byte == 0x2E or byte == 0x21 or byte == 0x3F
                commas += byte == 0x2C or byte == 0x3B
                bars += byte == 0x7C
        elif byte >= 0xC0:
            chars += 1
            after = np.int64(page[at + 1]) if at + 1 < stop else np.int64(0)
            last = np.int64(page[at + 2]) if at + 2 < stop else np.int64(0)
            if 0xE3 <= byte <= 0xED:
                in_word = 0
                cjk += 1
                if byte == 0xE3 and after == 0x80:
                    sentences += last == 0x82
                    commas += last == 0x81
            elif byte == 0xEF and after == 0xBC:
                in_word = 0
                sentences += last == 0x81 or last == 0x9F
                commas += last == 0x8C
            elif byte == 0xC2:
                copyrights += after == 0xA9
                bars += after == 0xB7
                in_word = 0
            elif byte == 0xE2 and (after == 0x80 or after == 0x81):
                in_word = 0
            else:
                words += 1 - in_word
                in_word = 1
    state[c.IN_WORD] = in_word
    found.hashes[block] = text
    row[c.CHARS] += chars
    row[c.WORDS] += words
    row[c.SENTENCES] += sentences
    row[c.COMMAS] += commas
    row[c.DIGITS] += digits
    row[c.CAPITALS] += capitals
    row[c.CJK] += cjk
    row[c.BARS] += bars
    row[c.COPYRIGHT] += copyrights
    row[c.SEGMENTS] += 1
    if linked:
        row[c.LINK_CHARS] += chars
    if flags & n.BOLD:
        row[c.BOLD_CHARS] += chars
    if flags & n.TIME:
        row[c.TIME_CHARS] += chars
    if flags & n.CODE:
        row[c.CODE_CHARS] += chars
