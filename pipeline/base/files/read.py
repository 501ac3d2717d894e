"""Verified reading of published files.

Purpose: bytes are compared with the hash in their manifest wherever they are read.
Guarantee: the bytes that `read_verified` returns are exactly those that were published.
Cost: SHA-256 of the bytes read, about 2 GB/s.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base.errors import CorruptFile, NotOurs
from tokenmill.pipeline.base.files import tree
from tokenmill.pipeline.base.files.marker import VERSIONS, marker


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """What a manifest says about one file."""

    bytes: int
    """The size of the file in bytes."""
    sha256: str
    """The SHA-256 of its bytes, in hex."""
    rows: int | None = None
    """The rows of a table; None if the file is not a table."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex. Raises OSError, and NotOurs for a link below a corpus."""
    with tree.reading(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def known_as(path: Path) -> Path:
    """The path for messages: that in the corpus folder for a file of a version, if it is the same file; else `path`."""
    *above, _ = path.parents
    version = next((folder for folder in above if folder.parent.name == VERSIONS), None)
    if version is not None:
        shown = version.parent.parent / path.relative_to(version)
        with contextlib.suppress(OSError):
            return shown if shown.samefile(path) else path
    return path


def lost(folder: Path) -> str | None:
    """What to say where a file of a corpus that a reader has open is missing; None if the file alone is.

    `folder`: the folder that it was read from: that of the corpus, of a version, or below a version.
    """
    version = next((one for one in (folder, *folder.parents) if one.parent.name == VERSIONS), None)
    home = folder if version is None else version.parent.parent
    found = marker(home)
    if not home.is_dir() or (version is not None and found is None):
        return f"{home}: the corpus has been moved or removed; open it again from where it is"
    seen = found.published if found is not None else None
    if version is not None and (seen is None or str(seen.generation) != version.name):
        return f"{version}: this version of the corpus was removed after a newer one was published; open the corpus again"
    return None


def unreadable(folder: Path, path: Path, error: OSError) -> CorruptFile:
    """The error for a published file that cannot be opened. `folder`: see `lost`."""
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    said = lost(folder) if missing else None
    return CorruptFile(said or f"{known_as(path)}: cannot be read ({error.strerror}); run the build again to make it anew")


def read_verified(root: Path, name: str, entry: FileEntry) -> bytes:
    """Return the bytes of the published file `root / name`, after comparing them with its manifest's `entry`.

    Raises CorruptFile if the file cannot be read or differs.
    """
    path = root / name
    try:
        data = tree.read_bytes(path)
    except NotOurs as error:
        raise CorruptFile(str(error)) from error
    except OSError as error:
        raise unreadable(root, path, error) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise CorruptFile(
            f"{known_as(path)}: holds {len(data)} bytes with SHA-256 {digest}, its manifest names {entry.bytes} bytes with "
            f"{entry.sha256}; run the build again to rebuild it"
        )
    return data


def holds(root: Path, name: str, entry: FileEntry) -> bool:
    """Whether the file `root / name` exists with the bytes that its manifest's `entry` names."""
    path = root / name
    try:
        return path.stat().st_size == entry.bytes and sha256(path) == entry.sha256
    except OSError:
        return False
