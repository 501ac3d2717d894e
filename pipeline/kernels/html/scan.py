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
from tokenmill.pipeline.kernels.html import formulas, tree
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.raw import ends_name, raw_end, script_end
from tokenmill.pipeline.kernels.html.segments import full, line_break, put, put_after
from tokenmill.pipeline.kernels.html.values import Bytes, is_space, lower, starts
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

BR, IMG, INPUT, TITLE, BODY, SCRIPT, HR, ANNOTATION, SVG, MATH, PLAINTEXT, TEXT = n.ids(
    "br img input title body script hr annotation svg math plaintext text"
)
(DIALOG,) = n.ids("dialog")
HOLD_HTML = n.ids("foreignobject desc title annotation-xml mi mo mn ms mtext")
LASTING = (1 << 31) - 1
"""Flags that elements keep."""


@leaf
def scan(page: Bytes, at: int, names: n.Names, found: Scanned) -> int:
    """Fill `found` from the byte `at` of the page on. Returns where to go on with larger tables; -1 at the end of the page."""
    state = found.state
    size = len(page)
    while at < size:
        if full(found):
            return at
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
                    line_break(found, at)
                elif names.kinds[tag] & (n.IGNORED | n.VOID) or tag == BODY:
                    tree.close_block(found)
                else:
                    tree.end(found, names, tag)
            else:
                at = _behind(page, at + 2, 0x3E)
        elif byte == 0x21:
            at = _declaration(page, at, names, found)
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
    return -1


@inlined
def _name(page: Bytes, at: int) -> tuple[int, np.uint64]:
    """Where the name of a tag ends, and its hash."""
    name = np.uint64(n.BASIS)
    while at < len(page):
        byte = page[at]
        if ends_name(byte):
            break
        name = (name ^ np.uint64(lower(byte))) * np.uint64(n.PRIME)
        at += 1
    return at, name


@inlined
def _behind(page: Bytes, at: int, byte: int) -> int:
    while at < len(page) and page[at] != byte:
        at += 1
    return at + 1


@inlined
def _html_inside(found: Scanned) -> Integer:
    """The innermost open element of SVG or MathML that holds HTML ("integration point")."""
    inner = np.int64(0)
    for tag in HOLD_HTML:
        inner = max(inner, found.open[tag])
    return inner


@inlined
def _foreign(found: Scanned) -> bool:
    """Whether this is inside SVG or MathML, where sections of CDATA are text and "/>" ends an element."""
    outer = max(found.open[SVG], found.open[MATH])
    return bool(outer > 0 and outer > _html_inside(found))


@leaf
def _declaration(page: Bytes, at: int, names: n.Names, found: Scanned) -> int:
    """Where a comment, a document type or a section of CDATA that begins at `at` ends."""
    size = len(page)
    if not starts(page, at, b"<!--"):
        if starts(page, at, b"<![cdata[") and _foreign(found):
            stop = at + 9
            while stop < size and not starts(page, stop, b"]]>"):
                stop += 1
            put(page, at + 9, min(stop, size), c.RAW, names, found)
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


@inlined
def _text(page: Bytes, at: int, names: n.Names, found: Scanned) -> int:
    """Take the text from `at` on; returns where the next tag or comment begins, or the size of the page."""
    size = len(page)
    start = at
    while at < size and is_space(page[at]):
        at += 1
    first = at
    while True:
        while at < size and page[at] != 0x3C:
            at += 1
        if at >= size:
            at = size
            break
        if at + 1 < size:
            byte = page[at + 1]
            if 0x61 <= byte | 0x20 <= 0x7A or byte == 0x21 or byte == 0x3F or (byte == 0x2F and at + 2 < size):
                break
        at += 1
    put_after(page, start, first, at, c.TEXT, names, found)
    return at


@inlined
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
            line_break(found, begin)
        elif tag == HR:
            tree.imply_ends(found, names, tag)
            tree.close_block(found)
        elif tag == IMG:
            state[c.IMAGES_SEEN] += 1
            formulas.image(page, begin + 1, names, found)
        elif tag == INPUT:
            state[c.INPUTS_SEEN] += 1
        return at
    if kind & n.RAW and not foreign:
        stop = script_end(page, at) if tag == SCRIPT else raw_end(page, at, begin + 1, behind)
        if tag == TITLE and state[c.TITLE_STOP] == 0:
            state[c.TITLE_START], state[c.TITLE_STOP] = at, stop
        elif tag == SCRIPT and flags & n.TEX:
            formulas.script(page, at, stop, c.TEX_DISPLAY if flags & n.DISPLAY_TEX else c.TEX, names, found)
        return _behind(page, stop, 0x3E)
    if kind & n.IGNORED or (tag == BODY and state[c.BODY]):
        return at
    if tag == BODY:
        state[c.BODY] = 1
    tree.imply_ends(found, names, tag)
    tex = tag == ANNOTATION and flags & n.TEX != 0
    if tex or (foreign and kind & n.NO_SHAPE):
        flags |= n.GONE
    if flags & n.KATEX and state[c.TEX_ELEMENT] > state[c.CURRENT]:
        flags |= n.GONE
    if tag == DIALOG and not flags & n.OPEN:
        flags |= n.HIDDEN
    if flags & n.MATHJAX and elements[state[c.CURRENT], c.FLAGS] & n.MATHJAX == 0:
        state[c.MATHJAX_PARENT], state[c.MATHJAX_SEGMENT] = state[c.CURRENT], state[c.N_SEGMENTS]
    tree.begin(found, names, tag, begin + 1, name, flags & LASTING, keywords & np.uint64(n.WORDS_MASK), style)
    if kind & n.RAW_TEXT:
        stop = len(page) if tag == PLAINTEXT else raw_end(page, at, begin + 1, behind)
        put(page, at, stop, c.RAW if tag != tree.TEXTAREA else c.TEXT, names, found)
        return stop
    if closed and foreign:
        tree.pop(found, names, state[c.CURRENT])
    elif tex:
        return formulas.annotation(page, at, names, found)
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
