"""The part of a document that a reader sees: its beginning, or what is around the passages that made a rule fire.

Guarantee: the pieces come from the text, in order; together they have at most as many characters as asked for. Places that are
left out are marked. Cost: that of finding the passages, once for each document shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenmill.pipeline.stages.criteria import Spans

CHARACTERS = 2_000
"""Most characters of a document that are shown."""
HEAD = 200
"""Characters from the beginning that are shown where the passages are far from it."""
BEFORE, AFTER = 60, 140
"""Characters around a passage."""
FAR = 0.75
"""Passages are far if the first begins after this share of the characters."""


@dataclass(frozen=True, kw_only=True)
class ExcerptPart:
    """A part of the text. `marked`: a passage that made the rule fire. `gap`: text is left out before it."""

    text: str
    marked: bool = False
    gap: bool = False


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """`cut`: the text goes on after the last piece. `passages`: how many there are in the text, shown or not."""

    pieces: tuple[ExcerptPart, ...]
    cut: bool
    passages: int = 0


def excerpt(text: str, spans: Spans | None = None, *, cut: bool = False, characters: int = CHARACTERS) -> Excerpt:
    """At most `characters` of a text, with its passages marked. `cut`: the text itself is the beginning of a longer one."""
    spans = [(start, end) for start, end in spans or () if end > start]
    if len(text) <= characters or not spans or spans[0][0] < FAR * characters:
        windows = [(0, min(len(text), characters))]
    else:
        windows = _windows(text, spans, characters)
    pieces: list[ExcerptPart] = []
    for number, (start, end) in enumerate(windows):
        pieces += _marked(text, start, end, spans, gap=number > 0)
    return Excerpt(pieces=tuple(pieces), cut=cut or windows[-1][1] < len(text), passages=len(spans))


def _windows(text: str, spans: Spans, characters: int) -> list[tuple[int, int]]:
    """The beginning, and parts around the first passages, disjoint and in order."""
    head = min(HEAD, characters // 4)
    windows, room = [(0, head)], characters - head
    for start, end in spans:
        last = windows[-1][1]
        begin, stop = max(last, start - BEFORE), min(len(text), end + AFTER)
        stop = min(stop, begin + room)
        if stop <= begin:
            continue
        if begin == last:
            windows[-1] = (windows[-1][0], stop)
        else:
            windows.append((begin, stop))
        room -= stop - begin
        if room <= 0:
            break
    return windows


def _marked(text: str, start: int, end: int, spans: Spans, *, gap: bool) -> list[ExcerptPart]:
    """text[start:end] as pieces."""
    cuts: list[ExcerptPart] = []
    at = start
    for first, last in spans:
        first, last = max(first, start), min(last, end)
        if first >= last:
            continue
        if first > at:
            cuts.append(ExcerptPart(text=text[at:first]))
        cuts.append(ExcerptPart(text=text[first:last], marked=True))
        at = last
    if at < end or not cuts:
        cuts.append(ExcerptPart(text=text[at:end]))
    return [ExcerptPart(text=cuts[0].text, marked=cuts[0].marked, gap=gap), *cuts[1:]]
