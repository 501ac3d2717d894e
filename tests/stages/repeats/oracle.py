"""Plain Python twins of the stage `repeats`: split, count, take out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig

NEWLINES = {"lines": 1, "paragraphs": 2}


@dataclass(frozen=True)
class Unit:
    """A unit of a text: without white space around it, and its bytes with it; the newlines before and after."""

    text: str
    start: int
    end: int
    before: int
    after: int


def parts(text: str, unit: str) -> list[str]:
    """Units and the newlines between them in turn."""
    return re.split(f"(\n{{{NEWLINES[unit]},}})", text)


def split(text: str, unit: str, min_characters: int) -> tuple[list[Unit], int]:
    """The units, and the bytes of the other parts."""
    pieces = ["", *parts(text, unit), ""]
    found, rest, at = [], 0, 0
    for before, piece, after in zip(pieces[::2], pieces[1::2], pieces[2::2], strict=False):
        bare, size = piece.strip(), len(piece.encode())
        if len(bare) >= min_characters and any(map(str.isalnum, bare)):
            found.append(Unit(bare, at, at + size, len(before), len(after)))
        else:
            rest += len(bare.encode())
        at += size + len(after)
    return found, rest


def without(text: str, unit: str, gone: set[str]) -> str:
    """The text without the units `gone`."""
    pieces = parts(text, unit)
    left = ""
    at = 0
    while at < len(pieces):
        if pieces[at].strip() not in gone:
            left += pieces[at] + "".join(pieces[at + 1 : at + 2])
            at += 2
            continue
        # The newlines before the run are what `left` ends with.
        before = pieces[at - 1] if at else ""
        while pieces[at].strip() in gone and at + 2 < len(pieces) and pieces[at + 2].strip() in gone:
            at += 2
        after = pieces[at + 1] if at + 1 < len(pieces) else ""
        nothing_before = left == before
        nothing_after = "".join(pieces[at + 2 :]) == ""
        left = left.removesuffix(before)
        if not nothing_before and not nothing_after:
            left += max(before, after, key=len)
        at += 2
    return left


@dataclass
class Found:
    """What is known of a repeated unit."""

    documents: int = 0
    occurrences: int = 0
    removed: int = 0
    removed_bytes: int = 0
    first: tuple[str, int] = ("", 0)


def expected(
    texts: Mapping[str, Sequence[str]], config: RepeatsConfig
) -> tuple[dict[tuple[str, int], str | None], dict[tuple[str, str], Found]]:
    """Of every document (shard, row) what is left, None where it is dropped; of every (source, unit) what is known."""
    left: dict[tuple[str, int], str | None] = {}
    table: dict[tuple[str, str], Found] = {}
    for source in dict.fromkeys(name.split("/")[0] for name in texts):
        documents = [(name, row) for name in texts if name.split("/")[0] == source for row in range(len(texts[name]))]
        units = {(name, row): split(texts[name][row], config.unit, config.min_characters)[0] for name, row in documents}
        known: dict[str, Found] = {}
        for document in documents:
            for text in dict.fromkeys(unit.text for unit in units[document]):
                found = known.setdefault(text, Found(first=document))
                found.documents += 1
                found.occurrences += sum(unit.text == text for unit in units[document])
        repeated = {
            text: found
            for text, found in known.items()
            if found.documents >= config.min_documents
            and Fraction(found.documents, len(documents)) >= Fraction(str(config.min_share))
        }
        for name, row in documents:
            gone = {text for text, found in repeated.items() if not (config.keep_first and found.first == (name, row))}
            for unit in units[name, row]:
                if unit.text in gone:
                    repeated[unit.text].removed += 1
                    repeated[unit.text].removed_bytes += unit.end - unit.start
            text = texts[name][row]
            rest = without(text, config.unit, gone)
            left[name, row] = rest if rest.strip() or not gone & {unit.text for unit in units[name, row]} else None
        table |= {(source, text): found for text, found in repeated.items()}
    return left, table
