"""Features of the place of a block on its page, and of the blocks before and after it.

Guarantee: each function fills one row, float32, in the order of the names above it. The work does not depend on the page.
"""

from __future__ import annotations

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.described import (
    CHARS,
    FAR,
    H1,
    LINKS,
    LONG,
    MARKS,
    TOTAL,
    WEIGHT,
    Described,
    Numbers,
    ratio,
)
from tokenmill.pipeline.kernels.leaf import inlined
from tokenmill.pipeline.kernels.text.utf8 import Integer

POSITION = (
    "index", "index_from_end", "place", "before", "before_share", "after", "from_h1",
    "since_long", "until_long", "since_heading", "until_heading", "since_very_long", "until_very_long",
)  # fmt: skip
STEPS = (-3, -2, -1, 1, 2, 3)
NEIGHBOUR = tuple(
    f"{'next' if step > 0 else 'last'}{abs(step)}_{name}"
    for step in STEPS
    for name in ("weight", "links", "tag", "sentences", "same_path")
)
RADII = (2, 5, 10)
WINDOW = tuple(f"window{radius}_{name}" for radius in RADII for name in ("weight", "links", "long"))


@inlined
def position(page: Described, block: Integer, row: Numbers) -> None:
    """Fill the features `POSITION` of a block."""
    count, total, before, h1 = len(page.weight), page.facts[TOTAL], page.before[block, WEIGHT], page.facts[H1]
    row[0] = block
    row[1] = count - block
    row[2] = ratio(block, count)
    row[3] = before
    row[4] = ratio(before, total)
    row[5] = total - before
    row[6] = block - h1 if h1 >= 0 else -FAR
    for k in range(2 * MARKS):
        row[7 + k] = page.distances[block, k]


@inlined
def neighbour(found: Scanned, page: Described, block: Integer, row: Numbers) -> None:
    """Fill the features `NEIGHBOUR`, of blocks some steps away: weight, share of links, group of the tag, sentences (all -1:
    there is none), and whether the path is that of the block itself (where there is none, 0 stands for its path)."""
    path = page.keys[0, block]
    for k in range(len(STEPS)):
        at, made = block + STEPS[k], row[5 * k : 5 * k + 5]
        if 0 <= at < len(page.weight):
            made[0] = page.weight[at]
            made[1] = page.link_share[at]
            made[2] = page.group[at]
            made[3] = found.blocks[at, c.SENTENCES]
            made[4] = page.keys[0, at] == path
        else:
            made[:4] = -1
            made[4] = path == 0


@inlined
def window(page: Described, block: Integer, row: Numbers) -> None:
    """Fill the features `WINDOW`, of all blocks that are at most a radius away: weight, share of links, long paragraphs."""
    for k in range(len(RADII)):
        first = page.before[max(block - RADII[k], 0)]
        end, made = page.before[min(block + RADII[k] + 1, len(page.weight))], row[3 * k : 3 * k + 3]
        made[0] = end[WEIGHT] - first[WEIGHT]
        made[1] = ratio(end[LINKS] - first[LINKS], end[CHARS] - first[CHARS])
        made[2] = end[LONG] - first[LONG]
