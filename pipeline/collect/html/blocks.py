"""A page as blocks of text, each with features that say what kind of text it is.

Purpose: the interface between the scan of a page and what decides which blocks are its main text.
Guarantee: features are integers, or ratios of integers made by one division, in float32; so they are equal on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.html import features, render
from tokenmill.pipeline.collect.html.texts import texts
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Found
from tokenmill.pipeline.kernels.html.names import IDS, names
from tokenmill.pipeline.kernels.html.scan import most_rows, scan

MOST_ELEMENTS = 2_000_000
"""Most elements of a page. With 200 bytes each, more would be too much memory for a parser."""
MOST_MARKS = 4_000_000
"""Most tags and comments of a page."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """The blocks of a page, in its order.

    page: its UTF-8 bytes. found: the tables of the scan, cut to the rows in use. features: float32 [blocks, len(names)].
    """

    page: npt.NDArray[np.uint8]
    found: Found

    def __len__(self) -> int:
        return len(self.found.blocks)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in the order of their columns."""
        return features.feature_names()

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """float32 [blocks, len(names)]; computed at each access."""
        return features.features(self.found)

    @property
    def title(self) -> str:
        """The content of the page's first `title`, as it stands in the source; empty if there is none."""
        start, stop = int(self.found.state[c.TITLE_START]), int(self.found.state[c.TITLE_STOP])
        return self.page[start:stop].tobytes().decode("utf-8", "replace")

    def text(self, kept: npt.NDArray[np.bool_] | None = None, *, markdown: bool = False) -> str:
        """The text of the blocks that are `kept` (bool [blocks]; None: all), plain or as Markdown; see `render.render`."""
        chosen = np.ones(len(self), np.bool_) if kept is None else kept
        return render.render(self.page, self.found, chosen, markdown=markdown)

    def texts(self) -> list[str]:
        """The text of every block, without structure."""
        return texts(self.page, self.found, np.ones(len(self), np.bool_), markdown=False)


def blocks_of(page: str | bytes) -> Blocks:
    """The blocks of a page; bytes are UTF-8. Raises RecordError (hostile_html) for more tags than `MOST_MARKS`."""
    data = page.encode("utf-8", "replace") if isinstance(page, str) else page
    array = np.frombuffer(data, np.uint8)
    return Blocks(page=array, found=scanned(array))


def scanned(page: npt.NDArray[np.uint8]) -> Found:
    """The tables of a scan, cut to the rows in use. Raises RecordError (hostile_html)."""
    elements, marks = most_rows(page)
    if elements > MOST_ELEMENTS or marks > MOST_MARKS:
        raise RecordError(
            "hostile_html", f"{elements} elements, {marks} tags and comments; most are {MOST_ELEMENTS}, {MOST_MARKS}"
        )
    # Memory is taken when a row is written.
    found = Found(
        elements=np.empty((elements, c.ELEMENT_COLUMNS), np.int32),
        paths=np.empty((elements, 2), np.uint64),
        keywords=np.empty(elements, np.uint64),
        segments=np.empty((2 * marks, c.SEGMENT_COLUMNS), np.int32),
        blocks=np.empty((marks, c.BLOCK_COLUMNS), np.int32),
        hashes=np.empty(marks, np.uint64),
        open=np.zeros(IDS, np.int64),
        state=np.zeros(c.STATE, np.int64),
    )
    found.elements[0] = found.paths[0] = found.keywords[0] = 0
    found.state[c.N_ELEMENTS] = 1
    found.state[[c.OPEN_BLOCK, c.DEAD_LINK, c.TEX_ELEMENT, c.MATHJAX_SEGMENT]] = -1
    scan(page, names(), found)
    rows, segments, blocks = (int(found.state[at]) for at in (c.N_ELEMENTS, c.N_SEGMENTS, c.N_BLOCKS))
    return found._replace(
        elements=found.elements[:rows],
        paths=found.paths[:rows],
        keywords=found.keywords[:rows],
        segments=found.segments[:segments],
        blocks=found.blocks[:blocks],
        hashes=found.hashes[:blocks],
    )
