"""Features of the elements around a block, up the tree.

Guarantee: each function fills one row, float32, in the order of the names above it. At most `MOST_STEPS` steps up from each
block, so the work is linear at any depth.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.described import (
    CHARS,
    LINKS,
    LONG,
    TOTAL,
    WEIGHT_OF_LONG,
    Described,
    Numbers,
    ratio,
)
from tokenmill.pipeline.kernels.leaf import inlined
from tokenmill.pipeline.kernels.text.masks import place
from tokenmill.pipeline.kernels.text.utf8 import Integer

MOST_STEPS = 32
"""A keyword that stands further up counts as absent."""
KEYWORD = tuple(f"steps_{name}" for name in n.KEYWORDS)
ANCESTORS = 5
ANCESTOR = tuple(
    f"up{step}_{name}"
    for step in range(1, ANCESTORS + 1)
    for name in ("weight", "links", "long", "long_share", "blocks", "share", "tag")
)


@inlined
def keyword(found: Scanned, block: Integer, row: Numbers) -> None:
    """Fill the features `KEYWORD`: steps from a block up to the nearest element with a keyword; `MOST_STEPS`: there is none."""
    row[:] = MOST_STEPS
    counts = found.blocks[block]
    at = np.int64(counts[c.ELEMENT])
    if counts[c.SEGMENTS] == 1:
        at = np.int64(found.segments[counts[c.FIRST], c.OWNER])
    seen = np.uint64(0)
    for steps in range(MOST_STEPS):
        left = found.keywords[at] & ~seen
        seen |= left
        while left:
            row[place(left)] = steps
            left &= left - np.uint64(1)
        if at == 0:
            break
        at = np.int64(found.elements[at, c.PARENT])


@inlined
def ancestor(found: Scanned, page: Described, block: Integer, row: Numbers) -> None:
    """Fill the features `ANCESTOR`, of the nearest elements each of which holds more than the one before: weight, share of
    links, long paragraphs, their share of the weight, blocks, share of the page, and group of the tag."""
    at = np.int64(found.blocks[block, c.ELEMENT])
    if page.inside[at] <= page.weight[block]:
        at = page.up[at]
    for step in range(ANCESTORS):
        element = found.elements[at]
        first_block, end_block = np.int64(element[c.FIRST_BLOCK]), np.int64(element[c.END_BLOCK])
        first, end = page.before[first_block], page.before[end_block]
        weight = page.inside[at]
        made = row[7 * step : 7 * step + 7]
        made[0] = weight
        made[1] = ratio(end[LINKS] - first[LINKS], end[CHARS] - first[CHARS])
        made[2] = end[LONG] - first[LONG]
        made[3] = ratio(end[WEIGHT_OF_LONG] - first[WEIGHT_OF_LONG], weight)
        made[4] = end_block - first_block
        made[5] = ratio(weight, page.facts[TOTAL])
        made[6] = page.groups[element[c.TAG]]
        at = page.up[at]
