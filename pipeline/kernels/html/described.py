"""What several features of blocks need: numbers of each block, of each element, and of the page.

Guarantee: integers, and ratios made by one division of float64, rounded once to float32, equal on every machine. A few passes
over blocks and one over elements, so the work is linear in both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]

LONG_WEIGHT = 200
"""Least weight of a long paragraph, in half characters (a character of CJK weighs five of them): 100 characters."""
FAR = 1_000
"""The distance to what is not there."""
TAG_GROUPS = (
    "p", "h1", "h2", "h3", "h4 h5 h6", "li", "dt dd", "td", "th", "pre listing xmp", "blockquote", "div",
    "section article main", "figcaption figure", "button", "option optgroup select", "form fieldset legend label",
    "summary details", "address", "body", "nav aside header footer",
)  # fmt: skip
"""Tags that count as one; the number of a group is 1 + its index, and 0 is all other tags."""
FIRST_HEADING, LAST_HEADING, ITEM, FIRST_CELL, LAST_CELL = (
    1 + TAG_GROUPS.index(tags) for tags in ("h1", "h4 h5 h6", "li", "td", "th")
)

# Columns of `before`, and of `facts`. H1: the first block of that tag, or -1. TIGHT, WIDE: elements, see `_elements`.
WEIGHT, CHARS, LINKS, LONG, WEIGHT_OF_LONG = range(5)
TOTAL, H1, TIGHT, WIDE = range(4)
TIGHT_PRICE, WIDE_PRICE = 1, 4
"""What the weight of long paragraphs in an element is worth, against the weight of all else in it."""
MARKS = 3
"""Kinds of blocks to which distances are measured: long ones, headings, and those three times as long."""


class Described(NamedTuple):
    """Numbers of the blocks and elements of a page.

    groups: int64 [IDS], of tags. weight, group: int64 [blocks]. link_share: float32 [blocks]. before: int64 [blocks + 1, 5],
    sums over all blocks before. distances: int64 [blocks, 2 * MARKS], to the last and the next block of a kind, 0 for one of
    it. keys: uint64 [3, blocks], hashes of the path, of the path with classes, and of the text. inside: int64 [elements], the
    weight of the blocks inside. up: int64 [elements], the nearest ancestor that holds more; 0, the root, where there is none.
    facts: int64 [4], of the page.
    """

    groups: Ints
    weight: Ints
    group: Ints
    link_share: Numbers
    before: Ints
    distances: Ints
    keys: npt.NDArray[np.uint64]
    inside: Ints
    up: Ints
    facts: Ints


def described(found: Scanned) -> Described:
    """Describe a page."""
    blocks, elements = len(found.blocks), len(found.elements)
    made = Described(
        groups=GROUPS,
        weight=np.empty(blocks, np.int64),
        group=np.empty(blocks, np.int64),
        link_share=np.empty(blocks, np.float32),
        before=np.zeros((blocks + 1, 5), np.int64),
        distances=np.empty((blocks, 2 * MARKS), np.int64),
        keys=np.empty((3, blocks), np.uint64),
        inside=np.empty(elements, np.int64),
        up=np.zeros(elements, np.int64),
        facts=np.zeros(4, np.int64),
    )
    _describe(found, made)
    return made


def _groups() -> Ints:
    groups = np.zeros(n.IDS, np.int64)
    for number, tags in enumerate(TAG_GROUPS, 1):
        groups[[n.ID[tag] for tag in tags.split() if tag in n.ID]] = number
    return groups


GROUPS = _groups()


@inlined
def ratio(part: Integer, whole: Integer) -> np.float32:
    """`part / whole`; `part` where `whole` is 0."""
    return np.float32(np.float64(part) / max(np.float64(whole), 1.0))


@inlined
def is_heading(group: Integer) -> bool:
    """Whether blocks of this group of tags are headings."""
    return bool(FIRST_HEADING <= group <= LAST_HEADING)


@leaf
def _describe(found: Scanned, page: Described) -> None:
    _blocks(found, page)
    _elements(found, page)
    for mark in range(MARKS):
        _distances(page, mark)


@inlined
def _blocks(found: Scanned, page: Described) -> None:
    page.facts[H1] = -1
    for block in range(len(found.blocks)):
        row, sums, following = found.blocks[block], page.before[block], page.before[block + 1]
        element, chars, links = np.int64(row[c.ELEMENT]), np.int64(row[c.CHARS]), np.int64(row[c.LINK_CHARS])
        weight = 2 * chars + 3 * np.int64(row[c.CJK])
        long = np.int64(weight >= LONG_WEIGHT and 5 * links < 2 * chars)
        following[WEIGHT] = sums[WEIGHT] + weight
        following[CHARS] = sums[CHARS] + chars
        following[LINKS] = sums[LINKS] + links
        following[LONG] = sums[LONG] + long
        following[WEIGHT_OF_LONG] = sums[WEIGHT_OF_LONG] + weight * long
        page.weight[block] = weight
        page.group[block] = page.groups[found.elements[element, c.TAG]]
        page.link_share[block] = ratio(links, chars)
        page.keys[0, block] = found.paths[element, 0]
        page.keys[1, block] = found.paths[element, 1]
        page.keys[2, block] = found.hashes[block]
        if page.facts[H1] < 0 and page.group[block] == FIRST_HEADING:
            page.facts[H1] = block
    page.facts[TOTAL] = max(1, page.before[len(found.blocks), WEIGHT])


@inlined
def _elements(found: Scanned, page: Described) -> None:
    """Weights of elements, and those two that hold most of the long paragraphs and least else, the innermost of the best."""
    best_tight = best_wide = np.int64(0)
    for at in range(len(found.elements)):
        row = found.elements[at]
        first, end = page.before[row[c.FIRST_BLOCK]], page.before[row[c.END_BLOCK]]
        weight, long = end[WEIGHT] - first[WEIGHT], end[WEIGHT_OF_LONG] - first[WEIGHT_OF_LONG]
        page.inside[at] = weight
        if at:
            parent = np.int64(row[c.PARENT])
            page.up[at] = parent if page.inside[parent] > weight else page.up[parent]
        tight, wide = TIGHT_PRICE * long - (weight - long), WIDE_PRICE * long - (weight - long)
        # Of equals the last is the innermost.
        if at == 0 or tight >= best_tight:
            best_tight = tight
            page.facts[TIGHT] = at
        if at == 0 or wide >= best_wide:
            best_wide = wide
            page.facts[WIDE] = at


@inlined
def _distances(page: Described, mark: Integer) -> None:
    count = len(page.weight)
    at = np.int64(-FAR)
    for block in range(count):
        if _is_marked(page, block, mark):
            at = np.int64(block)
        page.distances[block, 2 * mark] = min(block - at, np.int64(FAR))
    at = np.int64(count + FAR)
    for block in range(count - 1, -1, -1):
        if _is_marked(page, block, mark):
            at = np.int64(block)
        page.distances[block, 2 * mark + 1] = min(at - block, np.int64(FAR))


@inlined
def _is_marked(page: Described, block: Integer, mark: Integer) -> bool:
    if mark == 1:
        return is_heading(page.group[block])
    long = page.before[block + 1, WEIGHT_OF_LONG] - page.before[block, WEIGHT_OF_LONG]
    return bool(long >= (LONG_WEIGHT if mark == 0 else 3 * LONG_WEIGHT))
