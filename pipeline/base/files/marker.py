"""The marker of a corpus folder, `.tokenmill`: it makes the folder ours, and it is the pointer to the published version.

Purpose: one small regular file says which folder is a corpus, who makes it, who is writing to it now, and which of its
versions readers see. It is in no hash and no manifest.
Guarantee: it is replaced by one rename (`write.write_json`), so a reader sees the old state or the new one.
Cost: reading it takes 20 us.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import NewerFormat

MARKER = ".tokenmill"
VERSIONS = ".versions"
"""The folder of published versions in a corpus folder: see `pipeline.base.versions`."""
FORMAT = 1
KIND = "tokenmill corpus"
_MOST_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Published:
    """The version that readers see: the name of its folder below `.versions`, and the hash of its corpus manifest."""

    generation: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The run that holds the lock of the corpus. `token`: random, so that a run can tell itself from every other one."""

    token: str
    process: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since} UTC"


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What the marker of a corpus folder says."""

    id: str
    """Random; two corpora never have the same, unless one is a copy."""
    made_by: str | None = None
    """The name of the preset or of the config file that the corpus is built from, without `.toml`; None if none was named."""
    generation: int = 0
    """The number of the newest version that was ever published."""
    published: Published | None = None
    """None until a version is published, and for a corpus that is built in place."""
    owner: Owner | None = None
    """None while nobody writes."""

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {"kind": KIND, "format": FORMAT, **dataclasses.asdict(self)}


def marker(folder: Path | str) -> Marker | None:
    """The marker of `folder`; None if it has none: the file is missing, is no regular file, or is not ours.

    Raises NewerFormat if a newer version of tokenmill wrote it.
    """
    path = os.path.join(folder, MARKER)
    try:
        # Most folders have none, and asking is cheaper than failing to open.
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as handle:
        data = handle.read(_MOST_BYTES)
    try:
        plain = json.loads(data)
        if plain.pop("kind") != KIND:
            return None
        if (version := plain.pop("format")) != FORMAT:
            raise NewerFormat(
                f"{path}: this corpus is of format {version}, and this version of tokenmill reads format {FORMAT}; install a "
                "newer tokenmill to read it or to build in it"
            )
        published, owner = plain.pop("published"), plain.pop("owner")
        return Marker(
            **plain,
            published=None if published is None else Published(**published),
            owner=None if owner is None else Owner(**owner),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
