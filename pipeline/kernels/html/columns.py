"""The columns of what a scan of HTML finds: elements, segments of text, and blocks.

Purpose: one place that names them, for kernels and their callers.
Guarantee: an element stands after the element that it is in, so one pass forwards or backwards sums up a tree of any depth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# An element. Those that name other elements are rows, 0 (the root) where there is none.
(
    PARENT, TAG, FLAGS, SAME, BLOCK, BARRIER, DEPTH, CELL, ROW, TABLE, ITEM, LIST, PRE, LISTS, QUOTES, CHILDREN,
    ORDINAL, FIRST_BLOCK, END_BLOCK, FIRST_SEGMENT, BEGIN,
) = range(21)  # fmt: skip
ELEMENT_COLUMNS = 21
"""SAME: the element of the same tag that was open before. BLOCK, BARRIER, CELL...: the innermost element of that kind, or
itself; PRE: the outermost. LISTS, QUOTES: how many stand around it. CHILDREN: elements directly in it. ORDINAL: which item of
its list or cell of its row, from 1; of a list or row, how many it has. FIRST_BLOCK, END_BLOCK: the blocks inside it. BEGIN: the
byte at which the name of its tag begins."""

# A segment: a run of text without tags, or a mark between two.
START, STOP, KIND, OWNER, OF_BLOCK = range(5)
SEGMENT_COLUMNS = 5
TEXT, RAW, BREAK, TEX, TEX_DISPLAY, NOTHING = range(6)
"""TEXT has references to characters (`&amp;`), RAW has none. NOTHING: what a formula's TeX stands for."""

# A block: its place, and counts of characters (code points of the source without white space) or of what the name says.
(
    ELEMENT, FIRST, END, BEGIN_BYTE, END_BYTE, CHARS, LINK_CHARS, WORDS, SENTENCES, COMMAS, DIGITS, CAPITALS, CJK, BARS,
    COPYRIGHT, BOLD_CHARS, TIME_CHARS, CODE_CHARS, LINKS, BREAKS, SEGMENTS, IMAGES, INPUTS,
) = range(23)  # fmt: skip
BLOCK_COLUMNS = 23


SPARE = 8
"""Rows of each table that may be taken between two looks at whether they are full."""


class Scanned(NamedTuple):
    """The tables that a scan fills; the numbers of rows in use are in `state`.

    elements: int32 [rows, ELEMENT_COLUMNS]. paths: uint64 [rows, 2], hashes of the tags from the root, and of tags and classes.
    keywords: uint64 [rows], of the element itself. segments: int32 [rows, SEGMENT_COLUMNS], places in the page in bytes.
    blocks: int32 [rows, BLOCK_COLUMNS]. hashes: uint64 [rows], of a block's text. open: int64 [IDS], the innermost open element
    of each tag. state: int64 [STATE], scalars of the scan.
    """

    elements: npt.NDArray[np.int32]
    paths: npt.NDArray[np.uint64]
    keywords: npt.NDArray[np.uint64]
    segments: npt.NDArray[np.int32]
    blocks: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    open: npt.NDArray[np.int64]
    state: npt.NDArray[np.int64]


# Scalars of the scan. OPEN_BLOCK: the block that is being filled, or -1. BREAK_RUN: line breaks since the last text. IN_WORD:
# whether the last byte was of a word. DEAD_LINK: a link whose end tag could not close it. TEX_ELEMENT, TEX_SEGMENT: the last
# element that gave TeX, and its segment. TITLE_*: the bytes of the title. IMAGES_, INPUTS_: since the last block.
(
    N_ELEMENTS, N_SEGMENTS, N_BLOCKS, CURRENT, OPEN_BLOCK, BREAK_RUN, IN_WORD, DEAD_LINK, TEX_ELEMENT, TITLE_START, TITLE_STOP,
    BODY, IMAGES_SEEN, INPUTS_SEEN, MATHJAX_PARENT, MATHJAX_SEGMENT, LAST_LINK, TEX_SEGMENT,
) = range(18)  # fmt: skip
STATE = 18
