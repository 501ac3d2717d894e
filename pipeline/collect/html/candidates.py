"""What the choice of a page's blocks looks at, as a small table that can be stored beside its document.

Purpose: blocks are chosen again, with another bias, without the page.
Guarantee: an extraction and a later answer choose by the same code (`choose.kept`) from the same integers. A table of which no
page could be the origin is refused.
Cost: 36 bytes a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Scanned

Ints = npt.NDArray[np.int32]

FACTS = ("prose", "visible", "embedded", "rival")
COLUMNS = ("scores", "sizes", "chars", "links", "fits", "tables", "lists", "ends", "shown")
"""Of a block. scores: log odds with the offset of the model, in units of 1 / `model.UNITS`. sizes: tokens, at least 1. chars,
links: characters of the source, and those of them in links. fits: 1 where `whole` may add it, else 0. tables, lists: the table
and the list around it, numbered from 1; 0 where there is none. ends: the block at which the element around it ends. shown:
characters of its plain text. Characters are counted without white space."""
NOTHING = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """The blocks of a page, of which some are main text. found: of its scan. scores, sizes: int32 [blocks], see `COLUMNS`."""

    found: Scanned
    scores: Ints
    sizes: Ints


@dataclass(frozen=True, kw_only=True)
class PageScores:
    """All that is stored of a page. Raises ValueError for numbers out of bounds.

    table: int32 [len(COLUMNS), blocks]. prose, visible: of the page, see `recall.visible`. embedded: characters of the text of
    its data that stands in place of the blocks, else `NOTHING`. rival: see `embedded.rival`.
    """

    table: Ints
    prose: int
    visible: int
    embedded: int = NOTHING
    rival: int = 0

    def __post_init__(self) -> None:
        blocks = self.table.shape[1]
        named = dict(zip(COLUMNS, self.table, strict=True))
        # Kernels take the numbers of tables and lists as places, and divide by sizes.
        places = max(named["tables"].max(initial=0), named["lists"].max(initial=0))
        rest = np.delete(self.table, COLUMNS.index("scores"), axis=0).min(initial=1)
        if (
            places > blocks
            or min(self.prose, self.visible, self.embedded - NOTHING, rest, named["sizes"].min(initial=1) - 1) < 0
        ):
            raise ValueError("scores of blocks are out of bounds")

    @classmethod
    def of(cls, page: Candidates, shown: Ints, *, prose: int, visible: int) -> PageScores:
        """Those of a page with these characters of its blocks' texts, int32 [blocks]."""
        # Parsers of other files do without compiled code.
        from tokenmill.pipeline.kernels.html.whole import BESIDE

        blocks, elements = page.found.blocks, page.found.elements
        rows = elements[blocks[:, c.ELEMENT]]
        table = np.stack(
            (
                page.scores,
                page.sizes,
                blocks[:, c.CHARS],
                blocks[:, c.LINK_CHARS],
                (rows[:, c.FLAGS] & BESIDE) == 0,
                _numbered(rows[:, c.TABLE]),
                _numbered(rows[:, c.LIST]),
                elements[rows[:, c.PARENT], c.END_BLOCK],
                shown,
            )
        ).astype(np.int32)
        return cls(table=table, prose=prose, visible=visible)

    @property
    def shown(self) -> Ints:
        """Characters that each block has in plain text, int32 [blocks]."""
        shown: Ints = self.table[COLUMNS.index("shown")]
        return shown

    def candidates(self) -> Candidates:
        """The blocks, with a scan that has what `whole` looks at: an element for each block, which is its own parent."""
        from tokenmill.pipeline.kernels.html.whole import BESIDE

        scores, sizes, chars, links, fits, tables, lists, ends, _ = self.table
        count = len(scores)
        own = np.arange(1, count + 1)
        elements = np.zeros((count + 1, c.ELEMENT_COLUMNS), np.int32)
        for column, values in (
            (c.PARENT, own), (c.FLAGS, np.where(fits, 0, BESIDE)), (c.TABLE, tables), (c.LIST, lists), (c.END_BLOCK, ends),
        ):  # fmt: skip
            elements[1:, column] = values
        blocks = np.zeros((count, c.BLOCK_COLUMNS), np.int32)
        for column, values in ((c.ELEMENT, own), (c.CHARS, chars), (c.LINK_CHARS, links)):
            blocks[:, column] = values
        found = Scanned(
            elements=elements,
            paths=np.zeros((0, 2), np.uint64),
            keywords=np.zeros(0, np.uint64),
            segments=np.zeros((0, c.SEGMENT_COLUMNS), np.int32),
            blocks=blocks,
            hashes=np.zeros(0, np.uint64),
            open=np.zeros(0, np.int64),
            state=np.zeros(c.STATE, np.int64),
        )
        return Candidates(found=found, scores=scores, sizes=sizes)

    def packed(self) -> bytes:
        """As the bytes that parsers send: int32, little-endian."""
        facts = [getattr(self, name) for name in FACTS]
        return np.concatenate((facts, self.table.ravel())).astype("<i4").tobytes()


def unpacked(data: bytes) -> PageScores:
    """What `packed` made. Raises ValueError for bytes that it does not make."""
    values = np.frombuffer(data, "<i4").astype(np.int32)
    facts = dict(zip(FACTS, values[: len(FACTS)].tolist(), strict=True))
    return PageScores(table=values[len(FACTS) :].reshape(len(COLUMNS), -1), **facts)


def _numbered(elements: Ints) -> Ints:
    """Numbers from 1 on in place of numbers of elements; 0 stays."""
    _, numbers = np.unique(np.append(0, elements), return_inverse=True)
    return numbers[1:].astype(np.int32)
