"""Features of the blocks of a page: numbers from which trees decide whether a block is main text.

Guarantee: each is an integer, or a ratio of integers made by one division, in float32. Nothing else is computed (no logarithm,
no root), so features are equal on every machine. The work is linear in blocks and elements.
Cost: 0.5 ms for a page of 300 blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import around
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.ancestors import MOST_STEPS, growing, keyword_steps
from tokenmill.pipeline.kernels.html.columns import Scanned

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]
Named = Iterator[tuple[tuple[str, ...], npt.NDArray[np.generic]]]
"""Names of features, and their values, [blocks] or [blocks, names]. Each costs microseconds, so many stand in one table."""

ANCESTORS = 5
NEIGHBOURS = (-3, -2, -1, 1, 2, 3)
RADII = (2, 5, 10)
"""Of windows around a block."""
LONG = 200
"""Least weight of a long paragraph, in half characters (a character of CJK weighs five of them): 100 characters."""
FAR = 1_000
"""The distance to what is not there."""
TAG_GROUPS = (
    "p", "h1", "h2", "h3", "h4 h5 h6", "li", "dt dd", "td", "th", "pre listing xmp", "blockquote", "div",
    "section article main", "figcaption figure", "button", "option optgroup select", "form fieldset legend label",
    "summary details", "address", "body", "nav aside header footer",
)  # fmt: skip
OWN = {
    "chars": c.CHARS, "link_chars": c.LINK_CHARS, "words": c.WORDS, "sentences": c.SENTENCES, "commas": c.COMMAS,
    "digits": c.DIGITS, "capitals": c.CAPITALS, "cjk": c.CJK, "bars": c.BARS, "copyright": c.COPYRIGHT, "bold": c.BOLD_CHARS,
    "time": c.TIME_CHARS, "code": c.CODE_CHARS, "links": c.LINKS, "breaks": c.BREAKS, "segments": c.SEGMENTS,
    "images": c.IMAGES, "inputs": c.INPUTS,
}  # fmt: skip


TAG_NAMES = tuple(f"tag_{tags.replace(' ', '_')}" for tags in TAG_GROUPS)
ANCESTOR_NAMES = tuple(
    f"up{step}_{name}"
    for step in range(1, ANCESTORS + 1)
    for name in ("weight", "links", "long", "long_share", "blocks", "share", "tag")
)
NEIGHBOUR_NAMES = tuple(
    f"{'next' if step > 0 else 'last'}{abs(step)}_{name}"
    for step in NEIGHBOURS
    for name in ("weight", "links", "tag", "sentences", "same_path")
)

WINDOW_NAMES = tuple(f"window{radius}_{name}" for radius in RADII for name in ("weight", "links", "long"))


def features(found: Scanned) -> Numbers:
    """float32 [blocks, len(feature_names())]."""
    made = np.empty((len(found.blocks), len(feature_names())), np.float32)
    at = 0
    for names, columns in _columns(found):
        made[:, at : at + len(names)] = columns if columns.ndim == 2 else columns[:, None]
        at += len(names)
    return made


def _columns(found: Scanned) -> Named:
    page = _Described(found)
    yield from _own(page)
    yield from _tags(page)
    yield from _keywords(page)
    yield from _ancestors(page)
    yield from _position(page)
    yield from _neighbours(page)
    yield from _repetition(page)
    yield from _totals(page)
    yield from _container(page)


class _Described:
    """What several features need."""

    def __init__(self, found: Scanned) -> None:
        self.found = found
        self.blocks = np.ascontiguousarray(found.blocks.T, np.int64)
        self.count = len(found.blocks)
        self.element = self.blocks[c.ELEMENT]
        self.chars = self.blocks[c.CHARS]
        self.weight = 2 * self.chars + 3 * self.blocks[c.CJK]
        self.links = self.blocks[c.LINK_CHARS]
        self.link_share = ratio(self.links, self.chars)
        self.long = (self.weight >= LONG) & (5 * self.links < 2 * self.chars)
        self.tag = found.elements[self.element, c.TAG]
        self.group = GROUPS[self.tag]
        self.total = max(1, int(self.weight.sum()))

    def inside(self, values: npt.NDArray[np.generic]) -> Ints:
        """int64 [elements]: the sum of `values` over the blocks inside each element."""
        sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
        elements = self.found.elements
        made: Ints = sums[elements[:, c.END_BLOCK]] - sums[elements[:, c.FIRST_BLOCK]]
        return made


def ratio(part: npt.NDArray[np.generic] | int, whole: npt.NDArray[np.generic] | int) -> Numbers:
    """`part / whole` in float32; 0 where `whole` is 0."""
    made: Numbers = (np.asarray(part, np.float64) / np.maximum(np.asarray(whole, np.float64), 1)).astype(np.float32)
    return made


def _groups() -> Ints:
    """int64 [IDS]: the number of a tag's group, from 1; 0 for tags in no group."""
    groups = np.zeros(n.IDS, np.int64)
    for number, tags in enumerate(TAG_GROUPS, 1):
        groups[[n.ID[tag] for tag in tags.split() if tag in n.ID]] = number
    return groups


