"""The kept blocks of a page, each with its text and its place in lists, tables and quotes.

Guarantee: those of a few thousand blocks are in memory at a time. Blocks without a visible character are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html.texts import texts
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Scanned

INVISIBLE = "\u200b\u2060\ufeff\u00ad"
"""Characters without a width. A block of nothing else has no text."""
BLANK = f"{INVISIBLE} \t\n\r\f\xa0"
AT_A_TIME = 4_096


class KeptBlock(NamedTuple):
    """A kept block.

    tag: its id. pre, row, cell, table, item, list: numbers of elements, 0 where there is none. lists, quotes: how many stand
    around it. number: of the block on the page.
    """

    text: str
    tag: int
    pre: int
    row: int
    cell: int
    table: int
    item: int
    list: int
    lists: int
    quotes: int
    number: int


COLUMNS = [c.TAG, c.PRE, c.ROW, c.CELL, c.TABLE, c.ITEM, c.LIST, c.LISTS, c.QUOTES]


def blocks(
    page: npt.NDArray[np.uint8], found: Scanned, kept: npt.NDArray[np.bool_], *, markdown: bool, whole: bool
) -> Iterator[KeptBlock]:
    """The blocks that are `kept` (bool [blocks]); `markdown` and `whole` as for `texts.texts`."""
    numbers = np.flatnonzero(kept)
    for first in range(0, len(numbers), AT_A_TIME):
        chosen = numbers[first : first + AT_A_TIME]
        places = np.column_stack((found.elements[found.blocks[chosen, c.ELEMENT, None], COLUMNS], chosen)).tolist()
        for text, place in zip(texts(page, found, chosen, markdown=markdown, whole=whole), places, strict=True):
            if text.strip(None if whole else BLANK):
                # The indentation of the first line of code counts.
                yield KeptBlock(text if place[1] else text.strip(), *place)
