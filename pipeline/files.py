"""The only module that writes.

Purpose: every byte that tokenmill puts on disk goes through here, by one protocol: a temporary name in the same folder,
fsync, rename, fsync of the folder. A file under its own name is therefore whole, or it is not there.
Guarantee: a crash, a full disk or a failing device at any operation leaves the old file or the new one, never a part.
Operations are counted, so that a test can make the k-th one fail or end the process (`inject`).
Cost: SHA-256 while writing (about 2 GB/s); two fsyncs per file, or none where it need not outlive a loss of power (`create`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pipeline.errors import CorruptFile, InputError, Locked

TEMPORARY = ".tmp~"
"""The suffix of files being written. Nothing reads them; `sweep` removes what a crash left."""

_READ_ONLY = 0o444
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
"""What a file system answers that links no files, not these, or not across to another."""
_PIECE_BYTES = 2**20

Operation = Literal["create", "write", "fsync", "rename", "fsync_folder", "unlink"]
FaultKind = Literal["exit", "eio", "enospc", "short"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """At file operation number `at` (from 0): end the process, or fail as the operating system would."""

    at: int
    kind: FaultKind


class _Operations:
    """Counts this process's file operations and fires the fault that a test asked for."""

    def __init__(self) -> None:
        self.done = 0
        self.fault: Fault | None = None

    def step(self, operation: Operation, path: Path) -> FaultKind | None:
        number, self.done = self.done, self.done + 1
        if self.fault is None or number != self.fault.at:
            return None
        if self.fault.kind == "exit":
            os._exit(EXIT_BY_FAULT)
        if self.fault.kind == "short" and operation == "write":
            return "short"
        code = errno.ENOSPC if self.fault.kind == "enospc" else errno.EIO
        raise OSError(code, os.strerror(code), str(path))


EXIT_BY_FAULT = 86
_operations = _Operations()


def inject(fault: Fault | None) -> None:
    """Count file operations from 0 again, and fire `fault` when its turn comes. None: only count."""
    _operations.done = 0
    _operations.fault = fault


def operations() -> int:
    """How many file operations this process has done since `inject`, or since it started."""
    return _operations.done


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """What a manifest says of one file. `rows` is None where the file is not a table."""

    bytes: int
    sha256: str
    rows: int | None = None


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
        short = self._bytes == 0 and _operations.step("write", self._path) == "short"
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
            _operations.step("fsync", self._path)
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
    bytes: for what is compared with a hash before it is used, and made anew where it differs. `hashed`: False where somebody
    else keeps hashes of what it holds. Makes the folders above it. Raises OSError as the operating system does.
    """
    temporary = _temporary(path)
    out = Output(temporary, open(temporary, "wb", buffering=0), hashed=hashed)  # noqa: SIM115 -- closed below
    try:
        yield out
        out.finish(durable=durable)
        _operations.step("rename", path)
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
    _operations.step("create", temporary)
    return temporary


def _fsync_folder(folder: Path) -> None:
    _operations.step("fsync_folder", folder)
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
        _operations.step("rename", path)
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


def remove(path: Path) -> None:
    """Remove a file, durably; a file that is not there is fine."""
    if path.exists():
        _operations.step("unlink", path)
        path.unlink(missing_ok=True)
        _fsync_folder(path.parent)


def sweep(root: Path) -> None:
    """Remove what writers that died left behind. Only under the lock of the corpus."""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(TEMPORARY):
                remove(Path(folder, name))


class Log:
    """An append-only text file of JSON lines. A line cut by a crash is completed with a newline at the next start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        _operations.step("create", path)
        self._path = path
        self._raw = open(path, "ab", buffering=0)  # noqa: SIM115 -- closed by `close`
        if cut:
            self._raw.write(b"\n")

    def append(self, value: Any) -> None:
        """One line, in one write. Raises OSError, also when the disk took only a part."""
        line = canonical_json(value)
        part = len(line) // 2 if _operations.step("write", self._path) == "short" else len(line)
        if self._raw.write(line[:part]) < len(line):
            raise OSError(errno.EIO, "short write", str(self._path))

    def close(self) -> None:
        self._raw.close()


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


def inside(root: Path, name: str) -> Path:
    """`root / name` for a name that came from data: it may not leave `root`. Raises InputError."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise InputError(f"{name!r} points outside its folder")
    return root / pure


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold the one lock of a corpus folder; it ends with the process. Raises Locked, naming the holder."""
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".lock", "a+b", buffering=0) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().decode(errors="replace").strip() or "a process that has just started"
            raise Locked(f"{root} is locked: {holder} is writing to it; wait for it, or choose another --out") from error
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {since} UTC".encode())
        try:
            yield
        finally:
            handle.truncate(0)
