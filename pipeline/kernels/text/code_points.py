"""Two-level tables over all code points, which kernels look up as `cells[pages[code >> 8] + (code & 255)]`.

Guarantee: the lookup returns, for every code point, the cell that was given for it.
Cost: once per process, 30 ms to ask `unicodedata` for the category of every character and 10 ms to find equal pages. Most
pages of 256 code points are equal, so a table takes about 100 kB.
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
    """Yield (code point, character, category) for each assigned code point in order, except private ones and surrogates."""
    # Planes 4 to 13 are unassigned, the last two private.
    codes = (*range(0x40000), *range(0xE0000, 0xF0000))
    characters = list(map(chr, codes))
    for code, character, category in zip(codes, characters, map(unicodedata.category, characters), strict=True):
        if category not in ("Cn", "Co", "Cs"):
            yield code, character, category


def two_level(cells: npt.NDArray[Cell]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Cell]]:
    """Split `cells` into pages of 256 and store equal pages once.

    Returns where each page begins, int64 [len(cells) / 256], and the distinct pages end to end.
    """
    starts: dict[bytes, int] = {}
    pages = [starts.setdefault(page.tobytes(), PAGE * len(starts)) for page in cells.reshape(-1, PAGE)]
    return np.array(pages, dtype=np.int64), np.frombuffer(b"".join(starts), dtype=cells.dtype).copy()
