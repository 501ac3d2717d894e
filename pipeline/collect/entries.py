"""What stands below a folder: files to read, and entries that are left out, each with a named reason.

Purpose: collection conserves more than records. Every directory entry that is seen is read, refused with an error, or left
out and counted.
Guarantee: a folder that is entered counts through its entries; one that is not (hidden, a corpus, a link) counts once. Links
are never followed out of a source unless it says so, and a linked folder is entered once at most, so loops end. Nothing is
opened: a FIFO blocks nobody. Files of the kernel (/proc, /sys) are devices, whatever `stat` says.
Cost: one stat per file.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from tokenmill.pipeline.base import files, ownership, state
from tokenmill.pipeline.base.errors import InputError, NewerFormat

Reason = Literal[
    "hidden", "unknown_kind", "corpus", "link_to_folder", "link_outside", "broken_link", "device", "vanished", "not_chosen"
]
REASONS: dict[Reason, str] = {
    "hidden": "hidden entries (their names begin with a dot) left out",
    "unknown_kind": "files of no known kind left out",
    "corpus": "folders among the input left out, as they are corpora",
    "link_to_folder": "links to folders not followed",
    "link_outside": "links to files outside their source left out (`follow_links = true` in the source reads them)",
    "broken_link": "links without a target left out",
    "device": "devices, FIFOs, sockets and files of the kernel left out",
    "vanished": "files left out that were gone before they could be read",
    "not_chosen": "files left out that are not of the data set's configuration, split and kind",
}
"""Why an entry is left out, and how that is said."""
KERNEL = ("/proc", "/sys")
"""File systems of the kernel. Their files look regular, but hold the state of processes, such as the secrets in their
environments."""

SIGNS = (files.MARKER, state.FOLDER)
"""Names that a corpus has. A folder of another program may have one too, so `is_corpus` has the last word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A regular file. `path`: where it was seen, which gives its name. `real`: what is opened; another path for a link."""

    path: str
    real: str
    status: os.stat_result


@dataclass(kw_only=True)
class Seen:
    """What was seen of a source. `roots`: its folders and files, without links; what a link may lead to.

    `own`: the device and inode of the corpus that is built, which may stand among the input. It is neither input nor left
    out, so that a second build counts what the first counted.
    """

    roots: tuple[str, ...]
    follow_links: bool = False
    own: tuple[int, int] | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    """By path: an entry that is seen twice counts once."""
    left_out: dict[str, Reason] = field(default_factory=dict)
    """By path."""
    own_seen: bool = False
    entered: set[tuple[int, int]] = field(default_factory=set)
    """Device and inode of each folder whose entries were taken."""

    def part(self) -> Seen:
        """An empty one under the same rules, for one of several paths. It knows which folders the others entered."""
        return dataclasses.replace(self, entries={}, left_out={}, own_seen=False)

    def add(self, other: Seen) -> None:
        """Add what was seen below another path. What is read there is not left out."""
        self.entries |= other.entries
        self.left_out = {path: why for path, why in (self.left_out | other.left_out).items() if path not in self.entries}
        self.own_seen |= other.own_seen

    def file(self, path: str) -> None:
        """Take a file, or leave it out. Raises InputError for a folder that may only be listed."""
        found = self._target(path)
        if isinstance(found, Entry):
            self.entries[path] = found
        else:
            self.left_out[path] = found

    def folder(self, path: str, *, hidden: bool = False) -> None:
        """Take everything below a folder. `hidden`: hidden entries too. Raises InputError if a folder cannot be read."""
        if self.own is not None and identity_of(path) == self.own:
            self.own_seen = True
            return
        links: list[str] = []
        waiting = [path]
        while waiting:
            waiting += self._below(waiting.pop(), links, hidden=hidden, linked=False)
        # Links come last, so that a file has the name of its own folder if this is in the source too.
        while links:
            waiting = [link for link in sorted(links) if self.enters(link)]
            links.clear()
            while waiting:
                waiting += self._below(waiting.pop(), links, hidden=hidden, linked=True)

    def enters(self, link: str) -> bool:
        """Whether a link to a folder is followed: only if the source says so, and into no folder that was entered already."""
        if self.follow_links and (identity := identity_of(link)) not in self.entered and identity is not None:
            self.entered.add(identity)
            return True
        self.left_out[link] = "link_to_folder"
        return False

    def corpus(self, path: str) -> None:
        """Leave out a corpus."""
        if self.own is not None and identity_of(path) == self.own:
            self.own_seen = True
        else:
            self.left_out[path] = "corpus"

    def _below(self, folder: str, links: list[str], *, hidden: bool, linked: bool) -> Iterator[str]:
        """Take the entries of one folder. Yields the folders in it; links to folders go to `links`."""
        try:
            self.entered.add(_identity(os.stat(folder)))
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            unreadable(error)
        if any(entry.name in SIGNS for entry in entries) and is_corpus(folder):
            self.corpus(folder)
            return
        for entry in entries:
            path = os.path.join(folder, entry.name)
            if entry.name.startswith(".") and not hidden:
                self.left_out[path] = "hidden"
            elif entry.is_symlink() and os.path.isdir(path):
                links.append(path)
            elif not entry.is_dir(follow_symlinks=False):
                self.file(path)
            elif self.own is not None and entry.inode() == self.own[1] and identity_of(path) == self.own:
                self.own_seen = True
            elif not linked or identity_of(path) not in self.entered:
                yield path

    def _target(self, path: str) -> Entry | Reason:
        real = path
        link = False
        try:
            found = os.stat(path, follow_symlinks=False)
            link = stat.S_ISLNK(found.st_mode)
            if link:
                real = os.path.realpath(path, strict=True)
                found = os.stat(real, follow_symlinks=False)
        except PermissionError as error:
            if link and not self.follow_links:
                return "link_outside"
            raise InputError(f"{shown(path)}: {error.strerror}; make its folder readable, or leave it out") from error
        except OSError:
            return "broken_link" if link else "vanished"
        if not stat.S_ISREG(found.st_mode) or found.st_dev in kernel_devices():
            return "device"
        if link and not self.follow_links and not any(_is_below(real, root) for root in self.roots):
            return "link_outside"
        return Entry(path=path, real=real, status=found)


def spelled(raw: bytes) -> str:
    """A name or a path of a file system, which may hold any bytes, as text.

    UTF-8 stays as it is; a byte that is not UTF-8 becomes `\\xff`, and a backslash two. So two names never become one.
    """
    return raw.replace(b"\\", b"\\\\").decode(errors="backslashreplace")


def shown(path: str) -> str:
    """A path for messages. Python holds bytes that are not UTF-8 as characters that no terminal prints."""
    return os.fsencode(path).decode(errors="backslashreplace")


def told(reasons: Iterable[Reason]) -> str:
    """What was left out, as the end of a sentence; empty if nothing was."""
    counts = Counter(reasons)
    return "".join(f"; {counts[reason]:,} {words}" for reason, words in REASONS.items() if counts[reason])


def unreadable(error: OSError) -> NoReturn:
    """Raise InputError for a folder that cannot be listed."""
    message = f"{shown(error.filename)}: the folder cannot be read ({error.strerror}); make it readable, or leave it out"
    raise InputError(message) from error


def is_corpus(folder: str) -> bool:
    """Whether a folder is a corpus, of this version of tokenmill or of a newer one."""
    try:
        return ownership.is_ours(Path(folder))
    except NewerFormat:
        return True


def identity_of(path: str | os.PathLike[str] | None) -> tuple[int, int] | None:
    """Device and inode of a file or a folder; None if there is none."""
    try:
        return None if path is None else _identity(os.stat(path))
    except OSError:
        return None


@functools.cache
def kernel_devices() -> frozenset[int]:
    """The device numbers of `KERNEL`, wherever these are reached."""
    above = os.stat("/").st_dev
    found = {identity[0] for path in KERNEL if (identity := identity_of(path)) is not None}
    # Where one of them is not mounted, it is a folder like others.
    return frozenset(found - {above})


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
