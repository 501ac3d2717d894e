"""Builds a corpus from top to bottom.

Purpose: lists the steps of a corpus in order, performs each of them, and publishes the result.
Guarantee: files on disk decide what is up to date: a step whose manifest and files are intact is not run again. The manifest of
the corpus names the settings, the report and the manifest of every step, and is published last.
Cost: for steps that are up to date, one read of their files.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenmill.flows import execution, housekeeping, preflight, room
from tokenmill.flows.execution import Hands
from tokenmill.pipeline.ask import expectations
from tokenmill.pipeline.ask.expectations import Expectation
from tokenmill.pipeline.base import files, manifest, versions
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.manifest import COLLECT, CORPUS, MODELS, PACK, TOKENIZER, Manifest
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.base.shortage import memory
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CONFIG, REPORT, CorpusFolder, being_published, open_corpus
from tokenmill.pipeline.external.means import default_memory
from tokenmill.pipeline.stages import settings, table
from tokenmill.pipeline.stages.censor import censor_of
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.step import Done, StageStep, Step, Work, perform
from tokenmill.pipeline.tokens.pack import PackStep
from tokenmill.tokenizer.encode import of_corpus
from tokenmill.tokenizer.step import TokenizerStep


def build(
    config: Config,
    root: Path,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    made_by: str | None = None,
    replace: bool = False,
    in_place: bool = False,
) -> CorpusFolder:
    """Build the corpus that `config` describes in the folder `root`, or bring it up to date. Raises TokenmillError;
    ExpectationMissed after the corpus is published.

    `workers`: processes, where they start on this machine; default: what the section `execution` says. `executor`: one that
    runs already, in place of that section. `made_by`: the name of the preset or of the config file; a corpus of another one is
    refused without `replace`. `in_place`: keep no older version for readers while the build runs.
    """
    with building(
        config,
        root,
        workers=workers,
        executor=executor,
        progress=progress,
        made_by=made_by,
        replace=replace,
        in_place=in_place,
    ) as corpus:
        for name in outline(config):
            corpus.perform(name)
        corpus.finish()
        corpus.require_expected()
    return open_corpus(root)


@contextlib.contextmanager
def building(
    config: Config,
    root: Path,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    made_by: str | None = None,
    replace: bool = False,
    in_place: bool = False,
    looked: tuple[str, ...] | None = None,
) -> Iterator[Building]:
    """Check settings, input and room, lock `root`, and start workers. For the other parameters, see `build`.

    `looked`: what `preflight.check` found, if the caller has asked it already.

    What is refused leaves no folder. Raises Locked, ConfigError, InputError, NotOurs, DiskFull, OutOfMemory, ClusterError.
    """
    execution.require(config.execution)
    progress = progress or Silent()
    housekeeping.say_compiling(progress)
    if executor is None:
        execution.begin(config.execution, workers=workers, modules=[execution.READY])
    for line in preflight.check(config, root, outline(config)) if looked is None else looked:
        progress.say(line)
    with (
        housekeeping.at_work(root, made_by, replace=replace),
        _hands(config, root, workers, executor) as hands,
        room.told(config, root, outline(config)),
        memory(f"the build in {root}"),
    ):
        corpus = Building(
            config=config,
            root=root,
            executor=hands.executor,
            progress=progress,
            in_place=in_place,
            memory_bytes=hands.memory_bytes,
        )
        corpus.begin()
        yield corpus


def _hands(config: Config, root: Path, workers: int | None, given: Executor | None) -> AbstractContextManager[Hands]:
    if given is not None:
        return contextlib.nullcontext(Hands(executor=given, memory_bytes=default_memory(given.workers)))
    stages = [table.kind_of(name).make(config) for name in config.stages]
    return execution.opened(config.execution, root, workers=workers, stages=stages)


def outline(config: Config) -> dict[str, Callable[[Path], Step]]:
    """The steps of a corpus in order, as functions that make them. A step is made when its turn comes: packing needs the
    tokenizer's file."""
    return {
        COLLECT: lambda _: CollectStep(config.collect, censor=censor_of(config)),
        **{name: functools.partial(_stage, table.kind_of(name), config) for name in config.stages},
        TOKENIZER: lambda _: TokenizerStep(config=config.tokenizer),
        PACK: lambda root: PackStep(
            config=config.pack, encoder=of_corpus(root, manifest.load(root, TOKENIZER)), censor=censor_of(config)
        ),
    }


