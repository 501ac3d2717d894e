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

SCHEMES = {"https:": 8, "http:": 7, "ftp:": 6}
"""Schemes whose hosts are names on the internet, and the characters before the host."""
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
WITHOUT_SCHEME = re.compile(r"(?://)?[^\s/?#@:]+\.[^\s/?#@:]+(?::\d+)?(?:[/?#].*)?", re.DOTALL)
"""What people write for a URL where a scheme is not needed: `example.com/a`. Not `mailto:me@example.com`."""
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})?")


class Address(NamedTuple):
    """A canonical address. Its scheme is left out: a page is the same over http and https."""

    text: str
    """Host, port and path: `example.com:8080/a?b=c`. A port that is usual for the scheme is left out. ASCII."""
    host_end: int
    path_start: int

    @property
    def host(self) -> str:
        """The host: a name, an IPv4 address, or an IPv6 address in brackets."""
        return self.text[: self.host_end]

    @property
    def path(self) -> str:
        """Path and query, at least `/`."""
        return self.text[self.path_start :]


def parse(url: str) -> Address | None:
    """The canonical address of a URL; None if it is not one of a host on the internet."""
    parsed = _parsed(url)
    if parsed is None:
        return None
    text = parsed.href[SCHEMES[parsed.protocol] :]
    path = text.find("/")
    host = text[:path]
    if "%" in text or "@" in text or "#" in text or ":" in host or ".." in host or host[0] == "." or host[-1] == ".":
        return _address(parsed)
    return Address(text, path, path)


def key(url: str) -> str:
    """A text that is equal for URLs of one page: their canonical address, or the URL itself if it has none.

    A fragment that begins with "!" stays, since it names another page: sites that are one program wrote addresses so.
    """
    found = parse(url)
    if found is None:
        return url.strip()
    parsed = _parsed(url) if "#!" in url else None
    return found.text + (parsed.hash if parsed is not None and parsed.hash.startswith("#!") else "")


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
    return found


def _address(parsed: can_ada.URL) -> Address | None:
    """The address, part by part; None if its host has a part without a letter."""
    host = parsed.hostname.removesuffix(".")
    if not host or ".." in f".{host}.":
        return None
    site = f"{host}:{parsed.port}" if parsed.port else host
    path = parsed.pathname + parsed.search
    return Address(site + _ESCAPE.sub(_unescaped, path), len(host), len(site))


def _unescaped(match: re.Match[str]) -> str:
    if match[1] is None:
        # Else what follows could become an escape with it.
        return "%25"
    byte = int(match[1], 16)
    return chr(byte) if byte in UNRESERVED else match[0].upper()
