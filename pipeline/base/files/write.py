"""Crash-safe writing: a file is complete under its own name, or it does not exist; a log grows by whole lines.

Purpose: the protocol of the package: write under a temporary name in the same folder, fsync, rename, fsync the folder.
Guarantee: a crash, a full disk or a failing device at any operation leaves the old file or the new one, never a part of one.
Cost: SHA-256 while writing (about 2 GB/s); two fsyncs per file, or none if the file need not survive a power loss (`create`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.files import faults
from tokenmill.pipeline.base.files.read import FileEntry, sha256
from tokenmill.pipeline.base.shortage import disk_full

TEMPORARY = ".tmp~"
"""The suffix of files that are being written. Nothing reads them; `sweep` removes those that a crash left."""

_READ_ONLY = 0o444
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
"""Errors of a file system that cannot make this hard link: none at all, not for these files, or not across file systems."""
_PIECE_BYTES = 2**20


class OutputFile(io.RawIOBase):
    """A file that is written under a temporary name, and hashed on the way. Only `create` makes one."""

    def __init__(self, path: Path, raw: io.FileIO, *, hashed: bool) -> None:
        super().__init__()
        self._path = path
        self._raw = raw
        self._bytes = 0
        self._digest = hashlib.sha256() if hashed else None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """Write all of `data` (bytes or a contiguous buffer) and return its size in bytes. Raises OSError."""
        view = memoryview(data).cast("B")
        # One fault position per file: the guarantee is the same whichever of its writes fails.
        short = self._bytes == 0 and faults.step("write", self._path) == "short"
        if short:
            self._raw.write(view[: len(view) // 2])
            raise OSError(errno.EIO, f"short write: {len(view) // 2} of {len(view)} bytes", str(self._path))
        written = 0
        while written < len(view):
            written += self._raw.write(view[written:])
        if self._digest is not None:
            self._digest.update(view)
        self._bytes += len(view)
        return len(view)

    def tell(self) -> int:
        """The number of bytes written so far."""
        return self._bytes

    def finish(self, *, durable: bool) -> None:
        """Close the file; with `durable`, only after every byte has reached the disk. Raises OSError."""
        if durable:
            faults.step("fsync", self._path)
            os.fsync(self._raw.fileno())
        self.close()

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

    def entry(self, rows: int | None = None) -> FileEntry:
        """The manifest's entry for the bytes written so far. Raises AssertionError if the file is not hashed."""
        assert self._digest is not None, f"{self._path}: is not hashed"
        return FileEntry(bytes=self._bytes, sha256=self._digest.hexdigest(), rows=rows)


@contextlib.contextmanager
def create(path: Path, *, durable: bool = True, hashed: bool = True) -> Iterator[OutputFile]:
    """Yield a file that appears, complete, as `path` when the block ends; after an exception nothing has changed.

    Makes the folders above `path`.

    Parameters
    ----------
    durable
        Whether this holds after a power loss too. If False, nothing waits for the disk, and a power loss may leave any bytes:
        use this only for files that the writing run alone reads, or that are compared with a hash before use and rebuilt if
        they differ.
    hashed
        False if nobody asks for the hash; then `OutputFile.entry` cannot be used.

    Raises
    ------
    OSError
        A file operation failed; DiskFull, which is one, if there is no room.
    """
    temporary = _temporary(path)
    out = OutputFile(temporary, open(temporary, "wb", buffering=0), hashed=hashed)  # noqa: SIM115 -- closed below
    try:
        yield out
        out.finish(durable=durable)
        faults.step("rename", path)
        os.replace(temporary, path)
    except BaseException as error:
        full = disk_full(error, path, written=out.tell())
        # Also on Ctrl-C: whatever ends the block, no incomplete file may stay.
        out.close()
        temporary.unlink(missing_ok=True)
        if full is not None:
            raise full from error
        raise
    if durable:
        _fsync_folder(path.parent)


def _temporary(path: Path) -> Path:
    """The temporary name under which `path` is written. Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    faults.step("create", temporary)
    return temporary


def _fsync_folder(folder: Path) -> None:
    faults.step("fsync_folder", folder)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> FileEntry:
    """Write a small file by the protocol and return its entry. `durable`: see `create`. Raises OSError."""
    with create(path, durable=durable) as out:
        out.write(data)
    return out.entry()


def canonical_json(value: Any) -> bytes:
    """Encode a JSON value in its only canonical form: UTF-8, sorted keys, no spaces, a newline at the end.

    Raises ValueError for NaN and infinities.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def write_json(path: Path, value: Any, *, durable: bool = True) -> FileEntry:
    """Write `value` as canonical JSON by the protocol and return its entry. `durable`: see `create`. Raises OSError."""
    return write_bytes(path, canonical_json(value), durable=durable)


def link(root: Path, parts: Sequence[tuple[str, FileEntry]], path: Path) -> None:
    """Make `path` hold the published files `parts` end to end.

    One part becomes a hard link if the file system allows it. Otherwise, and for several parts, `path` is a read-only copy.

    Parameters
    ----------
    root
        The folder of the parts.
    parts
        (path below `root`, entry of its manifest) for each part.

    Raises
    ------
    CorruptFile
        A part holds other bytes than its manifest names; `path` is unchanged.
    OSError
        A file operation failed.
    """
    if len(parts) == 1 and _linked(root / parts[0][0], parts[0][1], path):
        return
    with create(path) as out:
        for name, entry in parts:
            digest = hashlib.sha256()
            with open(root / name, "rb") as handle:
                while piece := handle.read(_PIECE_BYTES):
                    digest.update(piece)
                    out.write(piece)
            _require(root / name, digest.hexdigest(), entry)
    path.chmod(_READ_ONLY)


def _linked(source: Path, entry: FileEntry, path: Path) -> bool:
    temporary = _temporary(path)
    try:
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        # Compare after linking: if the source is replaced meanwhile, the link still names the file that was compared.
        _require(source, sha256(temporary), entry)
        faults.step("rename", path)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    finally:
        # Also needed on success: if `path` was already a link to this file, the rename does nothing and the name stays.
        temporary.unlink(missing_ok=True)
    _fsync_folder(path.parent)
    return True


def _require(path: Path, digest: str, entry: FileEntry) -> None:
    if digest != entry.sha256:
        raise CorruptFile(
            f"{path}: holds bytes with SHA-256 {digest}, its manifest names {entry.sha256}; run the build again to rebuild it"
        )


def remove(path: Path, *, durable: bool = True) -> None:
    """Remove a file, if it exists. `durable`: it stays away after a power loss too. Raises OSError."""
    if path.exists():
        faults.step("unlink", path)
        path.unlink(missing_ok=True)
        if durable:
            _fsync_folder(path.parent)


class Log:
    """An append-only text file of JSON lines. If a crash cut the last line, opening the log ends that line with a newline."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        faults.step("create", path)
        self._path = path
        self._raw = open(path, "ab", buffering=0)  # noqa: SIM115 -- closed by `close`
        if cut:
            self._raw.write(b"\n")

    def append(self, value: Any) -> None:
        """Append `value` as one line, in one write. Raises OSError, also if only a part was written."""
        line = canonical_json(value)
        part = len(line) // 2 if faults.step("write", self._path) == "short" else len(line)
        if self._raw.write(line[:part]) < len(line):
            raise OSError(errno.EIO, "short write", str(self._path))

    def close(self) -> None:
        """Close the log."""
        self._raw.close()
