"""The text of kept blocks put together: plain, or as Markdown.

Purpose: paragraphs, headings, nested lists, tables, code with its indentation, quotes and line breaks as readers know them.
Guarantee: each kept block is written once, in the order of the page. Plain text has no character that the page does not show,
but for white space and the `$` around TeX. Markdown marks structure alone: not bold or italic text, not links, and no sign of
the text is escaped.
Cost: a microsecond or two for each kept block. Memory: the result, and the blocks of one table or one piece of code.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html import code, kept, tables
from tokenmill.pipeline.collect.html.kept import KeptBlock
from tokenmill.pipeline.collect.html.lists import Levels, Numbers
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

HEADINGS = {n.ID[f"h{level}"]: level for level in range(1, 7)}
(LI,) = n.ids("li")
INDENT = 4
"""Spaces for each level of a list: inside the text of `- ` and of `1. ` alike."""
MOST_NESTED = 12
"""Levels of lists and of quotes that Markdown shows. Each indents what is in it, so more would be quadratic in the page."""
BACKTICKS = re.compile(r"`{3,}")


class _Lines(NamedTuple):
    """Lines of the result. close: to the part before, if that is of the same kind."""

    text: str
    close: str = ""


def render(
    page: npt.NDArray[np.uint8], found: Scanned, chosen: npt.NDArray[np.bool_], *, markdown: bool = False, whole: bool = False
) -> str:
    """The text of the blocks that are `chosen` (bool [blocks]); plain, or as Markdown.

    In plain text an empty line stands between paragraphs, a tab between cells of a table of data, and a line break between
    rows and between items of a list. whole: with the signs that main text lacks (`kernels.html.signs`, numbers of lines).
    """
    out = io.StringIO()
    last = None
    for part in _parts(page, found, chosen, markdown, whole):
        if last is not None:
            out.write("\n" if part.close and part.close == last else "\n\n")
        out.write(part.text)
        last = part.close
    return out.getvalue()


def characters(page: npt.NDArray[np.uint8], found: Scanned) -> npt.NDArray[np.int32]:
    """How many characters, without white space, each block adds to a plain text of kept blocks; int32 [blocks]."""
    made = np.zeros(len(found.blocks), np.int32)
    for block in kept.blocks(page, found, np.ones(len(made), np.bool_), markdown=False, whole=False):
        if not code.are_numbers(page, found, block.text, block.cell, block.row, code=block.pre > 0):
            made[block.number] = len("".join(block.text.split()))
    return made


def _parts(
    page: npt.NDArray[np.uint8], found: Scanned, chosen: npt.NDArray[np.bool_], markdown: bool, whole: bool
) -> Iterator[_Lines]:
    data = tables.data_tables(page, found, chosen)
    columns = tables.CellColumns(page, found) if data else None
    layout = _Rendering(page, found) if markdown else None
    blocks = kept.blocks(page, found, chosen, markdown=markdown, whole=whole)
    for (table, pre), group in itertools.groupby(
        blocks, key=lambda block: (block.table, 0) if block.table in data else (0, block.pre)
    ):
        if not table and not pre:
            for block in group:
                if not whole and block.cell and code.are_numbers(page, found, block.text, block.cell, block.row, code=False):
                    continue
                yield layout.paragraph(block) if layout else _Lines(block.text, _close(block))
            continue
        unit = list(group)
        if columns and table:
            yield from _table(unit, columns.of(table), layout)
            continue
        text = "\n".join(block.text.strip("\n") for block in unit).rstrip()
        if not whole and code.are_numbers(page, found, text, unit[0].cell, unit[0].row, code=True):
            continue
        yield layout.code(text, unit[0]) if layout else _Lines(text)


def _close(block: KeptBlock) -> str:
    if block.item > block.table:
        return "list"
    return f"row {block.row}" if block.row else ""


def _table(unit: list[KeptBlock], columns: dict[int, int], layout: _Rendering | None) -> Iterator[_Lines]:
    """Its rows, and before them what stands in no row, such as a caption."""
    rows: dict[int, dict[int, str]] = {}
    for block in unit:
        if not block.row:
            yield layout.paragraph(block) if layout else _Lines(block.text)
            continue
        cells = rows.setdefault(block.row, {})
        column = columns.get(block.cell, 0)
        text = " ".join(block.text.split("\n"))
        cells[column] = f"{cells[column]} {text}" if column in cells else text
    lines = [[cells.get(column, "") for column in range(max(cells) + 1)] for cells in rows.values()]
    if not layout:
        yield from (_Lines("\t".join(line), "row") for line in lines)
        return
    width = max(map(len, lines), default=0)
    if not width:
        return
    cells_of_lines = [[cell.replace("|", "\\|") for cell in line] + [""] * (width - len(line)) for line in lines]
    cells_of_lines.insert(1, ["---"] * width)
    text = "\n".join(f"| {' | '.join(line)} |" for line in cells_of_lines)
    first = next(block for block in unit if block.row)
    yield layout.whole(text, first.table)


class _Rendering:
    """Where Markdown puts blocks: behind the marks of lists and quotes that stand around them."""

    def __init__(self, page: npt.NDArray[np.uint8], found: Scanned) -> None:
        self._page, self._found = page, found
        self._numbers, self._levels = Numbers(page, found), Levels()
        self._last_item = 0

    def paragraph(self, block: KeptBlock) -> _Lines:
        """A block of prose."""
        text = block.text
        level = HEADINGS.get(block.tag)
        if level:
            text = f"{'#' * level} {' '.join(text.split())}"
        if "\n" in text:
            text = text.replace("\n", "  \n")
        item = block.item if block.item > block.table else 0
        if not item and not block.quotes:
            self._levels.leave()
            return _Lines(text, _close(block))
        first, rest, begins = self._places(item, block.lists if item else 0, block.quotes)
        placed = _placed(text, first, rest)
        # Another paragraph of an item follows an empty line; terms and descriptions stand in no list.
        return _Lines(placed, "list" if item and (begins or not block.lists) else _close(block) if not item else "")

    def code(self, text: str, block: KeptBlock) -> _Lines:
        """Code between fences."""
        fence = "`" * max(3, 1 + max((len(run) for run in BACKTICKS.findall(text)), default=0))
        return self.whole(f"{fence}{self._language(block)}\n{text}\n{fence}", block.pre)

    def whole(self, text: str, element: int) -> _Lines:
        """A table or code, which stands in `element`."""
        row = self._found.elements[element].tolist()
        around = int(self._found.elements[row[c.PARENT], c.TABLE]) if row[c.TABLE] == element else row[c.TABLE]
        item = row[c.ITEM] if row[c.ITEM] > around else 0
        first, rest, _ = self._places(item, row[c.LISTS] if item else 0, row[c.QUOTES])
        # Its lines are indented alike.
        return _Lines(_placed(text, first.ljust(len(rest)), rest))

    def _language(self, block: KeptBlock) -> str:
        elements = self._found.elements
        begin = int(np.searchsorted(self._found.segments[:, c.START], elements[block.pre, c.BEGIN]))
        first = int(self._found.segments[begin, c.OWNER]) if begin < len(self._found.segments) else 0
        return code.language(self._page, self._found, block.pre, first)

    def _places(self, item: int, lists: int, quotes: int) -> tuple[str, str, bool]:
        """What stands before the first line and before the others, and whether this begins an item of a list."""
        elements = self._found.elements
        level, new = self._levels.enter(min(lists, MOST_NESTED))
        quotes = min(quotes, MOST_NESTED)
        outer = min(int(elements[item, c.QUOTES]), quotes) if level else quotes
        begins = bool(level) and (new or (item > self._last_item and elements[item, c.TAG] == LI))
        self._last_item = max(item, self._last_item)
        before, behind = "> " * outer, "> " * (quotes - outer)
        if not begins:
            indent = before + " " * INDENT * level + behind
            return indent, indent, False
        marker = self._numbers.marker(item)
        return (
            before + " " * INDENT * (level - 1) + marker + behind,
            before + " " * INDENT * level + behind,
            True,
        )


def _placed(text: str, first: str, rest: str) -> str:
    if not rest:
        return text
    lines = text.split("\n")
    placed = [(begin + line).rstrip(" ") for begin, line in zip(itertools.chain((first,), itertools.repeat(rest)), lines)]  # noqa: B905
    return "\n".join(made + "  " * line.endswith("  ") for made, line in zip(placed, lines, strict=True))
