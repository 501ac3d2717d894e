"""Compiled kernels over Arrow's own buffers, and where their machine code is kept.

Guarantee: machine code is reused only while every kernel source is what it was. Numba checks one file at a time, and
after an edit in one module it went on calling the old code from another (measured), so the cache folder is named by
a hash of all kernel sources.
Cost: reading about 100 kB of source at import; compiling once per environment.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numba


def _cache_folder() -> str:
    digest = hashlib.sha256(f"{sys.version} {numba.__version__}".encode())
    folder = Path(__file__).parent
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + source.read_bytes())
    return str(Path(sys.prefix, "var", "cache", "tokenmill", digest.hexdigest()[:16]))


def compiled() -> bool:
    """Whether this environment holds machine code of these kernels already."""
    return Path(_cache_folder()).exists()


# Numba reads this when a function is decorated, so it has to be set before any kernel module is imported.
numba.config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]
