"""Features of how often what a block has stands on its page, of the page itself, and of its container.

Guarantee: each function fills one row, or a column of rows, float32, in the order of the names above it.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.described import (
    FIRST_CELL,
    ITEM,
    LAST_CELL,
    LONG,
    TIGHT,
    TOTAL,
    WIDE,
    Described,
    Ints,
    Numbers,
    is_heading,
    ratio,
)
from tokenmill.pipeline.kernels.leaf import inlined
from tokenmill.pipeline.kernels.text.utf8 import Integer

REPEATED = ("path_count", "path_share", "path_mean", "style_count", "style_share", "style_mean", "text_count")
TOTALS = (
    "page_blocks", "page_weight", "page_long", "page_headings", "page_elements", "page_links_share", "page_cjk_share",
    "page_code_share", "page_digits_share", "page_in_long_share", "page_in_items_share", "page_in_cells_share",
)  # fmt: skip
CONTAINER = tuple(f"{name}_{what}" for name in ("tight", "wide") for what in ("inside", "distance", "share"))


@inlined
def repeated(page: Described, orders: Ints, out: Numbers) -> None:
    """Fill the features `REPEATED` of all blocks, out: float32 [blocks, 7]: how many blocks have a block's path, the weight of
    these as a share of the page, and their mean; the same for its style (path with classes); and how many have its text.

    orders: int64 [3, blocks], blocks by their `keys`, so that equal ones stand together.
    """
    count = len(page.weight)
    for key in range(3):
        first = 0
        while first < count:
            value, end, weight = page.keys[key, orders[key, first]], first, np.int64(0)
            while end < count and page.keys[key, orders[key, end]] == value:
                weight += page.weight[orders[key, end]]
                end += 1
            for k in range(first, end):
                row = out[orders[key, k], 3 * key :]
                row[0] = end - first
                if key < 2:
                    row[1] = ratio(weight, page.facts[TOTAL])
                    row[2] = ratio(weight, end - first)
            first = end


@inlined
def totals(found: Scanned, page: Described, out: Numbers) -> None:
    """Fill the features `TOTALS` of all blocks, out: float32 [blocks, 12]; they are the same for all of a page."""
    chars = links = cjk = code = digits = long = in_long = headings = in_items = in_cells = np.int64(0)
    for block in range(len(found.blocks)):
        counts, group = found.blocks[block], page.group[block]
        of_block = np.int64(counts[c.CHARS])
        is_long = page.before[block + 1, LONG] - page.before[block, LONG]
        chars += of_block
        links += counts[c.LINK_CHARS]
        cjk += counts[c.CJK]
        code += counts[c.CODE_CHARS]
        digits += counts[c.DIGITS]
        long += is_long
        in_long += of_block * is_long
        headings += is_heading(group)
        in_items += of_block * (group == ITEM)
        in_cells += of_block * (FIRST_CELL <= group <= LAST_CELL)
    for block in range(len(out)):
        row = out[block]
        row[0] = len(found.blocks)
        row[1] = page.facts[TOTAL]
        row[2] = long
        row[3] = headings
        row[4] = len(found.elements)
        row[5] = ratio(links, chars)
        row[6] = ratio(cjk, chars)
        row[7] = ratio(code, chars)
        row[8] = ratio(digits, chars)
        row[9] = ratio(in_long, chars)
        row[10] = ratio(in_items, chars)
        row[11] = ratio(in_cells, chars)


@inlined
def container(found: Scanned, page: Described, block: Integer, row: Numbers) -> None:
    """Fill the features `CONTAINER` of a block: whether it stands in the element that holds most of the long paragraphs and
    least else (see `described`), how many blocks away from it, and the element's share of the page."""
    for k in range(2):
        element = page.facts[TIGHT if k == 0 else WIDE]
        first, end = np.int64(found.elements[element, c.FIRST_BLOCK]), np.int64(found.elements[element, c.END_BLOCK])
        made = row[3 * k : 3 * k + 3]
        made[0] = first <= block < end
        made[1] = max(first - block, block - end + 1, np.int64(0))
        made[2] = ratio(page.inside[element], page.facts[TOTAL])
