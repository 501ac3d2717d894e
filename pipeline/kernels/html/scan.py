"""One scan over the UTF-8 bytes of a page: its elements, its runs of text, and the blocks that these make.

Purpose: what decides about text and what writes it both work on the tables of one scan; no tree of objects is made.
Source: the tokenizer of the HTML standard (section 13.2.5), and of its tree construction what `tree` says.
Guarantee: every character of text outside of tags, scripts, styles, templates and readings of ruby is in one segment, in the
order of the page. The work is linear in the page, whatever it holds.
Cost: about 300 MB/s.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import attributes as a
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html import tree
from tokenmill.pipeline.kernels.html.attributes import Bytes
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.counts import count
from tokenmill.pipeline.kernels.html.raw import ends_name, raw_end, script_end, starts
from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

BR, IMG, INPUT, TITLE, BODY, SCRIPT, HR, ANNOTATION, SVG, MATH, PLAINTEXT, TEXT = n.ids(
    "br img input title body script hr annotation svg math plaintext text"
)
HOLD_HTML = n.ids("foreignobject desc title annotation-xml mi mo mn ms mtext")


@leaf
def most_rows(page: Bytes) -> tuple[int, int]:
    """Upper bounds of the number of elements, and of the number of tags and comments."""
    elements, marks = 1, 1
    for at in range(len(page) - 1):
        if page[at] == 0x3C:
            byte = page[at + 1]
            letter = 0x61 <= byte | 0x20 <= 0x7A
            elements += letter
            marks += letter or byte == 0x2F or byte == 0x21 or byte == 0x3F
    return elements, marks


@leaf
def scan(page: Bytes, names: n.Names, found: Scanned) -> None:
    """Fill `found`, whose tables have the rows that `most_rows` asks for; see `blocks.scanned`."""
    state = found.state
    size = len(page)
    at = 0
    while at < size:
        at = _text(page, at, names, found)
        if at >= size:
            break
        byte = page[at + 1]
        if byte == 0x2F:
            if at + 2 < size and 0x61 <= page[at + 2] | 0x20 <= 0x7A:
                at, name = _name(page, at + 2)
                at, _, _, _, _ = a.read(page, at, names)
                if at < 0:
                    break
                tag = a.tag_id(names, name)
                if tag == BR:
                    _mark(found, at, c.BREAK)
                elif names.kinds[tag] & (n.IGNORED | n.VOID) or tag == BODY:
                    tree.close_block(found)
                else:
                    tree.end(found, names, tag)
            else:
                at = _behind(page, at + 2, 0x3E)
        elif byte == 0x21:
            at = _declaration(page, at, found)
        elif byte == 0x3F:
            at = _behind(page, at + 2, 0x3E)
        else:
            at = _start_tag(page, at, names, found)
            if at < 0:
                break
    tree.close_block(found)
    last = state[c.CURRENT]
    elements = found.elements
    while last > 0:
        elements[last, c.END_BLOCK] = state[c.N_BLOCKS]
        last = elements[last, c.PARENT]
    elements[0, c.END_BLOCK] = state[c.N_BLOCKS]


@leaf
def _name(page: Bytes, at: int) -> tuple[int, np.uint64]:
    """Where the name of a tag ends, and its hash."""
    name = np.uint64(n.BASIS)
    while at < len(page):
        byte = page[at]
        if ends_name(byte):
            break
        name = (name ^ np.uint64(a.lower(byte))) * np.uint64(n.PRIME)
        at += 1
    return at, name


@leaf
def _behind(page: Bytes, at: int, byte: int) -> int:
    while at < len(page) and page[at] != byte:
        at += 1
    return at + 1


@leaf
def _html_inside(found: Scanned) -> Integer:
    """The innermost open element of SVG or MathML that holds HTML ("integration point")."""
    inner = np.int64(0)
    for tag in HOLD_HTML:
        inner = max(inner, found.open[tag])
    return inner


@leaf
def _foreign(found: Scanned) -> bool:
    """Whether this is inside SVG or MathML, where sections of CDATA are text and "/>" ends an element."""
    return bool(max(found.open[SVG], found.open[MATH]) > _html_inside(found))


@leaf
def _declaration(page: Bytes, at: int, found: Scanned) -> int:
    """Where a comment, a document type or a section of CDATA that begins at `at` ends."""
    size = len(page)
    if not starts(page, at, b"<!--"):
        if starts(page, at, b"<![cdata[") and _foreign(found):
            stop = at + 9
            while stop < size and not starts(page, stop, b"]]>"):
                stop += 1
            _segment(page, at + 9, min(stop, size), c.RAW, found)
            return stop + 3
        return _behind(page, at + 2, 0x3E)
    if starts(page, at + 4, b">"):
        return at + 5
    if starts(page, at + 4, b"->"):
        return at + 6
    at += 4
    while at < size:
        if page[at] == 0x2D and (starts(page, at, b"-->") or starts(page, at, b"--!>")):
            return at + (3 if page[at + 2] == 0x3E else 4)
        at += 1
    return size


@leaf
def _text(page: Bytes, at: int, names: n.Names, found: Scanned) -> int:
    """Take the text from `at` on; returns where the next tag or comment begins, or the size of the page."""
    size = len(page)
    start = at
    while at < size:
        if page[at] == 0x3C and at + 1 < size:
            byte = page[at + 1]
            if 0x61 <= byte | 0x20 <= 0x7A or byte == 0x21 or byte == 0x3F:
                break
            if byte == 0x2F and at + 2 < size:
                break
        at += 1
    if at > start:
        _segment(page, start, at, c.TEXT, found)
    return at


@leaf
def _segment(page: Bytes, start: int, stop: int, kind: int, found: Scanned) -> None:
    """Put a run of text into the block that is being filled, or into a new one."""
    state, elements = found.state, found.elements
    owner = state[c.CURRENT]
    flags = elements[owner, c.FLAGS]
    if flags & n.GONE or start >= stop:
        return
    block = state[c.OPEN_BLOCK]
    blank = True
    for at in range(start, stop):
        if not a.is_space(page[at]):
            blank = False
            break
    if block < 0 or (state[c.BREAK_RUN] >= 2 and not flags & n.PRE):
        if blank and not flags & n.PRE:
            return
        if block >= 0:
            tree.close_block(found)
        block = _new_block(found, elements[owner, c.BLOCK], start)
    if not blank:
        state[c.BREAK_RUN] = 0
    row = state[c.N_SEGMENTS]
    state[c.N_SEGMENTS] = row + 1
    found.segments[row, c.START] = start
    found.segments[row, c.STOP] = stop
    found.segments[row, c.KIND] = kind
    found.segments[row, c.OWNER] = owner
    found.segments[row, c.OF_BLOCK] = block
    if blank:
        state[c.IN_WORD] = 0
        return
    link = found.open[tree.A]
    linked = flags & n.LINK != 0 and link != state[c.DEAD_LINK]
    count(page, start, stop, flags, linked, found, block)
    if linked and link != state[c.LAST_LINK]:
        state[c.LAST_LINK] = link
        found.blocks[block, c.LINKS] += 1
    found.blocks[block, c.END_BYTE] = stop


@leaf
def _new_block(found: Scanned, element: Integer, start: int) -> Integer:
    state = found.state
    block = state[c.N_BLOCKS]
    state[c.N_BLOCKS] = block + 1
    state[c.OPEN_BLOCK] = block
    state[c.BREAK_RUN] = 0
    for column in range(c.BLOCK_COLUMNS):
        found.blocks[block, column] = 0
    found.blocks[block, c.ELEMENT] = element
    found.blocks[block, c.FIRST] = state[c.N_SEGMENTS]
    found.blocks[block, c.BEGIN_BYTE] = start
    found.blocks[block, c.END_BYTE] = start
    found.blocks[block, c.IMAGES] = state[c.IMAGES_SEEN]
    found.blocks[block, c.INPUTS] = state[c.INPUTS_SEEN]
    state[c.IMAGES_SEEN] = state[c.INPUTS_SEEN] = 0
    found.hashes[block] = np.uint64(n.BASIS)
    return np.int64(block)


@leaf
def _mark(found: Scanned, at: int, kind: int) -> None:
    """A line break, if a block is being filled."""
    state = found.state
    state[c.IN_WORD] = 0
    block = state[c.OPEN_BLOCK]
    if block < 0:
        return
    state[c.BREAK_RUN] += 1
    row = state[c.N_SEGMENTS]
    state[c.N_SEGMENTS] = row + 1
    found.segments[row, c.START] = found.segments[row, c.STOP] = at
    found.segments[row, c.KIND] = kind
    found.segments[row, c.OWNER] = state[c.CURRENT]
    found.segments[row, c.OF_BLOCK] = block
    found.blocks[block, c.BREAKS] += 1


@leaf
def _start_tag(page: Bytes, begin: int, names: n.Names, found: Scanned) -> int:
    """Read the start tag at `begin`, and its content if that holds no tags. Returns where to go on; -1: the tag has no end."""
    state, elements = found.state, found.elements
    behind, name = _name(page, begin + 1)
    at, flags, keywords, style, closed = a.read(page, behind, names)
    if at < 0:
        return -1
    tag = a.tag_id(names, name)
    kind = names.kinds[tag]
    foreign = _foreign(found)
    if foreign and kind & n.BLOCK and tag != TEXT:
        # HTML inside SVG or MathML ends these.
        tree.pop(found, names, _outer(found))
        foreign = False
    if kind & n.VOID:
        if tag == BR:
            _mark(found, begin, c.BREAK)
        elif tag == HR:
            tree.imply_ends(found, names, tag)
            tree.close_block(found)
        elif tag == IMG:
            state[c.IMAGES_SEEN] += 1
        elif tag == INPUT:
            state[c.INPUTS_SEEN] += 1
        return at
    if kind & n.RAW and not foreign:
        stop = script_end(page, at) if tag == SCRIPT else raw_end(page, at, begin + 1, behind)
        if tag == TITLE and state[c.TITLE_STOP] == 0:
            state[c.TITLE_START], state[c.TITLE_STOP] = at, stop
        elif tag == SCRIPT and flags & a.TEX:
            _tex(page, at, stop, c.TEX_DISPLAY if flags & a.DISPLAY_TEX else c.TEX, found)
        return _behind(page, stop, 0x3E)
    if kind & n.IGNORED or (tag == BODY and state[c.BODY]):
        return at
    if tag == BODY:
        state[c.BODY] = 1
    tree.imply_ends(found, names, tag)
    if foreign and (tag == TITLE or kind & n.RAW):
        flags |= n.GONE
    if flags & a.KATEX and state[c.TEX_ELEMENT] > state[c.CURRENT]:
        flags |= n.GONE
    if flags & a.MATHJAX and elements[state[c.CURRENT], c.FLAGS] & a.MATHJAX == 0:
        state[c.MATHJAX_PARENT], state[c.MATHJAX_SEGMENT] = state[c.CURRENT], state[c.N_SEGMENTS]
    tree.begin(found, names, tag, name, flags & ~(a.TEX | a.DISPLAY_TEX), keywords, style)
    if kind & n.RAW_TEXT:
        stop = len(page) if tag == PLAINTEXT else raw_end(page, at, begin + 1, behind)
        _segment(page, at, stop, c.RAW if tag != tree.TEXTAREA else c.TEXT, found)
        return stop
    if closed and foreign:
        tree.pop(found, names, state[c.CURRENT])
    elif tag == ANNOTATION and flags & a.TEX:
        return _annotation(page, at, found)
    return at


@leaf
def _outer(found: Scanned) -> Integer:
    """The outermost of the open SVG and MathML elements that are not around HTML in them."""
    outer, inside = np.int64(0), _html_inside(found)
    for tag in (SVG, MATH):
        at = found.open[tag]
        while at > inside:
            outer = at if outer == 0 else min(outer, at)
            at = np.int64(found.elements[at, c.SAME])
    return outer


@leaf
def _annotation(page: Bytes, at: int, found: Scanned) -> int:
    """The TeX of a formula in MathML stands for all that the formula shows."""
    stop = at
    while stop < len(page) and page[stop] != 0x3C:
        stop += 1
    math = found.open[MATH]
    state = found.state
    if math > 0:
        _drop(found, found.elements[math, c.FIRST_SEGMENT])
    state[c.TEX_ELEMENT] = state[c.CURRENT]
    current = state[c.CURRENT]
    state[c.CURRENT] = math if math > 0 else current
    _segment(page, at, stop, c.TEX, found)
    state[c.CURRENT] = current
    # What is dropped, and this formula, are not looked at again.
    found.elements[max(math, np.int64(0)), c.FIRST_SEGMENT] = state[c.N_SEGMENTS]
    return stop


@leaf
def _tex(page: Bytes, start: int, stop: int, kind: int, found: Scanned) -> None:
    """The TeX in a script stands for what MathJax has put before it."""
    state = found.state
    if state[c.MATHJAX_PARENT] == state[c.CURRENT] and state[c.MATHJAX_SEGMENT] >= 0:
        _drop(found, state[c.MATHJAX_SEGMENT])
    state[c.MATHJAX_SEGMENT] = -1
    _segment(page, start, stop, kind, found)


@leaf
def _drop(found: Scanned, first: int) -> None:
    for row in range(first, found.state[c.N_SEGMENTS]):
        found.segments[row, c.KIND] = c.NOTHING
