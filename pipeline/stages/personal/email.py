"""E-mail addresses around an at sign.

Purpose: addresses as people write them in prose, code and web addresses, in any script; not the whole grammar of RFC 5322.
Guarantee: what is found is `local@domain`, where the domain has at least two labels and the last is no number and no ending of
files. Quoted local parts with spaces, comments and hosts without a dot are not found.
Cost: a few microseconds for each at sign.

Sources: RFC 5321 and 6531 for lengths and characters; the endings are those seen in documentation (`icon@2x.png`,
`getty@tty1.service`) that are no top-level domains (IANA, 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenmill.pipeline.stages.personal.sighting import Sighting

MOST_CHARACTERS = 254
LOCAL = frozenset("._%+-'&~!#$*^")
"""Characters of a local part beside letters and digits. RFC 5322 also allows `/=?{|}` and the grave accent, which in prose and
web addresses stand before an address far more often than in it."""
_ENDINGS = (
    "png jpg jpeg gif svg webp bmp ico tif tiff css scss js mjs jsx tsx json jsonl csv html htm xml yaml yml toml txt pdf woff "
    "woff2 exe dll jar conf cfg ini log lock tar gz tgz whl service socket timer target mount automount path device slice "
    "scope swap local internal lan"
)
NO_DOMAINS = frozenset(_ENDINGS.split())
NOBODY = frozenset({"git", "hg", "svn"})
"""Names that everybody uses to fetch code."""
_SHOWN = re.compile(r".*:(?:pass|password|passwd|pwd|secret)", re.IGNORECASE)
"""What a manual writes in place of a password."""
_LINK = re.compile(
    r"\s{0,2}(?:\[\s?(?:dot|punkt|\.)\s?\]|\((?:dot|punkt|\.)\)|\{(?:dot|\.)\})\s{0,2}|[.．。]|%2e", re.IGNORECASE
)
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_USER = re.compile(r"(?<=://)[^\s/:@]{1,64}:[^\s/@]{1,128}(?=@$)")


def emails(text: str, start: int, end: int) -> Iterator[Sighting]:
    """The address around the at sign [start, end), and the user and password before it in a web address."""
    spelt = end - start == 2
    before = _USER.search(text, max(0, start - 256), start + 1) if text[start] == "@" else None
    if before is not None and not _SHOWN.fullmatch(before[0]):
        yield Sighting(before.start(), before.end(), "key", before[0])
    if before is not None:
        return
    if spelt:
        start, end = start - 1, end + 1
        start -= text[start - 1 : start] == " "
        end += text[end : end + 1] == " "
    local = _local(text, start)
    domain = _domain(text, end)
    if local < start and domain > end and text[local:start] not in NOBODY:
        host = _LINK.sub(".", text[end:domain])
        yield Sighting(local, domain, "email", f"{text[local:start]}@{host}".lower())


def _script(letter: str) -> bool | None:
    """Whether a letter is Latin; None for digits and signs, which go with both."""
    if not letter.isalpha():
        return None
    return letter < "\u0250" or "\uff21" <= letter <= "\uff5a"


def _local(text: str, end: int) -> int:
    """Where the local part begins that ends at `end`; `end` if there is none. One is written in letters of one kind."""
    start, kind = end, None
    while start > max(0, end - MOST_CHARACTERS) and (text[start - 1].isalnum() or text[start - 1] in LOCAL):
        script = _script(text[start - 1])
        if script is not None and kind is not None and script != kind:
            break
        kind = kind if script is None else script
        start -= 1
    escapes = _ESCAPES.match(text, start, end)
    if escapes is not None:
        start = escapes.end()
    elif start and text[start - 1] == "\\" and text[start : start + 1] in "nrt" and start + 1 < end:
        start += 1
    while start < end and not (text[start].isalnum() or text[start] == "_"):
        start += 1
    return start


def _domain(text: str, start: int) -> int:
    """Where the domain ends that begins at `start`; `start` if there is none."""
    if text.startswith("[", start):
        close = text.find("]", start, start + 48)
        inside = text[start + 1 : close].removeprefix("IPv6:")
        return close + 1 if close > 0 and re.fullmatch(r"[0-9a-fA-F:.]{3,45}", inside) else start
    at, found, labels = start, start, 0
    while True:
        end = _label(text, at)
        if end == at:
            return found
        labels += 1
        if labels > 1 and _is_top(text[at:end]):
            found = end
        link = _LINK.match(text, end)
        if link is None or link.end() - start > MOST_CHARACTERS:
            break
        at = link.end()
    # `a @ b.inverse()` is arithmetic.
    return start if text[found : found + 1] == "(" else found


def _label(text: str, start: int) -> int:
    """Where the label of a domain ends that begins at `start`."""
    end, kind = start, None
    while end < min(len(text), start + 63) and (text[end].isalnum() or (text[end] in "-_" and end > start)):
        script = _script(text[end])
        if script is not None and kind is not None and script != kind:
            break
        kind = kind if script is None else script
        end += 1
    while end > start and text[end - 1] in "-_":
        end -= 1
    return end


def _is_top(label: str) -> bool:
    low = label.lower()
    return len(low) >= 2 and (low.isalpha() or low.startswith("xn--")) and low not in NO_DOMAINS
