"""The text of kept blocks put together: plain, or as Markdown.

Purpose: paragraphs, headings, nested lists, tables, code with its indentation, quotes and line breaks as readers know them.
Guarantee: each kept block is written once, in the order of the page. Plain text has no character that the page does not show,
but for white space and the `$` around TeX.
Cost: some microseconds for each kept block.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html.texts import texts
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

INVISIBLE = "\u200b\u2060\ufeff\u00ad"
"""Characters without a width. A block of nothing else has no text."""
BLANK = f"{INVISIBLE} \t\n\r\f\xa0"
LONG_CELL = 200
"""Characters that the cells of a table of data have at most, on average; longer ones lay out a page."""
MOST_COLUMNS = 100
HEADINGS = {n.ID[f"h{level}"]: level for level in range(1, 7)}
OL, LI = n.ids("ol li")
INDENT = 4
"""Spaces for each level of a list: inside the text of `- ` and of `1. ` alike."""
MOST_NESTED = 12
"""Levels of lists and of quotes that Markdown shows. Each indents what is in it, so more would be quadratic in the page."""
BACKTICKS = re.compile(r"`{3,}")


@dataclass(frozen=True, kw_only=True, eq=False)
class _KeptBlock:
    """A kept block. pre, row, table, item: numbers of elements, 0 where there is none. column: of its cell, from 1. number: in
    an ordered list, from 1, else 0. lists, quotes: how many stand around it.
    """

    text: str
    tag: int
    pre: int
    row: int
    column: int
    table: int
    item: int
    number: int
    lists: int
    quotes: int


@dataclass(frozen=True)
class _Lines:
    """Lines of the result. close: to the part before, if that is of the same kind."""

    text: str
    close: str = ""


def render(page: npt.NDArray[np.uint8], found: Scanned, kept: npt.NDArray[np.bool_], *, markdown: bool = False) -> str:
    """The text of the blocks that are `kept` (bool [blocks]); plain, or as Markdown.

    In plain text an empty line stands between paragraphs, a tab between cells of a table of data, and a line break between
    rows and between items of a list.
    """
    blocks = _blocks(page, found, kept, markdown)
    data = _data_tables(blocks, found)
    parts: list[_Lines] = []
    item = 0
    for (pre, table), group in itertools.groupby(blocks, key=lambda b: (b.pre, 0 if b.pre or b.table not in data else b.table)):
        unit = list(group)
        if pre:
            parts.append(_preformatted(unit, markdown))
        elif table:
            parts += _table(unit, markdown)
        else:
            for block in unit:
                parts.append(_paragraph(block, block.item != item, markdown))
                item = block.item
    out = []
    for last, part in itertools.pairwise([_Lines(""), *parts]):
        out.append("\n" if part.close and part.close == last.close else "\n\n")
        out.append(part.text)
    return "".join(out[1:])


def _blocks(page: npt.NDArray[np.uint8], found: Scanned, kept: npt.NDArray[np.bool_], markdown: bool) -> list[_KeptBlock]:
    made = []
    written = texts(page, found, kept, markdown=markdown)
    elements = found.elements
    for at in np.flatnonzero(kept).tolist():
        text = written[at]
        if not text.strip(BLANK):
            continue
        row = elements[found.blocks[at, c.ELEMENT]].tolist()
        table, item = row[c.TABLE], row[c.ITEM]
        ordered = elements[row[c.LIST], c.TAG] == OL and elements[item, c.TAG] == LI
        made.append(
            _KeptBlock(
                text=text if row[c.PRE] else text.strip(),
                tag=row[c.TAG],
                pre=row[c.PRE],
                row=row[c.ROW],
                column=int(elements[row[c.CELL], c.ORDINAL]) if row[c.ROW] else 0,
                table=table,
                item=item if item > table else 0,
                number=int(elements[item, c.ORDINAL]) if ordered else 0,
                lists=min(row[c.LISTS], MOST_NESTED),
                quotes=min(row[c.QUOTES], MOST_NESTED),
            )
        )
    return made


def _data_tables(blocks: list[_KeptBlock], found: Scanned) -> set[int]:
    """The tables that show data in rows and columns; others lay out a page, and their cells are paragraphs."""
    cells: dict[int, set[tuple[int, int]]] = {}
    chars: dict[int, int] = {}
    around = set()
    for block in blocks:
        if block.table and block.row and not block.pre:
            cells.setdefault(block.table, set()).add((block.row, block.column))
            chars[block.table] = chars.get(block.table, 0) + len(block.text)
            around.add(int(found.elements[found.elements[block.table, c.PARENT], c.TABLE]))
    return {
        table
        for table, places in cells.items()
        if table not in around
        and len({row for row, _ in places}) >= 2
        and 2 <= max(column for _, column in places) <= MOST_COLUMNS
        and chars[table] <= LONG_CELL * len(places)
    }


def _preformatted(unit: list[_KeptBlock], markdown: bool) -> _Lines:
    """Code and other text whose white space counts; several blocks in one are its lines."""
    text = "\n".join(block.text.strip("\n") for block in unit).rstrip()
    if not markdown:
        return _Lines(text)
    fence = "`" * max(3, 1 + max((len(run) for run in BACKTICKS.findall(text)), default=0))
    return _Lines(_indented(f"{fence}\n{text}\n{fence}", unit[0], " " * INDENT * unit[0].lists))


def _table(unit: list[_KeptBlock], markdown: bool) -> list[_Lines]:
    """Its rows, and before them what stands in no row, such as a caption."""
    parts = [_Lines(block.text) for block in unit if not block.row]
    rows: dict[int, dict[int, list[str]]] = {}
    for block in unit:
        if block.row:
            rows.setdefault(block.row, {}).setdefault(block.column, []).append(" ".join(block.text.split("\n")))
    lines = [[" ".join(cells.get(column, ())) for column in range(1, max(cells) + 1)] for cells in rows.values()]
    if not markdown:
        return parts + [_Lines("\t".join(line), "row") for line in lines]
    width = max(map(len, lines))
    cells = [[cell.replace("|", "\\|") for cell in line] + [""] * (width - len(line)) for line in lines]
    cells.insert(1, ["---"] * width)
    text = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    return [*parts, _Lines(_indented(text, unit[0], " " * INDENT * unit[0].lists))]


def _paragraph(block: _KeptBlock, begins: bool, markdown: bool) -> _Lines:
    """A block of prose. begins: whether it is the first of its item of a list."""
    listed = "list" if block.item else f"row {block.row}" if block.row else ""
    if not markdown:
        return _Lines(block.text, listed)
    text = block.text
    level = HEADINGS.get(block.tag)
    if level:
        text = f"{'#' * level} {' '.join(text.split())}"
    text = text.replace("\n", "  \n")
    if not block.item:
        return _Lines(_indented(text, block, ""))
    indent = " " * INDENT * max(0, block.lists - 1)
    if begins and block.lists:
        marker = f"{block.number}. " if block.number else "- "
        body = text.replace("\n", "\n" + " " * INDENT)
        return _Lines(_indented(marker + body, block, indent), listed)
    # Another paragraph of the item, or a term and its description, which have no marks.
    return _Lines(_indented(text, block, indent + " " * INDENT * bool(block.lists)), "" if block.lists else listed)


def _indented(text: str, block: _KeptBlock, indent: str) -> str:
    begin = "> " * block.quotes + indent
    return "\n".join((begin + line).rstrip(" ") + "  " * line.endswith("  ") for line in text.split("\n")) if begin else text
