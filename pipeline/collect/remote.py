"""Sources in object stores: which objects there are, and a local copy of each while it is read.

Purpose: an address (`s3://bucket/prefix`, or a glob of keys) gives the same files under the same names as a copy of these
objects in a folder would, so it gives the same corpus. Parsers read files, so an object is fetched first, whole.
Guarantee: a copy has its name only when its length is that of the object, every range came from the object that was listed, and
its MD5 is the one that the ETag says, where it says one. Objects are told apart by address, size and ETag; what they hold goes
into the corpus by SHA-256, as for files. Keys are never opened as paths of this machine.
Cost: one listing; one transfer of each object that is new, into `.state/fetched`, which is removed when collection is done.
"""

from __future__ import annotations

import glob
import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, state, store
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.store import Sink, Store, StoredObject
from tokenmill.pipeline.collect import inputs, patterns
from tokenmill.pipeline.collect.entries import Reason
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.inputs import Identity
from tokenmill.pipeline.collect.kinds import KNOWN, Kind
from tokenmill.pipeline.collect.listing import InputFile, Listing, how, in_order
from tokenmill.pipeline.config import FilesSource

FOLDER = f"{state.FOLDER}/fetched"
_MD5 = re.compile(r'"([0-9a-f]{32})"')
_NO_MD5: set[str] = set()
"""Buckets of which this process has seen that their ETags are no MD5."""
_ADDRESS = re.compile(r"([a-z0-9]+://[^/]+)/*(.*)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What one setting names: objects of a bucket, by key, and the key of the folder that their names are relative to."""

    bucket: str
    root: str
    objects: Mapping[str, StoredObject]
    left_out: Mapping[str, Reason]


def listing(source: FilesSource) -> Listing:
    """The objects that the addresses of a source name. Raises InputError like `listing.listing`."""
    named = [_named(text, source) for text in source.paths]
    root = posixpath.commonpath([f"/{one.bucket}/{one.root}" for one in named])
    found: dict[str, InputFile] = {}
    unknown: set[str] = set()
    left_out: dict[str, Reason] = {}
    for one in named:
        for key, about in one.objects.items():
            path, reader = f"{one.bucket}/{key}", how(key, source)
            if reader is None:
                unknown.add(path)
            else:
                found[path] = _described(path, posixpath.relpath(f"/{path}", root), about, *reader)
        left_out |= {f"{one.bucket}/{key}": why for key, why in one.left_out.items()}
    counts = Counter(why for path, why in left_out.items() if path not in found)
    counts["unknown_kind"] += len(unknown)
    return Listing(files=in_order(found.values()), left_out=dict(sorted((+counts).items())))


def _described(path: str, name: str, about: StoredObject, kind: Kind, codec: Codec) -> InputFile:
    return InputFile(
        path=path,
        name=name,
        kind=kind,
        codec=codec,
        size_bytes=about.bytes,
        mtime_ns=about.changed_ns,
        ctime_ns=0,
        inode=0,
        remote=about,
    )


def _named(text: str, source: FilesSource) -> _Named:
    match = _ADDRESS.fullmatch(text)
    bucket = str(store.parse(match[1] if match else text))
    pattern = (match[2] if match else "").rstrip("/")
    # The first request is told of soon if nobody answers.
    there, first = store.open_store(store.parse(bucket)), store.open_store(store.parse(bucket), patient=False)
    if glob.has_magic(pattern):
        root = posixpath.relpath(patterns.fixed(f"/{pattern}"), "/").removeprefix(".")
        next(first.listed(root), None)
        named = _seen(there, root, _below(pattern, root))
    elif pattern and not text.endswith("/") and (about := first.look(pattern)) is not None:
        named = _Named(bucket=bucket, root=posixpath.dirname(pattern), objects={pattern: about}, left_out={})
    else:
        next(first.listed(pattern), None)
        named = _seen(there, pattern, ())
    if not any(how(key, source) for key in named.objects):
        what = "holds no object of a kind that can be read" if named.objects or named.left_out else "names no object"
        raise InputError(f"source {source.name!r}: {text!r} {what}; known kinds: {KNOWN}")
    return named


def _below(key: str, root: str) -> tuple[str, ...]:
    """The steps from the folder `root` to a key, or to a pattern of keys."""
    return tuple(step for step in key[len(root) :].split("/") if step)


def _seen(there: Store, root: str, parts: Sequence[str]) -> _Named:
    """What a pattern of these parts names below the folder `root`: everything, if it has no parts.

    Hidden entries and corpora are left out, and counted, as `entries` and `patterns` do for files.
    """
    every = {found.key: found for found in there.listed(root) if found.key != root}
    corpora = {posixpath.dirname(key) for key in every if posixpath.basename(key) == files.MARKER}
    # Tools mark an empty folder by an object of its name without bytes.
    folders = {above for key in every for above in _above(key)}
    objects: dict[str, StoredObject] = {}
    left_out: dict[str, Reason] = {}

    def named(key: str) -> bool:
        steps = _below(key, root)
        return any(not any(step.startswith(".") for step in steps[depth:]) for depth in patterns.reached(parts, steps))

    for key, found in every.items():
        if key in folders and not found.bytes:
            continue
        inside = [place for place in _above(key) if len(place) > len(root)]
        corpus = next((place for place in inside if place in corpora), None)
        if corpus is not None and (named(key) or named(corpus) or _is_entered(corpus, root, parts)):
            left_out[corpus] = "corpus"
        elif corpus is None and named(key):
            objects[key] = found
        elif patterns.ANYWHERE not in parts:
            dots = (place for place in (*inside, key) if posixpath.basename(place).startswith("."))
            hidden = next((place for place in dots if named(posixpath.dirname(place)) or not parts), None)
            if hidden is not None:
                left_out[hidden] = "hidden"
    return _Named(bucket=str(there.address), root=root, objects=objects, left_out=left_out)


def _is_entered(folder: str, root: str, parts: Sequence[str]) -> bool:
    """Whether a pattern with `**` looks into a folder."""
    return patterns.ANYWHERE in parts and not any(step.startswith(".") for step in _below(folder, root))


def _above(key: str) -> Iterator[str]:
    """The folders above a key, the outermost first."""
    parts = key.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


@dataclass(frozen=True, kw_only=True)
class FetchTask:
    """An object, and the corpus folder that its copy is kept in. `step_bytes`: see `inputs.Known`. Picklable."""

    root: Path
    file: InputFile
    step_bytes: int


def fetched(root: Path, file: InputFile) -> InputFile:
    """The file itself, or the copy of an object in the corpus folder `root`, which is made if it is not there.

    Raises InputError if the store cannot be read, StaleInput if the object was replaced since the listing.
    """
    if file.remote is None:
        return file
    path = _place(root, file)
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        bucket = file.path[: len(file.path) - len(file.remote.key)].rstrip("/")
        _fetch(store.open_store(store.parse(bucket)), file.remote, path, file.path)
    found = os.stat(path, follow_symlinks=False)
    return InputFile(
        path=str(path),
        name=file.name,
        kind=file.kind,
        codec=file.codec,
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        inode=found.st_ino,
    )


def fetch(task: FetchTask) -> None:
    """Like `fetched`, for a worker."""
    fetched(task.root, task.file)


def identity(task: FetchTask) -> Identity:
    """The identity of an object, for a worker, which keeps the copy for those who read the object then."""
    return inputs.read(fetched(task.root, task.file), task.step_bytes)


def _place(root: Path, file: InputFile) -> Path:
    assert file.remote is not None
    identity = files.canonical_json([file.path, file.remote.etag, file.remote.version, file.size_bytes])
    return root / FOLDER / hashlib.sha256(identity).hexdigest()


def _fetch(there: Store, about: StoredObject, path: Path, shown: str) -> None:
    match = _MD5.fullmatch(about.etag or "")
    right = set() if match is None or str(there.address) in _NO_MD5 else {match[1]}
    try:
        _write(there, about, path, right)
    except _Differs as first:
        try:
            second = _write(there, about, path, {*right, str(first)})
        except _Differs:
            raise InputError(f"{shown}: came with other bytes than its ETag says, twice; try again later") from None
        if second == str(first):
            # Twice the same bytes: where a key of the bucket's owner encrypts objects, ETags are no MD5.
            _NO_MD5.add(str(there.address))


def _write(there: Store, about: StoredObject, path: Path, right: set[str]) -> str:
    """Fetch an object into a file, unless its MD5 is none of the `right` ones, if there are any. Returns the MD5."""
    with files.create(path) as out:
        sink = _Digesting(out)
        there.fetch(about, sink)
        digest = sink.digest.hexdigest()
        if out.tell() != about.bytes or (right and digest not in right):
            raise _Differs(digest)
    return digest


class _Differs(Exception):
    """What came is not what the ETag says. The message is its MD5."""


class _Digesting:
    """Passes bytes on, and takes their MD5 on the way."""

    def __init__(self, out: Sink) -> None:
        self.digest = hashlib.md5(usedforsecurity=False)
        self._out = out

    def write(self, data: Any, /) -> int:
        self.digest.update(data)
        return self._out.write(data)


def clear(root: Path) -> None:
    """Remove the copies of objects. Raises OSError."""
    files.clear(root / FOLDER, durable=False)
