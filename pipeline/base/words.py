"""Format numbers and hostile text for readers.

Purpose: one spelling of counts, sizes and shares, and a form of untrusted text that is visible and harmless.
Guarantee: the output holds no character that is invisible by design, or that reorders or ends its line: NUL, other controls,
bidirectional controls and the like are named by their code point. The table is written out here instead of asking
`unicodedata`, so that every version of Python gives the same bytes.
Cost: O(characters shown).
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Controls except tab and line feed, bidirectional controls, zero-width spaces, separators, noncharacters, tags.

The two joiners (U+200C, U+200D) stay as they are: many scripts and emoji are written with them.
"""

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
NARROW_SPACE = "\u202f"


def count(number: int) -> str:
    """1234567 -> 1,234,567"""
    return f"{number:,}"


def many(number: int, noun: str) -> str:
    """1, "document" -> 1 document; 1234, "document" -> 1,234 documents"""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def size(number_bytes: float) -> str:
    """1234567 -> 1.23 MB, in powers of 1,000 with three digits."""
    value, unit = float(number_bytes), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{digits}f}{NARROW_SPACE}{UNITS[unit]}"


def amount(number_bytes: float) -> str:
    """Like `size`, with a common space, for terminals and messages."""
    return size(number_bytes).replace(NARROW_SPACE, " ")


def trimmed(number_bytes: float) -> str:
    """Like `size`, but without zeros at the end, for axes: 2000 -> 2 kB."""
    value, unit = size(number_bytes).split(NARROW_SPACE)
    return f"{value.rstrip('0').rstrip('.') if '.' in value else value}{NARROW_SPACE}{unit}"


def rough(number: float) -> str:
    """1234567 -> 1,230,000: an estimate, with three digits."""
    return f"{float(f'{number:.3g}'):,.0f}"


def signed(number: int) -> str:
    """1234 -> +1,234; 0 -> 0; a loss has the sign for minus."""
    return f"+{number:,}" if number > 0 else f"\u2212{-number:,}" if number else "0"


def share(part: float, whole: float) -> str:
    """The part in percent; a dash if the whole is 0. A part that is not 0 or 100 % is never rounded to it."""
    if not whole:
        return "\u2013"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return f"<{NARROW_SPACE}0.1{NARROW_SPACE}%"
    if 99.9 < percent < 100:
        return f">{NARROW_SPACE}99.9{NARROW_SPACE}%"
    return f"{percent:.1f}{NARROW_SPACE}%"


def ratio(part: float, whole: float, digits: int = 2) -> str:
    """part / whole, or a dash."""
    return f"{part / whole:,.{digits}f}" if whole else "\u2013"


def number(value: float) -> str:
    """A threshold or an axis label, as short as possible: 50 -> 50, 0.10 -> 0.1, 100000 -> 100,000."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"


def clip(text: str, characters: int) -> str:
    """At most `characters` characters. An ellipsis marks a cut."""
    return text if len(text) <= characters else text[: characters - 1] + "\u2026"


def visible(text: str) -> Markup:
    """Escaped text in which hidden characters are shown as their code points."""
    # HIDDEN holds nothing that needs escaping, and no escape holds anything of HIDDEN.
    return Markup(HIDDEN.sub(lambda found: f'<span class="ctl">U+{ord(found[0]):04X}</span>', str(escape(text))))


def plain(text: str) -> str:
    """Like `visible`, where no markup is possible, as in a drawing: hidden characters become <U+0000>."""
    return HIDDEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", text).replace("\n", " ").replace("\t", " ")


def raw(data: bytes) -> str:
    r"""Bytes as text: valid UTF-8 as it is, other bytes as `\xff`."""
    return data.decode("utf-8", errors="backslashreplace")


def address(url: str) -> str:
    """A URL without user, password, query and fragment, because these may hold secrets."""
    scheme, separator, rest = re.split("[?#]", url, maxsplit=1)[0].partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
