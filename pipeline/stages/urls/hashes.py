"""Hashes of the keys of lists; see `kernels.urls.lookups`, which looks parts of addresses up among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.urls import lookups
from tokenmill.pipeline.kernels.urls.lookups import ADDRESS

SIGNS = (b"", b"=", b".")
"""What keys begin with, by their mark."""


def of_keys(keys: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """The hash of each key, which begins with the sign of its mark. uint64 [keys]"""
    marks = np.array([SIGNS.index(key[:1]) if key[:1] in SIGNS else ADDRESS for key in keys], dtype=np.uint8)
    ends = np.cumsum([len(key) for key in keys], dtype=np.int64)
    starts = ends - np.array([len(key) for key in keys], dtype=np.int64) + (marks != ADDRESS)
    found = np.empty(len(keys), dtype=np.uint64)
    lookups.of_parts(np.frombuffer(b"".join(keys), dtype=np.uint8), starts, ends, marks, found)
    return found
