"""The way to a file below a corpus folder: from the folder of the corpus on, component by component, through no link.

Purpose: every open, rename, removal and listing below a corpus goes through the descriptor of the folder that holds the name.
The folder of the corpus itself may be reached through links; it is the outermost folder above a path that has a marker.
Guarantee: a symbolic link below a corpus is refused by name, and what it points to is neither read nor changed. Paths outside
of every corpus are used as the caller gave them.
Cost: an `lstat` for each folder above the path, and an open for each one below the corpus: about 50 us a file.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tokenmill.pipeline.base.address import is_remote
from tokenmill.pipeline.base.errors import ConfigError, NotOurs
from tokenmill.pipeline.base.files import faults
from tokenmill.pipeline.base.files.marker import marker

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_INSIDE = _FOLDER | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_CLOEXEC


def root_of(path: Path) -> Path | None:
    """The corpus folder that `path` is below of; None outside of every corpus. Raises NewerFormat: see `marker`."""
    whole = Path.cwd() / path
    for folder in reversed(whole.parents):
        if marker(folder) is not None and ".." not in whole.relative_to(folder).parts:
            return folder
    return None


def name_of(root: Path, path: Path) -> str:
    """The POSIX path of `path` below the corpus folder `root`."""
    return (Path.cwd() / path).relative_to(Path.cwd() / root).as_posix()


def make(folder: Path) -> None:
    """Make a folder and those above it, unless they are there, so that they outlive a power loss. Raises OSError."""
    if folder.is_dir():
        return
    require_local(folder)
    make(folder.parent)
    faults.step("mkdir", folder)
    folder.mkdir(exist_ok=True)
    faults.step("fsync_folder", folder.parent)
    around = os.open(folder.parent, _FOLDER)
    try:
        os.fsync(around)
    finally:
        os.close(around)


def require_local(folder: Path) -> None:
    """Raises ConfigError for an address of an object store where a folder is about to be made: its name is no mistake."""
    if is_remote(folder) and not folder.is_dir():
        raise ConfigError(
            f"{folder}: is an address, and this command writes to folders alone; give a folder (of an address, `build --out` "
            "takes one)"
        )


@contextlib.contextmanager
def folder_of(path: Path, *, make: bool = False, durable: bool = False) -> Iterator[int]:
    """An open descriptor of the folder that holds the name `path`.

    `make`: make the folders that are missing; with `durable` they outlive a power loss. Raises NotOurs for a link or a file in
    place of a folder, OSError.
    """
    with opened(path.parent, root_of(path), make=make, durable=durable) as descriptor:
        yield descriptor


@contextlib.contextmanager
def opened(folder: Path, root: Path | None, *, make: bool = False, durable: bool = False) -> Iterator[int]:
    """An open descriptor of `folder`, which is `root` or below it. Like `folder_of`."""
    if root is None:
        if make:
            require_local(folder)
            folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, _FOLDER)
    else:
        descriptor = _descend(root, name_of(root, folder / "x").split("/")[:-1], make=make, durable=durable)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _descend(root: Path, parts: list[str], *, make: bool, durable: bool) -> int:
    here, path = os.open(root, _FOLDER), root
    try:
        for part in parts:
            path /= part
            below = _step(here, part, path, make=make, durable=durable)
            os.close(here)
            here = below
    except BaseException:  # also on Ctrl-C: whatever ends the way, its last descriptor is closed
        os.close(here)
        raise
    return here


def _step(here: int, part: str, path: Path, *, make: bool, durable: bool) -> int:
    """Open the folder `part` of the folder `here`. `path` is its path, for messages."""
    try:
        return os.open(part, _INSIDE, dir_fd=here)
    except FileNotFoundError:
        if not make:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise not_ours(path) from error
        raise OSError(error.errno, error.strerror, str(path)) from error
    faults.step("mkdir", path)
    with contextlib.suppress(FileExistsError):  # another worker was faster
        os.mkdir(part, dir_fd=here)
    if durable:
        faults.step("fsync_folder", path.parent)
        os.fsync(here)
    return _step(here, part, path, make=False, durable=durable)


def not_ours(path: Path) -> NotOurs:
    """The error for something that stands in the place of one of our files or folders."""
    if path.is_symlink():
        what = f"is a symbolic link to {os.readlink(path)!r}, and tokenmill follows no link inside a corpus"
    else:
        what = "is not what tokenmill makes under this name"
    return NotOurs(f"{path}: {what}; move it out of the corpus, then run the command again (what it names was not touched)")


def reading(path: Path) -> io.FileIO:
    """Open a file for reading, without a buffer. Raises NotOurs below a corpus for anything but a regular file, OSError."""
    root = root_of(path)
    return open(path, "rb", buffering=0) if root is None else open(_regular(path, root), "rb", buffering=0)


def descriptor(path: Path) -> int:
    """Like `reading`, for a caller who keeps the descriptor and closes it."""
    root = root_of(path)
    return os.open(str(path), _FILE) if root is None else _regular(path, root)


def _regular(path: Path, root: Path) -> int:
    with opened(path.parent, root) as folder:
        try:
            # Not blocking, so that a pipe in the place of a file cannot stop us.
            found = os.open(path.name, _FILE | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise not_ours(path) from error
            raise OSError(error.errno, error.strerror, str(path)) from error
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise not_ours(path)
    return found


def read_bytes(path: Path) -> bytes:
    """All bytes of a file. Raises what `reading` raises."""
    with reading(path) as handle:
        return handle.read()


def listed(folder: Path) -> Iterator[Path]:
    """Everything below `folder` that is no folder, in the order of names. Links are listed and not followed.

    Nothing if `folder` does not exist. Raises NotOurs, OSError.
    """
    return (path for path, is_folder in _walk(folder) if not is_folder)


def folders(folder: Path) -> Iterator[Path]:
    """All folders below `folder`, each after those in it. Like `listed`."""
    return (path for path, is_folder in _walk(folder) if is_folder)


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    try:
        with opened(folder, root_of(folder / "x")) as descriptor:
            yield from _below(descriptor, folder)
    except FileNotFoundError:
        return


def _below(descriptor: int, folder: Path) -> Iterator[tuple[Path, bool]]:
    with os.scandir(descriptor) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        if is_folder:
            inside = os.open(name, _INSIDE, dir_fd=descriptor)
            try:
                yield from _below(inside, folder / name)
            finally:
                os.close(inside)
        yield folder / name, is_folder
