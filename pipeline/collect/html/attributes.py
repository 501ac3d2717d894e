"""Attributes of single elements, which the scan does not keep, read from the page again."""

from __future__ import annotations

import html

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.attributes import find
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.integers import ABSENT, integers


def value(page: npt.NDArray[np.uint8], found: Scanned, element: int, name: np.uint64) -> str | None:
    """The attribute of an element, by the hash of its name (`kernels.html.names`); None if it has none, or one far behind."""
    start, stop = find(page, found.elements[element, c.BEGIN], name)
    return html.unescape(page[start:stop].tobytes().decode("utf-8", "replace")) if element and start else None


def numbers(
    page: npt.NDArray[np.uint8], found: Scanned, elements: npt.NDArray[np.int64], name: np.uint64, absent: int
) -> npt.NDArray[np.int64]:
    """The whole numbers in an attribute of some elements, `absent` for those without one."""
    out = np.empty(len(elements), np.int64)
    integers(page, np.ascontiguousarray(found.elements[elements, c.BEGIN]), name, out)
    out[out == ABSENT] = absent
    return out
