"""Finds personal data in a column of texts: anchors by a kernel, values by the validators of each kind.

Purpose: the stage and everything that shows a text ask this module.
Guarantee: the values of a text are disjoint and in order. They depend on the text and on what is looked for, on nothing else.
Cost: the kernel's pass, and 2 to 20 microseconds for each anchor.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.kernels.personal import anchors
from tokenmill.pipeline.kernels.text import buffers
from tokenmill.pipeline.stages.personal import context
from tokenmill.pipeline.stages.personal.bank import cards, ibans
from tokenmill.pipeline.stages.personal.email import emails
from tokenmill.pipeline.stages.personal.internet import ipv4, ipv6
from tokenmill.pipeline.stages.personal.keys import keys
from tokenmill.pipeline.stages.personal.national import identity_numbers, ssns
from tokenmill.pipeline.stages.personal.settings import KINDS, Kind, PersonalConfig
from tokenmill.pipeline.stages.personal.sighting import Sighting
from tokenmill.pipeline.stages.personal.telephone import telephones

AROUND_BYTES: Mapping[int, tuple[int, int]] = MappingProxyType(
    {
        anchors.AT: (1_100, 1_100),
        anchors.NUMBER: (120, 60),
        anchors.WORD: (120, 60),
        anchors.COLONS: (40, 40),
        anchors.KEY: (40, 15_000),
    }
)
"""What the validators see of the text before and behind an anchor."""


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What is looked for."""

    kinds: tuple[Kind, ...]
    public_only: bool = True
    countries: tuple[str, ...] = ()


class PersonalValue(NamedTuple):
    """One value: [start, end) in bytes of its text, its kind, and the value in the form that a pseudonym is made of."""

    start: int
    end: int
    kind: Kind
    value: str


def sought(config: PersonalConfig) -> Sought:
    """What these settings look for."""
    return Sought(kinds=config.looked_for, public_only=config.public_only, countries=config.countries)


def findings(column: pa.LargeStringArray, sought: Sought) -> list[list[PersonalValue]]:
    """The values in each text."""
    data, offsets = buffers.utf8(column)
    found: list[list[PersonalValue]] = [[] for _ in range(len(column))]
    for row, kind, start, end in anchors_of(data, offsets, "phone" in sought.kinds):
        found[row] += _values(data, offsets[row : row + 2].tolist(), kind, start, end, sought)
    return [_disjoint(one, sought.kinds) if one else one for one in found]


def _sightings(anchor: int, text: str, start: int, end: int, sought: Sought) -> Iterator[Sighting]:
    """What the validators find around an anchor of that kind."""
    if anchor == anchors.AT:
        yield from emails(text, start, end)
    elif anchor == anchors.KEY:
        yield from keys(text, start, end)
    elif anchor == anchors.COLONS:
        yield from ipv6(text, start, end, sought.public_only)
    else:
        text = context.plain(text)
        if anchor == anchors.WORD:
            yield from ibans(text, start, end)
        else:
            yield from cards(text, start, end)
            yield from ssns(text, start, end)
            yield from ipv4(text, start, end, sought.public_only)
            if "phone" in sought.kinds:
                yield from telephones(text, start, end)
        if "national_id" in sought.kinds:
            yield from identity_numbers(text, start, end, sought.countries)


def anchors_of(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], every: bool) -> Iterator[tuple[int, int, int, int]]:
    """The anchors: row, kind, start, end."""
    classes, (words, starts) = anchors.classes(), anchors.key_words()
    count = 1_024 + int(offsets[-1] - offsets[0]) // 256
    while True:
        rows, begins, ends = np.empty((3, count), dtype=np.int64)
        kinds = np.empty(count, dtype=np.uint8)
        found = anchors.anchors(data, offsets, every, classes, words, starts, rows, kinds, begins, ends)
        if found <= count:
            return zip(*(one[:found].tolist() for one in (rows, kinds, begins, ends)), strict=True)
        count = found


def _values(
    data: npt.NDArray[np.uint8], bounds: Sequence[int], anchor: int, start: int, end: int, sought: Sought
) -> Iterator[PersonalValue]:
    """What is found in the text around an anchor, in bytes of the text."""
    first, stop = bounds
    before, behind = AROUND_BYTES[anchor]
    low, high = max(first, first + start - before), min(stop, first + end + behind)
    while low > first and data[low] & 0xC0 == 0x80:
        low -= 1
    while high < stop and data[high] & 0xC0 == 0x80:
        high += 1
    shift = low - first
    content = data[low:high].tobytes()
    text = content.decode()
    if len(text) == len(content):
        for one in _sightings(anchor, text, start - shift, end - shift, sought):
            yield PersonalValue(one.start + shift, one.end + shift, one.kind, one.value)
        return
    place = len(content[: start - shift].decode())
    for one in _sightings(anchor, text, place, place + len(content[start - shift : end - shift].decode()), sought):
        begin = shift + len(text[: one.start].encode())
        yield PersonalValue(begin, begin + len(text[one.start : one.end].encode()), one.kind, one.value)


def _disjoint(found: list[PersonalValue], kinds: Sequence[Kind]) -> list[PersonalValue]:
    """Those of `kinds`; of values that overlap, those of the earlier kind, then the longer, then the earlier."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    taken: list[PersonalValue] = []
    for one in sorted({one for one in found if one.kind in kinds}, key=lambda one: (order[one.kind], one.start - one.end, one)):
        at = bisect(taken, one.start, key=lambda other: other.start)
        if (at == 0 or taken[at - 1].end <= one.start) and (at == len(taken) or one.end <= taken[at].start):
            taken.insert(at, one)
    return taken
