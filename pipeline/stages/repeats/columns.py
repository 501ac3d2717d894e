"""Columns of numbers in files below `.state`, memory-mapped so that only the parts that are used are read.

Guarantee: `mapped` returns what `write` was given. Cost: no copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files


def write(path: Path, columns: Iterable[npt.NDArray[Any]]) -> None:
    """Write columns of equal length, one after the other."""
    with files.create(path) as out:
        for column in columns:
            out.write(np.ascontiguousarray(column))


def mapped(path: Path, kinds: Sequence[str], rows: int) -> list[npt.NDArray[Any]]:
    """The columns of a file with `rows` rows, with the dtypes `kinds`."""
    found: list[npt.NDArray[Any]] = []
    offset = 0
    for kind in kinds:
        # An empty file cannot be mapped.
        column = np.memmap(path, dtype=kind, mode="r", offset=offset, shape=(rows,)) if rows else np.empty(0, dtype=kind)
        found.append(np.asarray(column))
        offset += column.nbytes
    return found
