"""Features of blocks, group by group: columns by numpy, and loops over each block in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

Ints = npt.NDArray[np.int64]
Named = Iterator[tuple[str, Any]]

ANCESTORS = 5
MOST_STEPS = 32
LONG = 200
FAR = 1_000
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
GROUPS = np.array(
    [
        next((k for k, tags in enumerate(TAG_GROUPS, 1) if i and i in [n.ID.get(tag) for tag in tags.split()]), 0)
        for i in range(n.IDS)
    ]
)


def features(found: Scanned) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The names of the columns, and float32 [blocks, names]."""
    page = Page(found)
    groups = (own, tags, keywords, ancestors, position, neighbours, windows, repetition, totals, container)
    named = [column for group in groups for column in group(page)]
    made = np.empty((page.count, len(named)), np.float32)
    for at, (_, column) in enumerate(named):
        made[:, at] = column
    return [name for name, _ in named], made


class Page:
    def __init__(self, found: Scanned) -> None:
        self.found = found
        self.elements = found.elements.astype(np.int64)
        self.blocks = found.blocks.T.astype(np.int64)
        self.count = len(found.blocks)
        self.index = np.arange(self.count)
        self.element = self.blocks[c.ELEMENT]
        self.chars = self.blocks[c.CHARS]
        self.weight = 2 * self.chars + 3 * self.blocks[c.CJK]
        self.links = self.blocks[c.LINK_CHARS]
        self.long = (self.weight >= LONG) & (5 * self.links < 2 * self.chars)
        self.tag = self.elements[self.element, c.TAG]
        self.group = GROUPS[self.tag]
        self.heading = (self.group >= 2) & (self.group <= 5)
        self.total = max(1, int(self.weight.sum()))

    def inside(self, values: npt.NDArray[Any]) -> Ints:
        """int64 [elements]: the sum of `values` over the blocks inside each element."""
        spans = self.elements[:, [c.FIRST_BLOCK, c.END_BLOCK]].tolist()
        return np.array([values[first:end].sum(dtype=np.int64) for first, end in spans], np.int64)


def ratio(part: Any, whole: Any) -> Any:
    """`part / whole` in float32; `part` where `whole` is 0."""
    return (np.asarray(part, np.float64) / np.maximum(np.asarray(whole, np.float64), 1)).astype(np.float32)


def own(page: Page) -> Named:
    yield from ((name, page.blocks[column]) for name, column in OWN.items())
    yield "weight", page.weight
    yield "link_share", ratio(page.links, page.chars)
    yield "chars_per_word", ratio(page.chars, page.blocks[c.WORDS])
    for name in ("sentences", "commas", "digits", "capitals", "cjk", "bold", "time", "code", "words"):
        yield f"{name}_share", ratio(page.blocks[OWN[name]], page.chars)
    yield "chars_per_link", ratio(page.chars, page.blocks[c.LINKS])
    yield "long", page.long


def tags(page: Page) -> Named:
    elements = page.elements
    yield from ((f"tag_{tags.replace(' ', '_')}", page.group == number) for number, tags in enumerate(TAG_GROUPS, 1))
    above = elements[page.element, c.PARENT]
    for step in range(1, 4):
        above = elements[above, c.BLOCK]
        yield f"tag_above_{step}", GROUPS[elements[above, c.TAG]]
        above = elements[above, c.PARENT]
    first = page.blocks[c.FIRST]
    flags = elements[page.found.segments[first, c.OWNER], c.FLAGS] if page.count else first
    yield from ((f"in_{name}", flags >> bit & 1) for bit, name in enumerate(n.FLAGS))
    yield "depth", elements[page.element, c.DEPTH]
    yield "lists", elements[page.element, c.LISTS]
    yield "children", elements[page.element, c.CHILDREN]
    yield "siblings", elements[elements[page.element, c.PARENT], c.CHILDREN]
    yield "ordinal", elements[page.element, c.ORDINAL]


def keywords(page: Page) -> Named:
    steps = np.full((page.count, len(n.KEYWORDS)), MOST_STEPS)
    for block, row in enumerate(page.found.blocks.tolist()):
        at = page.found.segments[row[c.FIRST], c.OWNER] if row[c.SEGMENTS] == 1 else row[c.ELEMENT]
        for step in range(MOST_STEPS):
            for bit in range(len(n.KEYWORDS)):
                if int(page.found.keywords[at]) >> bit & 1:
                    steps[block, bit] = min(steps[block, bit], step)
            if at == 0:
                break
            at = page.elements[at, c.PARENT]
    yield from ((f"steps_{name}", steps[:, bit]) for bit, name in enumerate(n.KEYWORDS))


