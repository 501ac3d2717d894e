"""Plans a build without running it: which steps are up to date, and what the others would cost.

Guarantee: nothing is written. Cost: one read of the files of steps that are up to date, and one listing of the sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenmill.flows import room
from tokenmill.flows.build import outline
from tokenmill.pipeline.base import executor, files, manifest, verified, versions
from tokenmill.pipeline.base.executor import Executor, InProcess
from tokenmill.pipeline.base.manifest import CORPUS, Manifest
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CONFIG
from tokenmill.pipeline.stages import settings
from tokenmill.pipeline.stages.step import Estimate, Work, current

IN_PROCESS = InProcess()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps in order: `current` are up to date, `stale` would be computed. `input`: see `CollectStep.plan`."""

    current: tuple[str, ...]
    stale: tuple[str, ...]
    input: Mapping[str, int]
    superseded_bytes: int
    """At most so much of the published version is kept beside the new files until the new version stands."""

    def estimate(self, name: str) -> Estimate | None:
        """The estimate for a step; None for CORPUS, which publishes the report and the manifest."""
        return room.estimate(name)

    @property
    def needed_bytes(self) -> int:
        """The bytes on disk that the steps to compute take at most."""
        return room.needed_bytes(self.input, self.stale)


def plan(config: Config, root: Path) -> Plan:
    """What `build` would do. Raises ConfigError, InputError."""
    names = (*outline(config), CORPUS)
    stale = first_stale(config, root) if root.exists() else names[0]
    at = names.index(stale) if stale else len(names)
    return Plan(
        current=names[:at],
        stale=names[at:],
        input=CollectStep(config.collect).plan(root),
        superseded_bytes=_superseded(root, names[at:]),
    )


def _superseded(root: Path, stale: Sequence[str]) -> int:
    """The bytes of the published files of these steps, which a build replaces and readers keep until it ends."""
    now = versions.reading(root)
    if now.published is None:
        return 0
    made = (manifest.find(now.folder, name) for name in stale)
    return sum(entry.bytes for one in made if one is not None for _, entry in one.entries())


def up_to_date(config: Config, root: Path, *, workers: int = 1, in_place: bool = False) -> bool:
    """Whether `build` would compute and publish nothing. Raises ConfigError, InputError."""
    whole = manifest.find(root, CORPUS)
    if whole is None:
        return False
    with executor.local(workers) as pool:
        if first_stale(config, root, pool) is not None:
            return False
    found = files.marker(root)
    return found is not None and (found.published is None if in_place else versions.is_current(root, whole))


def first_stale(config: Config, root: Path, pool: Executor = IN_PROCESS) -> str | None:
    """The first step that is not up to date; CORPUS if only the report or the manifest of the corpus is not; else None.

    `pool`: who reads published files.
    """
    before: list[Manifest] = []
    for name, make in outline(config).items():
        work = Work(root=root, before=tuple(before), executor=pool, progress=Silent())
        found = current(make(root), work)
        if found is None or any(verified.problems(root, found, pool)):
            return name
        before.append(found)
    whole = manifest.find(root, CORPUS)
    inputs = {made.stage: made.hash for made in before}
    sound = (
        whole is not None and not whole.is_older and whole.inputs == inputs and not any(verified.problems(root, whole, pool))
    )
    return None if sound and settings.to_toml(config).encode() == files.read_bytes(root / CONFIG) else CORPUS
