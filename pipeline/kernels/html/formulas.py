"""Formulas: their TeX stands for what the page shows of them.

Purpose: TeX from the annotation of MathML (KaTeX, Wikipedia, LaTeXML), from the scripts of MathJax, and from the `alt` of
images that show a formula, which is the one `alt` that is content.
Guarantee: a formula is written once. Its markup and its picture are left out where its TeX is there, and kept where it is not.
Cost: at most five tags are looked at for a formula, of each `attributes.FAR` bytes.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.attributes import find
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.segments import drop, put
from tokenmill.pipeline.kernels.html.values import Bytes, holds, is_space, starts
from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

(MATH,) = n.ids("math")
KATEX_LEVELS = 3
"""Elements of KaTeX between `math` and the element with the class `katex-display`, and that one."""


@leaf
def annotation(page: Bytes, at: int, names: n.Names, found: Scanned) -> int:
    """Take the TeX in the annotation whose content begins at `at`. Returns where it ends."""
    stop = at
    while stop < len(page) and page[stop] != 0x3C:
        stop += 1
    state, elements = found.state, found.elements
    math, current = found.open[MATH], state[c.CURRENT]
    kind = c.TEX
    if math > 0:
        drop(found, elements[math, c.FIRST_SEGMENT])
        state[c.CURRENT] = math
        if _has_line_of_its_own(page, found, math):
            kind = c.TEX_DISPLAY
    else:
        state[c.CURRENT] = elements[current, c.PARENT]
    put(page, at, stop, kind, names, found)
    state[c.CURRENT] = current
    state[c.TEX_ELEMENT] = current
    # What is dropped, and this formula, are not looked at again.
    elements[max(math, np.int64(0)), c.FIRST_SEGMENT] = state[c.N_SEGMENTS]
    return stop


@leaf
def _has_line_of_its_own(page: Bytes, found: Scanned, math: Integer) -> bool:
    start, stop = find(page, found.elements[math, c.BEGIN], n.DISPLAY)
    if holds(page, start, stop, b"block"):
        return True
    at = math
    for _ in range(KATEX_LEVELS):
        at = np.int64(found.elements[at, c.PARENT])
        if at <= 0:
            return False
        start, stop = find(page, found.elements[at, c.BEGIN], n.CLASS)
        if holds(page, start, stop, b"katex-display"):
            return True
    return False


@leaf
def script(page: Bytes, start: int, stop: int, kind: int, names: n.Names, found: Scanned) -> None:
    """Take the TeX in a script: it stands for what MathJax has put before it."""
    state = found.state
    if state[c.MATHJAX_PARENT] == state[c.CURRENT] and state[c.MATHJAX_SEGMENT] >= 0:
        drop(found, state[c.MATHJAX_SEGMENT])
    state[c.MATHJAX_SEGMENT] = -1
    put(page, start, stop, kind, names, found)


@leaf
def image(page: Bytes, at: int, names: n.Names, found: Scanned) -> None:
    """Take the `alt` of the image whose tag begins at `at`, if it shows a formula whose TeX does not stand right before it."""
    start, stop = find(page, at, n.CLASS)
    if not _is_formula(page, start, stop):
        return
    kind = c.TEX_DISPLAY if holds(page, start, stop, b"mwe-math-fallback-image-display") else c.TEX
    start, stop = find(page, at, n.ALT)
    if not _follows_tex(found):
        put(page, start, stop, kind, names, found)


@leaf
def _follows_tex(found: Scanned) -> bool:
    """Whether the last text is the TeX of an annotation inside the current element."""
    state = found.state
    row = state[c.TEX_SEGMENT]
    if row < 0 or state[c.TEX_ELEMENT] <= state[c.CURRENT]:
        return False
    block = found.segments[row, c.OF_BLOCK]
    return bool(block + 1 == state[c.N_BLOCKS] and found.blocks[block, c.END_BYTE] == found.segments[row, c.STOP])


@leaf
def _is_formula(page: Bytes, start: int, stop: int) -> bool:
    """Whether a class is `tex`, `latex`, `math`, or one of Wikipedia's that begin with `mwe-math-`."""
    at = start
    while at < stop:
        first = at
        while at < stop and not is_space(page[at]):
            at += 1
        size = at - first
        if (
            (size == 3 and starts(page, first, b"tex"))
            or (size == 5 and starts(page, first, b"latex"))
            or (size == 4 and starts(page, first, b"math"))
            or (size > 9 and starts(page, first, b"mwe-math-"))
        ):
            return True
        at += 1
    return False
