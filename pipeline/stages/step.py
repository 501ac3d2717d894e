"""Steps, and the order in which they publish.

Purpose: `perform` brings one step up to date. It does nothing when the step's manifest and files hold; otherwise it withdraws
the manifests, works, and commits.
Guarantee: before the first file of a step is replaced, its manifest and those downstream are removed. The new manifest is
published last. Only the disk decides what is up to date.
Cost: for a step that is up to date, one read of its files.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from tokenmill.pipeline.base import files, manifest, state, verified
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.manifest import Manifest, Shard
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.base.shards import Named, View, views
from tokenmill.pipeline.base.shortage import memory
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import FAN_IN, Means, default_memory
from tokenmill.pipeline.stages import stage
from tokenmill.pipeline.stages.protocols import Editor, Scorer, Stage
from tokenmill.pipeline.stages.stage import ShardResult, ShardTask


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a step may use: the corpus folder, the manifests before it, workers, and a place to report progress."""

    root: Path
    before: tuple[Manifest, ...]
    executor: Executor
    progress: Progress = field(default_factory=Silent)
    memory_bytes: int = field(default_factory=default_memory)
    """For what a worker holds of data that is larger than memory."""
    fan_in: int = FAN_IN
    """Most files that a task reads of such data."""

    def means(self, folder: Path) -> Means:
        """What an algorithm for large data may use, with `folder` for its files."""
        return Means(folder=folder, executor=self.executor, memory_bytes=self.memory_bytes, fan_in=self.fan_in)

    def scratch(self, name: str) -> Path:
        """Where a stage that decides over all shards keeps files until its verdicts are published; see `runs.scratch`."""
        return self.root / state.FOLDER / name / ".work"

    def manifest(self, name: str) -> Manifest:
        """The manifest of a step before this one."""
        return next(made for made in self.before if made.stage == name)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a step's work: what it publishes, and how much it computed in this run."""

    shards: tuple[Shard, ...] = ()
    files: Mapping[str, files.FileEntry] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    recomputed_shards: int = 0
    scored_rows: int = 0
    now: Mapping[str, int] = field(default_factory=dict)
    """Other amounts computed in this run, by name."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A step that is up to date. Everything but the manifest is about this run, so it goes to `runs/`."""

    manifest: Manifest
    seconds: float
    recomputed_shards: int
    scored_rows: int
    now: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a step takes, roughly: measured on one core of a server (AVX-512) on installed documentation."""

    text_bytes_per_second: int
    """Per process, of the text that reaches the step."""
    disk_per_text: float
    """Bytes on disk per byte of that text, with what is there only while the step runs."""


class Step(Protocol):
    """One node of the flow: collection, a stage, the tokenizer, packing."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...

    def config(self) -> Mapping[str, Any]:
        """The step's slice of the settings, as JSON values: those that the result depends on."""
        ...

    def inputs(self, work: Work) -> Mapping[str, str]:
        """Hashes of what the step reads, by name."""
        ...

    def run(self, work: Work) -> Outcome:
        """Do the work. While it runs, no manifest names the files that it replaces."""
        ...


def perform(step: Step, work: Work, *, downstream: Sequence[str]) -> Done:
    """Bring `step` up to date. `downstream`: the steps after it; their manifests are removed before its files change."""
    begun = time.monotonic()
    found = current(step, work)
    if found is not None and not any(verified.problems(work.root, found, work.executor)):
        return Done(manifest=found, seconds=time.monotonic() - begun, recomputed_shards=0, scored_rows=0)
    manifest.withdraw(work.root, [*reversed(downstream), step.name])
    with memory(f"the step {step.name}"):
        inputs = step.inputs(work)
        outcome = step.run(work)
    made = Manifest(
        stage=step.name,
        version=step.version,
        config=step.config(),
        inputs=inputs,
        shards=outcome.shards,
        files=outcome.files,
        facts=outcome.facts,
    )
    manifest.commit(work.root, made)
    return Done(
        manifest=made,
        seconds=time.monotonic() - begun,
        recomputed_shards=outcome.recomputed_shards,
        scored_rows=outcome.scored_rows,
        now=outcome.now,
    )


def current(step: Step, work: Work) -> Manifest | None:
    """The step's manifest, if it matches this version, these settings and these inputs, in the format that is written now.

    Its files are not checked.
    """
    found = manifest.find(work.root, step.name)
    wanted = manifest.fingerprint(step.name, step.version, step.config(), step.inputs(work))
    return found if found is not None and not found.is_older and found.fingerprint == wanted else None