def ancestors(page: Page) -> Named:
    weight, links, chars, long = (page.inside(values) for values in (page.weight, page.links, page.chars, page.long))
    weight_of_long, blocks = page.inside(page.weight * page.long), page.inside(np.ones(page.count))

    def growing(at: int) -> int:
        """The nearest ancestor that holds more, or the root."""
        least = weight[at]
        while at and weight[at] <= least:
            at = int(page.elements[at, c.PARENT])
        return at

    own_weight = zip(page.element.tolist(), page.weight.tolist(), strict=True)
    at = [element if weight[element] > least else growing(element) for element, least in own_weight]
    for step in range(1, ANCESTORS + 1):
        yield f"up{step}_weight", weight[at]
        yield f"up{step}_links", ratio(links[at], chars[at])
        yield f"up{step}_long", long[at]
        yield f"up{step}_long_share", ratio(weight_of_long[at], weight[at])
        yield f"up{step}_blocks", blocks[at]
        yield f"up{step}_share", ratio(weight[at], page.total)
        yield f"up{step}_tag", GROUPS[page.elements[at, c.TAG]]
        at = [growing(element) for element in at]


def position(page: Page) -> Named:
    before = np.cumsum(page.weight) - page.weight
    yield "index", page.index
    yield "index_from_end", page.count - page.index
    yield "place", ratio(page.index, page.count)
    yield "before", before
    yield "before_share", ratio(before, page.total)
    yield "after", page.total - before
    first = np.flatnonzero(page.tag == n.ID["h1"])
    yield "from_h1", page.index - first[0] if len(first) else -FAR
    marks = {"long": page.long, "heading": page.heading, "very_long": page.weight * page.long >= 3 * LONG}
    for name, marked in marks.items():
        last = np.maximum.accumulate(np.where(marked, page.index, -FAR))
        following = np.minimum.accumulate(np.where(marked, page.index, page.count + FAR)[::-1])[::-1]
        yield f"since_{name}", np.minimum(page.index - last, FAR)
        yield f"until_{name}", np.minimum(following - page.index, FAR)


def neighbours(page: Page) -> Named:
    paths = page.found.paths[page.element, 0]
    columns = {
        "weight": page.weight,
        "links": ratio(page.links, page.chars),
        "tag": page.group,
        "sentences": page.blocks[c.SENTENCES],
    }
    for step in (-3, -2, -1, 1, 2, 3):
        there = [at + step if 0 <= at + step < page.count else None for at in range(page.count)]
        name = f"{'next' if step > 0 else 'last'}{abs(step)}"
        for what, values in columns.items():
            yield f"{name}_{what}", [-1 if at is None else values[at] for at in there]
        yield f"{name}_same_path", [paths[at] == (0 if to is None else paths[to]) for at, to in enumerate(there)]


def windows(page: Page) -> Named:
    for radius in (2, 5, 10):
        near = [slice(max(0, at - radius), at + radius + 1) for at in range(page.count)]
        yield f"window{radius}_weight", [page.weight[window].sum() for window in near]
        links, chars = ([values[window].sum() for window in near] for values in (page.links, page.chars))
        yield f"window{radius}_links", ratio(links, chars)
        yield f"window{radius}_long", [page.long[window].sum() for window in near]


def repetition(page: Page) -> Named:
    paths, styles = page.found.paths[page.element].T.tolist()
    for name, keys in (("path", paths), ("style", styles), ("text", page.found.hashes.tolist())):
        counts, weights = Counter(keys), Counter[int]()
        for key, weight in zip(keys, page.weight.tolist(), strict=True):
            weights[key] += weight
        count = [counts[key] for key in keys]
        yield f"{name}_count", count
        if name != "text":
            yield f"{name}_share", ratio([weights[key] for key in keys], page.total)
            yield f"{name}_mean", ratio([weights[key] for key in keys], count)


def totals(page: Page) -> Named:
    yield "page_blocks", page.count
    yield "page_weight", page.total
    yield "page_long", page.long.sum()
    yield "page_headings", page.heading.sum()
    yield "page_elements", len(page.elements)
    of_chars = {
        "links": page.links,
        "cjk": page.blocks[c.CJK],
        "code": page.blocks[c.CODE_CHARS],
        "digits": page.blocks[c.DIGITS],
        "in_long": page.chars * page.long,
        "in_items": page.chars * (page.group == 6),
        "in_cells": page.chars * ((page.group == 8) | (page.group == 9)),
    }
    yield from ((f"page_{name}_share", ratio(part.sum(), page.chars.sum())) for name, part in of_chars.items())


def container(page: Page) -> Named:
    weight, long = page.inside(page.weight), page.inside(page.weight * page.long)
    for name, price in (("tight", 1), ("wide", 4)):
        score = price * long - (weight - long)
        best = max(range(len(score)), key=lambda at: (score[at], at))
        first, end = page.elements[best, [c.FIRST_BLOCK, c.END_BLOCK]]
        yield f"{name}_inside", (page.index >= first) & (page.index < end)
        yield f"{name}_distance", np.maximum(np.maximum(first - page.index, page.index - end + 1), 0)
        yield f"{name}_share", ratio(weight[best], page.total)
