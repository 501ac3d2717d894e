"""The files of a source: which there are, how each is read, and what each is called.

Purpose: paths, folders and globs become files with names below the source's root, so that nothing later sees a path
of this machine but to open it.
Guarantee: sorted by the names' bytes, each file once. A path that is not there or holds nothing is an error. In folders,
names that begin with "." and links to folders are left out; files that no reader knows are counted.
Cost: one stat per file.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.collect.framing import Codec
from pipeline.config import FilesSource
from pipeline.errors import InputError

Kind = Literal["text", "html", "python", "description", "jsonl", "parquet", "csv", "warc", "dataset"]
KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".md": "text",
    ".rst": "text",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".csv": "csv",
    ".warc": "warc",
    ".wet": "warc",
}
CODECS: dict[str, Codec] = {".gz": "gzip", ".zst": "zstd"}
KNOWN = f"{' '.join(KINDS)}, all but .parquet also with {' or '.join(CODECS)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """One file of a source. `name` is its POSIX path below the source's root; the rest of the fields is of this machine."""

    path: str
    name: str
    kind: Kind
    codec: Codec
    size_bytes: int
    mtime_ns: int
    inode: int

    def is_as_listed(self) -> bool:
        """Whether the file on the disk has still the size and time it had when it was listed."""
        try:
            now = os.stat(self.path)
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns, now.st_ino) == (self.size_bytes, self.mtime_ns, self.inode)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a source in order, and how many others stood among them."""

    files: tuple[InputFile, ...]
    ignored_files: int


def kind_of(path: str) -> tuple[Kind, Codec] | None:
    """How a file is read, by its extensions; None for a file that no reader knows."""
    base, last = os.path.splitext(path.lower())
    codec = CODECS.get(last, "")
    kind = KINDS.get(os.path.splitext(base)[1] if codec else last)
    return None if kind is None or (codec and kind == "parquet") else (kind, codec)


def listing(source: FilesSource) -> Listing:
    """The files that the source's paths, folders and globs name.

    Raises InputError for a path that does not exist, that no reader knows, or that holds no file to read.
    """
    found: dict[str, tuple[Kind, Codec]] = {}
    roots: list[str] = []
    ignored: set[str] = set()
    for text in source.paths:
        paths, root = _candidates(text, source.name)
        roots.append(root)
        known = {path: how for path in paths if (how := kind_of(path)) is not None}
        if not known:
            what = (
                "holds no file of a kind that can be read"
                if os.path.isdir(text) or glob.has_magic(text)
                else "has an unknown kind"
            )
            raise InputError(f"source {source.name!r}: {text!r} {what}; known are {KNOWN}")
        found |= known
        ignored.update(path for path in paths if path not in known)
    root = os.path.commonpath(roots)
    described = [describe(path, name_below(path, root), *how) for path, how in found.items()]
    files = [file for file in described if file is not None]
    return Listing(files=in_order(files), ignored_files=len(ignored) + len(described) - len(files))


def in_order(files: Iterable[InputFile]) -> tuple[InputFile, ...]:
    """By the bytes of their names."""
    return tuple(sorted(files, key=lambda file: file.name.encode()))


def describe(path: str, name: str, kind: Kind, codec: Codec) -> InputFile | None:
    """The file at `path`; None when there is no regular file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return InputFile(
        path=path,
        name=name,
        kind=kind,
        codec=codec,
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        inode=found.st_ino,
    )


def name_below(path: str, root: str) -> str:
    """The POSIX path below `root`, in UTF-8 whatever bytes the file system holds."""
    return os.fsencode(os.path.relpath(path, root)).decode(errors="backslashreplace").replace(os.sep, "/")


def walk(folder: str) -> Iterator[str]:
    """Every file below a folder that is not hidden; links to folders are not followed."""
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(base, name) for name in sorted(names) if not name.startswith("."))


def _candidates(text: str, source: str) -> tuple[list[str], str]:
    """The files that one setting names, and the folder below which they are called."""
    path = os.path.abspath(os.path.expanduser(text))
    if os.path.isdir(path):
        return list(walk(path)), path
    if os.path.isfile(path):
        return [path], os.path.dirname(path)
    if not glob.has_magic(path):
        raise InputError(f"source {source!r}: {text!r} does not exist; give a file, a folder or a glob")
    fixed = Path(path)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    found: list[str] = []
    for match in sorted(glob.glob(path, recursive=True)):
        found += walk(match) if os.path.isdir(match) else [match]
    if not found:
        raise InputError(f"source {source!r}: {text!r} matches no file; check the pattern")
    return found, str(fixed)
