"""Published versions of a corpus: builds work on the files of its folder, readers read a whole version beside them.

Purpose: a corpus stays readable until the next one stands. A version is a folder `.versions/<n>` with a hard link to every
published file, the manifests included. The marker of the corpus names the version that readers see; replacing the marker, one
rename, is what publishes. All files are written by rename, never in place, so what a build replaces under its own name stays
what it was in the version.
Guarantee: a crash leaves the old version or the new one, whole. A reader holds a lease, a shared lock of the operating system
on the version's `.lease`, and sees one version until it lets go. Superseded versions are removed when nobody holds a lease on
them, and only the files that their own manifests name.
Cost: a link for each published file (30 us), an fsync for each folder; on disk, what the next build replaces, until it stands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import CorruptFile, NotBuilt
from tokenmill.pipeline.base.files import Marker, Published
from tokenmill.pipeline.base.manifest import CORPUS, Manifest

FOLDER = files.VERSIONS
ORIGIN = ".state/origin.json"
"""In a copy of a corpus in an object store: where it is from."""
LEASE = ".lease"
_NOTED = re.compile(rf"{re.escape(FOLDER)}/([1-9][0-9]{{0,17}})/{re.escape(LEASE)}")
"""Names of the journal that say that a version is ours: the lease is the first file in it."""


class Lease:
    """A hold on one version: it is not removed while this object lives, here or in a process that was forked from this one."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # Closed, never unlocked: an unlock would end the lease of forked processes, which share it.
        close(self._descriptor)

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.folder,)


@dataclass(frozen=True, kw_only=True)
class InView:
    """Where the published files of a corpus are read, and the lease that keeps them there."""

    folder: Path
    """A folder below `.versions`; the folder of the corpus itself where it has no versions."""
    lease: Lease | None
    published: Published | None
    """What the marker said; None where the corpus has no versions."""


def reading(root: Path) -> InView:
    """The version of the corpus in `root` that readers see now. Raises NewerFormat.

    A corpus without a marker, or whose version is missing as in a copy without hidden files, is read where it stands. The
    folder is absolute, so that readers stay with it if the process changes its working folder.
    """
    root = root.absolute()
    while True:
        found = files.marker(root)
        if found is None or found.published is None:
            return InView(folder=root, lease=None, published=None)
        folder = path_of(root, found.published.generation)
        lease = _lease(folder)
        again = files.marker(root)
        # If the marker moved on meanwhile, the version may have been removed before the lease was there.
        if again is not None and again.published == found.published:
            there = folder.is_dir()
            return InView(folder=folder if there else root, lease=lease, published=found.published if there else None)


def reading_of(folder: Path) -> InView:
    """Like `reading`, for a folder that may itself be a version."""
    folder = folder.absolute()
    if corpus_of(folder) != folder:
        return InView(folder=folder, lease=_again(folder), published=None)
    return reading(folder)


def path_of(root: Path, generation: int) -> Path:
    """The folder of a version."""
    return root / FOLDER / str(generation)


def corpus_of(folder: Path) -> Path:
    """The folder of the corpus that `folder`, a corpus or one of its versions, belongs to."""
    return folder.parent.parent if folder.parent.name == FOLDER else folder


def _again(folder: Path) -> Lease | None:
    """A lease on a version that somebody else holds too. Raises NotBuilt if the version is gone."""
    lease = _lease(folder)
    if not folder.is_dir():
        raise NotBuilt(files.lost(folder) or f"{folder}: is missing; run the build again to make it anew")
    return lease


