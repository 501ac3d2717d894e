"""Published files: what a manifest says of one, and whether it is so.

Purpose: bytes are compared with the hash of their manifest wherever they are read.
Guarantee: what `read_verified` returns was published, byte for byte.
Cost: SHA-256 of what is read, about 2 GB/s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base.errors import CorruptFile


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """What a manifest says of one file. `rows` is None where the file is not a table."""

    bytes: int
    sha256: str
    rows: int | None = None


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex. Raises OSError."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_verified(root: Path, name: str, entry: FileEntry) -> bytes:
    """The bytes of the published file `name`, after comparing them with what its manifest says.

    Raises CorruptFile when the file is missing or differs.
    """
    path = root / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorruptFile(f"{path}: cannot be read ({error.strerror}); run the build again to make it anew") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise CorruptFile(
            f"{path}: holds {len(data)} bytes with SHA-256 {digest}, its manifest names {entry.bytes} bytes with "
            f"{entry.sha256}; run the build again to make it anew"
        )
    return data


def holds(root: Path, name: str, entry: FileEntry) -> bool:
    """Whether the file is there with the bytes its manifest names."""
    path = root / name
    try:
        return path.stat().st_size == entry.bytes and sha256(path) == entry.sha256
    except OSError:
        return False
