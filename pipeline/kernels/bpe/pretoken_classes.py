"""Classes of characters for splitting text into pre-tokens, as a two-level table.

Purpose: kernels look up `classes[classes[code >> 8] + (code & 255)]`, which has one bit per class that a published pattern
names.
Guarantee: under any Python from 3.11 on, the classes are those of Unicode 16.0, which the regular expressions of `tokenizers`
0.23 use: `unicodedata`, plus the code points assigned after its version 14.0 (a test asks `tokenizers` for all 0x110000).
Cost: built once per process in 0.1 s; 60 kB. Tables are arguments of kernels, never globals.
"""

from __future__ import annotations

import functools
import sys

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels import kept
from tokenmill.pipeline.kernels.text.code_points import assigned, two_level

LETTER = 1 << 0
NUMBER = 1 << 1
SPACE = 1 << 2
NEWLINE = 1 << 3
"""Carriage return and line feed, which are also SPACE."""
UPPER = 1 << 4
r"""`[\\p{Lu}\\p{Lt}]`"""
LOWER = 1 << 5
r"""`\\p{Ll}`"""
EITHER = 1 << 6
r"""`[\\p{Lm}\\p{Lo}\\p{M}]`: counts both as upper and as lower case. A mark is not a LETTER."""
OTHER = 1 << 7
"""None of LETTER, NUMBER and SPACE."""
SLASH = 1 << 8

ASCII = 0x1100
"""Where in the table the classes of the 128 ASCII characters begin; 128 zeros follow, so that any byte can be looked up."""

_OF = {
    **dict.fromkeys(("Lu", "Lt"), LETTER | UPPER),
    "Ll": LETTER | LOWER,
    **dict.fromkeys(("Lm", "Lo"), LETTER | EITHER),
    **dict.fromkeys(("Nd", "Nl", "No"), NUMBER),
    **dict.fromkeys(("Mn", "Mc", "Me"), OTHER | EITHER),
}
_LATER = {
    "Lu": "1c89 a7cb-a7cc a7da a7dc 10d50-10d65",
    "Ll": "1c8a a7cd a7db 10d70-10d85 1df25-1df2a",
    "Lo": "105c0-105f3 10d4a-10d4f 10d6f 10ec2-10ec4 1123f-11240 11380-11389 1138b 1138e 11390-113b5 113b7 113d1 113d3 "
    "11bc0-11be0 11f02 11f04-11f10 11f12-11f33 1342f 13441-13446 13460-143fa 16100-1611d 16d40-16d6c 18cff 1b132 "
    "1b155 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 2b739 2ebf0-2ee5d 31350-323af",
    "Mn": "897 cf3 ece 10d69-10d6d 10efc-10eff 11241 113b8-113c0 113c2 113c5 113c7-113ca 113cc-113d0 113d2 113e1-113e2 "
    "11f00-11f01 11f03 11f34-11f3a 11f3e-11f42 11f5a 13440 13447-13455 1611e-1612f 1e08f 1e4ec-1e4ef 1e5ee-1e5ef",
    "Nd": "10d40-10d49 116d0-116e3 11bf0-11bf9 11f50-11f59 16130-16139 16d70-16d79 1ccf0-1ccf9 1d2c0-1d2d3 1e4f0-1e4f9 "
    "1e5f1-1e5fa",
}
"""Code points that Unicode 15.0, 15.1 and 16.0 assigned (DerivedAge.txt), under a category with the same classes."""


@functools.cache
def tables() -> npt.NDArray[np.uint32]:
    """uint32: where the classes of each 256 code points begin (0x1100 numbers); then the classes of ASCII, then all others."""
    return kept.arrays(_tables)[0]


def _tables() -> tuple[npt.NDArray[np.uint32]]:
    cells = np.full(sys.maxunicode + 1, OTHER, dtype=np.uint32)
    for code, _, category in assigned():
        cells[code] = _OF.get(category, OTHER)
    for category, ranges in _LATER.items():
        for text in ranges.split():
            first, _, last = text.partition("-")
            cells[int(first, 16) : int(last or first, 16) + 1] = _OF[category]
    for code in (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000):
        cells[code] = SPACE
    cells[[10, 13]] |= NEWLINE
    cells[ord("/")] |= SLASH
    pages, differing = two_level(cells)
    ascii_cells = np.where(np.arange(256) < 128, cells[:256], 0)
    return (np.concatenate([ASCII + 256 + pages, ascii_cells, differing]).astype(np.uint32),)
