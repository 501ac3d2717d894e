"""Tables over all code points in two levels, as kernels look them up: `cells[pages[code >> 8] + (code & 255)]`.

Guarantee: for every code point the cell that was given. Most pages of 256 code points are alike, so a table takes some 100 kB.
Cost: 30 ms to ask `unicodedata` for the category of every character, 10 ms to find the pages that are alike; once per process.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Cell = TypeVar("Cell", bound=np.unsignedinteger)

PAGE = 256


def assigned() -> Iterator[tuple[int, str, str]]:
    """Code point, character and category of all that are assigned and neither private nor surrogates, in order."""
    # Planes 4 to 13 are unassigned, the last two private.
    codes = (*range(0x40000), *range(0xE0000, 0xF0000))
    characters = list(map(chr, codes))
    for code, character, category in zip(codes, characters, map(unicodedata.category, characters), strict=True):
        if category not in ("Cn", "Co", "Cs"):
            yield code, character, category


def two_level(cells: npt.NDArray[Cell]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Cell]]:
    """Where the page of each 256 of `cells` begins: int64 [cells / 256]; and the pages that differ, end to end."""
    starts: dict[bytes, int] = {}
    pages = [starts.setdefault(page.tobytes(), PAGE * len(starts)) for page in cells.reshape(-1, PAGE)]
    return np.array(pages, dtype=np.int64), np.frombuffer(b"".join(starts), dtype=cells.dtype).copy()
