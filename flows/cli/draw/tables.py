"""Fits tables to the width of a terminal, and shows characters that would control it.

Guarantee: every heading and every cell is printed whole, at any width. Cost: measuring each table once.
"""

from __future__ import annotations

import unicodedata
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNLIMITED = 10_000
"""Columns that count as no limit."""
KEPT = "\n\t"
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of the text behind them."""


def fitted(table: Table, console: Console, width: int | None) -> RenderableType:
    """The table, if its narrowest form fits; else its rows as blocks of `heading: cell`.

    width: in columns; None: no limit.
    """
    for column in table.columns:
        # A column of words gives way, but not to single characters.
        column.min_width = column.min_width or min(20, max((len(str(cell)) for cell in column.cells), default=0))
    needed = Measurement.get(console, console.options.update(max_width=UNLIMITED), table)
    if width is None:
        table.width = needed.maximum
        return table
    return table if needed.minimum <= width else _blocks(table, width)


def _blocks(table: Table, width: int) -> Text:
    headings = [str(column.header) for column in table.columns]
    rows = zip_longest(*(list(column.cells) for column in table.columns), fillvalue="")
    lines = []
    for row in rows:
        first, *rest = (str(cell) for cell in row)
        lines.append(Text(first, style="bold"))
        pairs = zip(headings[1:], rest, strict=True)
        line = ""
        for part in (f"{heading}: {cell}" if heading else cell for heading, cell in pairs if cell):
            if line and cell_len(f"  {line}, {part}") > width:
                lines.append(Text(f"  {line},"))
                line = ""
            line = f"{line}, {part}" if line else part
        lines.append(Text(f"  {line}"))
    return Text("\n").join(lines)


def visible(text: str) -> str:
    """A text with its control characters, and those that turn the direction of writing, as escapes."""
    if text.isprintable():
        return text
    return "".join(character.encode("unicode_escape").decode() if _controls(character) else character for character in text)


def _controls(character: str) -> bool:
    return character in TURNING or (unicodedata.category(character) == "Cc" and character not in KEPT)
