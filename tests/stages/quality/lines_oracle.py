"""The plain Python twin of the line rules of C4 (Raffel et al. 2020, section 2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.kernels import word_oracle as splitter
from tokenmill.pipeline.stages.quality.lines import LineRules

_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_TERMINAL = (".", "?", "!", '"', "'")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

Span = tuple[int, int]


@dataclass(frozen=True)
class Left:
    """What the line rules left of a page. `edits`: (start, end, replacement) in bytes of the page, sorted and disjoint."""

    text: str
    edits: list[tuple[int, int, str]]
    lorem_ipsum_lines: int
    curly_bracket_lines: int
    sentences: int


def leave(text: str, rules: LineRules) -> Left:
    """Apply the line rules. A line that is removed by an earlier rule is not counted by a later one."""
    kept: list[list[Span]] = []
    lorem = curly = count = 0
    for start, end in _lines(text):
        spans = list(_without_citations(text, start, end)) if rules.no_citations else [(start, end)]
        found = text[start:end].split()
        if rules.max_line_word_characters is not None and any(len(word) > rules.max_line_word_characters for word in found):
            continue
        line = "".join(text[a:b] for a, b in spans)
        if rules.terminal_punctuation and (not line.endswith(_TERMINAL) or line.endswith("...")):
            continue
        if rules.min_line_words is not None and len(found) < rules.min_line_words:
            continue
        lower = line.lower()
        lorem += "lorem ipsum" in lower
        if rules.no_javascript and "javascript" in lower:
            continue
        curly += "{" in line
        if rules.no_policy and any(phrase in lower for phrase in _POLICY):
            continue
        count += splitter.sentences(splitter.words(line))
        kept.append(spans)
    pieces = _trimmed(text, [(a, b, i == 0) for spans in kept for i, (a, b) in enumerate(spans)])
    left = "".join(("\n" if first and at else "") + text[a:b] for at, (a, b, first) in enumerate(pieces))
    edits = _in_bytes(text, list(_gaps(text, pieces)))
    return Left(text=left, edits=edits, lorem_ipsum_lines=lorem, curly_bracket_lines=curly, sentences=count)


def _lines(text: str) -> Iterator[Span]:
    """Each line without the white space around it. Lines end where `str.splitlines` says."""
    position = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        start = position + len(line) - len(line.lstrip()) if bare else position
        yield start, start + len(bare)
        position += len(line)


def _without_citations(text: str, start: int, end: int) -> Iterator[Span]:
    """What stands between citations; at least one span, so that a line of nothing else is still a line."""
    for mark in _CITATION.finditer(text, start, end):
        if mark.start() > start:
            yield start, mark.start()
        start = mark.end()
    yield start, end


def _trimmed(text: str, pieces: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    """The pieces without white space at the start of the first and at the end of the last."""
    first, last = 0, len(pieces)
    while first < last and not text[pieces[first][0] : pieces[first][1]].strip():
        first += 1
    while first < last and not text[pieces[last - 1][0] : pieces[last - 1][1]].strip():
        last -= 1
    pieces = pieces[first:last]
    if pieces:
        start, end, begins = pieces[0]
        pieces[0] = (end - len(text[start:end].lstrip()), end, begins)
        start, end, begins = pieces[-1]
        pieces[-1] = (start, start + len(text[start:end].rstrip()), begins)
    return pieces


def _gaps(text: str, pieces: list[tuple[int, int, bool]]) -> Iterator[tuple[int, int, str]]:
    """What to take out between the pieces, in characters; of a gap between lines one newline stays."""
    position = 0
    for at, (start, end, begins) in enumerate(pieces):
        if at and begins:
            newline = text.find("\n", position, start)
            if newline < 0:
                yield position, start, "\n"
            else:
                yield position, newline, ""
                yield newline + 1, start, ""
        else:
            yield position, start, ""
        position = end
    yield position, len(text), ""


def _in_bytes(text: str, edits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The edits that do something, said in bytes of the text's UTF-8."""
    edits = [edit for edit in edits if edit[0] < edit[1] or edit[2]]
    if not edits or text.isascii():
        return edits
    data = np.frombuffer(text.encode(), np.uint8)
    byte_of = np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data))
    return [(int(byte_of[start]), int(byte_of[end]), replacement) for start, end, replacement in edits]
