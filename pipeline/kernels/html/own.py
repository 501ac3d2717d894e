"""Features of a block by itself: the counts over its text, its tag, and its place in the tree.

Guarantee: each function fills one row, float32, in the order of the names above it.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.described import LONG, TAG_GROUPS, Described, Numbers, ratio
from tokenmill.pipeline.kernels.leaf import inlined
from tokenmill.pipeline.kernels.text.utf8 import Integer

COUNTED = {
    "chars": c.CHARS, "link_chars": c.LINK_CHARS, "words": c.WORDS, "sentences": c.SENTENCES, "commas": c.COMMAS,
    "digits": c.DIGITS, "capitals": c.CAPITALS, "cjk": c.CJK, "bars": c.BARS, "copyright": c.COPYRIGHT, "bold": c.BOLD_CHARS,
    "time": c.TIME_CHARS, "code": c.CODE_CHARS, "links": c.LINKS, "breaks": c.BREAKS, "segments": c.SEGMENTS,
    "images": c.IMAGES, "inputs": c.INPUTS,
}  # fmt: skip
WITH_SHARE = ("sentences", "commas", "digits", "capitals", "cjk", "bold", "time", "code", "words")
"""Counts of which there is a share in the characters, too."""
OWN = (
    *COUNTED, "weight", "link_share", "chars_per_word", *(f"{name}_share" for name in WITH_SHARE), "chars_per_link", "long",
)  # fmt: skip
TAG_STEPS = 3
TAG = (
    *(f"tag_{tags.replace(' ', '_')}" for tags in TAG_GROUPS), *(f"tag_above_{step}" for step in range(1, TAG_STEPS + 1)),
    *(f"in_{name}" for name in n.FLAGS), "depth", "lists", "children", "siblings", "ordinal",
)  # fmt: skip

COUNTS, SHARES = tuple(COUNTED.values()), tuple(COUNTED[name] for name in WITH_SHARE)
N_GROUPS, N_FLAGS = len(TAG_GROUPS), len(n.FLAGS)


@inlined
def own(found: Scanned, page: Described, block: Integer, row: Numbers) -> None:
    """Fill the features `OWN` of a block."""
    counts = found.blocks[block]
    chars = counts[c.CHARS]
    for k in range(len(COUNTS)):
        row[k] = counts[COUNTS[k]]
    rest = row[len(COUNTS) :]
    rest[0] = page.weight[block]
    rest[1] = page.link_share[block]
    rest[2] = ratio(chars, counts[c.WORDS])
    for k in range(len(SHARES)):
        rest[3 + k] = ratio(counts[SHARES[k]], chars)
    rest[3 + len(SHARES)] = ratio(chars, counts[c.LINKS])
    rest[4 + len(SHARES)] = page.before[block + 1, LONG] - page.before[block, LONG]


@inlined
def tag(found: Scanned, page: Described, block: Integer, row: Numbers) -> None:
    """Fill the features `TAG` of a block."""
    elements = found.elements
    element = elements[found.blocks[block, c.ELEMENT]]
    row[:N_GROUPS] = 0
    group = page.group[block]
    if group:
        row[group - 1] = 1
    row = row[N_GROUPS:]
    above = np.int64(element[c.PARENT])
    for step in range(TAG_STEPS):
        above = np.int64(elements[above, c.BLOCK])
        row[step] = page.groups[elements[above, c.TAG]]
        above = np.int64(elements[above, c.PARENT])
    row = row[TAG_STEPS:]
    # The flags of the text itself, which may stand in a link or in bold.
    flags = elements[found.segments[found.blocks[block, c.FIRST], c.OWNER], c.FLAGS]
    for bit in range(N_FLAGS):
        row[bit] = flags >> np.int32(bit) & np.int32(1)
    row = row[N_FLAGS:]
    row[0] = element[c.DEPTH]
    row[1] = element[c.LISTS]
    row[2] = element[c.CHILDREN]
    row[3] = elements[element[c.PARENT], c.CHILDREN]
    row[4] = element[c.ORDINAL]
