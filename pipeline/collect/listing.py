"""The files of a source: which files there are, how each is read, and what each is called.

Purpose: paths, folders and globs become files with names below the source's root. Later code uses a path of this machine only
to open the file.
Guarantee: files are sorted by the bytes of their names, each file once; two files never share a name. A path that does not
exist or holds nothing is an error, and so is an unreadable folder. All else that is seen and not read is left out by a named
reason and counted (`entries`): hidden entries, kinds that no reader knows, corpora of ours (so that a corpus in its own input
does not become input), links out of the source, devices.
Cost: one stat per file.
"""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.base.store import StoredObject
from tokenmill.pipeline.collect import patterns
from tokenmill.pipeline.collect.entries import REASONS, Entry, Reason, Seen, identity_of, shown, spelled, told
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.kinds import CODECS, KNOWN, Kind, kind_of
from tokenmill.pipeline.config import DatatroveSource, FilesSource, datatrove


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """One file of a source. `name` is its POSIX path below the source's root. The other fields describe it on this machine.

    `host`: where it was listed. Another host may give one file another inode, as FUSE does, and another time of its change.
    """

    path: str
    name: str
    kind: Kind
    codec: Codec
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    host: str = field(default_factory=files.host)
    remote: StoredObject | None = None
    """The object of a store that `path`, which is an address then, names. `collect.remote.fetched` makes a file of it."""

    def is_as_listed(self) -> bool:
        """Whether the file on disk still has the size and times that it had when it was listed, on this host also its inode."""
        try:
            return self._is(os.stat(self.path, follow_symlinks=False))
        except OSError:
            return False

    def open(self) -> BufferedReader:
        """The file, open for reading. All readers open their input here.

        A link, a FIFO or another file that took its place since the listing is not read, and nothing waits for it. Raises
        StaleInput if it is not the listed file any more, InputError if it cannot be read.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise self._refusal(error) from error
        if not self._is(os.fstat(descriptor)):
            os.close(descriptor)
            raise self.changed()
        return os.fdopen(descriptor, "rb")

    def changed(self) -> StaleInput:
        """The error of a file that changed since the listing."""
        return StaleInput(f"{shown(self.path)} changed while it was being read; run the same command again")

    def _is(self, found: os.stat_result) -> bool:
        # The device is not compared: its number differs between the machines of a cluster that share a folder.
        same = (found.st_size, found.st_mtime_ns) == (self.size_bytes, self.mtime_ns)
        here = (found.st_ctime_ns, found.st_ino) == (self.ctime_ns, self.inode) or self.host != files.host()
        return stat.S_ISREG(found.st_mode) and same and here

    def _refusal(self, error: OSError) -> StaleInput | InputError:
        if not self.is_as_listed():
            return self.changed()
        return InputError(f"{shown(self.path)}: cannot be read ({error.strerror}); make it readable, or leave it out")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a source in order. `left_out`: the other entries that were seen, by reason.

    `own_corpus`: whether the corpus that is built stands among the input. It is not in `left_out`: it may stand there or not
    yet, and the counts are published.
    """

    files: tuple[InputFile, ...]
    left_out: Mapping[Reason, int] = field(default_factory=dict)
    own_corpus: bool = False


def how(path: str, source: FilesSource | DatatroveSource) -> tuple[Kind, Codec] | None:
    """How a file of the source is read; None if no reader knows it."""
    if isinstance(source, DatatroveSource):
        return "datatrove", _codec(path, source)
    found = kind_of(path, declared=source.format)
    if found is None or found[0] != "text":
        return found
    if source.separator is not None:
        return "separated", found[1]
    return ("lines", found[1]) if source.sample_by == "line" else found


def _codec(path: str, source: DatatroveSource) -> Codec:
    """How a file is packed for a reader of datatrove's: as its arguments say, or as the ending says; tables never are."""
    if "compression" not in datatrove.ARGUMENTS[source.reader]:
        return ""
    said: Codec | None = source.arguments.get("compression")
    return CODECS.get(os.path.splitext(path.lower())[1], "") if said in (None, datatrove.INFER) else said


