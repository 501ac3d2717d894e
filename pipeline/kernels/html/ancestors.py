"""What stands around each block of a page, from the tree of its elements.

Guarantee: one pass over the elements, and at most `MOST_STEPS` steps up from each block, so the work is linear at any depth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.leaf import leaf

MOST_STEPS = 32
"""A keyword that stands further up counts as absent."""


@leaf
def growing(elements: npt.NDArray[np.int32], chars: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> None:
    """out[i] = the nearest ancestor of element i that holds more than chars[i]; 0, the root, where there is none."""
    for at in range(1, len(elements)):
        parent = np.int64(elements[at, c.PARENT])
        out[at] = parent if chars[parent] > chars[at] else out[parent]


@leaf
def keyword_steps(found: Scanned, out: npt.NDArray[np.int32]) -> None:
    """out[i, k] = steps from block i up to the nearest element with keyword k; `MOST_STEPS` where there is none."""
    for block in range(len(found.blocks)):
        row = found.blocks[block]
        at = np.int64(row[c.ELEMENT])
        if row[c.SEGMENTS] == 1:
            at = np.int64(found.segments[row[c.FIRST], c.OWNER])
        seen = np.uint64(0)
        for steps in range(MOST_STEPS):
            left = found.keywords[at] & ~seen
            seen |= left
            keyword = 0
            while left:
                if left & np.uint64(1):
                    out[block, keyword] = steps
                left >>= np.uint64(1)
                keyword += 1
            if at == 0:
                break
            at = np.int64(found.elements[at, c.PARENT])
