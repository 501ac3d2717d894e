"""The identity of input files: their SHA-256, remembered while a file's size and times stay the same, on whatever host.

Purpose: a finished corpus is recognised without reading its input again.
Guarantee: an entry made within two seconds of the file's own time is not trusted, because a later write could have the same
time. The time of the inode's last change counts too: programs can put a file's own time back, but not that one. Remembered
entries are never published and hold no content.
Cost: reading every new file once, at about 1.5 GB/s a worker.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, state, verified
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.executor import Executor
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
    ahead: dict[str, tuple[int, Identity]] = field(default_factory=dict)
    """What workers have read and nobody has asked for yet, by path, with when they began, in ns."""

    @staticmethod
    def load(root: Path) -> Known:
        """What earlier runs in this corpus folder remembered; empty if it cannot be read."""
        path = root / state.FOLDER / "inputs.json"
        more = _seen_here.get(path, {})
        return Known(path=path, entries={**(state.load(path) or {}), **more}, changed=bool(more))

    def identities(
        self, inputs: Iterable[InputFile], step_bytes: int, executor: Executor | None = None, fetch: Fetch | None = None
    ) -> dict[str, Identity]:
        """The identity of every file, by path. Raises InputError for a file that cannot be read, StaleInput if it changes.

        Parameters
        ----------
        executor
            Its workers read what is not known, if that is much.
        fetch
            Reads objects in a store. Without it, an object that is new has an identity of its own.
        """
        every = list(inputs)
        here = [file for file in every if file.remote is None]
        if executor is not None and executor.workers > 1:
            self._read_ahead(here, step_bytes, executor)
        found = {file.path: self._identity(file, step_bytes) for file in here}
        objects = [(file, _step(file, step_bytes)) for file in every if file.remote is not None]
        new = [(file, step) for file, step in objects if self._remembered(file, step) is None]
        if fetch is not None:
            for (file, step), made in zip(new, fetch([file for file, _ in new]), strict=True):
                self._remember(file, step, made)
        return found | {
            file.path: self._remembered(file, step) or Identity(sha256=f"not read yet: {_now(file, step)}")
            for file, step in objects
        }

    def save(self) -> None:
        """Keep new entries for later runs. Afterwards the file exists in any case, because it marks the folder as a corpus."""
        if self.changed or not self.path.exists():
            state.save(self.path, self.entries)
            self.changed = False

    def _read_ahead(self, inputs: list[InputFile], step_bytes: int, executor: Executor) -> None:
        new = [(file, file.size_bytes) for file in inputs if self._remembered(file, _step(file, step_bytes)) is None]
        tasks = [[(file, _step(file, step_bytes)) for file in run] for run in verified.groups(new)]
        if len(tasks) > 1:
            for task, made in zip(tasks, executor.map(_read_all, tasks), strict=True):
                self.ahead |= {file.path: one for (file, _), one in zip(task, made, strict=True)}

    def _remembered(self, file: InputFile, step: int) -> Identity | None:
        entry = self.entries.get(spelled(os.fsencode(file.path)))
        known = entry is not None and entry[:5] == _now(file, step)
        return Identity(sha256=entry[5], marks=tuple(entry[6])) if entry is not None and known else None

    def _identity(self, file: InputFile, step_bytes: int) -> Identity:
        step = _step(file, step_bytes)
        found = self._remembered(file, step)
        if found is not None:
            return found
        begun, made = self.ahead.pop(file.path) if file.path in self.ahead else _timed(file, step)
        if begun - file.mtime_ns > DOUBTFUL_NS:
            self._remember(file, step, made)
        return made

    def _remember(self, file: InputFile, step: int, made: Identity) -> None:
        key = spelled(os.fsencode(file.path))
        self.entries[key] = _seen_here.setdefault(self.path, {})[key] = [*_now(file, step), made.sha256, list(made.marks)]
        self.changed = True


_seen_here: dict[Path, dict[str, list[Any]]] = {}
"""What this process remembers besides, by the file that keeps it: whoever asks if a corpus is up to date writes nothing."""


def _step(file: InputFile, step_bytes: int) -> int:
    """The distance of marks in a file; 0 if it has none."""
    return step_bytes if file.kind in BY_LINE and not file.codec and file.size_bytes > step_bytes else 0


def _now(file: InputFile, step: int) -> list[Any]:
    """What tells a file, or an object of a store, from an older one of its name."""
    if file.remote is not None:
        return [file.size_bytes, file.remote.etag, file.remote.version, file.remote.changed_ns, step]
    # Earlier versions had the inode in the place of the 0. It tells nothing: FUSE gives a file another one on every host.
    return [file.size_bytes, file.mtime_ns, file.ctime_ns, 0, step]


def read(file: InputFile, step_bytes: int) -> Identity:
    """The identity of a file, read now. Raises InputError, StaleInput."""
    return _read(file, _step(file, step_bytes))


def _read_all(task: list[tuple[InputFile, int]]) -> list[tuple[int, Identity]]:
    return [_timed(file, step) for file, step in task]


def _timed(file: InputFile, step: int) -> tuple[int, Identity]:
    """When reading began, in ns, and what was read."""
    if 0 <= time.time_ns() - file.ctime_ns < TICK_NS:
        time.sleep(TICK_NS / 1e9)
    return time.time_ns(), _read(file, step)


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
