"""Identity numbers of states.

Purpose: numbers whose form and check digits tell them from others. Where one number in ten or so fits by chance, it counts only
beside words that say what it is, or in groups that nothing else is written in.
Guarantee: what is found has the form, the date and the check digits that its state publishes.
Cost: a microsecond for each country and candidate.

Sources: the states' own descriptions, as collected by python-stdnum's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tokenmill.pipeline.stages.personal import checks, context
from tokenmill.pipeline.stages.personal.checks import date, luhn, weighted
from tokenmill.pipeline.stages.personal.sighting import Sighting


@dataclass(frozen=True)
class IdentityNumber:
    """One kind of number: its form, its check over digits and capital letters, and the words beside it.

    `grouped`: whether separators make up for missing words. Without `words` the number needs neither.
    """

    form: re.Pattern[str]
    holds: Callable[[str], bool]
    words: re.Pattern[str] | None = None
    grouped: bool = False


def _number(form: str, holds: Callable[[str], bool], *words: str, grouped: bool = False) -> IdentityNumber:
    pattern = re.compile(context.NOT_INSIDE + rf"(?:{form})" + context.NOT_FOLLOWED, re.IGNORECASE)
    return IdentityNumber(pattern, holds, context.words(*words) if words else None, grouped)


_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", [1, 0, 5, 7, 9, 13, 15, 17, 19, 21] * 2 + [0] * 16, strict=True))
_ODD |= dict(zip("KLMNOPQRSTUVWXYZ", (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True))
_CURP = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"


def _modulo_11(digits: str, weights: Sequence[int]) -> bool:
    """Whether the last digit is what the weighted sum of the others lacks to a multiple of 11."""
    return (weighted(digits[:-1], weights) + int(digits[-1])) % 11 == 0


def _steuer_id(s: str) -> bool:
    counts = sorted(map(s[:10].count, set(s[:10])))
    return s[0] != "0" and counts[-1] in (2, 3) and (len(counts) < 2 or counts[-2] == 1) and checks.mod11_10(s)


def _nir(s: str) -> bool:
    return (int(s[:13].replace("2A", "19").replace("2B", "18")) + int(s[13:])) % 97 == 0


def _dni(s: str) -> bool:
    number = s[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == s[-1]


def _codice_fiscale(s: str) -> bool:
    total = sum(map(_ODD.__getitem__, s[:15:2])) + sum(int(c) if c.isdigit() else ord(c) - 65 for c in s[1:15:2])
    return chr(65 + total % 26) == s[15]


def _pesel(s: str) -> bool:
    month = f"{int(s[2:4]) % 20:02}"
    return date(s[:2], month, s[4:6]) and weighted(s, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _rijksregister(s: str) -> bool:
    dated = date(s[:2], s[2:4], s[4:6])
    return dated and 97 - int(s[9:]) in (int(s[:9]) % 97, int("2" + s[:9]) % 97)


def _cpf(s: str) -> bool:
    first = weighted(s, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(s, range(11, 1, -1)) * 10 % 11 % 10
    return len(set(s)) > 1 and s[9:] == f"{first}{second}"


def _resident(s: str) -> bool:
    total = weighted(s[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    return date(s[6:10], s[10:12], s[12:14]) and "10X98765432"[total % 11] == s[17]


def _personnummer(s: str) -> bool:
    return date(s[-10:-8], s[-8:-6], s[-6:-4]) and luhn(s[-10:])


def _fodselsnummer(s: str) -> bool:
    first = _modulo_11(s[:10], (3, 7, 6, 1, 8, 9, 4, 5, 2))
    return date(s[4:6], s[2:4], s[:2]) and first and _modulo_11(s, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))


def _hetu(s: str) -> bool:
    # Between the date and the number stands a sign or a letter for the century; `squeezed` keeps the letter.
    number = s[:6] + s[-4:-1]
    return date(s[4:6], s[2:4], s[:2]) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number) % 31] == s[-1]


def _jumin(s: str) -> bool:
    total = weighted(s[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5))
    return date(s[:2], s[2:4], s[4:6]) and (11 - total % 11) % 10 == int(s[12])


def _tckn(s: str) -> bool:
    d = [int(c) for c in s]
    return (sum(d[0:9:2]) * 7 - sum(d[1:8:2])) % 10 == d[9] and sum(d[:10]) % 10 == d[10]


def _curp(s: str) -> bool:
    total = sum(_CURP.index(letter) * (18 - place) for place, letter in enumerate(s[:17]))
    return date(s[4:6], s[6:8], s[8:10]) and (10 - total % 10) % 10 == int(s[17])


def _cnp(s: str) -> bool:
    rest = weighted(s[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return date(s[1:3], s[3:5], s[5:7]) and int(s[12]) == (1 if rest == 10 else rest)


def _tfn(s: str) -> bool:
    return weighted(s, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _bsn(s: str) -> bool:
    return (weighted(s[:8], range(9, 1, -1)) - int(s[8])) % 11 == 0


def _za(s: str) -> bool:
    return date(s[:2], s[2:4], s[4:6]) and luhn(s)


NUMBERS: Mapping[str, tuple[IdentityNumber, ...]] = MappingProxyType(
    {
        "au": (_number(r"\d{3} ?\d{3} ?\d{3}", _tfn, "tfn", "tax file number"),),
        "be": (_number(r"\d{2}\.?\d{2}\.?\d{2}-?\d{3}\.?\d{2}", _rijksregister),),
        "br": (_number(r"\d{3}\.\d{3}\.\d{3}-\d{2}|\d{11}", _cpf, "cpf", grouped=True),),
        "ca": (_number(r"\d{3}[ -]?\d{3}[ -]?\d{3}", luhn, "sin", "nas", "social insurance number"),),
        "cn": (_number(r"[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[\dX]", _resident),),
        "de": (
            _number(
                r"\d{2} \d{3} \d{3} \d{3}|\d{11}",
                _steuer_id,
                *("idnr", "steuer-?id", "tin", "steuerliche identifikationsnummer", "steueridentifikationsnummer"),
                grouped=True,
            ),
        ),
        "es": (
            _number(r"\d{8}-?[A-Z]|\d{2}\.\d{3}\.\d{3}-?[A-Z]", _dni, "dni", "nif", grouped=False),
            _number(r"[XYZ]-?\d{7}-?[A-Z]", _dni),
        ),
        "fi": (_number(r"[0-3]\d[01]\d{3}[-+A-FU-Y]\d{3}[0-9A-Y]", _hetu),),
        "fr": (_number(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", _nir),),
        "gb": (
            _number(r"\d{3}[ -]?\d{3}[ -]?\d{4}", lambda s: _modulo_11(s, range(10, 1, -1)), "nhs"),
            _number(
                r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: \d{2} \d{2} \d{2} |\d{6})[A-D]",
                lambda s: True,
                *("nino", "ni", "national insurance"),
                grouped=True,
            ),
        ),
        "in": (_number(r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", checks.verhoeff, "aadhaar", "aadhar", "uidai", "uid", "आधार"),),
        "it": (_number(r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]", _codice_fiscale),),
        "kr": (_number(r"\d{6}-[1-8]\d{6}", _jumin),),
        "mx": (_number(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", _curp),),
        "nl": (_number(r"\d{9}|\d{4}\.\d{2}\.\d{3}", _bsn, "bsn", "burgerservicenummer"),),
        "no": (_number(r"\d{6} ?\d{5}", _fodselsnummer),),
        "pl": (_number(r"\d{11}", _pesel, "pesel"),),
        "ro": (_number(r"[1-9]\d{12}", _cnp, "cnp"),),
        "se": (_number(r"(?:19|20)?\d{6}[-+]\d{4}|(?:19|20)?\d{10}", _personnummer, "personnummer", "pnr", grouped=True),),
        "tr": (_number(r"[1-9]\d{10}", _tckn, "t\\.?c\\.?", "tckn", "kimlik"),),
        "za": (_number(r"\d{6} ?\d{4} ?[01]\d{2}", _za, "id(?: number)?", "identity"),),
    }
)
"""By country, as ISO 3166 writes it in small letters."""

_SSN = re.compile(
    context.NOT_INSIDE + r"(?!000|666|9)\d{3}(?P<mark>[ -]?)(?!00)\d{2}(?P=mark)(?!0000)\d{4}" + context.NOT_FOLLOWED
)
_SSN_WORDS = context.words("ssn", "ssns", "social security(?: number| no| card)?", "soc\\.? sec")
_SSN_SHOWN = frozenset({"078051120", "219099999"})
"""Numbers printed on sample cards; they belong to nobody."""


def ssns(text: str, start: int, end: int) -> Iterator[Sighting]:
    """Social security numbers of the United States in the groups of digits [start, end).

    Their check is their form alone: with hyphens it is enough, else a word has to say what they are.
    """
    for found in _SSN.finditer(text, start, min(len(text), end + 2)):
        digits = context.squeezed(found[0])
        if digits not in _SSN_SHOWN and (found["mark"] == "-" or context.says(text, *found.span(), _SSN_WORDS)):
            yield Sighting(*found.span(), "ssn", digits)


def identity_numbers(text: str, start: int, end: int, countries: Sequence[str]) -> Iterator[Sighting]:
    """Identity numbers of these countries (of all, if none is named) around [start, end)."""
    for country in countries or NUMBERS:
        for number in NUMBERS[country]:
            for found in number.form.finditer(text, max(0, start - 3), min(len(text), end + 6)):
                value = context.squeezed(found[0])
                if number.holds(value) and _is_said(text, found, number):
                    yield Sighting(*found.span(), "national_id", value)


def _is_said(text: str, found: re.Match[str], number: IdentityNumber) -> bool:
    """Whether a number is what it looks like: by words beside it, or by its groups, where these are enough."""
    if number.words is None or (number.grouped and not found[0].isalnum()):
        return True
    return context.says(text, *found.span(), number.words)
