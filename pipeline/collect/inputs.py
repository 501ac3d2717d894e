"""The identity of input files: their SHA-256, remembered while a file's size, times and inode stay the same.

Purpose: a finished corpus is recognised without reading its input again.
Guarantee: an entry made within two seconds of the file's own time is not trusted, because a later write could have the same
time. The time of the inode's last change counts too: programs can put a file's own time back, but not that one. Remembered
entries are never published and hold no content.
Cost: reading every new file once, at about 1.5 GB/s.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, state
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.entries import shown, spelled
from tokenmill.pipeline.collect.framing import CHUNK_BYTES
from tokenmill.pipeline.collect.kinds import BY_LINE
from tokenmill.pipeline.collect.lines import line_ends
from tokenmill.pipeline.collect.listing import InputFile

DOUBTFUL_NS = 2_000_000_000
"""An entry is remembered only if the file's time is more than this many nanoseconds old."""
TICK_NS = 20_000_000
"""The kernel's clock for changes of an inode ticks at least this often (every 1 to 10 ms). A file that changed in the current
tick is read in a later one, so that every change after that has another time."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """SHA-256 in hex. For large uncompressed files with one record per line, also the line ends before each `step_bytes` (see
    `plan.Marks`).
    """

    sha256: str
    marks: tuple[int, ...] = ()


Fetch = Callable[[Sequence[InputFile]], list[Identity]]
"""Reads objects in a store, and gives their identities."""


@dataclass(kw_only=True)
class Known:
    """The identities of files seen before, by path. `path`: the file that keeps them between runs."""

    path: Path
    entries: dict[str, list[Any]] = field(default_factory=dict)
    changed: bool = False

    @staticmethod
    def load(root: Path) -> Known:
        """What earlier runs in this corpus folder remembered; empty if it cannot be read."""
        path = root / state.FOLDER / "inputs.json"
        return Known(path=path, entries=state.load(path) or {})

    def identities(self, inputs: Iterable[InputFile], step_bytes: int, fetch: Fetch | None = None) -> dict[str, Identity]:
        """The identity of every file, by path. Raises InputError for a file that cannot be read, StaleInput if it changes.

        `fetch`: reads objects in a store. Without it, an object that is new has an identity of its own.
        """
        every = list(inputs)
        found = {file.path: self._identity(file, step_bytes) for file in every if file.remote is None}
        objects = [file for file in every if file.remote is not None]
        new = [file for file in objects if self._known(file, step_bytes) is None]
        if fetch is not None:
            for file, made in zip(new, fetch(new), strict=True):
                self.entries[file.path] = [*_seen(file, step_bytes), made.sha256, list(made.marks)]
                self.changed = True
        return found | {
            file.path: self._known(file, step_bytes) or Identity(sha256=f"not read yet: {_seen(file, step_bytes)}")
            for file in objects
        }

    def _known(self, file: InputFile, step_bytes: int) -> Identity | None:
        """What an earlier run read of an object that has the same size and ETag."""
        entry = self.entries.get(file.path)
        same = entry is not None and entry[:5] == _seen(file, step_bytes)
        return Identity(sha256=entry[5], marks=tuple(entry[6])) if entry is not None and same else None

    def save(self) -> None:
        """Keep new entries for later runs. Afterwards the file exists in any case, because it marks the folder as a corpus."""
        if self.changed or not self.path.exists():
            state.save(self.path, self.entries)
            self.changed = False

    def _identity(self, file: InputFile, step_bytes: int) -> Identity:
        step = _step(file, step_bytes)
        now = [file.size_bytes, file.mtime_ns, file.ctime_ns, file.inode, step]
        key = spelled(os.fsencode(file.path))
        entry = self.entries.get(key)
        if entry is not None and entry[:5] == now:
            return Identity(sha256=entry[5], marks=tuple(entry[6]))
        if 0 <= time.time_ns() - file.ctime_ns < TICK_NS:
            time.sleep(TICK_NS / 1e9)
        begun = time.time_ns()
        made = _read(file, step)
        if begun - file.mtime_ns > DOUBTFUL_NS:
            self.entries[key] = [*now, made.sha256, list(made.marks)]
            self.changed = True
        return made


def _step(file: InputFile, step_bytes: int) -> int:
    """The distance of marks in a file; 0 if it has none."""
    return step_bytes if file.kind in BY_LINE and not file.codec and file.size_bytes > step_bytes else 0


def _seen(file: InputFile, step_bytes: int) -> list[Any]:
    """What tells an object from an older one under its key."""
    assert file.remote is not None
    return [file.size_bytes, file.remote.etag, file.remote.version, file.remote.changed_ns, _step(file, step_bytes)]


def read(file: InputFile, step_bytes: int) -> Identity:
    """The identity of a file, read now. Raises InputError, StaleInput."""
    return _read(file, _step(file, step_bytes))


def _read(file: InputFile, step: int) -> Identity:
    digest = hashlib.sha256()
    marks: list[int] = []
    ends = 0
    try:
        with file.open() as handle:
            if not step:
                return Identity(sha256=hashlib.file_digest(handle, "sha256").hexdigest())
            left = step
            marks.append(0)
            while data := handle.read(min(CHUNK_BYTES, left)):
                digest.update(data)
                ends += line_ends(data, handle.peek(1)[:1] if data.endswith(b"\r") else b"")
                left -= len(data)
                if not left:
                    marks.append(ends)
                    left = step
    except OSError as error:
        raise InputError(f"{shown(file.path)}: cannot be read ({error.strerror}); make it readable, or leave it out") from error
    return Identity(sha256=digest.hexdigest(), marks=tuple(marks))


def digest(identities: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 in hex over pairs of a file's name and its SHA-256."""
    return hashlib.sha256(files.canonical_json(sorted(identities))).hexdigest()
