"""Compiled kernels over Arrow's own buffers. `machine_code` compiles them, and keeps what was compiled."""

from __future__ import annotations


def compiled() -> bool:
    """Whether this environment already has machine code of these kernels."""
    from tokenmill.pipeline.kernels.machine_code import FOLDERS

    return any(folder.is_dir() for folder in FOLDERS)
