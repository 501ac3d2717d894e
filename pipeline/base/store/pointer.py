"""What a published corpus looks like in an object store: the pointer, the index, and the objects.

    <prefix>/.tokenmill                       the pointer: which version readers see; replaced by compare-and-swap
    <prefix>/.objects/<attempt>/<sha256>      one file of a version; the index of a version is such an object, too

Purpose: these are the only names below the prefix. The index maps the names of a corpus folder to objects, so a version takes
over the objects of the one before that did not change.
Guarantee: an object is never written twice with other bytes. Whoever reads a version through the pointer compares every byte
with a SHA-256: that of the index stands in the pointer, those of the files in the index. Times stand in the pointer alone,
which is in no hash.
Cost: the index has about 200 bytes for each file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile, InputError, NewerFormat
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.store.protocol import Store, StoredObject

POINTER = ".tokenmill"
OBJECTS = ".objects"
KIND = "tokenmill corpus in an object store"
FORMAT = 1
_MOST_POINTER_BYTES = 2**20
_MOST_INDEX_BYTES = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """An object and what it holds."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SupersededVersion:
    """A version that readers no longer see, whose objects stay for those that have it open."""

    index: StoredFile
    publisher: str
    since: float
    """When it was superseded, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """What the pointer of a published corpus says."""

    made_by: str | None
    """The name of the preset or of the config file that it was built from."""
    generation: Annotated[int, Ge(1), Le(10**17)]
    """Counts publications from 1."""
    hash: str
    """The hash of the manifest of the corpus."""
    index: StoredFile
    forgotten: StoredFile | None
    """The list of forgotten documents."""
    publisher: str
    """Random: who published this version."""
    superseded: tuple[SupersededVersion, ...] = ()

    def data(self) -> bytes:
        """The bytes of the pointer."""
        return files.canonical_json({"kind": KIND, "format": FORMAT, **dataclasses.asdict(self)})


@dataclass(frozen=True, kw_only=True)
class PublishedState:
    """What a store held when somebody looked: the pointer, and the object it is; None where nothing is published."""

    pointer: Pointer | None
    found: StoredObject | None


def look(store: Store) -> PublishedState:
    """What is published in a store. Raises InputError; CorruptFile, NewerFormat for a pointer that is none of ours."""
    from pydantic import TypeAdapter

    answer = store.read(POINTER, most_bytes=_MOST_POINTER_BYTES)
    if answer is None:
        return PublishedState(pointer=None, found=None)
    where = f"{store.address}/{POINTER}"
    try:
        plain = json.loads(answer[0])
        kind, version = plain.pop("kind"), plain.pop("format")
        if kind != KIND:
            raise ValueError
        if version != FORMAT:
            raise NewerFormat(f"{where}: is of format {version}, and this tokenmill reads {FORMAT}; install a newer tokenmill")
        # Strict: the generation becomes the name of a folder.
        return PublishedState(pointer=TypeAdapter(Pointer).validate_json(json.dumps(plain), strict=True), found=answer[1])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFile(f"{where}: is not the pointer of a published corpus; choose another prefix") from error


def stored(store: Store, file: StoredFile) -> bytes:
    """The bytes of a small object, compared with its hash. Raises CorruptFile if it is gone or differs."""
    answer = store.read(file.key, most_bytes=_MOST_INDEX_BYTES)
    if answer is None:
        raise CorruptFile(f"{store.address}/{file.key}: is missing; publish the corpus again")
    if hashlib.sha256(answer[0]).hexdigest() != file.sha256:
        raise CorruptFile(f"{store.address}/{file.key}: holds other bytes than were published; publish the corpus again")
    return answer[0]


def index_of(store: Store, file: StoredFile) -> dict[str, StoredFile]:
    """The files of a version, by name. Raises CorruptFile."""
    return parsed(stored(store, file), f"{store.address}/{file.key}")


def parsed(data: bytes, where: str) -> dict[str, StoredFile]:
    """The files that the bytes of an index name. Raises CorruptFile for names that lead elsewhere, and for other bytes."""
    from pydantic import TypeAdapter

    try:
        found = TypeAdapter(dict[str, StoredFile]).validate_json(data, strict=True)
        for name in found:
            files.inside(Path(), name)
    except (ValueError, InputError) as error:
        raise CorruptFile(f"{where}: is not the index of a published corpus; publish it again") from error
    if any(part in ("", ".") or part.startswith(".") for name in found for part in name.split("/")):
        raise CorruptFile(f"{where}: names a hidden file, which no corpus publishes; publish it again")
    return found


def index_data(held: Mapping[str, StoredFile]) -> bytes:
    """The bytes of an index."""
    return files.canonical_json({name: dataclasses.asdict(one) for name, one in held.items()})


def entry_of(file: StoredFile) -> FileEntry:
    """As an entry of a manifest, for what compares files with those."""
    return FileEntry(bytes=file.bytes, sha256=file.sha256)
