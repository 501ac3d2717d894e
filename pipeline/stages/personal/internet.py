"""Addresses of the internet, version 4 and 6.

Purpose: versions, section numbers, identifiers of objects (1.3.6.1) and times look like addresses; what stands around them
tells.
Guarantee: with `public_only`, no address that IANA's registries of special addresses list is found.
Cost: a few microseconds for each candidate.

Sources: IANA, IPv4 and IPv6 Special-Purpose Address Registries (2026); multicast and reserved space count as special too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from tokenmill.pipeline.stages.personal import context
from tokenmill.pipeline.stages.personal.sighting import Sighting

_NUMBER = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(
    rf"{context.STARTS}(?<!\.)(?<![A-Za-z_][-/])(?<!\d/){_NUMBER}(?:\.{_NUMBER}){{3}}{context.ENDS}(?!\.\w)(?!-[A-Za-z])"
)
_NETWORKS = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 "
    "::/8 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 "
    "fec0::/10 ff00::/8"
)
_SPECIAL = tuple(
    (network.version, int(network.network_address), int(network.broadcast_address))
    for network in map(ipaddress.ip_network, _NETWORKS.split())
)
_BEFORE = (
    "versions?|ver|v|releases?|rel|revision|rev|builds?|sections?|sect?|chapters?|clauses?|figures?|fig|tables?|appendix|annex|"
    "paragraphs?|articles?|oids?|rfc|firmware|drivers?|patch|updates?|tag|sdk|jdk|kernel|since|abschnitt|kapitel|avsnitt|"
    "sezione|capitolo|sección|secció|capítulo|seção|secção|chapitre|bagian|bölüm|rozdział|sekcja|seksjon|hoofdstuk|paragraaf|"
    "раздел|глава|секция"
)
_VERSION = re.compile(
    rf"(?:\b(?:{_BEFORE})\b|[§第版]|版本|バージョン|버전)[\s:：=#.(\"'`<>]*(?:\w+ )?$",
    re.IGNORECASE,
)
_ADDRESS = context.words(
    *("ips?", "ipv4", "address(?:es)?", "addr", "hosts?", "servers?", "ping", "dns", "inet", "gateway", "routers?")
)
_RESOLVERS = frozenset({"1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "4.4.4.4"})
"""Addresses of small numbers that everybody knows as such."""
_LINE_BEGINS = re.compile(r"(?:^|\n)[ \t]{0,16}$")
_TITLE = re.compile(r"\.?[ \t]+[^\W\da-z_]|\.[ \t]|\.?[ \t]*(?:\n|$)")
_QUOTED = re.compile(r"[,:]? ?[–—-]? ?[“„«「]")
_CONTEXT_CHARACTERS = 40


def ipv4(text: str, start: int, end: int, public_only: bool) -> Iterator[Sighting]:
    """The addresses in the groups of digits [start, end)."""
    for found in _IPV4.finditer(text, start, min(len(text), end + 2)):
        special = _is_special(4, int.from_bytes(bytes(map(int, found[0].split(".")))))
        if found.start() < end and not (special and public_only) and not _is_version(text, found, special):
            yield Sighting(found.start(), found.end(), "ip", found[0])


def _is_special(version: int, address: int) -> bool:
    return any(version == kind and first <= address <= last for kind, first, last in _SPECIAL)


def _is_version(text: str, found: re.Match[str], special: bool) -> bool:
    """Whether words beside four numbers, or their size and place, say that they are a version or the number of a section."""
    before = text[max(0, found.start() - _CONTEXT_CHARACTERS) : found.start()]
    numbers = [int(number) for number in found[0].split(".")]
    if _VERSION.search(before):
        return True
    if special or found[0] in _RESOLVERS or max(numbers) > 63:
        return False
    begins = _LINE_BEGINS.search(before) is not None and _TITLE.match(text, found.end()) is not None
    if begins or _QUOTED.match(text, found.end()):
        return True
    return max(numbers) < 32 and not _ADDRESS.search(before)


def ipv6(text: str, start: int, end: int, public_only: bool) -> Iterator[Sighting]:
    """The address that the run of hexadecimal groups [start, end) is."""
    if text[start] == ":" and text[start + 1] != ":":
        start += 1
    while end > start and text[end - 1] in ".:" and text[end - 2 : end] != "::":
        end -= 1
    try:
        address = ipaddress.IPv6Address(text[start:end])
    except ValueError:
        return
    special = _is_special(6, int(address))
    if special if public_only else address.is_unspecified:
        return
    groups = text[start:end].split(":")
    global_unicast = len(groups[0]) == 4 and groups[0][0] in "23"
    whole = "" not in groups and max(map(len, groups)) == 4
    if global_unicast or whole or (special and (len(groups[0]) in (0, 4))):
        yield Sighting(start, end, "ip", address.compressed)
