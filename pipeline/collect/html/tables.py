"""Which tables of a page show data, and the rows and columns in which their cells stand.

Source: "forming a table", section 4.9.12 of the HTML standard, with `colspan` and `rowspan`.
Guarantee: a cell is written once, at its first row and column. The work is linear in the cells, whatever they span.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html import attributes
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

TD, TH, CAPTION, THEAD = n.ids("td th caption thead")
LONG_CELL, LONG_HEADED_CELL = 200, 1_000
"""Characters that the cells of a table of data have at most, on average: without headers, and with them. Longer cells lay out a
page."""
MOST_COLUMNS = 100
MOST_CELLS = 100_000
"""Tables with more are written cell by cell: their rows would not fit into memory together."""
LAYOUT_ROLES = ("presentation", "none")


def data_tables(page: npt.NDArray[np.uint8], found: Scanned, kept: npt.NDArray[np.bool_]) -> set[int]:
    """The tables that show data in rows and columns; others lay out a page, and their cells are paragraphs."""
    elements, chosen = found.elements, np.flatnonzero(kept)
    of_blocks = found.blocks[chosen, c.ELEMENT]
    inside = (elements[of_blocks, c.TABLE] > 0) & (elements[of_blocks, c.ROW] > 0)
    if not inside.any():
        return set()
    chosen, of_blocks = chosen[inside], of_blocks[inside]
    tables, place = np.unique(elements[of_blocks, c.TABLE], return_inverse=True)
    chars = np.bincount(place, weights=found.blocks[chosen, c.CHARS]).tolist()
    cells = np.unique(elements[of_blocks, c.CELL])
    cells = cells[cells > 0]
    of_cells = np.searchsorted(tables, elements[cells, c.TABLE])
    counts = np.bincount(of_cells, minlength=len(tables)).tolist()
    widest = np.zeros(len(tables), np.int64)
    np.maximum.at(widest, of_cells, elements[cells, c.ORDINAL])
    _, first = np.unique(elements[cells, c.ROW], return_index=True)
    rows = np.bincount(of_cells[first], minlength=len(tables)).tolist()
    headers = (elements[:, c.TAG] == TH) | (elements[:, c.TAG] == CAPTION) | (elements[:, c.TAG] == THEAD)
    headed = set(elements[headers, c.TABLE].tolist())
    others = _with_code(page, found, chosen, of_blocks).union(elements[elements[tables, c.PARENT], c.TABLE].tolist())
    return {
        table
        for at, table in enumerate(tables.tolist())
        if table not in others
        and rows[at] >= 2
        and 2 <= widest[at] <= MOST_COLUMNS
        and counts[at] <= MOST_CELLS
        and chars[at] <= (LONG_HEADED_CELL if table in headed else LONG_CELL) * counts[at]
        and attributes.value(page, found, table, n.ROLE) not in LAYOUT_ROLES
    }


def _with_code(
    page: npt.NDArray[np.uint8], found: Scanned, chosen: npt.NDArray[np.int64], of_blocks: npt.NDArray[np.int32]
) -> set[int]:
    """The tables with code of several lines, which does not fit into a cell."""
    code = found.elements[of_blocks, c.PRE] > 0
    places = found.blocks[chosen[code]][:, [c.BEGIN_BYTE, c.END_BYTE]].tolist()
    return {
        table
        for table, (begin, end) in zip(found.elements[of_blocks[code], c.TABLE].tolist(), places, strict=True)
        if b"\n" in page[begin:end].tobytes().strip()
    }


class CellColumns:
    """The column of every cell of the tables of data, from 0."""

    def __init__(self, page: npt.NDArray[np.uint8], found: Scanned) -> None:
        self._page, self._found = page, found
        cells = np.flatnonzero((found.elements[:, c.TAG] == TD) | (found.elements[:, c.TAG] == TH))
        tables = found.elements[cells, c.TABLE]
        order = np.argsort(tables, kind="stable")
        self._cells, self._tables = cells[order], tables[order]

    def of(self, table: int) -> dict[int, int]:
        """The columns of the cells of one table."""
        first, end = np.searchsorted(self._tables, [table, table + 1])
        cells = self._cells[first:end]
        rows = self._found.elements[cells, c.ROW].tolist()
        wide = attributes.numbers(self._page, self._found, cells, n.COLSPAN, 1).clip(1, MOST_COLUMNS).tolist()
        high = attributes.numbers(self._page, self._found, cells, n.ROWSPAN, 1).tolist()
        made = {}
        # For each column, how many of the rows to come have a cell from above in it.
        taken = [0] * MOST_COLUMNS
        row, column = -1, 0
        for cell, its_row, width, height in zip(cells.tolist(), rows, wide, high, strict=True):
            if its_row != row:
                if any(taken):
                    taken = [max(0, left - 1) for left in taken]
                row, column = its_row, 0
            while column < MOST_COLUMNS - 1 and taken[column]:
                column += 1
            made[cell] = column
            end_column = min(column + width, MOST_COLUMNS)
            for at in range(column, end_column):
                # 0 reaches to the end of the table.
                taken[at] = height if height > 0 else len(cells) + 1
            column = min(end_column, MOST_COLUMNS - 1)
        return made
