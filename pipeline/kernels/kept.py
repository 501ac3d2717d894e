"""Keeps tables from process to process, beside the machine code of the kernels.

Purpose: asking `unicodedata` about every character, and unpacking a model of languages, took 1.7 s of each process.
Guarantee: what is read is what `make` gave. Its file is named by all kernel sources, by the source that `make` stands in and by
the versions of Python (and so of Unicode) and Numba, and it ends with its own SHA-256; any other file counts as missing.
Cost: reading and hashing (2 GB/s), a few ms for each table.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def arrays(make: Callable[..., Sequence[npt.ArrayLike]], *arguments: object) -> list[npt.NDArray[Any]]:
    """The arrays that `make(*arguments)` returns, from the disk if an earlier process has made them.

    `arguments`: all that they depend on besides the source; two that differ must have two `repr`. Numbers come back as arrays
    of no dimension.
    """
    # Numba takes 0.2 s and much address space, and settings import this module.
    from tokenmill.pipeline.kernels import machine_code

    source = Path(make.__code__.co_filename).read_bytes()
    key = repr((make.__module__, make.__qualname__, arguments)).encode() + source
    file = f"{make.__name__}.{hashlib.sha256(key).hexdigest()[:32]}.npy"
    data = machine_code.find(file)
    if data is None:
        made = [np.asarray(one) for one in make(*arguments)]
        written = io.BytesIO()
        for one in (np.array(len(made)), *made):
            np.save(written, one, allow_pickle=False)
        machine_code.keep(file, written.getvalue())
        return made
    read = io.BytesIO(data)
    return [np.load(read, allow_pickle=False) for _ in range(int(np.load(read, allow_pickle=False)))]
