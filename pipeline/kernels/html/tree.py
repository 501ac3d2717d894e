"""Open elements of a page: start tags put them in, end tags take them out, and both end blocks of text.

Purpose: the tree of a page without the parts of the HTML standard that move nodes: no text is moved, repeated or lost.
Guarantee: an element is opened once and closed once, and no search goes up the tree, so the work is linear at any depth. The
end tag of an inline element does not reach over a block, and none reaches out of a cell of a table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

P, LI, DT, DD, UL, OL, DL, DIR, MENU, TR, TD, TH, TABLE, OPTION, OPTGROUP, A, SVG, MATH, SELECT = n.ids(
    "p li dt dd ul ol dl dir menu tr td th table option optgroup a svg math select"
)
THEAD, TBODY, TFOOT, CAPTION, BLOCKQUOTE, BUTTON, RT, RP, RTC, RB, TEXTAREA = n.ids(
    "thead tbody tfoot caption blockquote button rt rp rtc rb textarea"
)
FIRST_HEADING, LAST_HEADING = n.ids("h1 h6")


@inlined
def close_block(found: Scanned) -> None:
    """End the block of text that is being filled."""
    state = found.state
    at = state[c.OPEN_BLOCK]
    if at >= 0:
        found.blocks[at, c.END] = state[c.N_SEGMENTS]
        state[c.OPEN_BLOCK] = -1
    state[c.BREAK_RUN] = 0
    state[c.IN_WORD] = 0


@inlined
def pop(found: Scanned, names: n.Names, last: Integer) -> None:
    """Close the open elements down to `last`, itself included."""
    state, elements = found.state, found.elements
    at = state[c.CURRENT]
    if last <= 0:
        return
    while at >= last:
        tag = elements[at, c.TAG]
        if names.kinds[tag] & n.BLOCK:
            close_block(found)
        found.open[tag] = elements[at, c.SAME]
        elements[at, c.END_BLOCK] = state[c.N_BLOCKS]
        at = elements[at, c.PARENT]
    state[c.CURRENT] = at


@inlined
def end(found: Scanned, names: n.Names, tag: Integer) -> None:
    """An end tag."""
    state, elements = found.state, found.elements
    kind = names.kinds[tag]
    at = found.open[tag]
    if FIRST_HEADING <= tag <= LAST_HEADING:
        for other in range(FIRST_HEADING, LAST_HEADING + 1):
            at = max(at, found.open[other])
    if kind & n.BLOCK:
        close_block(found)
    if at <= 0:
        return
    current = state[c.CURRENT]
    barrier = elements[current, c.BARRIER]
    if kind & n.TABLE_PART:
        barrier = found.open[TABLE]
    elif tag == LI:
        barrier = max(barrier, found.open[UL], found.open[OL])
    elif not kind & n.BLOCK:
        barrier = max(barrier, elements[current, c.BLOCK])
    if at > barrier or (at == barrier and kind & n.BARRIER):
        pop(found, names, at)
    elif tag == A:
        # Its text goes on as plain text, not as the text of a link.
        state[c.DEAD_LINK] = at


@inlined
def imply_ends(found: Scanned, names: n.Names, tag: Integer) -> None:
    """Close what a start tag closes without an end tag."""
    opened = found.open
    barrier = found.elements[found.state[c.CURRENT], c.BARRIER]
    if names.kinds[tag] & n.ENDS_P and opened[P] > max(barrier, opened[BUTTON]):
        pop(found, names, opened[P])
    if names.kinds[tag] & n.IMPLIES:
        pop(found, names, _ended(found, tag, np.int64(barrier)))


@leaf
def _ended(found: Scanned, tag: Integer, barrier: np.int64) -> Integer:
    """The element of its own kind that a start tag closes; 0 for none."""
    opened = found.open
    at: Integer = np.int64(0)
    limit: Integer = np.int64(0)
    current = found.state[c.CURRENT]
    inside = found.elements[current, c.TAG]
    if tag == LI:
        at, limit = opened[LI], max(barrier, opened[UL], opened[OL], opened[DIR], opened[MENU])
    elif tag in (DT, DD):
        at, limit = max(opened[DT], opened[DD]), max(barrier, opened[DL])
    elif tag in (TD, TH):
        at, limit = max(opened[TD], opened[TH]), max(opened[TABLE], opened[TR])
    elif tag == TR:
        at, limit = opened[TR], opened[TABLE]
    elif tag in (TBODY, THEAD, TFOOT):
        at, limit = max(opened[TBODY], opened[THEAD], opened[TFOOT]), opened[TABLE]
    elif tag in (OPTION, OPTGROUP):
        at, limit = max(opened[OPTION], opened[OPTGROUP] if tag == OPTGROUP else np.int64(0)), max(barrier, opened[SELECT])
    elif tag == A:
        # Neither a link nor a button stands in itself.
        at, limit = opened[A], max(barrier, np.int64(found.elements[current, c.BLOCK]))
    elif tag == BUTTON:
        at, limit = opened[BUTTON], barrier
    elif FIRST_HEADING <= tag <= LAST_HEADING:
        at = current if FIRST_HEADING <= inside <= LAST_HEADING else at
    elif inside in (RT, RP, RB) or (inside == RTC and tag != RT):
        at = current
    return at if at > limit else np.int64(0)


@inlined
def _enumerate(elements: npt.NDArray[np.int32], at: Integer, whole: Integer) -> None:
    """Give an element its number in a list or a row, which counts in its own ordinal how many it has."""
    elements[whole, c.ORDINAL] += 1
    elements[at, c.ORDINAL] = elements[whole, c.ORDINAL]


@inlined
def begin(
    found: Scanned,
    names: n.Names,
    tag: Integer,
    place: int,
    name: np.uint64,
    flags: Integer,
    keywords: np.uint64,
    style: np.uint64,
) -> None:
    """Open an element. place, name: where its name begins, and the hash of it. flags, keywords, style: of its attributes; style
    is the hash of its class.
    """
    state, elements = found.state, found.elements
    kind = names.kinds[tag]
    if kind & n.BLOCK:
        close_block(found)
    parent, at = state[c.CURRENT], state[c.N_ELEMENTS]
    state[c.N_ELEMENTS] = at + 1
    state[c.CURRENT] = at
    for column in range(c.BLOCK, c.QUOTES + 1):
        elements[at, column] = elements[parent, column]
    elements[at, c.PARENT] = parent
    elements[at, c.TAG] = tag
    elements[at, c.FLAGS] = elements[parent, c.FLAGS] | flags | names.flags[tag]
    if elements[at, c.FLAGS] & n.PRE and not elements[parent, c.FLAGS] & n.PRE:
        elements[at, c.PRE] = at
    elements[at, c.SAME] = found.open[tag]
    found.open[tag] = at
    elements[at, c.DEPTH] += 1
    elements[parent, c.CHILDREN] += 1
    elements[at, c.CHILDREN] = 0
    elements[at, c.ORDINAL] = 0
    elements[at, c.FIRST_BLOCK] = state[c.N_BLOCKS]
    elements[at, c.FIRST_SEGMENT] = state[c.N_SEGMENTS]
    elements[at, c.BEGIN] = place
    if kind & n.BLOCK:
        elements[at, c.BLOCK] = at
    if kind & n.BARRIER:
        elements[at, c.BARRIER] = at
    if tag in (TD, TH, CAPTION):
        elements[at, c.CELL] = at
        if tag != CAPTION and elements[at, c.ROW] == 0 and elements[at, c.TABLE] > 0:
            # A row without a tag of its own.
            elements[at, c.ROW] = parent
        _enumerate(elements, at, elements[at, c.ROW])
    elif tag == TR:
        elements[at, c.ROW] = at
    elif tag == TABLE:
        elements[at, c.TABLE] = at
        elements[at, c.ROW] = elements[at, c.CELL] = 0
    elif tag == BLOCKQUOTE:
        elements[at, c.QUOTES] += 1
    elif tag in (UL, OL, DIR, MENU):
        elements[at, c.LIST] = at
        elements[at, c.LISTS] += 1
    elif tag == LI:
        elements[at, c.ITEM] = at
        _enumerate(elements, at, elements[at, c.LIST])
    elif tag in (DT, DD):
        elements[at, c.ITEM] = at
    path = mix64(found.paths[parent, 0] ^ name)
    found.paths[at, 0] = path
    found.paths[at, 1] = mix64(found.paths[parent, 1] ^ name ^ style)
    found.keywords[at] = keywords
