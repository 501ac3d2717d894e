"""Which blocks of a page are main text, told from the main text that people took from the page.

A block is main text if at least half of its tokens stand in runs that the main text has too, or if the whole block is a line of
the main text. Runs are of `RUN` tokens, `UNSPACED_RUN` where tokens are characters.
Cost: 1 s per million tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.extract.overlap import UNSPACED, tokens

RUN, UNSPACED_RUN = 4, 6
CHARACTER = re.compile(f"[{UNSPACED}]")
SHORTEST_LINE = 3
"""Tokens of a line that counts as a whole. Shorter ones, such as "Read more", stand in menus too."""


def main_blocks(blocks: Sequence[Sequence[str]], gold: str) -> npt.NDArray[np.bool_]:
    """Which blocks, given as tokens, are part of the main text `gold`; bool [blocks]."""
    expected = tokens(gold)
    characters = sum(CHARACTER.match(token) is not None for token in expected)
    run = UNSPACED_RUN if 2 * characters > len(expected) else RUN
    grams = {tuple(expected[at : at + run]) for at in range(len(expected) - run + 1)}
    lines = {tuple(line) for line in map(tokens, gold.splitlines()) if len(line) >= SHORTEST_LINE}
    return np.array(
        [tuple(block) in lines or 2 * _covered(block, grams, run) >= max(1, len(block)) for block in blocks], dtype=bool
    )


def _covered(block: Sequence[str], grams: set[tuple[str, ...]], run: int) -> int:
    """How many tokens of a block stand in runs of `grams`."""
    covered = end = 0
    for at in range(len(block) - run + 1):
        if tuple(block[at : at + run]) in grams:
            covered += at + run - max(at, end)
            end = at + run
    return covered
