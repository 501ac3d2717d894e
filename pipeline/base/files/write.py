"""Writing: a file is whole under its own name, or it is not there; a log grows by whole lines.

Purpose: the protocol of the package: a temporary name in the same folder, fsync, rename, fsync of the folder.
Guarantee: a crash, a full disk or a failing device at any operation leaves the old file or the new one, never a part.
Cost: SHA-256 while writing (about 2 GB/s); two fsyncs per file, or none where it need not outlive a loss of power (`create`).
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

TEMPORARY = ".tmp~"
"""The suffix of files being written. Nothing reads them; `sweep` removes what a crash left."""

_READ_ONLY = 0o444
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
"""What a file system answers that links no files, not these, or not across to another."""
_PIECE_BYTES = 2**20


class Output(io.RawIOBase):
    """A file being written under a temporary name; hashes what passes. Made by `create` alone."""

    def __init__(self, path: Path, raw: io.FileIO, *, hashed: bool) -> None:
        super().__init__()
        self._path = path
        self._raw = raw
        self._bytes = 0
        self._digest = hashlib.sha256() if hashed else None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """Write all of `data` (bytes or a contiguous buffer), or raise."""
        view = memoryview(data).cast("B")
        # One fault position per file: which of its writes fails makes no difference to what must hold.
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
        return self._bytes

    def finish(self, *, durable: bool) -> None:
        """Close; `durable`: after every byte has reached the disk."""
        if durable:
            faults.step("fsync", self._path)
            os.fsync(self._raw.fileno())
        self.close()

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

    def entry(self, rows: int | None = None) -> FileEntry:
        """What a manifest says of the file as it stands, which must be hashed."""
        assert self._digest is not None, f"{self._path}: is not hashed"
        return FileEntry(bytes=self._bytes, sha256=self._digest.hexdigest(), rows=rows)


@contextlib.contextmanager
def create(path: Path, *, durable: bool = True, hashed: bool = True) -> Iterator[Output]:
    """A file that appears as `path`, whole, when the block ends; after an exception nothing has changed.

    `durable`: also when the machine loses its power. Without it nothing waits for the disk, and a loss of power may leave any
    bytes: for what is read by the run alone that writes it, or is compared with a hash before it is used and made anew where it
    differs. `hashed`: False where nobody asks for `entry`. Makes the folders above it. Raises OSError as the operating system
    does.
    """
    temporary = _temporary(path)
    out = Output(temporary, open(temporary, "wb", buffering=0), hashed=hashed)  # noqa: SIM115 -- closed below
    try:
        yield out
        out.finish(durable=durable)
        faults.step("rename", path)
        os.replace(temporary, path)
    except BaseException:
        # Also on Ctrl-C: whatever ends the block, no half-written file may stay.
        out.close()
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _fsync_folder(path.parent)


def _temporary(path: Path) -> Path:
    """The name under which `path` begins; its folder is made."""
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
    """Write a small file by the protocol."""
    with create(path, durable=durable) as out:
        out.write(data)
    return out.entry()


def canonical_json(value: Any) -> bytes:
    """One value, one sequence of bytes: sorted keys, no spaces, UTF-8, no NaN, a newline at the end."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def write_json(path: Path, value: Any, *, durable: bool = True) -> FileEntry:
    """Write `value` as canonical JSON by the protocol."""
    return write_bytes(path, canonical_json(value), durable=durable)


def link(root: Path, parts: Sequence[tuple[str, FileEntry]], path: Path) -> None:
    """The published files `parts`, end to end, as `path`: of one a hard link, of several a copy that is read-only.

    So is one where the file system does not link it. Raises CorruptFile when one holds other bytes than it should.
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
        # Compared after it was linked: whatever replaces the source meanwhile is another file.
        _require(source, sha256(temporary), entry)
        faults.step("rename", path)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    finally:
        # It is also left where `path` was the same file before: then a rename does nothing.
        temporary.unlink(missing_ok=True)
    _fsync_folder(path.parent)
    return True


def _require(path: Path, digest: str, entry: FileEntry) -> None:
    if digest != entry.sha256:
        raise CorruptFile(
            f"{path}: holds bytes with SHA-256 {digest}, its manifest names {entry.sha256}; run the build again to make it anew"
        )


def remove(path: Path, *, durable: bool = True) -> None:
    """Remove a file; a file that is not there is fine. `durable`: it stays away also when the machine loses its power."""
    if path.exists():
        faults.step("unlink", path)
        path.unlink(missing_ok=True)
        if durable:
            _fsync_folder(path.parent)


class Log:
    """An append-only text file of JSON lines. A line cut by a crash is completed with a newline at the next start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        faults.step("create", path)
        self._path = path
        self._raw = open(path, "ab", buffering=0)  # noqa: SIM115 -- closed by `close`
        if cut:
            self._raw.write(b"\n")

    def append(self, value: Any) -> None:
        """One line, in one write. Raises OSError, also when the disk took only a part."""
        line = canonical_json(value)
        part = len(line) // 2 if faults.step("write", self._path) == "short" else len(line)
        if self._raw.write(line[:part]) < len(line):
            raise OSError(errno.EIO, "short write", str(self._path))

    def close(self) -> None:
        self._raw.close()
