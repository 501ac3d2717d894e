"""URLs of documents, without what is nobody's business.

Guarantee: no user, no password and no control character stays in a URL; one where it is unclear which part these are is left
out. Cost: a few regular expressions, linear in the URL.
"""

from __future__ import annotations

import re

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
AUTHORITY = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)([^/?#]+)(.*)", re.DOTALL)
NESTED = re.compile(r"(?::[/\\]*|//)[^/\\?#&@:]+@")
"""Matches what may be a user or a password of a URL within a URL."""


def without_userinfo(url: str) -> str | None:
    """The URL without user, password and control characters; None if it is unclear which part they are.

    The authority is defined by RFC 3986, section 3.2. An "@" is unclear in URLs that programs read in different ways: with
    "\\", with a scheme but without "//", or with another URL inside.
    """
    url = CONTROLS.sub("", url.strip()).strip()
    if "@" not in url:
        return url or None
    if "\\" in url:
        return None
    if (match := AUTHORITY.fullmatch(url)) is None:
        head = re.split(r"[/?#]", url, maxsplit=1)[0]
        doubtful = ":" in head or "@" in head or url.startswith("//") or NESTED.search(url)
        return None if doubtful else url
    begin, authority, rest = match.groups()
    return None if NESTED.search(rest) else begin + authority.rpartition("@")[2] + rest
