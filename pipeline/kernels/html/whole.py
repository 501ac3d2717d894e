"""Adds to kept blocks of a page what belongs to them; see `collect/html/whole.py`, which says why.

Guarantee: what is kept stays. A few passes over the blocks, so the work is linear.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

BESIDE = n.HIDDEN | n.NAV | n.ASIDE | n.FOOTER | n.FORM | n.BUTTON | n.NOSCRIPT
MOST_BETWEEN = 6
"""Blocks between two kept ones that are taken with them."""
SMALL_PAGE = 600
"""Characters of a page, without white space, of which all is kept. Up to 1,000 it makes no difference, above that it harms."""
KEPT, CHARS, LINKS = range(3)


@leaf
def make_whole(found: Scanned, kept: Bools, sums: Ints) -> None:
    """Add to `kept`, bool [blocks]. sums: int64 [elements, 3], room for what is counted of lists and tables."""
    small = _is_small(found, kept)
    for unit in (c.TABLE, c.LIST):
        _take_half_kept(found, kept, unit, sums)
    if small:
        for block in range(len(kept)):
            kept[block] |= _is_prose(found, block)
    else:
        _take_between(found, kept)


@inlined
def _is_fit(found: Scanned, block: Integer) -> bool:
    return bool(found.elements[found.blocks[block, c.ELEMENT], c.FLAGS] & BESIDE == 0)


@inlined
def _is_prose(found: Scanned, block: Integer) -> bool:
    """Whether a block is fit and not mostly links."""
    return bool(_is_fit(found, block) and 2 * np.int64(found.blocks[block, c.LINK_CHARS]) <= found.blocks[block, c.CHARS])


@inlined
def _is_small(found: Scanned, kept: Bools) -> bool:
    """Whether all of a page is kept. Where trees chose what is not fit, such as the text of `noscript`, the rest is its
    placeholder."""
    chars = np.int64(0)
    for block in range(len(kept)):
        if kept[block] and not _is_fit(found, block):
            return False
        chars += found.blocks[block, c.CHARS]
    return bool(chars < SMALL_PAGE)


@inlined
def _take_half_kept(found: Scanned, kept: Bools, unit: Integer, sums: Ints) -> None:
    """Take the fit blocks of each list or table, half of whose characters are kept, and less than 0.4 of them in links."""
    sums[:] = 0
    for block in range(len(kept)):
        row = found.blocks[block]
        of = sums[found.elements[row[c.ELEMENT], unit]]
        of[CHARS] += row[c.CHARS]
        of[LINKS] += row[c.LINK_CHARS]
        if kept[block]:
            of[KEPT] += row[c.CHARS]
    for block in range(len(kept)):
        at = found.elements[found.blocks[block, c.ELEMENT], unit]
        of = sums[at]
        if at and 2 * of[KEPT] >= of[CHARS] and 5 * of[LINKS] < 2 * of[CHARS] and _is_fit(found, block):
            kept[block] = True


@inlined
def _take_between(found: Scanned, kept: Bools) -> None:
    """Take the blocks between two kept ones, if all are prose and stand in the element around the first one."""
    last = np.int64(-1)
    for block in range(len(kept)):
        if not kept[block]:
            continue
        if 0 <= last < block - 1 <= last + MOST_BETWEEN:
            around = found.elements[found.blocks[last, c.ELEMENT], c.PARENT]
            taken = found.elements[around, c.END_BLOCK] > block
            for between in range(last + 1, block):
                taken = taken and _is_prose(found, between)
            if taken:
                kept[last + 1 : block] = True
        last = np.int64(block)
