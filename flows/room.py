"""Room on the disk: what a build needs, whether it is there, and what to say when it runs out.

Guarantee: a build that may not fit says so before it works, and goes on, since the estimates are upper ones and what is
finished is kept; one that has less than a sixth of its estimate is refused. One that finds no room names the file, what is
free, and about how much is missing.
Cost: one listing of the sources.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import DiskFull
from tokenmill.pipeline.base.manifest import COLLECT, PACK, TOKENIZER
from tokenmill.pipeline.base.shortage import disk_full, free_bytes
from tokenmill.pipeline.base.words import amount
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.step import Estimate

ESTIMATES: Mapping[str, Estimate] = {
    COLLECT: Estimate(text_bytes_per_second=2_000_000, disk_per_text=0.4),
    TOKENIZER: Estimate(text_bytes_per_second=40_000_000, disk_per_text=0.3),
    # Ids three times while a source of many shards is gathered: encoded, gathered, and gathered again or published.
    PACK: Estimate(text_bytes_per_second=40_000_000, disk_per_text=1.4),
}
"""Estimates for the steps of every corpus. Each stage states its own."""
LEAST = 6
"""No build was seen to take less than this part of its estimate: the documents alone take a sixth."""


def estimate(step: str) -> Estimate | None:
    """The estimate for a step; None for the corpus as a whole, whose report and manifest are small."""
    return {**ESTIMATES, **{kind.name: kind.estimate for kind in table.STAGES}}.get(step)


def needed_bytes(planned: Mapping[str, int], steps: Collection[str]) -> int:
    """The bytes on disk that these steps take at most, for an input as `CollectStep.plan` estimates it."""
    text_bytes, copies = planned["text_bytes"], planned["fetched_bytes"] if COLLECT in steps else 0
    return copies + sum(int(text_bytes * found.disk_per_text) for name in steps if (found := estimate(name)) is not None)


def shortage(needed: int, root: Path) -> str | None:
    """What to say if the disk of `root` has less than `needed` bytes free; None if it has as many, or nobody can tell."""
    free = free_bytes(root)
    if free is None or free >= needed:
        return None
    return (
        f"this may not fit: it takes up to {amount(needed)}, and the disk of {root} has {amount(free)} free, about "
        f"{amount(needed - free)} too little"
    )


def require_least(needed: int, root: Path) -> None:
    """Raises DiskFull if the disk of `root` has less free than a build of `needed` bytes at most takes in any case."""
    free = free_bytes(root)
    if free is not None and free < needed // LEAST:
        raise DiskFull(
            f"--out {root}: its disk has {amount(free)} free, and the build takes up to {amount(needed)}; make "
            "room, choose an --out on another disk, or collect less, for example with --set collect.max_text_bytes=1000000"
        )


@contextlib.contextmanager
def told(config: Config, root: Path, steps: Iterable[str]) -> Iterator[None]:
    """Say how much is missing if the work found no room. Raises DiskFull.

    `steps`: those of the build, in their order. Those that have a manifest count as done.
    """

    def left() -> int:
        names = [name for name in steps if not manifest.path_of(root, name).exists()]
        return needed_bytes(CollectStep(config.collect).plan(), names) if names else 0

    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else root
        full = error if isinstance(error, DiskFull) else disk_full(error, Path(named))
        if full is None:
            raise
        raise DiskFull(f"{full} (the steps that are left take up to {amount(left())} in all)") from error
