"""Compiled kernels over Arrow's own buffers. `machine_code` compiles them, and keeps what was compiled."""

from __future__ import annotations


def compiled(kernel: str | None = None) -> bool:
    """Whether this environment already has machine code of these kernels. kernel: of this one, by module and name."""
    from tokenmill.pipeline.kernels.machine_code import FOLDERS

    if kernel is None:
        return any(folder.is_dir() for folder in FOLDERS)
    return any(next(folder.glob(f"{kernel}.*"), None) is not None for folder in FOLDERS)