def listing(source: FilesSource | DatatroveSource, own: Path | None = None) -> Listing:
    """The files that the source's paths, folders and globs name. `own`: the folder of the corpus that is built.

    Raises InputError for a path that does not exist, that no reader knows or that holds no readable file, and for a folder
    that cannot be read.
    """
    named = [(text, os.path.abspath(os.path.expanduser(text))) for text in source.paths]
    roots = [_root(path) for _, path in named]
    # A link that is named itself is followed; links below it may lead to what it names.
    bounds = tuple(
        os.path.realpath(path if os.path.lexists(path) else root) for (_, path), root in zip(named, roots, strict=True)
    )
    whole = Seen(roots=bounds, follow_links=source.follow_links, own=identity_of(own) if own is not None else None)
    for text, path in named:
        seen = whole.part()
        _see(path, text, source.name, seen)
        if not any(how(entry.path, source) for entry in seen.entries.values()):
            raise InputError(f"source {source.name!r}: {text!r} {_why_nothing(path, seen)}; known kinds: {KNOWN}")
        whole.add(seen)
    root = os.path.commonpath(roots)
    files = [
        describe(entry, name_below(path, root), *reader)
        for path, entry in whole.entries.items()
        if (reader := how(path, source)) is not None
    ]
    return listed(files, whole)


def listed(files: list[InputFile], seen: Seen) -> Listing:
    """The listing of those files. What else was seen as a regular file is of no known kind."""
    left_out = Counter(seen.left_out.values())
    left_out["unknown_kind"] += len(seen.entries) - len(files)
    return Listing(files=in_order(files), left_out=dict(sorted((+left_out).items())), own_corpus=seen.own_seen)


def in_order(files: Iterable[InputFile]) -> tuple[InputFile, ...]:
    """The files sorted by the bytes of their names."""
    return tuple(sorted(files, key=lambda file: file.name.encode()))


def describe(entry: Entry, name: str, kind: Kind, codec: Codec) -> InputFile:
    """The file of an entry."""
    return InputFile(
        path=entry.real,
        name=name,
        kind=kind,
        codec=codec,
        size_bytes=entry.status.st_size,
        mtime_ns=entry.status.st_mtime_ns,
        ctime_ns=entry.status.st_ctime_ns,
        inode=entry.status.st_ino,
    )


def name_below(path: str, root: str) -> str:
    """The POSIX path below `root`, as `entries.spelled` spells it."""
    return spelled(os.fsencode(os.path.relpath(path, root))).replace(os.sep, "/")


def _root(path: str) -> str:
    """The folder that the names of a path's files are relative to."""
    if os.path.isdir(path):
        return path
    return os.path.dirname(path) if os.path.lexists(path) or not glob.has_magic(path) else patterns.fixed(path)


def _see(path: str, text: str, source: str, seen: Seen) -> None:
    """Take what one setting names."""
    if os.path.isdir(path):
        seen.folder(path)
    elif os.path.lexists(path):
        seen.file(path)
    elif not glob.has_magic(path):
        raise InputError(f"source {source!r}: {text!r} does not exist; give a file, a folder or a glob")
    elif not patterns.see(path, seen):
        raise InputError(f"source {source!r}: {text!r} matches no file; check the pattern")


def _why_nothing(path: str, seen: Seen) -> str:
    """What is wrong with a path below which nothing can be read."""
    if path in seen.left_out and not os.path.isdir(path):
        return f"cannot be read: {REASONS[seen.left_out[path]]}"
    several = os.path.isdir(path) or not os.path.lexists(path)
    what = "holds no file of a kind that can be read" if several else "has an unknown kind"
    corpora = sorted(place for place, why in seen.left_out.items() if why == "corpus")
    if corpora or seen.own_seen:
        which = f"the corpus {shown(corpora[0])!r}" if corpora else "the corpus that is built"
        return f"{what}, except {which}; to read a corpus, give its folder documents"
    return what + told(seen.left_out.values())
