"""Payment cards and bank accounts.

Guarantee: a card has an issuer's prefix and one of its lengths, or a word such as card beside it; groups as on cards, and a
right check digit. An IBAN has the length of its country and right check digits.
Cost: a few microseconds for each number.

Sources: ISO/IEC 7812 prefixes as issuers publish them; the IBAN registry (SWIFT, release 101).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tokenmill.pipeline.stages.personal import checks, context
from tokenmill.pipeline.stages.personal.sighting import Sighting

_CARD = re.compile(
    context.NOT_INSIDE + r"(?:\d{4}(?P<mark>[ -])\d{4}(?P=mark)\d{4}(?P=mark)\d{1,4}(?:(?P=mark)\d{1,3})?"
    r"|3\d{3}(?P<sign>[ -])\d{6}(?P=sign)\d{4,5}|\d{12,19})" + context.NOT_FOLLOWED
)
_ISSUERS = (
    *(("4", "4", (13, 16, 19)), ("51", "55", (16,)), ("2221", "2720", (16,)), ("34", "34", (15,)), ("37", "37", (15,))),
    *(("300", "305", (14,)), ("36", "36", (14,)), ("38", "39", (14,)), ("3528", "3589", (16, 17, 18, 19))),
    *(("1800", "1800", (15,)), ("2131", "2131", (15,)), ("2200", "2204", (16, 17, 18, 19)), ("62", "62", (16, 17, 18, 19))),
    *(("60", "60", (16,)), ("64", "65", (16, 17, 18, 19)), ("81", "82", (16,)), ("9792", "9792", (16,))),
    *(("5018", "5020", tuple(range(12, 20))), ("5038", "5038", tuple(range(12, 20))), ("508", "508", (16,))),
    *(("5893", "5893", tuple(range(12, 20))), ("6304", "6304", tuple(range(12, 20)))),
    *(("6759", "6759", tuple(range(12, 20))), ("6761", "6763", tuple(range(12, 20))), ("0604", "0604", tuple(range(12, 20)))),
)
"""Lowest and highest prefix, and lengths: Visa, Mastercard, American Express, Diners Club, JCB, Mir, UnionPay, RuPay and
Discover, Troy, Maestro."""

IBAN_CHARACTERS: Mapping[str, int] = MappingProxyType(
    {
        country: size
        for size, countries in {
            15: "NO",
            16: "BE",
            18: "DK FI FK FO GL NL SD",
            19: "MK SI",
            20: "AT BA EE KZ LT LU MN XK",
            21: "CH HR LI LV",
            22: "BG BH CR DE GB GE IE ME RS VA",
            23: "AE GI IL IQ OM SO TL",
            24: "AD CZ ES MD PK RO SA SE SK TN VG",
            25: "LY PT ST",
            26: "IS TR",
            27: "BI DJ FR GR IT MC MR SM",
            28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
            29: "BR EG PS QA UA",
            30: "JO KW MU YE",
            31: "MT SC",
            32: "LC",
            33: "RU",
        }.items()
        for country in countries.split()
    }
)
"""The length of a country's IBAN."""

_BETWEEN = " -\r\n"
"""Characters between groups of an IBAN: one of them, or the two of a line's end."""
_CARD_WORDS = context.words(
    "(?:credit|debit|bank)?cards?",
    "cc",
    "visa",
    "mastercard",
    "maestro",
    "jcb",
    "(?:kredit)?karte",
    "carte",
    "tarjeta",
    "carta",
)


def cards(text: str, start: int, end: int) -> Iterator[Sighting]:
    """Payment cards in the groups of digits [start, end). Beside a word such as card, any issuer counts."""
    at = start
    while (found := _CARD.search(text, at, end + 2)) is not None and found.start() < end:
        stop = _card_end(found)
        if stop:
            yield Sighting(found.start(), stop, "card", context.squeezed(text[found.start() : stop]))
        at = stop or found.start() + 1


def _card_end(found: re.Match[str]) -> int:
    """Where the card ends that the match begins with; 0 if it is none. A last group may belong to what comes behind it."""
    ends = [found.end()]
    if found["mark"] and found[0].count(found["mark"]) == 4:
        ends.append(found.start() + 19)
    return next((end for end in ends if _is_card(found.string, found.start(), end)), 0)


def _is_card(text: str, start: int, end: int) -> bool:
    digits = context.squeezed(text[start:end])
    if len(set(digits)) == 1 or not checks.luhn(digits):
        return False
    known = any(low <= digits[: len(low)] <= high and len(digits) in sizes for low, high, sizes in _ISSUERS)
    return known or (digits[0] in "23456" and context.says(text, start, end, _CARD_WORDS))


def ibans(text: str, start: int, end: int) -> Iterator[Sighting]:
    """The bank account number that begins at `start`, written as one word or in groups of four, also over the end of a line."""
    size = IBAN_CHARACTERS.get(text[start : start + 2].upper())
    if size is None or not context.begins(text, start):
        return
    letters, at = "", start
    while len(letters) < size and at < len(text):
        if text[at].isascii() and text[at].isalnum():
            letters += text[at].upper()
        elif text[at] not in _BETWEEN or len(letters) % 4 or (text[at - 1] in _BETWEEN and text[at - 1 : at + 1] != "\r\n"):
            return
        at += 1
    if len(letters) == size and context.ends(text, at) and checks.mod97(letters):
        yield Sighting(start, at, "iban", letters)
