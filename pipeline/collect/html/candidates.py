"""What the choice of a page's blocks looks at, as small arrays that can be stored beside its document.

Purpose: blocks are chosen again, with another bias, without the page.
Guarantee: an extraction and a later answer choose by the same code from the same integers (`choose.kept`). `unpacked` refuses
bytes that no page gives.
Cost: 36 bytes a block in memory, beside its tables of several hundred.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

Ints = npt.NDArray[np.int32]

BESIDE = sum(1 << n.FLAGS.index(flag) for flag in ("hidden", "nav", "aside", "footer", "form", "button", "noscript"))
FACTS = 4
"""Numbers of a page that stand before those of its blocks."""
NOTHING = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """The blocks of a page, of which some are main text; int32 [blocks] each.

    scores: log odds with the model's offset, in units of 1 / `extract.model.UNITS`. sizes: tokens, at least 1. chars, links:
    characters of the source without white space, and those of them in links. fits: 1 where the block may be kept for the sake
    of its neighbours: it is not hidden, nor in `BESIDE`. tables, lists: numbers of the table and of the list around it, 0 where
    there is none. ends: the block at which the element around it ends.
    """

    scores: Ints
    sizes: Ints
    chars: Ints
    links: Ints
    fits: Ints
    tables: Ints
    lists: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def of(cls, found: Scanned, scores: Ints, sizes: Ints) -> Candidates:
        """Those of a page that was scanned."""
        element = found.blocks[:, c.ELEMENT]
        rows = found.elements[element]
        return cls(
            scores=scores,
            sizes=sizes,
            chars=found.blocks[:, c.CHARS],
            links=found.blocks[:, c.LINK_CHARS],
            fits=((rows[:, c.FLAGS] & BESIDE) == 0).astype(np.int32),
            tables=rows[:, c.TABLE],
            lists=rows[:, c.LIST],
            ends=found.elements[rows[:, c.PARENT], c.END_BLOCK],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PageScores:
    """All that is stored of a page. Counts of characters are without white space.

    shown: int32 [blocks], characters of each block in plain text. prose, visible: of the page, see `recall.visible`. embedded:
    characters of the text of its data that stands in place of the blocks, else `NOTHING`. rival: see `embedded.rival`.
    """

    candidates: Candidates
    shown: Ints
    prose: int
    visible: int
    embedded: int = NOTHING
    rival: int = 0

    def packed(self, rival: int) -> bytes:
        """As the bytes that parsers send, with this `rival`: int32, little-endian."""
        facts = [self.prose, self.visible, self.embedded, rival]
        columns = [getattr(self.candidates, name) for name in COLUMNS]
        return np.concatenate([facts, *columns, self.shown]).astype("<i4").tobytes()


COLUMNS = tuple(field.name for field in dataclasses.fields(Candidates))


def unpacked(data: bytes) -> PageScores:
    """What `packed` made. Raises ValueError for bytes that it does not make."""
    values = np.frombuffer(data, "<i4").astype(np.int32, copy=False)
    width = len(COLUMNS) + 1
    if len(values) < FACTS + width or (len(values) - FACTS) % width:
        raise ValueError("scores of blocks are cut")
    prose, visible, embedded, rival = values[:FACTS].tolist()
    *columns, shown = values[FACTS:].reshape(width, -1)
    candidates = Candidates(**dict(zip(COLUMNS, columns, strict=True)))
    counts = np.stack((candidates.chars, candidates.links, candidates.tables, candidates.lists, candidates.ends, shown))
    if min(prose, visible, embedded - NOTHING, counts.min()) < 0 or candidates.sizes.min() < 1:
        raise ValueError("scores of blocks are out of bounds")
    return PageScores(candidates=candidates, shown=shown, prose=prose, visible=visible, embedded=embedded, rival=rival)
