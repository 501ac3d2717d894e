"""A page as blocks of text, each with features that say what kind of text it is.

Purpose: the interface between the scan of a page and what decides which blocks are its main text.
Guarantee: features are integers, or ratios of integers made by one division, in float32; so they are equal on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.html import features, render
from tokenmill.pipeline.collect.html.texts import texts
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.features import NAMES
from tokenmill.pipeline.kernels.html.names import IDS, names
from tokenmill.pipeline.kernels.html.scan import scan

MOST_BYTES = 320 << 20
"""Memory of the tables of a page: those of a million elements with a text each take 240 MB. A parser has 512 MiB."""
BYTES_OF_ELEMENT, BYTES_OF_BLOCK = 100, 200
"""Of a page, for which it has an element, a run of text, or a block, to begin with. Most pages have fewer."""
LARGE = 100_000
"""Rows from which on tables grow by an eighth, and not by half."""
MOST_BLOCKS = 200_000
"""Blocks of a page whose features take 210 MB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """The blocks of a page, in its order.

    page: its UTF-8 bytes. found: the tables of the scan, cut to the rows in use. features: float32 [blocks, len(names)].
    """

    page: npt.NDArray[np.uint8]
    found: Scanned

    def __len__(self) -> int:
        return len(self.found.blocks)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in the order of their columns."""
        return NAMES

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """float32 [blocks, len(names)]; computed at each access. Raises RecordError (hostile_html) for too many blocks."""
        if len(self) > MOST_BLOCKS:
            raise RecordError("hostile_html", f"{len(self)} blocks of text are more than {MOST_BLOCKS}")
        return features.features(self.found)

    @property
    def title(self) -> str:
        """The content of the page's first `title`, as it stands in the source; empty if there is none."""
        start, stop = int(self.found.state[c.TITLE_START]), int(self.found.state[c.TITLE_STOP])
        return self.page[start:stop].tobytes().decode("utf-8", "replace")

    def text(self, kept: npt.NDArray[np.bool_] | None = None, *, markdown: bool = False) -> str:
        """The text of the blocks that are `kept` (bool [blocks]), plain or as Markdown; see `render.render`.

        None: that of all blocks, with every sign and every character that the page has.
        """
        chosen = np.ones(len(self), np.bool_) if kept is None else kept
        return render.render(self.page, self.found, chosen, markdown=markdown, whole=kept is None)

    def texts(self) -> list[str]:
        """The text of every block, without structure."""
        return texts(self.page, self.found, np.arange(len(self)), markdown=False, whole=False)


def blocks_of(page: str | bytes) -> Blocks:
    """The blocks of a page; bytes are UTF-8. Raises RecordError (hostile_html) if its tables take more than `MOST_BYTES`."""
    data = page.encode("utf-8", "replace") if isinstance(page, str) else page
    array = np.frombuffer(data, np.uint8)
    return Blocks(page=array, found=scanned(array))


def scanned(page: npt.NDArray[np.uint8]) -> Scanned:
    """The tables of a scan, cut to the rows in use. Raises RecordError (hostile_html)."""
    elements, blocks = len(page) // BYTES_OF_ELEMENT + 64, len(page) // BYTES_OF_BLOCK + 64
    found = Scanned(
        elements=np.empty((elements, c.ELEMENT_COLUMNS), np.int32),
        paths=np.empty((elements, 2), np.uint64),
        keywords=np.empty(elements, np.uint64),
        segments=np.empty((elements, c.SEGMENT_COLUMNS), np.int32),
        blocks=np.empty((blocks, c.BLOCK_COLUMNS), np.int32),
        hashes=np.empty(blocks, np.uint64),
        open=np.zeros(IDS, np.int64),
        state=np.zeros(c.STATE, np.int64),
    )
    found.elements[0] = found.paths[0] = found.keywords[0] = 0
    found.state[c.N_ELEMENTS] = 1
    found.state[[c.OPEN_BLOCK, c.DEAD_LINK, c.TEX_ELEMENT, c.TEX_SEGMENT, c.MATHJAX_SEGMENT]] = -1
    at = scan(page, 0, names(), found)
    while at >= 0:
        _grow(found)
        at = scan(page, at, names(), found)
    for array, rows in _rows(found):
        array.resize((rows, *array.shape[1:]), refcheck=False)
    return found


def _rows(found: Scanned) -> tuple[tuple[npt.NDArray[Any], int], ...]:
    """The tables, and how many of their rows are in use."""
    elements, segments, blocks = (int(found.state[at]) for at in (c.N_ELEMENTS, c.N_SEGMENTS, c.N_BLOCKS))
    return (
        (found.elements, elements),
        (found.paths, elements),
        (found.keywords, elements),
        (found.segments, segments),
        (found.blocks, blocks),
        (found.hashes, blocks),
    )


def _grow(found: Scanned) -> None:
    """More rows for those tables that may be full. Raises RecordError (hostile_html) for more than `MOST_BYTES`."""
    for array, rows in _rows(found):
        if rows + c.SPARE > len(array):
            array.resize((len(array) + len(array) // (8 if len(array) > LARGE else 2), *array.shape[1:]), refcheck=False)
    size = sum(array.nbytes for array in found)
    if size > MOST_BYTES:
        elements, blocks = int(found.state[c.N_ELEMENTS]), int(found.state[c.N_BLOCKS])
        message = f"{elements} elements and {blocks} blocks of text take {size >> 20} MiB, more than {MOST_BYTES >> 20}"
        raise RecordError("hostile_html", message)
