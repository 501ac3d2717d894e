"""Attributes of a tag, as the tokenizer of the HTML standard reads them (sections 13.2.5.32 to 13.2.5.40).

Guarantee: each byte is read once, or a few times if it is in the value of one of eleven attributes; so the work is linear, also
for a million attributes in a tag or one of 30 MB.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.values import Bytes, holds, is_space, keywords_of, lower, tex_flags, value_hash
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

FAR = 4_096
"""Bytes of a tag in which `find` looks for an attribute. A tag is looked at for each block or formula in it."""


@inlined
def following(page: Bytes, at: int, stop: int) -> tuple[int, np.uint64, int, int]:
    """The attribute that begins at `at`, before `stop`: where it ends, the hash of its name, its value's first byte and end.

    It ends at -1 if the page ends in it.
    """
    name = np.uint64(n.BASIS)
    first = at
    while at < stop:
        byte = page[at]
        if byte == 0x20 or byte == 0x3E or byte == 0x2F or (byte == 0x3D and at > first) or is_space(byte):
            break
        name = (name ^ np.uint64(lower(byte))) * np.uint64(n.PRIME)
        at += 1
    after = at
    while after < stop and is_space(page[after]):
        after += 1
    if after >= stop or page[after] != 0x3D:
        return at, name, after, after
    at = after + 1
    while at < stop and is_space(page[at]):
        at += 1
    start = at
    if at < stop and (page[at] == 0x22 or page[at] == 0x27):
        quote = page[at]
        start = at = at + 1
        while at < stop and page[at] != quote:
            at += 1
        return (at + 1 if at < stop else -1), name, start, at
    while at < stop and not is_space(page[at]) and page[at] != 0x3E:
        at += 1
    return at, name, start, at


@inlined
def read(page: Bytes, at: int, names: n.Names) -> tuple[int, Integer, np.uint64, np.uint64, bool]:
    """The attributes from `at` on, behind the name of a tag.

    Returns where the tag ends (behind ">"; -1 if it does not), flags, keywords, the hash of the class, whether it ends in "/>".
    """
    size = len(page)
    flags, keywords, style = np.int64(0), np.uint64(0), np.uint64(0)
    closed = False
    while True:
        while at < size and (is_space(page[at]) or page[at] == 0x2F):
            closed = page[at] == 0x2F
            at += 1
        if at >= size:
            return -1, flags, keywords, style, False
        if page[at] == 0x3E:
            return at + 1, flags, keywords, style, closed
        closed = False
        at, name, start, stop = following(page, at, size)
        if at < 0:
            return -1, flags, keywords, style, False
        if name == n.HIDDEN_:
            flags |= n.HIDDEN
        elif name == n.OPEN_:
            flags |= n.OPEN
        elif start == stop:
            continue
        elif name == n.CLASS:
            words, style = keywords_of(page, names, start, stop)
            keywords |= words
            if words & np.uint64(n.MATHJAX_WORD):
                flags |= n.MATHJAX
            elif words & np.uint64(n.KATEX_WORD) and holds(page, start, stop, b"katex-html"):
                flags |= n.KATEX
        elif name == n.ID_ or name == n.ITEMPROP or name == n.TESTID:
            keywords |= keywords_of(page, names, start, stop)[0]
        elif name == n.ROLE:
            keywords |= keywords_of(page, names, start, stop)[0]
            flags |= role_flags(names, value_hash(page, start, stop))
        elif name == n.STYLE:
            if holds(page, start, stop, b"display:none") or holds(page, start, stop, b"visibility:hidden"):
                flags |= n.HIDDEN
        elif name == n.ARIA_HIDDEN:
            if holds(page, start, stop, b"true"):
                flags |= n.HIDDEN
        elif name == n.TYPE or name == n.ENCODING:
            flags |= tex_flags(page, start, stop)


@leaf
def find(page: Bytes, at: int, wanted: np.uint64) -> tuple[int, int]:
    """Where the value of an attribute, by the hash of its name, begins and ends in the tag at `at`; 0 and 0 if it has none.

    Only the first `FAR` bytes of the tag are looked at.
    """
    stop = min(len(page), at + FAR)
    while at < stop and not is_space(page[at]) and page[at] != 0x2F and page[at] != 0x3E:
        at += 1
    while True:
        while at < stop and (is_space(page[at]) or page[at] == 0x2F):
            at += 1
        if at >= stop or page[at] == 0x3E:
            return 0, 0
        at, name, start, end = following(page, at, stop)
        if at < 0:
            return 0, 0
        if name == wanted:
            return start, end


@inlined
def _find(names: n.Names, wanted: np.uint64) -> Integer:
    slot = np.int64(wanted & np.uint64(n.SLOTS - 1))
    while names.hashes[slot] != 0:
        if names.hashes[slot] == wanted:
            return np.int64(names.values[slot])
        slot = (slot + 1) & (n.SLOTS - 1)
    return 0


@inlined
def tag_id(names: n.Names, name: np.uint64) -> Integer:
    """The id of a tag, by the hash of its name."""
    found = _find(names, name)
    return found if found > 0 else n.UNKNOWN + np.int64(name >> np.uint64(40)) % (n.IDS - n.UNKNOWN)


@leaf
def role_flags(names: n.Names, value: np.uint64) -> Integer:
    """The flags of an attribute `role`, by the hash of its value: those of the tag of that name, or its own."""
    found = _find(names, value)
    return names.flags[found] & ~n.GONE if found > 0 else -found
