"""The journal of names: which files below a corpus tokenmill has made.

Purpose: only what stands in the journal, or in a manifest, is ever removed. A name is noted before the file appears, so a crash
can leave a name without a file, never a file of ours without a name.
Guarantee: a line that a crash cut is left out, so what it named counts as foreign and stays. The name of a file that outlives a
power loss does so too; of other names, a power loss may take the last lines.
Cost: one short append for each file written (15 us), and an fsync where a durable file gets a new name; `settle` rewrites the
journal once in a build.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenmill.pipeline.base.files import faults, names, owner, tree

JOURNAL = ".state/names"
"""The journal of a corpus, below its folder. Workers on a cluster have one for each host, `.state/names-<host>`, since lines
that two hosts add to one file can take each other's place. `settle` puts them together."""


def lines_of(made: Iterable[str]) -> bytes:
    """The lines of the journal for these names."""
    # Each name between two line ends: a line that a crash cut does not take the next one with it.
    return "".join(f"\n{json.dumps(name)}\n" for name in made).encode()


def note(root: Path, made: Iterable[str], *, durable: bool = False) -> None:
    """Note that files with these names, POSIX paths below the corpus folder `root`, are about to be made. Raises OSError.

    `durable`: the names are known after a power loss too.
    """
    lines = lines_of(made)
    path = root / (f"{JOURNAL}-{names.host()}" if owner.for_another() else JOURNAL)
    with tree.opened(path.parent, root, make=True) as folder:
        # Once, but for a journal that is replaced meanwhile: see `replacing`.
        while not _append(path, folder, lines, durable=durable):
            continue


def _append(path: Path, folder: int, lines: bytes, *, durable: bool) -> bool:
    """Returns whether the file that has the lines now still is the journal."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.name, flags, 0o666, dir_fd=folder)
    try:
        new = os.fstat(descriptor).st_size == 0
        os.write(descriptor, lines)
        if durable:
            faults.step("fsync", path)
            os.fsync(descriptor)
        if durable and new:
            faults.step("fsync_folder", path.parent)
            os.fsync(folder)
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), os.stat(path.name, dir_fd=folder, follow_symlinks=False))
        return False
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(root: Path) -> Iterator[set[str]]:
    """The names in the journal, for a block that puts another file in its place. Call this under the lock of the corpus.

    A training in the same corpus may note names meanwhile. It looks after each whether the journal is still the same file, and
    here the rest of the old one is read after the new one is in place; so one of the two sees each name that came late.
    """
    note(root, ())
    with tree.reading(root / JOURNAL) as old:
        yield _names_in(old.readall())
        late = _names_in(old.readall()) - {JOURNAL}
    if late:
        note(root, sorted(late), durable=True)


def separate(root: Path) -> None:
    """Give the journal a file of its own if its file has other names too, so that lines are added to ours alone.

    A copy by hard links (`cp -al`) shares it. Call this under the lock of the corpus. Raises OSError.
    """
    path = root / JOURNAL
    with contextlib.suppress(FileNotFoundError), tree.opened(path.parent, root) as folder:
        if os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_nlink == 1:
            return
        with replacing(root) as found:
            own = f".{path.name}.own"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(own, dir_fd=folder)
            descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
            with open(descriptor, "wb") as handle:
                handle.write(lines_of(sorted(found)))
                handle.flush()
                os.fsync(descriptor)
            os.replace(own, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)


def noted(root: Path) -> set[str]:
    """All names in the journals of the corpus folder `root`. Raises NotOurs, OSError."""
    return set().union(*map(names_of, (root / JOURNAL, *of_hosts(root))))


def of_hosts(root: Path) -> list[Path]:
    """The journals of workers on a cluster."""
    folder = root / JOURNAL
    try:
        with tree.opened(folder.parent, root) as descriptor:
            found = sorted(name for name in os.listdir(descriptor) if name.startswith(f"{folder.name}-"))
    except FileNotFoundError:
        return []
    return [folder.with_name(name) for name in found if not name.endswith(names.TEMPORARY)]


def names_of(path: Path) -> set[str]:
    """All names in one journal; none if it is missing. Raises NotOurs, OSError."""
    try:
        return _names_in(tree.read_bytes(path))
    except FileNotFoundError:
        return set()


def _names_in(data: bytes) -> set[str]:
    found = set()
    for line in data.splitlines():
        try:
            name = json.loads(line)
        except ValueError:
            continue
        if isinstance(name, str):
            found.add(name)
    return found
