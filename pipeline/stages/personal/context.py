"""What stands around a number: words that say what it is, and the form in which it is compared.

Cost: a regular expression over at most 60 characters.
"""

from __future__ import annotations

import re

BEFORE_CHARACTERS, BEHIND_CHARACTERS = 48, 16

_DIGITS = {code + digit: str(digit) for code in (0xFF10, 0x0660, 0x06F0, 0x0966) for digit in range(10)}
_SIGNS = dict.fromkeys((160, 8199, 8201, 8239), " ") | dict.fromkeys(range(8208, 8212), "-")
_PLAIN = _DIGITS | _SIGNS
_UNUSUAL = re.compile(f"[{''.join(map(chr, _PLAIN))}]")

_ESCAPED = r"(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])"
STARTS = rf"(?:(?<![0-9A-Za-z])(?<![0-9A-Za-z]_)|{_ESCAPED})"
"""Pattern: no word goes on before this place. Scripts without spaces stand beside a number as a space does, and escapes too."""
ENDS = r"(?![0-9A-Za-z])(?!_[0-9A-Za-z])"
"""Pattern: none goes on behind it."""
NOT_INSIDE = STARTS + r"(?<![0-9A-Za-z]-)(?<!\d[.,/])"
"""Pattern: no word, longer number or fraction goes on before this place."""
NOT_FOLLOWED = ENDS + r"(?!-[0-9A-Za-z])(?![.,]\d)"
"""Pattern: none goes on behind it."""
_BEGINS, _GOES_ON = re.compile(rf"(?<![0-9A-Za-z])|{_ESCAPED}"), re.compile("[0-9A-Za-z]")


def plain(text: str) -> str:
    """The text with ASCII digits, spaces and hyphens in place of others: the same number of characters."""
    return text.translate(_PLAIN) if not text.isascii() and _UNUSUAL.search(text) else text


def words(*patterns: str) -> re.Pattern[str]:
    """A pattern of words, in any case."""
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(patterns)})(?![^\W_])", re.IGNORECASE)


def says(text: str, start: int, end: int, said: re.Pattern[str]) -> bool:
    """Whether one of the words stands shortly before [start, end), or right behind it."""
    before = said.search(text, max(0, start - BEFORE_CHARACTERS), start)
    return before is not None or said.search(text, end, end + BEHIND_CHARACTERS) is not None


def begins(text: str, at: int) -> bool:
    """Whether no letter or digit of ASCII stands before this place, but for those of an escape."""
    return _BEGINS.match(text, at) is not None


def ends(text: str, at: int) -> bool:
    """Whether no letter or digit of ASCII stands at this place."""
    return _GOES_ON.match(text, at) is None


def squeezed(text: str) -> str:
    """Digits and letters alone, in capitals."""
    return "".join(letter for letter in text if letter.isalnum()).upper()
