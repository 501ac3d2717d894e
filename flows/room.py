"""Room on the disk: what a build needs, whether it is there, and what to say when it runs out.

Guarantee: a build that may not fit says so before it works, and goes on, since the estimates are upper ones and what is
finished is kept. One that finds no room names the file, what is free, and about how much is missing.
Cost: one listing of the sources.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import DiskFull, TokenmillError
from tokenmill.pipeline.base.manifest import COLLECT, PACK, TOKENIZER
from tokenmill.pipeline.base.shortage import disk_full, free_bytes
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.step import Estimate

ESTIMATES: Mapping[str, Estimate] = {
    COLLECT: Estimate(text_bytes_per_second=2_000_000, disk_per_text=0.4),
    TOKENIZER: Estimate(text_bytes_per_second=40_000_000, disk_per_text=0.3),
    PACK: Estimate(text_bytes_per_second=40_000_000, disk_per_text=1.0),
}
"""Estimates for the steps of every corpus. Each stage states its own."""


def estimate(step: str) -> Estimate | None:
    """The estimate for a step; None for the corpus as a whole, whose report and manifest are small."""
    return {**ESTIMATES, **{kind.name: kind.estimate for kind in table.STAGES}}.get(step)


def needed_bytes(text_bytes: int, steps: Iterable[str]) -> int:
    """The bytes on disk that these steps take at most, for a text of this size."""
    return sum(int(text_bytes * found.disk_per_text) for name in steps if (found := estimate(name)) is not None)


def shortage(needed: int, root: Path) -> str | None:
    """What to say if the disk of `root` has less than `needed` bytes free; None if it has as many, or nobody can tell."""
    free = free_bytes(root)
    if free is None or free >= needed:
        return None
    return (
        f"this may not fit: it takes up to {_megabytes(needed)}, and the disk of {root} has {_megabytes(free)} free, about "
        f"{_megabytes(needed - free)} too little"
    )


@contextlib.contextmanager
def told(config: Config, root: Path, steps: Iterable[str]) -> Iterator[str | None]:
    """Yield what to say before the work if it may not fit, and say how much is missing if it did not. Raises DiskFull.

    `steps`: those of the build, in their order. Those that have a manifest count as done.
    """

    def left() -> int:
        names = [name for name in steps if not manifest.path_of(root, name).exists()]
        return needed_bytes(CollectStep(config.collect).plan()["text_bytes"], names) if names else 0

    foreseen = None
    # A source that cannot be listed is reported by the step that reads it.
    with contextlib.suppress(TokenmillError):
        foreseen = shortage(left(), root)
    try:
        yield foreseen
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else root
        full = error if isinstance(error, DiskFull) else disk_full(error, Path(named))
        if full is None:
            raise
        raise DiskFull(f"{full} (the steps that are left take up to {_megabytes(left())} in all)") from error


def _megabytes(count: int) -> str:
    return f"{max(1, round(count / 1e6)):,} MB"
