"""From tokens, samples and training steps back to documents, and from a document to the steps that read it.

Guarantee: the order of samples is that of the run itself: seed, windows and batches come from its last checkpoint (or, where
nothing was trained yet, from the settings of the corpus), and a run on another store is refused. Nothing is written.
Cost: that of `tokenmill.pipeline.ask.trace`; questions about a run import torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmill.flows.build import CONFIG, MODEL
from tokenmill.pipeline import config
from tokenmill.pipeline.ask import trace
from tokenmill.pipeline.ask.replay import limits
from tokenmill.pipeline.ask.status import published
from tokenmill.pipeline.ask.trace import Document
from tokenmill.pipeline.base.errors import ConfigError, InputError, StaleInput
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import Config, TrainConfig
from tokenmill.pipeline.stages.language import Language
from tokenmill.pipeline.stages.quality.ranking import quality
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import Samples
from tokenmill.tokenizer.encode import of_corpus

SHOWN_SAMPLES = 1000
"""So many samples of an exposure are listed; all are counted."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run: its samples, how many make a step, and how many steps were done. None: nothing was trained yet.

    `last`: the last step that can be told: of those done, or else of those that the settings would make.
    """

    samples: Samples
    per_step: int
    steps: int | None
    last: int


def ask(
    root: Path,
    *,
    place: str | None = None,
    sample: int | None = None,
    step: int | None = None,
    doc_id: str | None = None,
    steps: bool = False,
) -> dict[str, Any]:
    """The answer to the one question that is asked. Raises ConfigError when it is none or several."""
    if sum(one is not None for one in (place, sample, step, doc_id)) != 1 or (steps and doc_id is None):
        raise ConfigError("trace one thing: a place such as train/00000:1000, --sample, --step, or --doc-id (with --steps)")
    if place is not None:
        return of_token(root, place)
    if sample is not None:
        return of_sample(root, sample)
    if step is not None:
        return of_step(root, step)
    assert doc_id is not None, "counted above"
    return of_document(root, doc_id, steps=steps)


def of_token(root: Path, place: str) -> dict[str, Any]:
    """What is known of a token, such as `train/00000:1000`, as JSON values. Raises InputError, NotBuilt, CorruptFile."""
    store, before = _open(root)
    name, at = trace.place(place)
    document = trace.document_at(store, name, at)
    decode = of_corpus(root).decode_bytes
    around = trace.text_at(store, before, document, at, decode)
    return {"place": place, "text": dataclasses.asdict(around), **_document(root, before, document)}


def of_document(root: Path, doc_id: str, *, steps: bool) -> dict[str, Any]:
    """What is known of a document. `steps`: also which samples and training steps of the run read it."""
    store, before = _open(root)
    found = trace.find(store, doc_id)
    answer = _document(root, before, found)
    if not steps:
        return answer
    run = _run(root, store)
    if run.steps is None:
        raise InputError(f"{root / MODEL}: nothing has been trained on this corpus yet, so no step has read a document")
    samples = trace.exposure(run.samples, found, run.steps * run.per_step)
    exposure = {
        "steps_done": run.steps,
        "samples": len(samples),
        "steps": sorted({int(sample) // run.per_step + 1 for sample in samples}),
        "first_samples": samples[:SHOWN_SAMPLES].tolist(),
    }
    return {**answer, "exposure": exposure}


def of_sample(root: Path, number: int) -> dict[str, Any]:
    """The documents of one sample of the run, counted from 0."""
    store, _ = _open(root)
    run = _run(root, store)
    if not 0 <= number < run.last * run.per_step:
        raise InputError(f"--sample {number}: {_extent(run)}, which are the samples 0 to {run.last * run.per_step - 1}")
    return {"run": _told(run), "samples": [_sample(run.samples, number)]}


def of_step(root: Path, number: int) -> dict[str, Any]:
    """The documents of all samples of one update of the run, counted from 1 as in its log."""
    store, _ = _open(root)
    run = _run(root, store)
    if not 1 <= number <= run.last:
        raise InputError(f"--step {number}: {_extent(run)}, counted from 1")
    first = (number - 1) * run.per_step
    samples = [_sample(run.samples, one) for one in range(first, first + run.per_step)]
    return {"run": _told(run), "step": number, "samples": samples}


def _open(root: Path) -> tuple[TokenStore, Sequence[Manifest]]:
    before = [made for made in published(root) if made.stage != "pack"]
    tokenizer = of_corpus(root).fingerprint
    return TokenStore.open(root / "tokens", tokenizer=tokenizer), before


def _document(root: Path, before: Sequence[Manifest], found: Document) -> dict[str, Any]:
    settings = config.load(root / CONFIG, {})
    facts = {made.stage: made.facts for made in before}
    stages = trace.history(root, before, found)
    for said in stages:
        if "scores" in said:
            said["limits"] = _limits(settings, said["stage"], said["scores"], facts[said["stage"]])
    return {"document": dataclasses.asdict(found), "stages": stages}


def _limits(settings: Config, stage: str, scores: Mapping[str, Any], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the scores were compared with, in the order of the rules."""
    if stage not in ("language", "quality"):
        return []
    cuts = {name: fact["cut"] for name, fact in facts.items() if isinstance(fact, dict) and fact.get("cut") is not None}
    found = []
    own = set(settings.language.thresholds)
    judge = Language(config=settings.language) if stage == "language" else quality(settings.quality)
    for reason, limit in limits(judge, cuts):
        language = scores.get("language")
        applies = limit.label is None or limit.label == language or (limit.label == "" and language not in own)
        if applies and scores.get(limit.column) is not None:
            found.append(
                {
                    "reason": reason,
                    "score": limit.column,
                    "value": scores[limit.column],
                    "drops": "below" if limit.is_minimum else "above",
                    "threshold": limit.threshold,
                }
            )
    return found