GROUPS = _groups()


def _own(page: _Described) -> Named:
    yield tuple(OWN), page.blocks[list(OWN.values())].T
    yield ("weight",), page.weight
    yield ("link_share",), page.link_share
    yield ("chars_per_word",), ratio(page.chars, page.blocks[c.WORDS])
    for name in ("sentences", "commas", "digits", "capitals", "cjk", "bold", "time", "code", "words"):
        yield (f"{name}_share",), ratio(page.blocks[OWN[name]], page.chars)
    yield ("chars_per_link",), ratio(page.chars, page.blocks[c.LINKS])
    yield ("long",), page.long


def _tags(page: _Described) -> Named:
    elements = page.found.elements
    yield TAG_NAMES, page.group[:, None] == np.arange(1, len(TAG_GROUPS) + 1)
    above = elements[page.element, c.PARENT]
    for step in range(1, 4):
        above = elements[above, c.BLOCK]
        yield (f"tag_above_{step}",), GROUPS[elements[above, c.TAG]]
        above = elements[above, c.PARENT]
    # The flags of the text itself, which may stand in a link or in bold.
    flags = elements[page.found.segments[page.blocks[c.FIRST], c.OWNER], c.FLAGS] if page.count else page.element
    yield tuple(f"in_{name}" for name in n.FLAGS), flags[:, None] >> np.arange(len(n.FLAGS)) & 1
    yield ("depth",), elements[page.element, c.DEPTH]
    yield ("lists",), elements[page.element, c.LISTS]
    yield ("children",), elements[page.element, c.CHILDREN]
    yield ("siblings",), elements[elements[page.element, c.PARENT], c.CHILDREN]
    yield ("ordinal",), elements[page.element, c.ORDINAL]


def _keywords(page: _Described) -> Named:
    steps = np.full((page.count, len(n.KEYWORDS)), MOST_STEPS, np.int32)
    keyword_steps(page.found, steps)
    yield tuple(f"steps_{name}" for name in n.KEYWORDS), steps


def _ancestors(page: _Described) -> Named:
    inside = np.array(
        [
            page.inside(values)
            for values in (
                page.weight,
                page.chars,
                page.links,
                page.long,
                page.weight * page.long,
                np.ones(page.count, np.int64),
            )
        ]
    )
    weight = inside[0]
    up = np.zeros(len(weight), np.int64)
    growing(page.found.elements, weight, up)
    first = np.where(weight[page.element] > page.weight, page.element, up[page.element])
    made = np.empty((page.count, len(ANCESTOR_NAMES)), np.float32)
    around.ancestors(first, up, inside, GROUPS[page.found.elements[:, c.TAG]], page.total, ANCESTORS, made)
    yield ANCESTOR_NAMES, made


def _position(page: _Described) -> Named:
    index = np.arange(page.count)
    before = np.cumsum(page.weight) - page.weight
    yield ("index",), index
    yield ("index_from_end",), page.count - index
    yield ("place",), ratio(index, page.count)
    yield ("before",), before
    yield ("before_share",), ratio(before, page.total)
    yield ("after",), page.total - before
    first = np.flatnonzero(page.tag == n.ID["h1"])
    yield ("from_h1",), index - first[0] if len(first) else np.full(page.count, -FAR)
    yield from _distances("long", page.long, index)
    yield from _distances("heading", (page.group >= 2) & (page.group <= 5), index)
    yield from _distances("very_long", page.weight * page.long >= 3 * LONG, index)


