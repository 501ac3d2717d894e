"""Telephone numbers.

Purpose: groups of digits that people write for telephones: with a plus, with an area in brackets, or in national groups.
Guarantee: 7 to 15 digits. Nothing checks them, so dates, versions, prices and other numbers of such a form are found too; what
is known as something else is left out.
Cost: a few microseconds for each candidate.

Source: ITU-T E.123 and E.164.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenmill.pipeline.stages.personal import context
from tokenmill.pipeline.stages.personal.sighting import Sighting

_BETWEEN = r"(?:[ .-]?\(|\)[ .-]?|[ ./-])?"
_NUMBER = re.compile(
    rf"(?<![\w./=#$€£%-])(?<!\d,)(?:\+|00)?\(?\d(?:{_BETWEEN}\d){{6,14}}(?:x\d{{1,5}})?(?![0-9A-Za-z_%€£$])(?![-.,/]\d)"
)
_OTHER = re.compile(
    r"\d{4}[-./]\d\d?[-./]\d\d?(?!\d)|\d\d?[-./ ]\d\d?[-./ ]\d{4}$|\d+-(?:19|20)\d\d$"
    r"|\d{1,3}(?:\.\d{1,3}){3}$|\d(?: \d{3})+$|\d{3}(?: \d{3}){3,}$"
)
"""Dates, numbers of standards with their year, addresses of the internet, large numbers in groups of three."""
_DATE = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
_WORDS = context.words(
    "tel", "telephone", "phone", "call", "mobile", "cell", "fax", "telefon", "tél", "whatsapp", "ring", "dial"
)


def telephones(text: str, start: int, end: int) -> Iterator[Sighting]:
    """Telephone numbers in the groups of digits [start, end)."""
    for found in _NUMBER.finditer(text, max(0, start - 2), min(len(text), end + 6)):
        if _is_likely(text, found):
            yield Sighting(*found.span(), "phone", context.squeezed(found[0]))


def _is_likely(text: str, found: re.Match[str]) -> bool:
    """Two groups alone are more often a house number and a postal code, and one group is any number."""
    number = found[0]
    if "+" in number or "(" in number:
        return True
    groups = list(map(len, re.findall(r"\d+", number)))
    if _OTHER.match(number) or _DATE.search(number) or 1 in groups[1:]:
        return False
    grouped = len(groups) > 2 or (number[-5] == "-" and groups == [3, 4])
    return grouped or context.says(text, *found.span(), _WORDS)
