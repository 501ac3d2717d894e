"""Runs of text, and the blocks that they are put into.

Guarantee: a run is put into the block that is being filled, or begins one in the innermost element that makes blocks. White
space alone begins none, unless it is preformatted. Two line breaks end a block.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html import tree
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.counts import count
from tokenmill.pipeline.kernels.html.values import Bytes, is_space
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer


@inlined
def full(found: Scanned) -> bool:
    """Whether a table may have too few rows for the next tag and the text before it."""
    state = found.state
    return bool(
        state[c.N_ELEMENTS] + c.SPARE > len(found.elements)
        or state[c.N_SEGMENTS] + c.SPARE > len(found.segments)
        or state[c.N_BLOCKS] + c.SPARE > len(found.blocks)
    )


@leaf
def put(page: Bytes, start: int, stop: int, kind: int, names: n.Names, found: Scanned) -> None:
    """Put a run of text into the block that is being filled, or into a new one."""
    first = start
    while first < stop and is_space(page[first]):
        first += 1
    put_after(page, start, first, stop, kind, names, found)


@inlined
def put_after(page: Bytes, start: int, first: int, stop: int, kind: int, names: n.Names, found: Scanned) -> None:
    """The same, where page[start:first] is the white space at its beginning."""
    state, elements = found.state, found.elements
    owner = state[c.CURRENT]
    flags = elements[owner, c.FLAGS]
    if flags & n.GONE or start >= stop:
        return
    block = state[c.OPEN_BLOCK]
    blank = first == stop
    if block < 0 or (state[c.BREAK_RUN] >= 2 and not flags & n.PRE):
        if blank and not flags & n.PRE:
            return
        if block >= 0:
            tree.close_block(found)
        block = _new_block(found, elements[owner, c.BLOCK], start)
    row = _row(found, block, start, stop, kind, owner)
    if blank:
        state[c.IN_WORD] = 0
        return
    state[c.BREAK_RUN] = 0
    link = found.open[tree.A]
    linked = flags & n.LINK != 0 and link != state[c.DEAD_LINK]
    if first > start:
        state[c.IN_WORD] = 0
    count(page, first, stop, flags, linked, names, found, block)
    if linked and link != state[c.LAST_LINK]:
        state[c.LAST_LINK] = link
        found.blocks[block, c.LINKS] += 1
    found.blocks[block, c.END_BYTE] = stop
    if kind == c.TEX or kind == c.TEX_DISPLAY:
        state[c.TEX_SEGMENT] = row


@inlined
def line_break(found: Scanned, at: int) -> None:
    """A line break, if a block is being filled."""
    state = found.state
    state[c.IN_WORD] = 0
    block = state[c.OPEN_BLOCK]
    if block < 0:
        return
    state[c.BREAK_RUN] += 1
    _row(found, block, at, at, c.BREAK, state[c.CURRENT])
    found.blocks[block, c.BREAKS] += 1


@leaf
def drop(found: Scanned, first: int) -> None:
    """Leave out the runs from `first` on, for which TeX stands."""
    for row in range(first, found.state[c.N_SEGMENTS]):
        found.segments[row, c.KIND] = c.NOTHING


@inlined
def _row(found: Scanned, block: Integer, start: int, stop: int, kind: int, owner: Integer) -> Integer:
    row = np.int64(found.state[c.N_SEGMENTS])
    found.state[c.N_SEGMENTS] = row + 1
    segment = found.segments[row]
    segment[c.START] = start
    segment[c.STOP] = stop
    segment[c.KIND] = kind
    segment[c.OWNER] = owner
    segment[c.OF_BLOCK] = block
    return row


@inlined
def _new_block(found: Scanned, element: Integer, start: int) -> Integer:
    state = found.state
    block = np.int64(state[c.N_BLOCKS])
    state[c.N_BLOCKS] = block + 1
    state[c.OPEN_BLOCK] = block
    state[c.BREAK_RUN] = 0
    row = found.blocks[block]
    for column in range(c.BLOCK_COLUMNS):
        row[column] = 0
    row[c.ELEMENT] = element
    row[c.FIRST] = state[c.N_SEGMENTS]
    row[c.BEGIN_BYTE] = start
    row[c.END_BYTE] = start
    row[c.IMAGES] = state[c.IMAGES_SEEN]
    row[c.INPUTS] = state[c.INPUTS_SEEN]
    state[c.IMAGES_SEEN] = state[c.INPUTS_SEEN] = 0
    found.hashes[block] = np.uint64(n.BASIS)
    return block