def _distances(name: str, marked: npt.NDArray[np.bool_], index: npt.NDArray[np.int64]) -> Named:
    """Blocks since the last marked one and to the next, 0 for a marked one."""
    last = np.maximum.accumulate(np.where(marked, index, -FAR))
    following = np.minimum.accumulate(np.where(marked, index, len(index) + FAR)[::-1])[::-1]
    yield (f"since_{name}",), np.minimum(index - last, FAR)
    yield (f"until_{name}",), np.minimum(following - index, FAR)


def _neighbours(page: _Described) -> Named:
    made = np.empty((page.count, len(NEIGHBOUR_NAMES)), np.float32)
    path, sentences = page.found.paths[page.element, 0], page.blocks[c.SENTENCES]
    around.neighbours(page.weight, page.link_share, page.group, sentences, path, np.array(NEIGHBOURS), made)
    yield NEIGHBOUR_NAMES, made
    sums = np.zeros((4, page.count + 1), np.int64)
    for at, values in enumerate((page.weight, page.chars, page.links, page.long)):
        np.cumsum(values, out=sums[at, 1:])
    made = np.empty((page.count, len(WINDOW_NAMES)), np.float32)
    around.windows(sums, np.array(RADII), made)
    yield WINDOW_NAMES, made


def _repetition(page: _Described) -> Named:
    for name, keys in (
        ("path", page.found.paths[page.element, 0]),
        ("style", page.found.paths[page.element, 1]),
        ("text", page.found.hashes),
    ):
        _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
        yield (f"{name}_count",), counts[place]
        if name != "text":
            weight = np.zeros(len(counts), np.int64)
            np.add.at(weight, place, page.weight)
            yield (f"{name}_share",), ratio(weight[place], page.total)
            yield (f"{name}_mean",), ratio(weight[place], counts[place])


def _totals(page: _Described) -> Named:
    chars = int(page.chars.sum())
    values = {
        "page_blocks": page.count,
        "page_weight": page.total,
        "page_long": int(page.long.sum()),
        "page_headings": int(((page.group >= 2) & (page.group <= 5)).sum()),
        "page_elements": len(page.found.elements),
    }
    of_chars = {
        "links": page.links,
        "cjk": page.blocks[c.CJK],
        "code": page.blocks[c.CODE_CHARS],
        "digits": page.blocks[c.DIGITS],
        "in_long": page.chars * page.long,
        "in_items": page.chars * (page.group == 6),
        "in_cells": page.chars * ((page.group == 8) | (page.group == 9)),
    }
    shares = ratio(np.array([int(part.sum()) for part in of_chars.values()]), chars)
    row = np.concatenate([np.array(list(values.values()), np.float32), shares])
    yield (*values, *(f"page_{name}_share" for name in of_chars)), np.broadcast_to(row, (page.count, len(row)))


def _container(page: _Described) -> Named:
    weight, long = page.inside(page.weight), page.inside(page.weight * page.long)
    index = np.arange(page.count)
    for name, price in (("tight", 1), ("wide", 4)):
        # The last of the best is the innermost.
        score = price * long - (weight - long)
        best = len(score) - 1 - int(np.argmax(score[::-1]))
        first, end = page.found.elements[best, [c.FIRST_BLOCK, c.END_BLOCK]]
        yield (f"{name}_inside",), (index >= first) & (index < end)
        yield (f"{name}_distance",), np.maximum(np.maximum(first - index, index - end + 1), 0)
        yield (f"{name}_share",), np.full(page.count, ratio(int(weight[best]), page.total))


@functools.cache
def feature_names() -> tuple[str, ...]:
    """The names of the columns, from an empty page."""
    empty = Scanned(
        elements=np.zeros((1, c.ELEMENT_COLUMNS), np.int32),
        paths=np.zeros((1, 2), np.uint64),
        keywords=np.zeros(1, np.uint64),
        segments=np.zeros((0, c.SEGMENT_COLUMNS), np.int32),
        blocks=np.zeros((0, c.BLOCK_COLUMNS), np.int32),
        hashes=np.zeros(0, np.uint64),
        open=np.zeros(n.IDS, np.int64),
        state=np.zeros(c.STATE, np.int64),
    )
    return tuple(name for names, _ in _columns(empty) for name in names)
