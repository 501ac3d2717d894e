"""What the lines of a list stand for: from lines as people and other tools write them to keys that are looked up.

A key is `.example.com` (the host, and all below it), `=example.com` (the host alone), `example.com/a` (addresses that begin so,
up to a "/", "?" or "&", or that are equal) or a word. A line is one of

    example.com                 a host; `.example.com` and `*.example.com` mean it and all below it, `=example.com` it alone
    https://example.com/a       a URL that begins others; the scheme may be left out
    0.0.0.0 a.example b.example hosts, as hosts files have them
    # a comment                 also behind an entry

Guarantee: hosts and paths are canonical, as `addresses` has it. A line that is none of these is counted, never guessed; so are
Adblock's rules, which decide on more than an address, and the expressions of UT1, which are not read at all.
Cost: 1 us for each line that is a plain host, 5 us for others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import unquote

import can_ada

from tokenmill.pipeline.stages.addresses import UrlAddress, parse
from tokenmill.pipeline.stages.urls.settings import Kind

LONGEST = 8_192
"""Characters of a line. What is longer is no entry."""
LONGEST_HOST = 253
"""Characters of a host, as DNS has it. Of a longer one, no part is looked up: it has no address."""
MOST = 2_048
"""Characters at the beginning of a path in which it may end; the whole path may, too. More borders cost quadratic time."""
PLAIN = re.compile(r"[a-z0-9][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)*\.[a-z][a-z0-9-]*")
"""A host that is its own canonical form, unless a part begins with "xn--"."""
ENTRY = re.compile(r"(\*?\.|=)?([A-Za-z][A-Za-z0-9+.-]*://)?(.*)", re.DOTALL)
NO_HOST = re.compile(r"/|[^/?]*[*@]")
"""Marks of Adblock's rules, wildcards and users, which a parser of URLs would take for a part of the address."""
COMMENT = re.compile(r"(?:^|\s)#.*")
LOCAL = frozenset(["localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "0.0.0.0"])
"""What hosts files call the machine itself."""
LOCAL_PREFIX = "ip6-"
WORD = re.compile(r"[^\W_]+")
WWW = "www."
IP = "(IP address)"
"""What stands for such a host in scores."""


def keys(line: str, kind: Kind, *, subdomains: bool) -> list[str] | None:
    """The keys of a line, none if it is empty or a comment; None if the line cannot be read."""
    if len(line) > LONGEST:
        return None
    if "#" in line or kind != "addresses":
        line = COMMENT.sub("", line)
    line = line.strip()
    if not line:
        return []
    if kind != "addresses":
        # As datatrove has it: "foo-bar" is the word "foobar".
        word = "".join(WORD.findall(line.lower()))
        return [word] if word else None
    if PLAIN.fullmatch(line) and "xn--" not in line:
        return [("." if subdomains else "=") + line]
    first, *others = line.split()
    if others:
        return _hosts(first, others)
    found = _entry(first, subdomains=subdomains)
    return None if found is None else [found]


def prefix(address: UrlAddress) -> str:
    """The key of the addresses that begin with this one. A leading "www." is left out: UT1's lists of URLs have none."""
    text = address.text if "?" in address.path else address.text.rstrip("/")
    return (text if len(text) > address.path_start else text + "/").removeprefix(WWW)


def candidates(address: UrlAddress) -> list[str]:
    """The keys that hit an address, the most special first: of addresses that begin it, of its host, and of hosts above."""
    host, site = address.host, address.text[: address.path_start].removeprefix(WWW)
    found = [site + address.path[:at] for at in _borders(address.path)]
    found += [site + "/", "=" + host, "." + host]
    if not is_ip(host) and len(host) <= LONGEST_HOST:
        at = host.find(".")
        while at >= 0:
            found.append(host[at:])
            at = host.find(".", at + 1)
    return list(dict.fromkeys(found))


def words_of(address: UrlAddress) -> list[str]:
    """Runs of letters and digits of an address in lower case, with what Punycode and percent signs stand for."""
    return WORD.findall(spelled(address).lower())


def spelled(address: UrlAddress) -> str:
    """The address with the letters that Punycode and percent signs stand for, without newlines."""
    text = address.text
    if "xn--" in address.host:
        # It takes bytes, whatever its stubs say.
        text = can_ada.idna_decode(address.host.encode()) + text[address.host_end :]  # type: ignore[arg-type]
    return unquote(text).replace("\n", " ") if "%" in text else text


def _borders(path: str) -> Iterator[int]:
    """Where a path may end that begins `path`, from its end on: before "/", "?" and "&"; see MOST."""
    yield len(path)
    query = path.find("?", 0, MOST)
    at = min(len(path), MOST)
    if query >= 0:
        while (at := path.rfind("&", query, at)) > 0:
            yield at
        at = query
        yield at
    while (at := path.rfind("/", 0, at)) > 0:
        yield at


def is_ip(host: str) -> bool:
    """Whether a canonical host is an IP address."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


def host_of(address: UrlAddress | None) -> str:
    """What a score says of a host: no IP address, which may be somebody's; "" if there is none."""
    if address is None:
        return ""
    return IP if is_ip(address.host) else address.host


def _hosts(first: str, others: list[str]) -> list[str] | None:
    """The keys of a line of a hosts file; None if it does not begin with an IP address, or if a host cannot be read."""
    try:
        ip_address(first.partition("%")[0])
    except ValueError:
        return None
    named = [one for one in others if one not in LOCAL and not one.startswith(LOCAL_PREFIX)]
    found = [parse(f"http://{one}") for one in named]
    if any(address is None or address.path != "/" for address in found):
        return None
    return [f"={address.host}" for address in found if address is not None]


def _entry(entry: str, *, subdomains: bool) -> str | None:
    mark, scheme, rest = ENTRY.fullmatch(entry).groups("")  # type: ignore[union-attr]  # it matches every text
    if "#" in rest or NO_HOST.match(rest):
        return None
    address = parse((scheme or "http://") + rest)
    if address is None:
        return None
    if scheme or "/" in rest or address.text != f"{address.host}/":
        return None if mark else prefix(address)
    alone = mark == "=" or not (subdomains or mark) or is_ip(address.host)
    return ("=" if alone else ".") + address.host
