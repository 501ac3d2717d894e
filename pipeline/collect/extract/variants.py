"""Pages as they would be in languages that write otherwise, from the counts of their blocks.

Purpose: nearly all pages with known main text are English. Trees that saw no others take the short blocks of a Chinese page for
a menu, and look for full stops in Thai. So some pages are learnt from twice: as they are, and with counts that the same text
would have in such a language. Structure, tags and names of classes stay.
Guarantee: integers from integers; the same generator gives the same page.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html.blocks import Blocks
from tokenmill.pipeline.kernels.html import columns as c

Counts = npt.NDArray[np.int32]

IDEOGRAPHS = (25, 50)
"""Chinese, Japanese and Korean characters for 100 letters of English, the least and the most."""
LETTERS_IN_A_ROW = (10, 40)
"""Letters between two spaces in Thai, Lao, Khmer or Burmese, where these stand between clauses."""


def variant(blocks: Blocks, generator: np.random.Generator) -> Blocks:
    """The blocks as in one of two kinds of languages without spaces between words."""
    counts = blocks.found.blocks.copy()
    # Code is English everywhere.
    prose = 2 * counts[:, c.CODE_CHARS] <= counts[:, c.CHARS]
    change = _ideographs if generator.random() < 0.5 else _without_marks
    counts[prose] = change(counts[prose], generator)
    return dataclasses.replace(blocks, found=blocks.found._replace(blocks=counts))


def _ideographs(counts: Counts, generator: np.random.Generator) -> Counts:
    """Fewer characters, each a word of its own; other words are those with digits. Sentences and commas are as many."""
    share = generator.integers(*IDEOGRAPHS)
    for column in (c.LINK_CHARS, c.BOLD_CHARS, c.TIME_CHARS, c.CODE_CHARS):
        counts[:, column] = counts[:, column] * share // 100
    counts[:, c.CHARS] = np.maximum(1, counts[:, c.CHARS] * share // 100)
    digits = counts[:, c.DIGITS] = np.minimum(counts[:, c.DIGITS], counts[:, c.CHARS])
    counts[:, c.CJK] = counts[:, c.CHARS] - digits
    counts[:, c.WORDS] = digits > 0
    counts[:, c.CAPITALS] = 0
    return counts


def _without_marks(counts: Counts, generator: np.random.Generator) -> Counts:
    """As many characters, in fewer words, without capitals, full stops and commas."""
    counts[:, c.WORDS] = np.minimum(counts[:, c.WORDS], 1 + counts[:, c.CHARS] // generator.integers(*LETTERS_IN_A_ROW))
    for column in (c.SENTENCES, c.COMMAS, c.CAPITALS):
        counts[:, column] = 0
    return counts
