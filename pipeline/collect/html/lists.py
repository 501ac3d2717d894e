"""The numbers that items of ordered lists have, and how deep Markdown indents them.

Source: "ordinal value", section 4.4.8 of the HTML standard, with `start`, `reversed` and `value`.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html import attributes
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.integers import ABSENT

OL, LI = n.ids("ol li")
LARGEST = 999_999_999
"""Markdown has no larger numbers, and none below zero (CommonMark 0.31, section 5.2)."""


class Numbers:
    """The numbers of items, computed for a whole list when one of its items is asked for."""

    def __init__(self, page: npt.NDArray[np.uint8], found: Scanned) -> None:
        self._page, self._found = page, found
        items = np.flatnonzero(found.elements[:, c.TAG] == LI)
        lists = found.elements[items, c.LIST]
        order = np.argsort(lists, kind="stable")
        self._items, self._lists = items[order], lists[order]
        self._of_items: dict[int, int] = {}
        self._known: set[int] = set()

    def marker(self, item: int) -> str:
        """What Markdown writes before an item."""
        around = int(self._found.elements[item, c.LIST])
        if self._found.elements[around, c.TAG] != OL or self._found.elements[item, c.TAG] != LI:
            return "- "
        if around not in self._known:
            self._number(around)
        number = self._of_items[item]
        return f"{number}. " if 0 <= number <= LARGEST else "- "

    def _number(self, around: int) -> None:
        self._known.add(around)
        first, end = np.searchsorted(self._lists, [around, around + 1])
        items = self._items[first:end]
        step = 1 if attributes.value(self._page, self._found, around, n.REVERSED) is None else -1
        begin = 1 if step == 1 else len(items)
        begin = int(attributes.numbers(self._page, self._found, np.array([around]), n.START, begin)[0])
        given = attributes.numbers(self._page, self._found, items, n.VALUE, ABSENT).tolist()
        following = begin
        for item, number in zip(items.tolist(), given, strict=True):
            self._of_items[item] = following if number == ABSENT else number
            following = self._of_items[item] + step


class Levels:
    """How many levels of lists are written around a block. Lists without a kept item of their own count for nothing."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def enter(self, lists: int) -> tuple[int, bool]:
        """The level of a block with `lists` around it, from 0; and whether nothing of its innermost list was written before."""
        self._open = list(itertools.takewhile(lambda depth: depth <= lists, self._open))
        new = lists > 0 and (not self._open or self._open[-1] < lists)
        if new:
            self._open.append(lists)
        return len(self._open), new

    def leave(self) -> None:
        """What follows stands in no list."""
        self._open = []
