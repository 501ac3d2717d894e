"""Performs an ablation: corpora, held-out texts, models, measurements, and the result.

Purpose: the methods of `Ablating` are the tasks of the flow, in their order.
Guarantee: files decide what is done already. A corpus that is up to date is not built again; a variant that is new begins as
links to the files of the first one, so that only the steps whose settings differ run. A training goes on from its last
checkpoint, and begins anew where its corpus or its settings changed. Only a folder that an ablation made, or an empty one, is
written in, and only one run at a time works there.
Cost: that of the builds and of as many trainings as there are variants and seeds, one after another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tokenmill.flows import build as builds
from tokenmill.flows.ablation import held_out, result
from tokenmill.flows.ablation.held_out import HeldOutTexts
from tokenmill.flows.ablation.paired import Floats
from tokenmill.flows.ablation.settings import Ablation, HeldOut
from tokenmill.pipeline.base import files, manifest, ownership, versions
from tokenmill.pipeline.base.errors import ConfigError, StaleInput
from tokenmill.pipeline.base.manifest import ABLATION, COLLECT, CORPUS, MODEL, PACK, TOKENIZER, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.config import Config, TrainConfig
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder, open_corpus
from tokenmill.pipeline.report.ablation import render
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.tokens import TokenStore, forget
from tokenmill.pipeline.tokens.facts import SplitFacts
from tokenmill.tokenizer.encode import FILE, of_corpus

MARKER = ".tokenmill-ablation"
"""It says that an ablation made the folder. That of a corpus would forbid corpora inside."""
VARIANTS, HELD_OUT, RUNS, SCORES = "variants", "held_out", "runs", "scores"
JSON, PAGE = "ablation.json", "ablation.html"


@contextlib.contextmanager
def ablating(ablation: Ablation, root: Path, *, workers: int, progress: Progress) -> Iterator[Ablating]:
    """Take the folder `root` for an ablation, and lock it. Raises ConfigError if it is not ours, Locked."""
    _require_room(root)
    with files.lock(root):
        _require_room(root)
        files.write_json(root / MARKER, {"kind": "tokenmill ablation", "format": 1})
        files.sweep(root, without=root / VARIANTS)
        yield Ablating(ablation=ablation, root=root, workers=workers, progress=progress)


def _require_room(root: Path) -> None:
    corpus = root if ownership.is_ours(root) else ownership.around(root)
    if corpus is not None:
        raise ConfigError(f"--out {root}: {corpus} is a corpus; choose a folder outside of it")
    if root.exists() and not root.is_dir():
        raise ConfigError(f"--out {root}: is a file; give a folder")
    there = [] if not root.exists() else sorted(name for name in os.listdir(root) if not _is_harmless(name))
    if there and MARKER not in there:
        raise ConfigError(f"--out {root}: is not empty ({there[0]}) and holds no ablation; choose a new or an empty folder")


def _is_harmless(name: str) -> bool:
    """Whether a folder with this in it still counts as empty: a run that was killed at its beginning leaves no more."""
    return name == ".lock" or (name.startswith(f".{MARKER}") and name.endswith(files.TEMPORARY))


@dataclass(kw_only=True)
class Ablating:
    """An ablation in progress. `ablating` makes it; the caller then calls the methods in their order."""

    ablation: Ablation
    root: Path
    workers: int
    progress: Progress
    sets: dict[str, HeldOutTexts] = field(default_factory=dict)
    nats: dict[tuple[str, int], dict[str, Floats]] = field(default_factory=dict)
    """By variant and seed, and by held-out set: float64 [documents]."""
    _stores: dict[str, str] = field(default_factory=dict)
    """By variant: the hash of the token store that held-out sets were compared with."""
    _seconds: list[float] = field(default_factory=list)
    """Of the trainings of this run."""

    @property
    def trainings(self) -> list[tuple[str, int]]:
        """Variant and seed of each. Seed by seed, so that a run that is stopped has all variants of the seeds that are done."""
        return [(name, seed) for seed in self.ablation.seeds for name in self.ablation.variants]

    def perform(self) -> None:
        """All of it, in order."""
        for name in self.ablation.variants:
            self.build(name)
        self.hold_out()
        for name, seed in self.trainings:
            self.train(name, seed)
        self.finish()

    def folder(self, name: str) -> Path:
        """The corpus of a variant."""
        return self.ablation.variants[name].corpus or self.root / VARIANTS / name

    def corpora(self) -> dict[str, CorpusFolder]:
        """Those of all variants, by name. Raises NotBuilt."""
        return {name: open_corpus(self.folder(name)) for name in self.ablation.variants}

    def build(self, name: str) -> None:
        """Bring the corpus of a variant up to date. The first variant must be built before the others."""
        variant, folder = self.ablation.variants[name], self.folder(name)
        config, first = variant.config, next(iter(self.ablation.variants))
        if config is None:
            open_corpus(folder)
            return
        if name != first:
            if not (variant.keeps_tokenizer or config.tokenizer.path):
                shared = config.tokenizer.model_copy(update={"path": str(self.folder(first) / FILE)})
                config = config.model_copy(update={"tokenizer": shared})
            if self.ablation.variants[first].config is not None and not folder.exists():
                _begin_as(self.folder(first), folder)
        self.progress.say(f"variant {name}: {folder}")
        with builds.building(config, folder, workers=self.workers, progress=self.progress) as building:
            for step in builds.outline(config):
                building.perform(step)
            building.finish()

    def hold_out(self) -> None:
        """Read the held-out sets, and leave out what variants train on. All corpora must be built."""
        self.progress.say("held-out sets: comparing their text with what the variants train on")
        corpora = self.corpora()
        texts = {
            name: held_out.validation_texts(corpora[one.variant], one.max_text_bytes)
            if one.variant is not None
            else self._collected(name, one)
            for name, one in self.ablation.held_out.items()
        }
        self.sets = held_out.without_trained(texts, corpora)
        self._stores = {name: corpus.require(PACK).hash for name, corpus in corpora.items()}
        for name, found in self.sets.items():
            self.progress.say(
                f"held_out.{name}: {len(found.texts):,} documents, {found.text_bytes.sum():,} bytes; {found.left_out:,} left "
                "out, which a variant trains on"
            )

    def _collected(self, name: str, one: HeldOut) -> Any:
        folder = self.root / HELD_OUT / name
        source = {"name": "files", "paths": one.paths, "text_field": one.text_field, "sample_by": one.sample_by}
        collect = {"sources": [source], "max_text_bytes": one.max_text_bytes, "shard_bytes": 10**6}
        config: Config = parse({"stages": [], "collect": collect, "pack": {"validation_fraction": 0}}, where=f"held_out.{name}")
        with builds.building(config, folder, workers=self.workers, progress=self.progress) as building:
            made = building.perform(COLLECT).manifest
        return held_out.collected_texts(views(folder, (made,)))

    def train(self, name: str, seed: int) -> None:
        """Train a model, or go on with it, and measure it on the held-out sets. Raises what `model.train` does."""
        from tokenmill.model import checkpoint
        from tokenmill.model.train import train

        begun, number = time.monotonic(), self.trainings.index((name, seed))
        left = len(self.trainings) - number
        about = ""
        if self._seconds:
            about = f", about {sum(self._seconds) / len(self._seconds) * left / 60:.1f} minutes left"
        self.progress.say(f"training {name}, seed {seed}: {number + 1} of {len(self.trainings)}{about}")
        home = self._home(name, seed)
        corpus = open_corpus(self.folder(name))
        if corpus.require(PACK).hash != self._stores[name]:
            raise StaleInput(f"{corpus.root} was built anew while its models were trained; run the same command again")
        _link_tokens(corpus, home)
        config = _of_seed(self.ablation.variants[name].train, seed)
        found = checkpoint.newest(home / MODEL / checkpoint.FOLDER, self.progress)
        wanted = config.model_dump(mode="json")
        same = found is not None and all(wanted.get(key) == value for key, value in found.state.config.items())
        try:
            train(home, config, self.progress, resume=same)
        except StaleInput as error:
            self.progress.say(f"starting again: {error}")
            train(home, config, self.progress, resume=False)
        self.nats[name, seed] = self._measured(name, seed, corpus, config)
        self._seconds.append(time.monotonic() - begun)

    def _measured(self, name: str, seed: int, corpus: CorpusFolder, config: TrainConfig) -> dict[str, Floats]:
        """Nats by held-out set, from the file of an earlier run if it was of the same model and texts."""
        from tokenmill.model.held_out import score

        home, path = self._home(name, seed), self.root / SCORES / f"{name}-{seed}.json"
        texts = {each: one.fingerprint for each, one in self.sets.items()}
        of = {"model": manifest.load(home, MODEL).hash, "texts": texts}
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(files.read_bytes(path))
            if known["of"] == of:
                return {each: np.array(values) for each, values in known["nats"].items()}
        encoder = of_corpus(corpus.published, corpus.require(TOKENIZER))
        found = {}
        for each, one in self.sets.items():
            found[each] = score(home, one.texts, encoder, config, self.progress)
            bits = found[each].sum() / math.log(2) / one.text_bytes.sum()
            self.progress.end(f"{name}, seed {seed}: {bits:.4f} bits per byte on {each}")
        files.write_json(path, {"of": of, "nats": {each: values.tolist() for each, values in found.items()}})
        return found

    def _home(self, name: str, seed: int) -> Path:
        """The folder of a model."""
        return self.root / RUNS / name / f"seed-{seed}"

    def finish(self) -> dict[str, Any]:
        """Compare, and publish the result, its page and the manifest. Returns the result as JSON values."""
        corpora = self.corpora()
        answer = result.of(self.ablation, corpora, self.sets, self.nats)
        manifest.withdraw(self.root, [ABLATION])
        published = {
            JSON: files.write_json(self.root / JSON, answer),
            PAGE: files.write_bytes(self.root / PAGE, render(answer).encode()),
        }
        inputs = {name: corpus.require(PACK).hash for name, corpus in corpora.items()}
        config = {key: answer[key] for key in ("variants", "seeds", "train")}
        manifest.commit(self.root, Manifest(stage=ABLATION, version=1, config=config, inputs=inputs, files=published))
        return answer


def _of_seed(config: TrainConfig, seed: int) -> TrainConfig:
    """The settings of one training: only its last update is evaluated, and nothing is said."""
    values = config.model_dump() | {"seed": seed, "evaluate_every": config.steps, "sample_tokens": 0}
    return TrainConfig.model_validate(values)


def _begin_as(first: Path, folder: Path) -> None:
    """Make `folder` a corpus of links to the published files of the one in `first`: a build then changes what differs.

    The manifest of the whole comes first: it says that the folder is ours if this is interrupted.
    """
    now = versions.reading(first)
    whole = manifest.load(now.folder, CORPUS)
    steps = [manifest.load(now.folder, name) for name in whole.inputs]
    manifest.commit(folder, whole)
    for made in (*steps, whole):
        for named in made.entries():
            files.link(now.folder, [named], folder / named[0])
    for made in steps:
        manifest.commit(folder, made)


def _link_tokens(corpus: CorpusFolder, home: Path) -> None:
    """Make the training split of a corpus stand in `home` too, by links: a model of each seed has its own folder around it.

    The validation split stays away: held-out sets measure the models, and the trainer would read all of it once for each.
    """
    store = TokenStore.of(corpus.published / TOKENS)
    if any(split.has_forgotten for split in store.splits):
        raise ConfigError(f"{corpus.root} holds forgotten documents still; run `tokenmill compact {corpus.root}` first")
    whole = store.manifest
    nothing = SplitFacts(documents=0, tokens=0, text_bytes=0, highest_id=None, sources=())
    facts = dataclasses.replace(store.facts, splits={**store.facts.splits, "val": nothing})
    kept = {name: entry for name, entry in whole.files.items() if not name.startswith(f"{TOKENS}/val/")}
    # Its shards count the documents of both splits.
    made = dataclasses.replace(whole, shards=(), files=kept, facts=manifest.plain_facts(facts))
    found = manifest.find(home, PACK)
    if found is not None and found.hash == made.hash:
        return
    manifest.withdraw(home, [PACK])
    for named in made.entries():
        files.link(corpus.published, [named], home / named[0])
    if (store.home / forget.NAME).exists():
        files.write_bytes(home / forget.LIST, files.read_bytes(store.home / forget.NAME))
    manifest.commit(home, made)
