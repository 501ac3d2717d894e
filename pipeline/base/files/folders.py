"""Whole folders of links: made, made durable, and taken away again by the names that are ours.

Guarantee: no link is followed below a corpus. What stands in the folder under other names stays, and so do the folders around
it. Each link, removal and fsync is a file operation that tests can make fail (`faults`).
Cost: one system call for each name, two opens and an fsync for each folder.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.files import faults, owner, tree
from tokenmill.pipeline.base.files.write import NO_LINK, write_bytes

IN_PLACE = "build with --in-place, which keeps no older version (readers then find no corpus while a build runs)"


def link_tree(root: Path, names: Iterable[str], target: Path, first: str) -> None:
    """Make the folder `target` hold a hard link to each of the files `names` of `root`, under the same name, durably.

    `first`: an empty file that is made before all links. Links are made in the order of `names`, folder by folder.
    Raises ConfigError where the file system makes no hard links, NotOurs, Locked, OSError.
    """
    owner.require(root)
    write_bytes(target / first, b"")
    made = {target}
    for folder, group in itertools.groupby(map(Path, names), key=lambda name: name.parent):
        _link(root / folder, target / folder, [name.name for name in group])
        made.update((target / folder, *(target / above for above in folder.parents)))
    for folder in sorted(made, key=lambda one: (-len(one.parts), one)):
        _fsync(folder)


def _link(source: Path, target: Path, names: Sequence[str]) -> None:
    root = tree.root_of(target)
    with tree.opened(source, root) as here, tree.opened(target, root, make=True) as there:
        for name in names:
            faults.step("link", target / name)
            try:
                os.link(name, name, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
            except OSError as error:
                if error.errno not in NO_LINK:
                    raise OSError(error.errno, error.strerror, str(target / name)) from error
                raise ConfigError(
                    f"{source / name}: this file system makes no hard link to it ({error.strerror}), so no version can be kept "
                    f"beside the files that a build replaces; {IN_PLACE}"
                ) from error


def require_links(root: Path) -> None:
    """Raises ConfigError if files below the corpus folder `root`, which has a marker, cannot get hard links."""
    probe = root / ".state" / "probe"
    write_bytes(probe, b"", durable=False)
    _unlink(probe.parent, ["probe.link"])
    with tree.opened(probe.parent, root) as folder:
        try:
            os.link("probe", "probe.link", src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            raise ConfigError(f"{root}: this file system makes no hard links ({error.strerror}); {IN_PLACE}") from error
    _unlink(probe.parent, ["probe.link", "probe"])


def unlink_tree(folder: Path, names: Container[str], last: Sequence[str]) -> None:
    """Remove the files below `folder` whose name, the path below it, is in `names`, and the folders that are then empty.

    They stay away after a power loss too: the journal may forget them. `last`: those of the names that go last, in this order.
    Raises NotOurs, Locked, OSError.
    """
    owner.changing(folder)
    there = [path.relative_to(folder) for path in tree.listed(folder)]
    found = [name for name in there if name.as_posix() in names and name.as_posix() not in last]
    for parent, group in itertools.groupby(found, key=lambda name: name.parent):
        _unlink(folder / parent, [name.name for name in group])
    for name in map(Path, last):
        _unlink(folder / name.parent, [name.name])
    prune(folder)
    left = [*tree.folders(folder), folder] if folder.is_dir() else []
    for one in (*left, folder.parent):
        _fsync(one)


def prune(folder: Path) -> None:
    """Remove the folders below `folder` that hold no file, and `folder` itself if it holds none. Raises NotOurs, OSError."""
    for path in [*tree.folders(folder), folder]:
        with contextlib.suppress(FileNotFoundError), tree.folder_of(path) as around:
            os.stat(path.name, dir_fd=around, follow_symlinks=False)
            faults.step("unlink", path)
            try:
                os.rmdir(path.name, dir_fd=around)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def _unlink(folder: Path, names: Sequence[str]) -> None:
    with contextlib.suppress(FileNotFoundError), tree.opened(folder, tree.root_of(folder / "x")) as here:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.stat(name, dir_fd=here, follow_symlinks=False)
                faults.step("unlink", folder / name)
                os.unlink(name, dir_fd=here)


def _fsync(folder: Path) -> None:
    with tree.opened(folder, tree.root_of(folder / "x")) as descriptor:
        faults.step("fsync_folder", folder)
        os.fsync(descriptor)
