"""The plain twin of `kernels/personal/anchors`: characters and regular expressions."""

from __future__ import annotations

import re

from tokenmill.pipeline.kernels.personal.anchors import AT, COLONS, KEY, KEY_STARTS, KEY_WORDS, NUMBER, WORD, WORD_CHARACTERS

Anchor = tuple[int, int, int]

DIGIT = "[0-9\uff10-\uff19\u0660-\u0669\u06f0-\u06f9\u0966-\u096f]"
SEPARATOR = "[ ./()\\-\u00a0\u2007\u2009\u2010-\u2013\u202f]"
DIGITS = re.compile(f"{DIGIT}+(?:{SEPARATOR}{{1,2}}{DIGIT}+)*")
SIGN = re.compile("[@\uff20]|%40|&#64;|&#[xX]40;")
ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}|\\[nrt]")
LETTERS = re.compile("[A-Za-z][A-Za-z0-9]*")
GROUPS = {(4, 6), (6, 4), (6, 5), (3, 2, 4), (4, 4, 4), (3, 3, 3), (3, 3, 4), (2, 2, 2), (4, 2, 3), (2, 3, 3)}
BRACKETS = {"[": "]", "(": ")", "{": "}"}


def anchors(text: str, every: bool) -> list[Anchor]:
    """Kind, start and end of each anchor, in bytes."""
    found: list[Anchor] = []
    at = known = escaped = 0
    while at < len(text):
        after = at + 1
        if word := LETTERS.match(text, at):
            after = word.end()
            kind = _kind_of_word(text, at, after)
            if kind is not None:
                found.append((kind, at, after))
        elif text[at] == ":":
            if at >= known:
                start, known, fits = _hexadecimal(text, escaped, at)
                if fits:
                    found.append((COLONS, start, known))
        elif sign := SIGN.match(text, at):
            if _is_between(text, at, sign.end()):
                found.append((AT, at, sign.end()))
            if text[at] == "%":
                after = escaped = sign.end()
        elif escape := ESCAPE.match(text, at):
            after = escaped = escape.end()
        elif number := DIGITS.match(text, at):
            after = number.end()
            if _is_number(number[0]) or (every and len(re.findall(DIGIT, number[0])) >= 7):
                found.append((NUMBER, at, after))
        at = after
    size = [0]
    for letter in text:
        size.append(size[-1] + len(letter.encode()))
    return [(kind, size[start], size[end]) for kind, start, end in found]


def _kind_of_word(text: str, at: int, end: int) -> int | None:
    word, behind = text[at:end], text[end : end + 1]
    if len(word) >= 20 and word.startswith(KEY_STARTS):
        return KEY
    if len(word) >= 10 and word.startswith("eyJ"):
        return KEY
    if word in KEY_WORDS and behind in ("_", "-", "."):
        return KEY
    begins = re.fullmatch("B...N", word) and behind == " "
    if begins and text[max(0, at - 5) : at] and text[at - 1] == "-" and _byte_before(text, at, 5) == b"-":
        return KEY
    if re.match("[A-Za-z]{2}[0-9]{2}", word):
        first = behind.encode()[:1]
        if 15 <= len(word) <= 34 or (len(word) == 4 and first in (b" ", b"-", b"\n", b"\r", b"\xc2", b"\xe2")):
            return WORD
    if len(word) in WORD_CHARACTERS and len(re.findall("[0-9]", word)) >= 6:
        return WORD
    if word.lower() == "at" and at and behind and BRACKETS.get(text[at - 1]) == behind:
        return AT
    return None


def _byte_before(text: str, at: int, distance: int) -> bytes:
    before = text[:at].encode()
    return before[-distance:][:1] if len(before) >= distance else b""


def _is_between(text: str, at: int, end: int) -> bool:
    if at == 0 or end >= len(text):
        return False
    behind = text[end]
    return text[at - 1] > " " and (behind > "\x7f" or behind == "[" or re.match("[A-Za-z0-9]", behind) is not None)


def _is_number(number: str) -> bool:
    sizes = [len(group) for group in re.findall(f"{DIGIT}+", number)]
    links = re.findall(f"{SEPARATOR}+", number)
    if max(sizes) >= 7 or any(tuple(sizes[i : i + n]) in GROUPS for n in (2, 3) for i in range(len(sizes) - n + 1)):
        return True
    return any(max(sizes[i : i + 4]) <= 3 and links[i : i + 3] == ["."] * 3 for i in range(len(sizes) - 3))


def _hexadecimal(text: str, least: int, at: int) -> tuple[int, int, bool]:
    start = end = at
    while start > least and re.match("[0-9A-Fa-f:]", text[start - 1]):
        start -= 1
    while end < len(text) and re.match("[0-9A-Fa-f:.]", text[end]):
        end += 1
    beside = text[start - 1 : start] if start > least else ""
    if re.match("[0-9A-Za-z]", beside) and text[at + 1 : at + 2] != ":":
        start, beside = at + 1, ":"
    run = text[max(at, start) : end]
    alone = not re.match("[0-9A-Za-z]", beside) and not re.match("[0-9A-Za-z]", text[end : end + 1])
    return start, end, alone and re.search("[0-9]", text[start:end]) is not None and ("::" in run or run.count(":") >= 6)
