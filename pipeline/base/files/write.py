"""Crash-safe writing: a file is complete under its own name, or it does not exist.

Purpose: the protocol of the package: write under a temporary name in the same folder, fsync, rename, fsync the folder.
Guarantee: a crash, a full disk or a failing device at any operation leaves the old file or the new one, never a part of one.
Below a corpus, no link is followed (`tree`), the journal knows every name before it appears (`journal`), and a run that lost
its lock changes nothing (`owner`).
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import CorruptFile, TokenmillError
from tokenmill.pipeline.base.files import faults, journal, names, owner, tree
from tokenmill.pipeline.base.files.marker import MARKER, marker
from tokenmill.pipeline.base.files.read import FileEntry, sha256
from tokenmill.pipeline.base.shortage import disk_full

_READ_ONLY = 0o444
_PRIVATE = 0o600
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
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

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go on at `offset`. The bytes between have no value. Raises io.UnsupportedOperation if the file is hashed."""
        if self._digest is not None:
            raise io.UnsupportedOperation(f"{self._path}: is hashed, so it is written from its begin to its end")
        return self._raw.seek(offset, whence)

    def finish(self, *, durable: bool) -> None:
        """Close the file; with `durable`, only after every byte has reached the disk. Raises OSError."""
        if durable:
            faults.step("fsync", self._path)
            os.fsync(self._raw.fileno())
        self.close()

    def protect(self) -> None:
        """Make the file read-only."""
        os.fchmod(self._raw.fileno(), _READ_ONLY)

    def keep_private(self) -> None:
        """Let nobody but the owner read the file, whatever the umask says. Call it before the first byte is written."""
        os.fchmod(self._raw.fileno(), _PRIVATE)

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
    with place_of(path, durable=durable) as place:
        out = OutputFile(place.path(place.temporary), place.made(), hashed=hashed)
        try:
            yield out
            out.finish(durable=durable)
            place.rename()
        except BaseException as error:  # also on Ctrl-C: whatever ends the block, no incomplete file may stay
            full = disk_full(error, path, written=out.tell())
            out.close()
            place.forget_temporary()
            if full is not None:
                raise full from error
            raise
        if durable:
            place.fsync()


@dataclass(frozen=True, kw_only=True)
class Target:
    """A name and the open folder that holds it. `root`: the corpus around it."""

    target: Path
    root: Path | None
    folder: int
    temporary: str
    """The name under which the file is written first, in the same folder."""

    def path(self, name: str) -> Path:
        """The path of a name in the folder, for messages."""
        return self.target.with_name(name)

    def made(self) -> io.FileIO:
        """The temporary file, new and open for writing."""
        faults.step("create", self.path(self.temporary))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return io.FileIO(os.open(self.temporary, flags, 0o666, dir_fd=self.folder), "wb")

    def link(self, source: Path) -> None:
        """Make the temporary name a hard link to the file `source`."""
        faults.step("create", self.path(self.temporary))
        with tree.folder_of(source) as there:
            os.link(source.name, self.temporary, src_dir_fd=there, dst_dir_fd=self.folder, follow_symlinks=False)

    def rename(self) -> None:
        """Put the temporary file in place. Raises Locked: see `owner`.

        A run that takes the lock between the comparison here and the rename removes the temporary file (`folder.sweep`), so the
        rename finds nothing.
        """
        if self.root is not None:
            owner.require_lock(self.target)
            owner.require(self.root)
        faults.step("rename", self.target)
        try:
            os.replace(self.temporary, self.target.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except FileNotFoundError:
            if self.root is not None:
                owner.require(self.root)
            raise

    def forget_temporary(self) -> None:
        """Remove the temporary name, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.temporary, dir_fd=self.folder)

    def fsync(self) -> None:
        """Wait until the names in the folder are on the disk."""
        faults.step("fsync_folder", self.target.parent)
        os.fsync(self.folder)


@contextlib.contextmanager
def place_of(path: Path, *, durable: bool) -> Iterator[Target]:
    """The place of a file that is about to be written: its folder is made, and in a corpus its name is noted."""
    root = tree.root_of(path) if path.name == MARKER else owner.changing(path)
    if root is not None and path.name != MARKER:
        # A name that is there was noted when it appeared.
        with _naming(path):
            journal.note(root, [tree.name_of(root, path)], durable=durable and not os.path.lexists(path))
    with _naming(path), tree.opened(path.parent, root, make=True, durable=durable) as folder:
        around = marker(root) if root is not None else None
        run, corpus = (owner.token_of(root), around.id) if root is not None and around is not None else (None, None)
        yield Target(target=path, root=root, folder=folder, temporary=names.temporary(path.name, run=run, corpus=corpus))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Give errors of the system the path that they are about: below a folder's descriptor they have its last name alone."""
    try:
        yield
    except OSError as error:
        bare = error.filename is None or (isinstance(error.filename, str) and not os.path.dirname(error.filename))
        if isinstance(error, TokenmillError) or error.errno is None or not bare:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


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
            with tree.reading(root / name) as handle:
                while piece := handle.read(_PIECE_BYTES):
                    digest.update(piece)
                    out.write(piece)
            _require(root / name, digest.hexdigest(), entry)
        out.protect()


def _linked(source: Path, entry: FileEntry, path: Path) -> bool:
    with place_of(path, durable=True) as place:
        try:
            place.link(source)
            # Compare after linking: if the source is replaced meanwhile, the link still names the file that was compared.
            _require(source, sha256(place.path(place.temporary)), entry)
            place.rename()
        except OSError as error:
            if error.errno in NO_LINK:
                return False
            raise
        finally:
            # Also needed on success: if `path` was already a link to this file, the rename does nothing and the name stays.
            place.forget_temporary()
        place.fsync()
    return True


def _require(path: Path, digest: str, entry: FileEntry) -> None:
    if digest != entry.sha256:
        raise CorruptFile(
            f"{path}: holds bytes with SHA-256 {digest}, its manifest names {entry.sha256}; run the build again to rebuild it"
        )


def remove(path: Path, *, durable: bool = True) -> None:
    """Remove a file, if it exists. `durable`: it stays away after a power loss too. Raises NotOurs, Locked, OSError."""
    root = tree.root_of(path)
    try:
        with tree.opened(path.parent, root) as folder:
            os.stat(path.name, dir_fd=folder, follow_symlinks=False)
            owner.changing(path)
            faults.step("unlink", path)
            os.unlink(path.name, dir_fd=folder)
            if durable:
                faults.step("fsync_folder", path.parent)
                os.fsync(folder)
    except FileNotFoundError:
        return
