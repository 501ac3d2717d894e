"""Check digits.

Guarantee: each function takes ASCII digits (or capital letters, where it says so) and answers for any number of them.
Cost: about a microsecond.

Sources: ISO/IEC 7812-1 (Luhn), ISO/IEC 7064 (mod 97-10, mod 11-10, mod 11-2), J. Verhoeff (1969).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_DOUBLED = "0246813579"
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_TURNED = ("0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258")
"""Verhoeff's permutation, applied once more at each place."""


def luhn(digits: str) -> bool:
    """Whether the sum of the digits, every second one from the right doubled, ends in 0."""
    odd = sum(map(int, digits[::-2]))
    return (odd + sum(int(_DOUBLED[int(digit)]) for digit in digits[-2::-2])) % 10 == 0


def mod97(letters: str) -> bool:
    """Whether an IBAN (digits and capital letters) has right check digits."""
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1


def mod11_10(digits: str) -> bool:
    """Whether the last digit checks the others, as ISO/IEC 7064's mod 11-10 has it."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def verhoeff(digits: str) -> bool:
    """Whether the last digit checks the others: products in the group of a pentagon's symmetries."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        other = int(_TURNED[place % 8][int(digit)])
        turned = (check + other if check < 5 else check - other) % 5
        check = turned + 5 * ((check < 5) != (other < 5))
    return check == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def date(year: str, month: str, day: str) -> bool:
    """Whether a month has that day (two digits each; the year is not looked at)."""
    return 1 <= int(month) <= 12 and 1 <= int(day) <= _MONTH_DAYS[int(month) - 1] and bool(re.fullmatch(r"\d+", year))
