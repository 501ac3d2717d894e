"""What belongs to kept blocks, by numpy. Returns bool [blocks]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

Bools = npt.NDArray[np.bool_]

BESIDE = sum(1 << n.FLAGS.index(flag) for flag in ("hidden", "nav", "aside", "footer", "form", "button", "noscript"))
MOST_BETWEEN = 6
SMALL_PAGE = 600


def whole(found: Scanned, kept: Bools) -> Bools:
    """bool [blocks]: those that are `kept`, and those that belong to them."""
    chars, links = found.blocks[:, c.CHARS].astype(np.int64), found.blocks[:, c.LINK_CHARS].astype(np.int64)
    fit = (found.elements[found.blocks[:, c.ELEMENT], c.FLAGS] & BESIDE) == 0
    made = kept.copy()
    for unit in (c.TABLE, c.LIST):
        made |= fit & _half_kept(found, made, unit, chars, links)
    prose: Bools = fit & (2 * links <= chars)
    # Where trees chose what is not fit, such as the text of `noscript`, the rest is its placeholder.
    small = chars.sum() < SMALL_PAGE and not (kept & ~fit).any()
    made |= prose if small else _between(found, made, prose)
    return made


def _half_kept(found: Scanned, kept: Bools, unit: int, chars: npt.NDArray[np.int64], links: npt.NDArray[np.int64]) -> Bools:
    """Blocks in a list or table, half of whose characters are kept, and less than 0.4 of them in links."""
    of = found.elements[found.blocks[:, c.ELEMENT], unit]
    size = len(found.elements)
    total, inside, linked = (np.bincount(of, values, size)[of] for values in (chars, chars * kept, links))
    made: Bools = (of > 0) & (2 * inside >= total) & (5 * linked < 2 * total)
    return made


def _between(found: Scanned, kept: Bools, fit: Bools) -> Bools:
    """Blocks between two kept ones, all of which are `fit` and stand in the element around the first one."""
    places = np.flatnonzero(kept)
    unfit = np.concatenate(([0], np.cumsum(~fit)))
    first, last = places[:-1], places[1:]
    around = found.elements[found.blocks[first, c.ELEMENT], c.PARENT]
    taken = (
        (last - first <= MOST_BETWEEN + 1) & (unfit[last] == unfit[first + 1]) & (found.elements[around, c.END_BLOCK] > last)
    )
    # +1 where a run of blocks begins, -1 behind its end.
    steps = np.zeros(len(kept) + 1, np.int64)
    steps[first[taken]] += 1
    steps[last[taken]] -= 1
    made: Bools = np.cumsum(steps)[:-1] > 0
    return made
