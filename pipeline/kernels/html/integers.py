"""Whole numbers in attributes: `start` and `value` of lists, `colspan` and `rowspan` of tables.

Source: "rules for parsing integers", section 2.3.4.1 of the HTML standard.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html.attributes import find
from tokenmill.pipeline.kernels.html.values import Bytes, is_space
from tokenmill.pipeline.kernels.leaf import leaf

ABSENT = -(1 << 31)
"""The attribute is not there, or is no number."""
LARGEST = (1 << 31) - 1


@leaf
def integers(page: Bytes, tags: npt.NDArray[np.int32], wanted: np.uint64, out: npt.NDArray[np.int64]) -> None:
    """out[i] = the number in the attribute whose name has the hash `wanted`, of the tag whose name begins at tags[i]."""
    for i in range(len(tags)):
        at, stop = find(page, tags[i], wanted)
        while at < stop and is_space(page[at]):
            at += 1
        negative = at < stop and page[at] == 0x2D
        if at < stop and (negative or page[at] == 0x2B):
            at += 1
        out[i] = ABSENT
        if at < stop and 0x30 <= page[at] <= 0x39:
            number = np.int64(0)
            while at < stop and 0x30 <= page[at] <= 0x39:
                number = min(number * 10 + np.int64(page[at]) - 0x30, np.int64(LARGEST))
                at += 1
            out[i] = -number if negative else number
