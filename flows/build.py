"""A corpus folder being brought up to date.

Purpose: the steps of a corpus in their order, each performed under the folder's lock; what a flow calls, with Prefect or
without it.
Guarantee: disk decides what is up to date. The manifest of the corpus, which names the config, the report and every
step's manifest, is published last. What depends on history (seconds, hosts) goes to `runs/`, which is not published.
Cost: for steps that are up to date, one read of their files.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from tokenmill.pipeline import kernels
from tokenmill.pipeline.base import executor, files, manifest, state
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.manifest import CORPUS, Manifest
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import MIDDLE, Config
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.language import Language
from tokenmill.pipeline.stages.quality.models import column
from tokenmill.pipeline.stages.quality.ranking import quality
from tokenmill.pipeline.stages.repeats import Repeats
from tokenmill.pipeline.stages.step import Done, StageStep, Step, Work, current, perform
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.compact import BESIDE
from tokenmill.pipeline.tokens.pack import PackStep
from tokenmill.tokenizer.encode import of_corpus
from tokenmill.tokenizer.step import TokenizerStep

CONFIG = "config.toml"
REPORT = "report.html"
MODEL = "model"
"""The stage name of the trained model, which stands in the corpus folder too."""


def step_names(config: Config) -> tuple[str, ...]:
    """The steps of a corpus in the order in which they run."""
    return ("collect", *config.stages, "tokenizer", "pack")


@dataclass(kw_only=True)
class Building:
    """Performs the steps of `config` in the corpus folder `root`. Made by `building`, which holds the lock."""

    config: Config
    root: Path
    executor: Executor
    progress: Progress
    done: list[Done] = field(default_factory=list)
    _steps: dict[str, Step] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return step_names(self.config)

    def perform(self, name: str) -> Done:
        """Bring one step up to date; those before it are."""
        later = self.names[self.names.index(name) + 1 :]
        done = perform(self._step(name), self._work(), downstream=[*later, CORPUS, MODEL])
        self.done.append(done)
        return done

    def begin(self) -> None:
        """Have every setting refused that has to be, before any work; withdraw what steps no longer in the config made."""
        if not kernels.compiled():
            self.progress.say("compiling kernels, once per environment (up to a minute)")
        for name in (*self.config.stages, "tokenizer"):
            step = self._step(name)
            step.config()
            if isinstance(step, StageStep):
                step.stage.prepare()
        unused = [name for name in MIDDLE if name not in self.names and manifest.path_of(self.root, name).exists()]
        if unused:
            manifest.withdraw(self.root, [CORPUS, *unused])

    def stale(self) -> str | None:
        """The first step that is not up to date, CORPUS when only the last words are missing, or None."""
        before: list[Manifest] = []
        for name in self.names:
            work = Work(root=self.root, before=tuple(before), executor=self.executor, progress=Silent())
            found = current(self._step(name), work)
            if found is None or any(manifest.problems(self.root, found)):
                return name
            before.append(found)
        corpus = manifest.find(self.root, CORPUS)
        inputs = {made.stage: made.hash for made in before}
        whole = corpus is not None and corpus.inputs == inputs and not any(manifest.problems(self.root, corpus))
        return None if whole and self._config_text() == (self.root / CONFIG).read_bytes() else CORPUS

    def finish(self) -> Manifest:
        """The last words: the resolved config, the report, the manifest of the corpus, and the record of this run."""
        manifests = [done.manifest for done in self.done]
        made = publish(self.root, self._config_text(), manifests)
        _remove_orphans(self.root, [made, *manifests])
        self.record()
        return made

    def record(self) -> None:
        """Write `runs/<id>.json`: what this run took, and how much it computed."""
        steps: dict[str, Any] = {
            done.manifest.stage: {
                "seconds": round(done.seconds, 3),
                "recomputed_shards": done.recomputed_shards,
                "scored_rows": done.scored_rows,
                **done.now,
            }
            for done in self.done
        }
        run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}"
        about = {"host": platform.node(), "workers": self.executor.workers, "python": platform.python_version()}
        files.write_json(self.root / "runs" / f"{run}.json", {"id": run, **about, "steps": steps})

    def _work(self) -> Work:
        before = tuple(done.manifest for done in self.done)
        return Work(root=self.root, before=before, executor=self.executor, progress=self.progress)

    def _config_text(self) -> bytes:
        return tomli_w.dumps(self.config.model_dump(mode="json", exclude_none=True)).encode()

    def _step(self, name: str) -> Step:
        if name not in self._steps:
            self._steps[name] = self._make(name)
        return self._steps[name]

    def _make(self, name: str) -> Step:
        config = self.config
        if name == "collect":
            return CollectStep(config.collect)
        if name == "language":
            return StageStep(Language(config=config.language))
        if name == "dedup":
            sources = tuple(source.name for source in config.collect.all_sources)
            model = config.survivor_model
            return StageStep(Dedup(config=config.dedup, sources=sources, quality=None if model is None else column(model)))
        if name == "repeats":
            return StageStep(Repeats(config=config.repeats))
        if name == "quality":
            return StageStep(quality(config.quality))
        if name == "tokenizer":
            return TokenizerStep(config=config.tokenizer)
        return PackStep(config=config.pack, encoder=of_corpus(self.root))


def publish(root: Path, config_text: bytes, manifests: Sequence[Manifest]) -> Manifest:
    """Publish the resolved config, the report and the manifest of the whole. `manifests`: of all steps, in their order."""
    from tokenmill.pipeline.report import write
    from tokenmill.tokenizer.report import measure

    manifest.withdraw(root, [CORPUS])
    published = {
        CONFIG: files.write_bytes(root / CONFIG, config_text),
        REPORT: write(root, measure(root)),
    }
    inputs = {made.stage: made.hash for made in manifests}
    facts = {"steps": [made.stage for made in manifests]}
    return manifest.commit(root, Manifest(stage=CORPUS, version=1, config={}, inputs=inputs, files=published, facts=facts))


def _require_ours(root: Path) -> None:
    """A build removes what no manifest names, so it works only in a folder that it made. Raises ConfigError."""
    if not root.exists():
        return
    if not root.is_dir():
        raise ConfigError(f"--out {root}: is a file; give a folder")
    if not (root / state.FOLDER).is_dir() and {path.name for path in root.iterdir()} - {".lock"}:
        raise ConfigError(f"--out {root}: is not empty and holds no corpus; choose a new or an empty folder")


def _remove_orphans(root: Path, manifests: list[Manifest]) -> None:
    """Remove what no manifest names: of inputs that are gone, of other settings, of a compaction that was cut short."""
    named = {name for made in manifests for name, _ in made.entries()}
    named |= {manifest.path_of(Path(), made.stage).as_posix() for made in manifests}
    # What was asked to be forgotten outlives every build.
    named.add(forget.LIST)
    for folder in ("documents", "collect", "quarantine", *MIDDLE, "tokenizer", "tokens", BESIDE):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.relative_to(root).as_posix() not in named:
                files.remove(path)


@contextlib.contextmanager
def building(config: Config, root: Path, *, workers: int, progress: Progress | None = None) -> Iterator[Building]:
    """Lock `root`, sweep what a crash left, and start workers. Raises Locked, ConfigError."""
    _require_ours(root)
    with files.lock(root), executor.local(workers) as pool:
        # The mark of a folder that is ours, before anything else stands in it.
        (root / state.FOLDER).mkdir(exist_ok=True)
        files.sweep(root)
        corpus = Building(config=config, root=root, executor=pool, progress=progress or Silent())
        corpus.begin()
        yield corpus


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a build would do: the steps that are up to date, those that are not, and what collection would read."""

    current: tuple[str, ...]
    stale: tuple[str, ...]
    plan: Mapping[str, int]


def preview(config: Config, root: Path) -> Preview:
    """What `build` would do, without doing any of it. Raises ConfigError, InputError."""
    corpus = Building(config=config, root=root, executor=executor.InProcess(), progress=Silent())
    stale = corpus.stale() if root.exists() else corpus.names[0]
    names = (*corpus.names, CORPUS)
    at = names.index(stale) if stale else len(names)
    return Preview(current=names[:at], stale=names[at:], plan=CollectStep(config.collect).plan())


def up_to_date(config: Config, root: Path) -> bool:
    """Whether `build` would compute nothing. Raises ConfigError, InputError."""
    if not manifest.path_of(root, CORPUS).exists():
        return False
    return Building(config=config, root=root, executor=executor.InProcess(), progress=Silent()).stale() is None


def build(config: Config, root: Path, *, workers: int = 1, progress: Progress | None = None) -> Manifest:
    """Build a corpus without Prefect. Raises TokenmillError. Returns the manifest of the corpus."""
    with building(config, root, workers=workers, progress=progress) as corpus:
        for name in corpus.names:
            corpus.perform(name)
        return corpus.finish()
