"""Which blocks of a page are main text, told from the main text that people took from the page.

Three rules, one after the other:

1. A block is main text if at least half of its tokens stand in runs that the main text has too, or if the whole block is a line
   of the main text. Runs are of `RUN` tokens, `UNSPACED_RUN` where tokens are characters.
2. Of blocks with the same tokens no more stay than the main text has; those stay that have most main text around them. So the
   title in a menu, or the copy of a text for small screens, is none.
3. A shorter block, such as a cell of a table or a name, is main text if its tokens follow in the main text where the blocks
   before it end, or stand where those after it begin.

Cost: 1 s per million tokens.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.extract.overlap import UNSPACED, tokens

RUN, UNSPACED_RUN = 4, 6
CHARACTER = re.compile(f"[{UNSPACED}]")
SHORTEST_LINE = 3
"""Tokens of a line that counts as a whole. Shorter ones, such as "Read more", stand in menus too."""
AROUND = 8
"""Blocks on each side that tell which of several copies is main text."""
GAP = 12
"""Tokens of the main text that a short block may be away from the last block before it."""

Tokens = Sequence[str]
Places = dict[str, list[int]]


def main_blocks(blocks: Sequence[Tokens], gold: str) -> npt.NDArray[np.bool_]:
    """Which blocks, given as tokens, are part of the main text `gold`; bool [blocks]."""
    expected = tokens(gold)
    characters = sum(CHARACTER.match(token) is not None for token in expected)
    run = UNSPACED_RUN if 2 * characters > len(expected) else RUN
    grams = {tuple(expected[at : at + run]) for at in range(len(expected) - run + 1)}
    lines = {tuple(line) for line in map(tokens, gold.splitlines()) if len(line) >= SHORTEST_LINE}
    main = np.array(
        [tuple(block) in lines or 2 * _covered(block, grams, run) >= max(1, len(block)) for block in blocks], dtype=bool
    )
    places: Places = defaultdict(list)
    for at, token in enumerate(expected):
        places[token].append(at)
    _drop_copies(blocks, expected, places, main)
    for forwards in (True, False):
        _add_short(blocks, expected, places, main, run, forwards=forwards)
    return main


def _covered(block: Tokens, grams: set[tuple[str, ...]], run: int) -> int:
    """How many tokens of a block stand in runs of `grams`."""
    covered = end = 0
    for at in range(len(block) - run + 1):
        if tuple(block[at : at + run]) in grams:
            covered += at + run - max(at, end)
            end = at + run
    return covered


def _found(part: Tokens, expected: Tokens, places: Places) -> list[int]:
    """Where in `expected` the tokens of `part` stand one after the other."""
    return [at for at in places.get(part[0], ()) if expected[at : at + len(part)] == part]


def _drop_copies(blocks: Sequence[Tokens], expected: Tokens, places: Places, main: npt.NDArray[np.bool_]) -> None:
    """Rule 2."""
    copies: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at in np.flatnonzero(main).tolist():
        copies[tuple(blocks[at])].append(at)
    # Tokens of main text that stands once on the page.
    single = np.zeros(len(blocks) + 1, dtype=np.int64)
    for block, found in copies.items():
        if len(found) == 1:
            single[found[0] + 1] = len(block)
    upto = np.cumsum(single)
    for block, found in copies.items():
        wanted = max(1, len(_found(list(block), expected, places))) if len(found) > 1 else 1
        around = [int(upto[min(len(blocks), at + AROUND + 1)] - upto[max(0, at - AROUND)]) for at in found]
        ranked = sorted(zip(around, found, strict=True), key=lambda one: (-one[0], one[1]))
        main[[at for _, at in ranked[wanted:]]] = False


def _add_short(
    blocks: Sequence[Tokens], expected: Tokens, places: Places, main: npt.NDArray[np.bool_], run: int, *, forwards: bool
) -> None:
    """Rule 3, in the order of the page or against it."""
    order: Iterable[int] = range(len(blocks)) if forwards else reversed(range(len(blocks)))
    reached = -1
    for at in order:
        block = list(blocks[at])
        if main[at] and len(block) >= run:
            reached = _reached(block, expected, places, run, reached, forwards=forwards)
        elif 0 < len(block) <= SHORTEST_LINE and reached >= 0:
            found = _found(block, expected, places)
            if forwards:
                near = [place + len(block) for place in found if reached <= place <= reached + GAP]
            else:
                near = [place for place in reversed(found) if reached - GAP <= place + len(block) <= reached]
            if near:
                main[at], reached = True, near[0]


def _reached(block: Tokens, expected: Tokens, places: Places, run: int, last: int, *, forwards: bool) -> int:
    """Where in the main text a block ends, or, against the order of the page, where it begins; `last` if that is unknown."""
    starts: Iterable[int] = range(len(block) - run + 1)
    near = last if last >= 0 else 0 if forwards else len(expected)
    for start in reversed(list(starts)) if forwards else starts:
        found = _found(block[start : start + run], expected, places)
        if found:
            place = min(found, key=lambda at: abs(at - near)) - start
            return place + len(block) if forwards else max(0, place)
    return last
