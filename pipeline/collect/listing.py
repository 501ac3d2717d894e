"""The files of a source: which files there are, how each is read, and what each is called.

Purpose: paths, folders and globs become files with names below the source's root. Later code uses a path of this machine only
to open the file.
Guarantee: files are sorted by the bytes of their names, each file once. A path that does not exist or holds nothing is an
error. In folders, names that begin with "." are left out, and so are corpora of ours, so that a corpus in its own input does
not become input. Links to folders are not followed. These, and files that no reader knows, are counted. An unreadable folder
is an error.
Cost: one stat per file.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from tokenmill.pipeline.base import state
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.config import FilesSource

Kind = Literal["text", "html", "python", "description", "lines", "jsonl", "parquet", "csv", "warc", "dataset"]
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
BY_LINE: tuple[Kind, ...] = ("jsonl", "lines")
"""Kinds with one record per line. An uncompressed file of such a kind can be divided anywhere."""
CODECS: dict[str, Codec] = {".gz": "gzip", ".zst": "zstd"}
KNOWN = f"{' '.join(KINDS)}, all but .parquet also with {' or '.join(CODECS)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """One file of a source. `name` is its POSIX path below the source's root. The other fields describe it on this machine."""

    path: str
    name: str
    kind: Kind
    codec: Codec
    size_bytes: int
    mtime_ns: int
    inode: int

    def is_as_listed(self) -> bool:
        """Whether the file on disk still has the size, time and inode it had when it was listed."""
        try:
            now = os.stat(self.path)
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns, now.st_ino) == (self.size_bytes, self.mtime_ns, self.inode)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a source in order, and how many other files were among them.

    `ignored_links`: those of the `ignored_files` that are links to folders. `ignored_corpora`: folders.
    """

    files: tuple[InputFile, ...]
    ignored_files: int
    ignored_links: int = 0
    ignored_corpora: int = 0


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What is below a folder: paths of files, of links to folders, and of corpora, which were not entered."""

    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    corpora: list[str] = field(default_factory=list)

    def add(self, other: Walked) -> None:
        """Add what another walk found."""
        self.files.extend(other.files)
        self.links.extend(other.links)
        self.corpora.extend(other.corpora)


def kind_of(path: str) -> tuple[Kind, Codec] | None:
    """How a file is read, by its extensions. None if no reader knows the file."""
    base, last = os.path.splitext(path.lower())
    codec = CODECS.get(last, "")
    kind = KINDS.get(os.path.splitext(base)[1] if codec else last)
    return None if kind is None or (codec and kind == "parquet") else (kind, codec)


def _as_sampled(how: tuple[Kind, Codec], source: FilesSource) -> tuple[Kind, Codec]:
    kind, codec = how
    return ("lines" if kind == "text" and source.sample_by == "line" else kind), codec


def listing(source: FilesSource) -> Listing:
    """The files that the source's paths, folders and globs name.

    Raises InputError for a path that does not exist, that no reader knows or that holds no readable file, and for a folder
    that cannot be read.
    """
    found: dict[str, tuple[Kind, Codec]] = {}
    roots: list[str] = []
    ignored: set[str] = set()
    links: set[str] = set()
    corpora: set[str] = set()
    for text in source.paths:
        walked, root = _candidates(text, source.name)
        roots.append(root)
        known = {path: _as_sampled(how, source) for path in walked.files if (how := kind_of(path)) is not None}
        if not known:
            what = (
                "holds no file of a kind that can be read"
                if os.path.isdir(text) or glob.has_magic(text)
                else "has an unknown kind"
            )
            if walked.corpora:
                what += f", except the corpus {walked.corpora[0]!r}; to read that, give its folder documents"
            raise InputError(f"source {source.name!r}: {text!r} {what}; known kinds: {KNOWN}")
        found |= known
        ignored.update(path for path in walked.files if path not in known)
        links.update(walked.links)
        corpora.update(walked.corpora)
    root = os.path.commonpath(roots)
    described = [describe(path, name_below(path, root), *how) for path, how in found.items()]
    files = [file for file in described if file is not None]
    return Listing(
        files=in_order(files),
        ignored_files=len(ignored) + len(links) + len(described) - len(files),
        ignored_links=len(links),
        ignored_corpora=len(corpora),
    )


def in_order(files: Iterable[InputFile]) -> tuple[InputFile, ...]:
    """The files sorted by the bytes of their names."""
    return tuple(sorted(files, key=lambda file: file.name.encode()))


def describe(path: str, name: str, kind: Kind, codec: Codec) -> InputFile | None:
    """The file at `path`; None if it is not a regular file. Raises InputError in a folder that may only be listed."""
    try:
        found = os.stat(path)
    except PermissionError as error:
        raise InputError(f"{path}: {error.strerror}; make its folder readable, or leave it out") from error
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


def walk(folder: str) -> Walked:
    """Everything below a folder that is not hidden. Raises InputError for a folder that cannot be read."""
    walked = Walked()
    for base, folders, names in os.walk(folder, onerror=unreadable):
        if state.FOLDER in folders:
            walked.corpora.append(base)
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        walked.links.extend(path for name in folders if os.path.islink(path := os.path.join(base, name)))
        walked.files.extend(os.path.join(base, name) for name in sorted(names) if not name.startswith("."))
    return walked


def unreadable(error: OSError) -> NoReturn:
    """Handler for `os.walk`, called for a folder that it cannot list. Raises InputError."""
    message = f"{error.filename}: the folder cannot be read ({error.strerror}); make it readable, or leave it out"
    raise InputError(message) from error


def _candidates(text: str, source: str) -> tuple[Walked, str]:
    """The files that one setting names, and the folder that their names are relative to."""
    path = os.path.abspath(os.path.expanduser(text))
    if os.path.isdir(path):
        return walk(path), path
    if os.path.isfile(path):
        return Walked(files=[path]), os.path.dirname(path)
    if not glob.has_magic(path):
        raise InputError(f"source {source!r}: {text!r} does not exist; give a file, a folder or a glob")
    fixed = Path(path)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    _check_readable(fixed, Path(path).relative_to(fixed).parts)
    found = Walked()
    matches = sorted(glob.glob(path, recursive=True))
    for match in matches:
        corpus = _corpus_around(match, fixed)
        if corpus is not None:
            found.corpora.append(str(corpus))
        elif os.path.isdir(match):
            found.add(walk(match))
        else:
            found.files.append(match)
    if not matches:
        raise InputError(f"source {source!r}: {text!r} matches no file; check the pattern")
    return found, str(fixed)


def _check_readable(fixed: Path, parts: Sequence[str]) -> None:
    """Raise InputError if a folder that a pattern looks into cannot be read. `glob` would treat it as empty."""
    for depth, part in enumerate(parts):
        if not glob.has_magic(part):
            continue
        for folder in glob.iglob(os.path.join(fixed, *parts[:depth], ""), recursive=True):
            try:
                os.scandir(folder).close()
            except OSError as error:
                unreadable(error)


def _corpus_around(match: str, fixed: Path) -> Path | None:
    """The corpus that holds a match of a glob, among the folders below the pattern's fixed part; None if there is none."""
    above = Path(match).parents
    depth = len(Path(match).parts) - len(fixed.parts)
    return next((folder for folder in above[: max(0, depth - 1)] if (folder / state.FOLDER).is_dir()), None)
