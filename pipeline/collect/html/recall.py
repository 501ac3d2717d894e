"""How much of the visible prose of a page came out of its extraction, so that a page that was lost is seen.

Prose: blocks of at least 100 characters (CJK counts 2.5) with less than 0.4 of them in links, which the page does not hide. A
text that stands on the page twice, as for two widths of the screen, counts once. Characters are counted without white space.
Guarantee: integers until one division, so the same on every machine. Cost: 30 us a page, beside its scan.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.described import LONG_WEIGHT
from tokenmill.pipeline.kernels.html.names import FLAGS

HIDDEN = FLAGS.index("hidden")


def visible(found: Scanned) -> tuple[int, int]:
    """Characters of the page that are visible, and those of its prose."""
    element, chars, cjk, links = (found.blocks[:, at].astype(np.int64) for at in (c.ELEMENT, c.CHARS, c.CJK, c.LINK_CHARS))
    shown = found.elements[element, c.FLAGS] >> HIDDEN & 1 == 0
    prose = shown & (2 * chars + 3 * cjk >= LONG_WEIGHT) & (5 * links < 2 * chars)
    _, first = np.unique(found.hashes[prose], return_index=True)
    return int(chars[shown].sum()), int(chars[prose][first].sum())


def of_page(html: str) -> tuple[int, int]:
    """The same of a page. One that a scan refuses counts as empty."""
    try:
        return visible(blocks_of(html).found)
    except RecordError:
        return 0, 0
