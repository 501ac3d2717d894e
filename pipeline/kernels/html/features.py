"""All features of the blocks of a page, as rows of one table.

Guarantee: each row is written once, from its first column to its last, but for `REPEATED` and `TOTALS`.
"""

from __future__ import annotations

from itertools import accumulate

from tokenmill.pipeline.kernels.html.ancestors import ANCESTOR, KEYWORD, ancestor, keyword
from tokenmill.pipeline.kernels.html.around import NEIGHBOUR, POSITION, WINDOW, neighbour, position, window
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.described import Described, Ints, Numbers
from tokenmill.pipeline.kernels.html.own import OWN, TAG, own, tag
from tokenmill.pipeline.kernels.html.whole_page import CONTAINER, REPEATED, TOTALS, container, repeated, totals
from tokenmill.pipeline.kernels.leaf import leaf

_GROUPS = (OWN, TAG, KEYWORD, ANCESTOR, POSITION, NEIGHBOUR, WINDOW, REPEATED, TOTALS, CONTAINER)
NAMES: tuple[str, ...] = tuple(name for names in _GROUPS for name in names)
"""Of the columns."""
_TAG, _KEYWORD, _ANCESTOR, _POSITION, _NEIGHBOUR, _WINDOW, _REPEATED, _TOTALS, _CONTAINER, _END = accumulate(
    len(names) for names in _GROUPS
)
"""The columns at which groups begin."""


@leaf
def fill(found: Scanned, page: Described, orders: Ints, out: Numbers) -> None:
    """Fill out: float32 [blocks, NAMES]. orders: int64 [3, blocks], see `repeated`."""
    for block in range(len(out)):
        row = out[block]
        own(found, page, block, row[:_TAG])
        tag(found, page, block, row[_TAG:_KEYWORD])
        keyword(found, block, row[_KEYWORD:_ANCESTOR])
        ancestor(found, page, block, row[_ANCESTOR:_POSITION])
        position(page, block, row[_POSITION:_NEIGHBOUR])
        neighbour(found, page, block, row[_NEIGHBOUR:_WINDOW])
        window(page, block, row[_WINDOW:_REPEATED])
        container(found, page, block, row[_CONTAINER:])
    repeated(page, orders, out[:, _REPEATED:_TOTALS])
    totals(found, page, out[:, _TOTALS:_CONTAINER])
