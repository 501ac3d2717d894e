"""The text of single blocks, by one kernel."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.references import references
from tokenmill.pipeline.kernels.html.write import STATE, most_bytes, write


def texts(page: npt.NDArray[np.uint8], found: Scanned, kept: npt.NDArray[np.bool_], *, markdown: bool) -> list[str]:
    """The text of every block, empty for those that are not `kept` (bool [blocks]).

    markdown: mark code, subscripts and superscripts.
    """
    out = np.empty(most_bytes(found, kept), np.uint8)
    offsets = np.zeros(len(found.blocks) + 1, np.int64)
    write(page, found, kept, references(), markdown, np.zeros(STATE, np.int64), out, offsets)
    data = out[: offsets[-1]].tobytes()
    places = offsets.tolist()
    return [data[start:stop].decode("utf-8", "replace") for start, stop in itertools.pairwise(places)]
