"""The text of single blocks, by one kernel."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.references import references
from tokenmill.pipeline.kernels.html.write import STATE, most_bytes, write


def texts(
    page: npt.NDArray[np.uint8], found: Scanned, chosen: npt.NDArray[np.int64], *, markdown: bool, whole: bool
) -> list[str]:
    """The text of each of the `chosen` blocks, by their numbers.

    markdown: mark code, subscripts and superscripts. whole: with the signs and characters that `kernels.html.signs` leaves out.
    """
    out = np.empty(most_bytes(found, chosen), np.uint8)
    offsets = np.zeros(len(chosen) + 1, np.int64)
    write(page, found, chosen, references(), markdown, whole, np.zeros(STATE, np.int64), out, offsets)
    data = out[: offsets[-1]].tobytes()
    return [data[start:stop].decode("utf-8", "replace") for start, stop in itertools.pairwise(offsets.tolist())]
