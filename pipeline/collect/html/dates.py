"""Dates as pages write them, in ISO 8601; those that could mean two days are none.

Guarantee: 03/04/2020 is never guessed, while 13/04/2020 has one meaning. The result is `2020`, `2020-03` or `2020-03-04`, or a
moment with seconds, and an offset where the page has one. Days that do not exist and marks for "no date" (year 1, the start of
1970) are none. Cost: a few regular expressions.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

LONGEST = 80
"""Characters of a value that may be a date."""
YEARS = range(1000, 2200)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
TIME = (
    r"(?:[T ,]+(?:at )?(?P<hour>[0-2]?[0-9]):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9])(?:[.,][0-9]{1,9})?)?"
    r"(?: ?(?P<half>[ap])\.?m\.?)? ?(?P<offset>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? )?"
FORMS = tuple(
    re.compile(form + TIME, re.IGNORECASE | re.ASCII)
    for form in (
        # The year comes first, so the month is second: that is the order everywhere.
        r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})",
        r"(?P<year>[0-9]{4})([/.])(?P<month>[0-9]{1,2})\2(?P<day>[0-9]{1,2})",
        r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})",
        r"(?P<year>[0-9]{4}) ?[年년] ?(?P<month>[0-9]{1,2}) ?[月월] ?(?P<day>[0-9]{1,2}) ?[日일]",
        rf"{WEEKDAY}(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?: of)?[ -]{MONTH},?[ -](?P<year>[0-9]{{4}})",
        rf"{WEEKDAY}{MONTH} (?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?,? (?P<year>[0-9]{{4}})",
        r"(?P<first>[0-9]{1,2})([/.-])(?P<second_of_two>[0-9]{1,2})\2(?P<year>[0-9]{4})",
    )
)
REDUCED = re.compile(r"(?P<year>[0-9]{4})(?:[-/](?P<month>[0-9]{1,2}))?")


def iso(value: str) -> str | None:
    """The date or moment in ISO 8601; None if the value is none, or not clearly one."""
    if len(value) > LONGEST:
        return None
    value = " ".join(value.split())
    if reduced := REDUCED.fullmatch(value):
        year, month = int(reduced["year"]), int(reduced["month"] or 1)
        written = f"{year}-{month:02}" if reduced["month"] else f"{year}"
        return written if year in YEARS and 1 <= month <= 12 else None
    for form in FORMS:
        if found := form.fullmatch(value):
            return _of(found.groupdict())
    return None


def _of(parts: dict[str, str | None]) -> str | None:
    name = parts.get("name")
    month, day = MONTHS.index(name[:3].lower()) + 1 if name else int(parts.get("month") or 0), int(parts.get("day") or 0)
    if "first" in parts:
        day, month = sorted((int(parts["first"] or 0), int(parts["second_of_two"] or 0)), reverse=True)
        if day <= 12 and day != month:
            return None
    hour = int(parts["hour"] or 0)
    if half := parts["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "pP" else 0)
    try:
        moment = datetime(int(parts["year"] or 0), month, day, hour, int(parts["minute"] or 0))
        moment = moment.replace(second=int(parts["second"] or 0), tzinfo=_offset(parts["offset"]))
    except ValueError:
        return None
    if moment.year not in YEARS or (moment.replace(tzinfo=None) == datetime(1970, 1, 1) and parts["hour"]):
        return None
    if parts["hour"] is None:
        return moment.date().isoformat()
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _offset(written: str | None) -> timezone | None:
    """Raises ValueError for an offset of a day or more."""
    if written is None:
        return None
    digits = re.sub(r"\D", "", written)
    size = timedelta(hours=int(digits[:2] or 0), minutes=int(digits[2:] or 0))
    return timezone(-size if written.startswith("-") else size)