class VerdictsOfShard(Protocol):
    """The verdicts of one shard, where they are too many to be held for all shards. Picklable."""

    def read(self) -> pa.RecordBatch:
        """Reasons and evidence of the shard's rows alive, in order."""
        ...


class Resolved(NamedTuple):
    """What a global step decided. `verdicts`: for each shard, in order, reasons and evidence of its rows alive.

    `facts` go into the manifest. `files`: tables that the step published in addition to those of the shards. `now`: amounts
    computed in this run, by name.
    """

    verdicts: Sequence[pa.RecordBatch | VerdictsOfShard]
    facts: Mapping[str, Any]
    files: Mapping[str, files.FileEntry] = {}
    now: Mapping[str, int] = {}


@runtime_checkable
class Resolver(Scorer, Protocol):
    """A stage whose decisions need all shards: instead of `decide` it has one global step over the stored scores."""

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> Resolved:
        """Decide over all shards and their scores, given in document order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A stage that is ready to score, and facts for its manifest."""

    stage: Stage
    facts: Mapping[str, Any]


@runtime_checkable
class Provider(Protocol):
    """A stage that needs files of its own before it scores, such as an index, which all workers read."""

    def provide(self, work: Work) -> Provided:
        """The stage with these files, made below `.state` if they are not there."""
        ...


@dataclass(frozen=True)
class StageStep:
    """A stage as a step: workers run its shards. A `Resolver` scores all shards, resolves once, then publishes."""

    stage: Stage | Resolver

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def version(self) -> int:
        return self.stage.version

    def config(self) -> Mapping[str, Any]:
        return {"scoring": self.stage.scoring, "deciding": self.stage.deciding}

    def inputs(self, work: Work) -> Mapping[str, str]:
        return {made.stage: made.hash for made in work.before}

    def run(self, work: Work) -> Outcome:
        self.stage.prepare()
        shards = views(work.root, work.before)
        sizes = [view.documents[1].bytes for view in shards]
        work.progress.begin(self.name, sum(sizes), "bytes")

        def advance(number: int) -> None:
            work.progress.advance(sizes[number])

        if isinstance(self.stage, Resolver):
            scoring = [ShardTask(stage=self.stage, view=view) for view in shards]
            results = work.executor.map(stage.score_shard, scoring, done=advance)
            scored = [next(iter(result.shard.files.items())) for result in results]
            with runs.scratch(work.scratch(self.name)):
                resolved = self.stage.resolve(list(zip(shards, scored, strict=True)), work)
                results = work.executor.map(_publish, list(zip(scoring, results, resolved.verdicts, strict=True)))
        else:
            ready = self.stage.provide(work) if isinstance(self.stage, Provider) else Provided(stage=self.stage, facts={})
            resolved = Resolved([], ready.facts)
            tasks = [ShardTask(stage=ready.stage, view=view) for view in shards]
            results = work.executor.map(stage.run_shard, tasks, done=advance)
        return Outcome(
            shards=tuple(result.shard for result in results),
            files=resolved.files,
            facts=resolved.facts,
            recomputed_shards=sum(result.recomputed for result in results),
            scored_rows=sum(result.scored for result in results),
            now=resolved.now,
        )


def _publish(decided: tuple[ShardTask[Resolver], ShardResult, pa.RecordBatch | VerdictsOfShard]) -> ShardResult:
    """Publish the verdicts of a scored shard, unless the same verdicts of the same scores are already published."""
    task, scored, found = decided
    verdict = found if isinstance(found, pa.RecordBatch) else found.read()
    view, ((name, entry),) = task.view, scored.shard.files.items()
    config = {"scoring": task.stage.scoring, "deciding": task.stage.deciding if isinstance(task.stage, Editor) else None}
    identity = manifest.fingerprint(task.stage.name, task.stage.version, config, {**view.identity, "scores": entry.sha256})
    # Apart from the records of `score_shard`: no source name begins with a dot.
    record = f"{task.stage.name}/.verdicts"
    known = state.finished(view.root, state.load(state.path_of(view.root, record, view.name)), identity)
    if known is not None and stage.stored_verdict(task, known).equals(stage.plain(pa.Table.from_batches([verdict]))):
        return dataclasses.replace(scored, shard=known)
    shard = stage.publish_resolved(task, (name, entry), verdict)
    state.record_shard(view.root, record, shard, identity)
    return ShardResult(shard=shard, scored=scored.scored, recomputed=True)
