"""Whether published files hold what their manifests name, for builds: workers read the files, and a run reads none twice.

Purpose: a build of which nothing or only the end is left to do compares all published bytes with their hashes, first to say
whether it is up to date, then again step by step.
Guarantee: a file counts as read only while its size and both its times are those that it was read with, and if these were
DOUBTFUL_NS old when it was read: whatever changes it later gives it another time of change, which no program can put back.
`tokenmill verify` does not ask here: it reads every byte.
Cost: one read of each file, in tasks of BATCH_BYTES; a few hundred bytes of memory per file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import NotOurs
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Manifest

BATCH_BYTES = 64_000_000
DOUBTFUL_NS = 2_000_000_000
"""The clock of a file server may be behind ours by so much."""

Item = TypeVar("Item")
Stand = tuple[int, int, int]
"""Size in bytes, time of the last write, time of the last change, in ns."""

_read: dict[Path, tuple[Stand, str]] = {}
"""What this process knows: how a file stood when it was read, and the SHA-256 of its bytes."""


@dataclass(frozen=True, kw_only=True)
class ReadingTask:
    """Files of one corpus, which one worker reads."""

    root: Path
    names: tuple[str, ...]


def problems(root: Path, made: Manifest, executor: Executor) -> Iterator[str]:
    """See `manifest.problems`."""
    new = [(name, entry.bytes) for name, entry in made.entries() if _known(root / name) is None]
    tasks = [ReadingTask(root=root, names=tuple(names)) for names in groups(new)]
    if len(tasks) > 1 and executor.workers > 1:
        for answer in executor.map(_look, tasks):
            _read.update({root / name: found for name, found in answer.items()})
    return manifest.problems(root, made, holds=holds)


def holds(root: Path, name: str, entry: FileEntry) -> bool:
    """See `files.holds`; the file is not read again if it stands as this process read it."""
    known = _known(root / name)
    if known is None:
        _read.update({root / name: found for name, found in _look(ReadingTask(root=root, names=(name,))).items()})
        known = _known(root / name)
    return known == entry.sha256 if known is not None else files.holds(root, name, entry)


def groups(items: Iterable[tuple[Item, int]]) -> Iterator[list[Item]]:
    """The items, given with their sizes in bytes, in runs of about BATCH_BYTES."""
    run: list[Item] = []
    held = 0
    for item, size in items:
        run.append(item)
        held += size
        if held >= BATCH_BYTES:
            yield run
            run, held = [], 0
    if run:
        yield run


def _look(task: ReadingTask) -> dict[str, tuple[Stand, str]]:
    """How the files stand and what they hold, without those that are missing, new or changing."""
    found: dict[str, tuple[Stand, str]] = {}
    for name in task.names:
        path, now = task.root / name, time.time_ns()
        before = _stand(path)
        if before is None or now - max(before[1:]) < DOUBTFUL_NS:
            continue
        try:
            digest = files.sha256(path)
        except (OSError, NotOurs):
            continue
        if _stand(path) == before:
            found[name] = (before, digest)
    return found


def _known(path: Path) -> str | None:
    """The SHA-256 of a file that stands as it was read; None for any other."""
    stand, digest = _read.get(path, (None, None))
    return digest if stand is not None and _stand(path) == stand else None


def _stand(path: Path) -> Stand | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
