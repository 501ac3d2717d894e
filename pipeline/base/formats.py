"""Formats of the files that tokenmill writes, and which of its versions read and update them: the one place of the rule.

A file that stands for itself is a JSON object with a header and a hash:

    "format": 2            the format of the file
    "reader": 2            it may be read by a tokenmill that knows this format, or a later one
    "writer": 2            it may be replaced or extended by a tokenmill that knows this format, or a later one
    "release": "0.2.0"     the first tokenmill that knows both
    "hash": "..."          SHA-256 of the canonical JSON of everything else

The rule:

- *Newer.* A file whose `reader` is above the format known here is refused by every command with `NewerFormat`, which says what
  to install. One whose `writer` is above it can be read, but a build, `forget`, `compact` and `train` refuse to change it.
- *Older.* Formats from `oldest` on are read. A file of format 1 has no header but its number. A build does not keep an older
  manifest: the step runs again, so that the corpus has the bytes of a fresh one.
- *Coverage.* The header of a manifest covers every file that the manifest names: tables, token shards, tokenizer. A change of
  any of them that an older version would misread raises the numbers of `MANIFEST`; so does a new stage.
- *Records* below `.state` are saved work. A record of another format counts as missing, and the work is done again.
- Header and hash never change, so that a newer file can be told from a damaged one.

Guarantee: nothing of a file is used before its hash and its header were checked. Cost: a hash of the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import CorruptFile, NewerFormat
from tokenmill.pipeline.base.files import canonical_json

HEADER = ("format", "reader", "writer", "release")
# The release is shown inside a command to copy, so it must not be able to end that command and begin another one.
_RELEASE = re.compile(r"[0-9][0-9A-Za-z.+]{0,30}")


@dataclass(frozen=True, kw_only=True)
class Format:
    """The format of one kind of file, as this version writes it. For the fields `reader`, `writer`, `release` see above."""

    name: str
    """What it is, with its article: "a manifest"."""
    number: int
    reader: int
    writer: int
    release: str
    oldest: int
    """The first format that was released; all from there on are read."""
    remedy: str
    """What helps if such a file is damaged."""

    @property
    def header(self) -> dict[str, Any]:
        """What a file that is written now begins with."""
        return {"format": self.number, "reader": self.reader, "writer": self.writer, "release": self.release}


MANIFEST = Format(name="a manifest", number=2, reader=2, writer=2, release="0.2.0", oldest=1, remedy="run the build again")
FORGOTTEN = Format(
    name="a list of forgotten documents",
    number=2,
    reader=2,
    writer=2,
    release="0.2.0",
    oldest=1,
    remedy="restore the one that was written",
)
CHECKPOINT = Format(
    name="a checkpoint", number=5, reader=5, writer=5, release="0.2.0", oldest=3, remedy="start over (train --restart)"
)
RECORD = 2
"""The format of records below `.state`. They carry this number alone."""


def sealed(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object, header included, with its hash: what `opened` reads."""
    return {**plain, "hash": digest(plain)}


def digest(plain: Mapping[str, Any]) -> str:
    """SHA-256 in hex of the canonical JSON of an object without its hash."""
    return hashlib.sha256(canonical_json(plain)).hexdigest()


def opened(data: bytes, kind: Format, path: Path) -> dict[str, Any]:
    """The JSON object in the file `path` with the bytes `data`, header included, without its hash.

    Raises
    ------
    NewerFormat
        It was written by a newer tokenmill, whose files this one cannot read.
    CorruptFile
        It is not an object of that kind in a format that was released, or does not hold the bytes that were written.
    """
    try:
        plain = json.loads(data)
        claimed = plain.pop("hash")
        whole = claimed == digest(plain) and data == canonical_json({**plain, "hash": claimed})
        number = int(plain["format"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFile(f"{path}: is not {kind.name} of format {kind.number}; {kind.remedy}") from error
    if not whole:
        newer = _newer(plain, kind, "reader", path) if _is_sound(plain) else None
        doubt = f" (or, if a newer tokenmill wrote it: {newer})" if newer else ""
        raise CorruptFile(f"{path}: does not hold the bytes that were written (hash {claimed!r}); {kind.remedy}{doubt}")
    if not _is_sound(plain):
        raise CorruptFile(f"{path}: has no header of {kind.name}; {kind.remedy}")
    if newer := _newer(plain, kind, "reader", path):
        raise NewerFormat(newer)
    if number < kind.oldest:
        raise CorruptFile(
            f"{path}: is {kind.name} of format {number}, the oldest that was released is {kind.oldest}; {kind.remedy}"
        )
    return dict(plain)


def require_writer(plain: Mapping[str, Any], kind: Format, path: Path) -> None:
    """Check that this version may replace a file whose header is in `plain`. Raises NewerFormat."""
    if newer := _newer(plain, kind, "writer", path):
        raise NewerFormat(newer)


def running() -> str:
    """The version of tokenmill that runs."""
    try:
        return metadata.version("tokenmill")
    except metadata.PackageNotFoundError:
        return "of a folder that was not installed"


def _newer(plain: Mapping[str, Any], kind: Format, who: str, path: Path) -> str | None:
    """What to say to a version of tokenmill that is too old for this file; None if it is not."""
    needed = plain.get(who, plain["format"])
    if needed <= kind.number:
        return None
    release = plain.get("release")
    made = f"tokenmill {release} or later" if release else "a later tokenmill"
    wanted = f"tokenmill>={release}" if release else "tokenmill"
    may = "reads" if who == "reader" else "may change"
    return (
        f"{path}: made by {made}, which writes format {plain['format']} of {kind.name}; this is tokenmill {running()}, which "
        f"{may} formats up to {kind.number}: pip install -U '{wanted}'"
    )


def _is_sound(plain: Mapping[str, Any]) -> bool:
    """Whether a header has the types that every version gives it. A file of format 1 has its number alone."""
    numbers = [plain.get(name, 1) for name in ("format", "reader", "writer")]
    release = plain.get("release", "0")
    return (
        all(type(number) is int and number > 0 for number in numbers)
        and isinstance(release, str)
        and _RELEASE.fullmatch(release) is not None
    )
