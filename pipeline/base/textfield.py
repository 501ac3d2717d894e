"""What `text_field` names: a column, a column within columns, or several that are joined.

Purpose: `text`; `doc.body` for the column `body` of the objects in `doc`; `title + "\\n\\n" + body` for two columns with an
empty line between them. A string between quotes is written as in JSON.
Guarantee: a column whose own name has dots comes before a path of that spelling. A column that is not there is an error, never
an empty text. Columns without a value leave no separator behind: a string stands only between two columns that hold
something, and before the first or after the last one only if this does.
Cost: a look-up for each column.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import RecordError

PART = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s"](?:[^"]*?[^\s"])??)\s*(?:\s\+(?=\s)|\Z)')
JOINED = re.compile(r'\s\+\s|"')
MOST_COMPARED = 1_000
"""Names that are compared with one that is missing, which takes 10 us each."""


@dataclass(frozen=True, kw_only=True)
class TextField:
    """A parsed `text_field`. `columns`: names. `literals`: strings before, between and after them, one more than columns."""

    columns: tuple[str, ...]
    literals: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it names one column, and nothing beside it."""
        return len(self.columns) == 1 and not any(self.literals)

    def text(self, row: Mapping[str, Any]) -> str | None:
        """The text in a record; None if all columns are null. Raises RecordError (no_text) that says what is wrong."""
        return self.joined([_text(row, name) for name in self.columns])

    def joined(self, values: Sequence[str | None]) -> str | None:
        """The text out of the values of the columns."""
        if self.is_plain:
            return values[0]
        if all(value is None for value in values):
            return None
        parts: list[str] = []
        for number, value in enumerate(values):
            before = number == 0 or values[number - 1]
            parts += (self.literals[number] if value and before else "", value or "")
        return "".join((*parts, self.literals[-1] if values[-1] else ""))

    def without(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record without the columns of the text, for its metadata."""
        if self.is_plain and self.columns[0] in row:
            # What makes the metadata leaves out the column that `text_field` names.
            return row
        for name in self.columns:
            row = _without(row, name, steps(name, row))
        return row


@functools.lru_cache(maxsize=64)
def parse(text_field: str) -> TextField:
    """The columns and strings that a `text_field` names. Raises ValueError."""
    if not JOINED.search(text_field):
        return TextField(columns=(text_field,), literals=("", ""))
    columns: list[str] = []
    literals = [""]
    at = 0
    while at < len(text_field):
        part = PART.match(text_field, at)
        if part is None:
            raise ValueError(f"text_field {text_field!r}: write columns and strings, as in {EXAMPLE}")
        at = part.end()
        if part[1].startswith('"'):
            literals[-1] += _literal(part[1], text_field)
        else:
            columns.append(part[1])
            literals.append("")
    if not columns or text_field.rstrip().endswith(" +"):
        raise ValueError(f"text_field {text_field!r} names no column, or ends in +; write for example {EXAMPLE}")
    return TextField(columns=tuple(columns), literals=tuple(literals))


EXAMPLE = 'title + "\\n\\n" + body'


def _literal(quoted: str, text_field: str) -> str:
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError as error:
        raise ValueError(f"text_field {text_field!r}: {quoted} is no string as in JSON; write for example {EXAMPLE}") from error


def steps(name: str, present: Any) -> tuple[str, ...]:
    """The names of a column and of those around it, outermost first. `present`: the names of the outermost columns."""
    return (name,) if name in present else tuple(name.split("."))


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value: Any = row
    path = steps(name, row)
    for depth, step in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise _no_text(".".join(path[:depth]), value, f"no object with a field {step!r}")
        if step not in value:
            above = "".join(f"{one}." for one in path[:depth])
            raise no_such("field", name, [above + one for one in value], reason="no_text")
        value = value[step]
    if value is None or isinstance(value, str):
        return value
    raise _no_text(name, value, "not text")


def _no_text(name: str, value: Any, wanted: str) -> RecordError:
    advice = "; join its parts to one string, or name another field as text_field" if isinstance(value, list) else ""
    return RecordError("no_text", f"the field {name!r} holds a {type(value).__name__}, {wanted}{advice}")


def _without(row: Mapping[str, Any], name: str, path: tuple[str, ...]) -> Mapping[str, Any]:
    first, *below = path
    if first not in row:
        return row
    rest = {key: value for key, value in row.items() if key != first}
    inner = row[first]
    if below and isinstance(inner, Mapping) and (kept := _without(inner, name, tuple(below))):
        rest[first] = kept
    return rest


def no_such(kind: str, name: str, present: list[str], *, reason: str) -> RecordError:
    """The error of a record or a table without the column with the text: it says the most similar name, and those that exist.

    `kind`: "field" or "column", as the format calls it.
    """
    near = spelling.nearest(name, present[:MOST_COMPARED])
    shown = sorted(present)[:12]
    hint = f"did you mean {near!r}? There are: " if near else "there are: "
    said = f"{hint}{', '.join(shown)}" if shown else "there are none"
    return RecordError(reason, f"no {kind} {name!r}; {said}", instead=near or (shown[0] if shown else ""))
