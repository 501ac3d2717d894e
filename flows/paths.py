"""The type of a path that a file of schedules or a parameter of a run gives.

Guarantee: what passes can be asked for at the system, which has an error of Python's own for a name with a zero byte.
Cost: none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from tokenmill.pipeline.base.address import is_remote

LONGEST_BYTES = 255
"""Of one name in a path, on all usual file systems."""


def _possible(path: str) -> str:
    if "\0" in path or any(len(name.encode()) > LONGEST_BYTES for name in Path(path).parts):
        raise ValueError("no file can have such a name: it is too long, or has a character that is none")
    return path


def _local(path: str) -> str:
    if is_remote(path):
        raise ValueError("is an address of an object store; scheduled builds work in folders of this machine")
    return path


PathText = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_possible)]
FolderText = Annotated[PathText, AfterValidator(_local)]
"""A folder that a build works in."""