def _stage(kind: StageKind[Any], config: Config, _: Path) -> StageStep:
    return StageStep(kind.make(config))


@dataclass(kw_only=True)
class Building:
    """A build in progress in a corpus folder. `building` makes it; the caller then performs each step and calls `finish`."""

    config: Config
    root: Path
    executor: Executor
    progress: Progress
    in_place: bool = False
    memory_bytes: int = field(default_factory=default_memory)
    """For what each worker holds of data that is larger than memory."""
    done: list[Done] = field(default_factory=list)
    expected: tuple[Expectation, ...] = ()
    """What the section `expect` asks and what the corpus has, once it is finished."""

    def begin(self) -> None:
        """Withdraw the steps that the config no longer has."""
        housekeeping.prepare_versions(self.root, in_place=self.in_place, progress=self.progress)
        housekeeping.say_edited(self.root, self.config, self.progress)
        housekeeping.withdraw_unused(self.root, self.config)

    def perform(self, name: str) -> Done:
        """Bring one step up to date. The steps before it must be done."""
        steps = outline(self.config)
        later = list(steps)[list(steps).index(name) + 1 :]
        before = tuple(done.manifest for done in self.done)
        work = Work(
            root=self.root, before=before, executor=self.executor, progress=self.progress, memory_bytes=self.memory_bytes
        )
        done = perform(steps[name](self.root), work, downstream=[*later, CORPUS, *MODELS])
        self.done.append(done)
        return done

    def finish(self) -> Manifest:
        """Publish the corpus, remove files of ours that no manifest names any more, and record this run."""
        steps = tuple(done.manifest for done in self.done)
        whole = publish(self.root, self.config, steps, self.executor)
        if not self.in_place:
            housekeeping.say_held(versions.publish(self.root), self.progress)
        housekeeping.remove_orphans(self.root, [whole, *steps], self.progress)
        if any(self.config.expect.flat()):
            self.expected = expectations.compare(open_corpus(self.root), self.config.expect)
        housekeeping.record(self.root, self.done, workers=self.executor.workers, whole=whole, expected=self.expected)
        return whole

    def require_expected(self) -> None:
        """Say what the finished corpus misses of what is expected. Raises ExpectationMissed, if that is an error."""
        _require(self.expected, self.config, self.root, self.progress)


def expect_again(config: Config, root: Path, progress: Progress) -> None:
    """Compare a corpus that is up to date with what is expected, and record an answer that the last run did not have.

    Raises ExpectationMissed, if that is an error; Locked, CorruptFile.
    """
    if not any(config.expect.flat()):
        return
    corpus = open_corpus(root)
    found = expectations.compare(corpus, config.expect)
    if [run.expectations for run in expectations.history(corpus, 1)] != [found]:
        with housekeeping.at_work(root):
            whole = manifest.load(root, CORPUS)
            housekeeping.record(root, (), workers=1, whole=whole, expected=found)
    _require(found, config, root, progress)


def _require(found: tuple[Expectation, ...], config: Config, root: Path, progress: Progress) -> None:
    said = expectations.require(found, config.expect, str(root))
    if said is not None:
        progress.say(f"warning: {said}")


def publish(root: Path, config: Config, steps: tuple[Manifest, ...], executor: Executor) -> Manifest:
    """Publish the settings, the report and the manifest of the corpus. `steps`: the manifests of all steps, in order.

    `executor`: its workers read text and tokens for the report.
    """
    from tokenmill.pipeline.report import write
    from tokenmill.tokenizer.report import measure

    manifest.withdraw(root, [CORPUS])
    corpus = being_published(root, steps, config)
    published = {
        CONFIG: files.write_bytes(root / CONFIG, settings.to_toml(config).encode()),
        REPORT: write(corpus, measure(corpus, executor), executor),
    }
    inputs = {made.stage: made.hash for made in steps}
    facts = {"steps": [made.stage for made in steps]}
    return manifest.commit(root, Manifest(stage=CORPUS, version=1, config={}, inputs=inputs, files=published, facts=facts))
