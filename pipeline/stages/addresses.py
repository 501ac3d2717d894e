"""Canonical form of a URL: one spelling for every address that a browser would take to be the same.

Purpose: the stage `urls` looks up hosts and paths in lists, and deduplication compares whole addresses. Both need one spelling.
Guarantee: the URL is parsed as WHATWG's URL standard has it, by Ada, the parser of Node.js. Hosts are in lower case, in
Punycode and without a dot at their end; numbers are IPv4 addresses; IPv6 addresses are in brackets and compressed. Users,
passwords, fragments, the port that is usual for the scheme, and "." and ".." in paths are gone. As RFC 3986 (section 6.2.2) has
it, characters that need no percent sign have none, and capital digits follow the others; one without digits is "%25". A
canonical address is the canonical form of itself.
Cost: 2 us per URL.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import can_ada

SCHEMES = frozenset(["http:", "https:", "ftp:"])
"""Schemes whose hosts are names on the internet."""
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
WITHOUT_SCHEME = re.compile(r"(?://)?[^\s/?#@:]+\.[^\s/?#@:]+(?::\d+)?(?:[/?#].*)?", re.DOTALL)
"""What people write for a URL where a scheme is not needed: `example.com/a`. Not `mailto:me@example.com`."""
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})?")


class Address(NamedTuple):
    """A canonical address. Its scheme is left out: a page is the same over http and https."""

    host: str
    port: str
    """"" for the port that is usual for the scheme."""
    path: str
    """Path and query: `/a?b=c`, at least `/`."""

    @property
    def text(self) -> str:
        """The address as one text, such as `example.com/a?b=c`."""
        return f"{self.host}:{self.port}{self.path}" if self.port else self.host + self.path


def parse(url: str) -> Address | None:
    """The canonical address of a URL; None if it is not one of a host on the internet."""
    parsed = _parsed(url)
    return None if parsed is None else _address(parsed)


def key(url: str) -> str:
    """A text that is equal for URLs of one page: their canonical address, or the URL itself if it has none.

    A fragment that begins with "!" stays, since it names another page: sites that are one program wrote addresses so.
    """
    parsed = _parsed(url)
    if parsed is None:
        return url.strip()
    return _address(parsed).text + (parsed.hash if parsed.hash.startswith("#!") else "")


def _parsed(url: str) -> can_ada.URL | None:
    try:
        found = can_ada.parse(url)
    except ValueError:
        found = None
    if found is None or found.protocol not in SCHEMES:
        url = url.strip()
        if not WITHOUT_SCHEME.fullmatch(url):
            return None
        try:
            found = can_ada.parse("http://" + url.removeprefix("//"))
        except ValueError:
            return None
    host = found.hostname.removesuffix(".")
    return found if host and ".." not in f".{host}." else None


def _address(parsed: can_ada.URL) -> Address:
    path = parsed.pathname + parsed.search
    return Address(parsed.hostname.removesuffix("."), parsed.port, _ESCAPE.sub(_unescaped, path) if "%" in path else path)


def _unescaped(match: re.Match[str]) -> str:
    if match[1] is None:
        # Else what follows could become an escape with it.
        return "%25"
    byte = int(match[1], 16)
    return chr(byte) if byte in UNRESERVED else match[0].upper()
