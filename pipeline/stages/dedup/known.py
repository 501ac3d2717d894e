"""Similarities from earlier builds: a build with added documents computes only the similarities of new pairs.

Purpose: a similarity depends on two texts and on nothing else, so it is stored under the sum of their 128-bit
hashes (`exact`). It holds wherever the documents are and whatever they are called. A changed text has another hash and finds
nothing.
Guarantee: every stored similarity comes from a build with the same signature settings. The record carries a hash of itself,
and each file's hash is compared first. A damaged store counts as empty. Similarities that the last build did not use are
dropped.
Cost: 32 bytes per pair below `.state`, read once for its hash. A look-up reads the pages that hold its keys.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files, state
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run

KNOWN = ("<u8", "<u8", "<f8", "<u4", "<u4")
"""A run of similarities: both halves of a pair's key, sorted by the first half, the similarity, and the sizes of both n-gram
sets, of which that of the lower hash comes first."""
SIMILARITIES = ".similarities"
REVISIONS = ".revisions"
"""The names of the two stores: under the folding of the settings, and under the looser one of `revisions`."""
ROWS = 2_000_000
"""Pairs per file (approximate)."""


def look_up(known: Sequence[Run], key: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]) -> list[Array]:
    """The similarity stored under each key, NaN if there is none, and both sizes."""
    order = np.argsort(key[0])
    one, other = key[0][order], key[1][order]
    found = [np.full(len(order), np.nan), *(np.zeros(len(order), dtype=np.uint32) for _ in range(2))]
    for run in known:
        ones, others, *values = run.columns()
        mine = slice(np.searchsorted(one, ones[0], side="left"), np.searchsorted(one, ones[-1], side="right"))
        at = np.searchsorted(ones, one[mine])
        same = (ones[at] == one[mine]) & (others[at] == other[mine])
        for column, stored in zip(found, values, strict=True):
            column[mine][same] = stored[at[same]]
    for column in found:
        column[order] = column.copy()
    return found


def turn(sizes: Sequence[Array], turned: npt.NDArray[np.bool_]) -> list[Array]:
    """Both sizes of each pair, in the other order where `turned`."""
    one, other = sizes
    return [np.where(turned, other, one), np.where(turned, one, other)]


def load(root: Path, identity: str, name: str = SIMILARITIES) -> list[Run]:
    """The similarities that a build with settings of this identity stored under `name`; empty if there are none, or if the
    store is damaged.
    """
    folder = _folder(root, name)
    record = state.load(folder / "record.json")
    if record is None or record["identity"] != identity or record.get("columns") != list(KNOWN):
        return []
    stored = [
        Run(path=folder / file, rows=rows, kinds=KNOWN, entry=FileEntry(**entry)) for file, rows, entry in record["files"]
    ]
    whole = all(run.entry is not None and files.holds(run.path.parent, run.path.name, run.entry) for run in stored)
    return stored if whole else []


def save(root: Path, identity: str, found: Sequence[Run], means: Means, name: str = SIMILARITIES) -> None:
    """Store the similarities of `found`, runs of KNOWN, under `name`, and remove the earlier ones. Raises OSError."""
    folder = _folder(root, name)
    found = sort.merge(means, found, f"known{name}")
    within = runs.ranges(found, min(ROWS, means.rows(KNOWN)))
    files.remove(folder / "record.json", durable=False)
    stored = means.executor.map(
        _merge, [_Merge(found=found, within=one, path=folder / f"{at}") for at, one in enumerate(within)]
    )
    files_made: list[Any] = [
        (run.path.name, run.rows, dataclasses.asdict(run.entry)) for run in stored if run.rows and run.entry
    ]
    state.save(folder / "record.json", {"identity": identity, "columns": list(KNOWN), "files": files_made})
    kept = ["record.json", *(file for file, _, _ in files_made)]
    files.clear(folder, keep={folder / file for file in kept}, durable=False)


def copy(root: Path, to: Path, name: str = SIMILARITIES) -> None:
    """Copy what is stored under `name` to another root, which may be done beside a build. Raises OSError.

    If the build replaces a file meanwhile, `load` finds out and counts the copy as empty.
    """
    folder, target = _folder(root, name), _folder(to, name)
    record = state.load(folder / "record.json")
    for file in ["record.json", *(file for file, _, _ in record["files"])] if record is not None else []:
        with contextlib.suppress(FileNotFoundError):
            files.write_bytes(target / file, files.read_bytes(folder / file), durable=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Merge:
    found: Sequence[Run]
    within: Range
    path: Path


def _merge(task: _Merge) -> Run:
    columns = runs.read(task.found, task.within, KNOWN)
    order = np.argsort(columns[0])
    return runs.write(task.path, *(column[order] for column in columns), hashed=True)


def _folder(root: Path, name: str) -> Path:
    # No source name begins with a dot, so this path cannot collide with the record of a shard.
    return root / state.FOLDER / "dedup" / name