def _run(root: Path, store: TokenStore) -> Run:
    """The run of the corpus. Raises StaleInput when it read another store, InputError when its steps cannot be told apart."""
    from tokenmill.model import checkpoint

    found = checkpoint.newest(root / MODEL / "checkpoints", Silent())
    if found is None:
        wanted = config.load(root / CONFIG, {}).train
        return _as_run(store, wanted, steps=None)
    state = found.state
    if state.store != store.hash:
        raise StaleInput(
            f"{root / MODEL}: this run read the store {state.store}, and the corpus now holds {store.hash}; its samples can "
            "only be told from the store that it read"
        )
    run = _as_run(store, TrainConfig.model_validate(dict(state.config)), steps=state.step)
    if state.samples != state.step * run.per_step or state.order != run.samples.order:
        raise InputError(
            f"{root / MODEL}: {state.step} steps read {state.samples} samples, which the settings of its last step do not "
            "explain: they changed on the way, so which sample belongs to which step is not known"
        )
    return run


def _as_run(store: TokenStore, wanted: TrainConfig, *, steps: int | None) -> Run:
    from tokenmill.model.data import samples_of

    per_step = wanted.batch_windows * wanted.accumulate
    return Run(samples=samples_of(store, wanted), per_step=per_step, steps=steps, last=steps or wanted.steps)


def _extent(run: Run) -> str:
    if run.steps is None:
        return f"nothing was trained yet, and the settings make {run.last} steps"
    return f"the run has done {run.steps} steps so far"


def _told(run: Run) -> dict[str, Any]:
    samples = run.samples
    return {
        "steps_done": run.steps,
        "samples_per_step": run.per_step,
        "tokens_per_sample": samples.length,
        "windows": samples.windows,
        "seed": samples.seed,
    }


def _sample(samples: Samples, number: int) -> dict[str, Any]:
    start = int(samples.starts(number, 1)[0])
    documents = [
        {**dataclasses.asdict(found), "from_token": first, "to_token": last}
        for found, first, last in trace.documents_between(samples.split, start, start + samples.length + 1)
    ]
    return {"sample": number, "first_token": start, "documents": documents}