def _lease(folder: Path) -> Lease | None:
    """None if the version does not exist, or is a copy that lost its `.lease`."""
    try:
        descriptor = os.open(folder / LEASE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    lease = Lease(folder, descriptor)
    try:
        # Waits only while the version is being removed; then the caller finds that it is gone.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        # A file system without locks, where no build can run either: there is nobody to hold the version against.
        return None
    return lease


def is_current(root: Path, whole: Manifest) -> bool:
    """Whether readers see `whole` and the files that stand in the folder of the corpus, not older ones or healed ones."""
    found = files.marker(root)
    if found is None or found.published is None or found.published.hash != whole.hash:
        return False
    folder = path_of(root, found.published.generation)
    return all(is_same(root / name, folder / name) for name in _names(root))


def is_unfinished(root: Path) -> bool:
    """Whether a build has begun to replace the files of the version that readers see, and has not published yet."""
    found = files.marker(root)
    if found is None or found.published is None:
        return False
    if has_versions_alone(root):
        return False
    if not manifest.path_of(root, CORPUS).exists():
        return True
    whole = manifest.find(root, CORPUS)
    return whole is not None and whole.hash != found.published.hash


def publish(root: Path, *, purge: bool = False) -> int:
    """Make the finished corpus in `root` the version that readers see, and remove the superseded ones.

    Call it under the lock of the corpus, after its manifest was committed. `purge`: remove superseded versions that readers
    hold, too; their next read fails. Returns the number of superseded versions that stay because readers hold them. Raises
    ConfigError where the file system has no hard links, Locked, OSError.
    """
    whole = manifest.load(root, CORPUS)
    found = files.marker(root)
    if found is None:
        raise CorruptFile(f"{root / files.MARKER}: is missing or was changed; remove it, and run the build again")
    if found.published is None or not is_current(root, whole):
        number = _next(root, found)
        files.link_tree(root, _names(root), path_of(root, number), LEASE)
        files.mark(root, dataclasses.replace(found, generation=number, published=Published(generation=number, hash=whole.hash)))
    else:
        number = found.published.generation
    return _collect(root, found, keep=number, purge=purge)


def show(root: Path, published: Published) -> None:
    """Make a version that stands already the one that readers see, and remove the superseded ones that nobody holds.

    For a folder that holds versions alone, as a copy of a corpus in an object store. Call it under its lock. Raises OSError.
    """
    found = files.marker(root)
    if found is None:
        raise CorruptFile(f"{root / files.MARKER}: is missing or was changed; remove {root}, which is a copy, and try again")
    if found.published != published:
        files.mark(root, dataclasses.replace(found, generation=published.generation, published=published))
    _collect(root, found, keep=published.generation, purge=False)


def has_versions_alone(root: Path) -> bool:
    """Whether no build has ever worked in the folder: it holds versions that were fetched from an object store."""
    return (root / ORIGIN).is_file()


def restore(root: Path) -> None:
    """Put the version that readers see back in place of a newer build that is unfinished.

    What that build made under other names stays, for the next one. After a crash, restoring again goes on. Call it under the
    lock of the corpus. Raises NotBuilt, CorruptFile, OSError.
    """
    now = reading(root)
    if now.published is None:
        raise NotBuilt(f"{root} has no finished version; run the build to its end")
    folder = now.folder
    whole = manifest.load(folder, CORPUS)
    steps = [manifest.load(folder, name) for name in whole.inputs]
    manifest.withdraw(root, [CORPUS, *whole.inputs])
    for made in (*steps, whole):
        for named in made.entries():
            if not (is_same(root / named[0], folder / named[0]) and files.holds(folder, *named)):
                files.link(folder, [named], root / named[0])
    for made in (*steps, whole):
        manifest.commit(root, made)


def withdraw(root: Path) -> int:
    """Let readers see the folder of the corpus itself, and remove all versions. Returns how many stay: see `publish`."""
    found = files.marker(root)
    if found is not None and found.published is not None:
        files.mark(root, dataclasses.replace(found, published=None))
    return _collect(root, found, keep=None, purge=False)


def superseded(root: Path) -> list[int]:
    """The versions that readers no longer see, but that are still there."""
    found = files.marker(root)
    published = found.published if found is not None else None
    seen = published.generation if published is not None else None
    return [number for number in _numbers(root, found) if number != seen and (path_of(root, number) / LEASE).exists()]


def foreign(root: Path) -> list[str]:
    """What stands among the versions and is none of ours: names below the folder of the corpus."""
    ours = {str(number) for number in _numbers(root, files.marker(root))}
    with contextlib.suppress(OSError):
        return sorted(f"{FOLDER}/{name}" for name in os.listdir(root / FOLDER) if name not in ours)
    return []


def names_in(folder: Path) -> set[str]:
    """The names of all files that the manifests in `folder`, a corpus or a version, name, and of these manifests."""
    return set(_names(folder))


def _names(folder: Path) -> list[str]:
    """Manifests first, so that a version that is only begun says what it may hold."""
    whole = manifest.find(folder, CORPUS)
    steps = [CORPUS, *(whole.inputs if whole is not None else ())]
    found = [made for name in steps if (made := manifest.find(folder, name)) is not None]
    manifests = [manifest.path_of(Path(), made.stage).as_posix() for made in found]
    return [*manifests, *(name for made in found for name, _ in made.entries())]


def is_same(one: Path, other: Path) -> bool:
    """Whether two names are links to one file."""
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


def _numbers(root: Path, found: Marker | None) -> list[int]:
    """The versions that are there and ours: the journal knows their lease, or the marker names them.

    Any other folder is somebody's own, also one that is called `7` and holds a copy of one of ours.
    """
    noted = {int(match[1]) for name in files.noted(root) if (match := _NOTED.fullmatch(name))}
    if found is not None and found.published is not None:
        noted.add(found.published.generation)
    # A file of this name is not ours. A link is, or hides, one of our folders: removing it is refused by name.
    return sorted(number for number in noted if path_of(root, number).is_dir())


def _next(root: Path, found: Marker) -> int:
    """The number of the next version, whose name is free."""
    number = found.generation + 1
    if number in _numbers(root, None):
        # A crash left a part of it. No marker has named it, so nobody reads it.
        _remove(root, number)
    while os.path.lexists(path_of(root, number)):
        number += 1
    return number


def _collect(root: Path, found: Marker | None, *, keep: int | None, purge: bool) -> int:
    return sum(not _remove(root, number, purge=purge) for number in _numbers(root, found) if number != keep)


def _remove(root: Path, number: int, *, purge: bool = True) -> bool:
    """Remove a version, unless a reader holds it. Returns whether it was removed."""
    folder = path_of(root, number)
    with _alone(folder) as alone:
        if alone or purge:
            manifests = [name for name in _names(folder) if Path(name).name == manifest.NAME]
            # The manifests go last, as they say what else is there. The journal and what the corpus holds now also know, if one
            # of them is missing or damaged.
            files.unlink_tree(folder, {*_names(folder), *_names(root), *files.noted(root)}, [*reversed(manifests), LEASE])
        return alone or purge


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody holds a lease on a version. While the block runs, nobody gets one."""
    try:
        descriptor = os.open(folder / LEASE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise files.not_ours(folder / LEASE) from error
        raise
    try:
        alone = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)
