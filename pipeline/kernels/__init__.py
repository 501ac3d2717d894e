"""Compiled kernels over Arrow's own buffers, and where their machine code is kept.

Guarantee: machine code is reused only while every kernel source is unchanged. Numba checks one file at a time: after an
edit in one module it kept calling the old code from another (measured). The cache folder is therefore named by a hash of
all kernel sources and of the versions of Python and Numba.
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
    """Whether this environment already has a cache folder for these kernel sources."""
    return Path(_cache_folder()).exists()


# Numba reads this when a function is decorated, so it must be set before any kernel module is imported.
numba.config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]
