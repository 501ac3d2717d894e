"""The result of an ablation as JSON values: what `ablation.json` holds, and its page shows.

Guarantee: every held-out set and every pair of variants is in it, whoever wins. No times, hosts or texts.
Cost: see `paired`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tokenmill.flows.ablation import paired
from tokenmill.flows.ablation.held_out import HeldOutTexts
from tokenmill.flows.ablation.paired import Floats, PairedResult
from tokenmill.flows.ablation.settings import Ablation
from tokenmill.pipeline.base.manifest import PACK, TOKENIZER, facts
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.tokens.facts import PackFacts, TokenizerFacts

OF_A_RUN = {
    "seed",
    "weights",
    "device",
    "tensorboard",
    "evaluate_every",
    "evaluate_windows",
    "checkpoint_every",
    "sample_tokens",
}
"""Settings of training that differ between the models, or change none."""


def of(
    ablation: Ablation,
    corpora: Mapping[str, CorpusFolder],
    sets: Mapping[str, HeldOutTexts],
    nats: Mapping[tuple[str, int], Mapping[str, Floats]],
) -> dict[str, Any]:
    """The result. `nats`: by variant and seed, and by held-out set: float64 [documents]."""
    names = list(ablation.variants)
    comparisons = len(sets) * len(names) * (len(names) - 1) // 2
    found = {}
    for name, texts in sets.items():
        bits = np.array([[nats[variant, seed][name] for seed in ablation.seeds] for variant in names]) / math.log(2)
        found[name] = paired.compare(names, bits, texts.text_bytes, comparisons=comparisons)
    train = ablation.variants[names[0]].train
    read = train.samples_before(train.steps) * train.context_tokens
    return {
        "name": ablation.name,
        "base": ablation.base,
        "seeds": list(ablation.seeds),
        "train": train.model_dump(mode="json", exclude=OF_A_RUN),
        "tokens_read": read,
        "level": paired.LEVEL,
        "comparisons": comparisons,
        "variants": {
            name: {"settings": dict(variant.settings), **_facts(corpora[name], read)}
            for name, variant in ablation.variants.items()
        },
        "held_out": {
            name: {"variant": ablation.held_out[name].variant, **_set(name, names, sets[name], one)}
            for name, one in found.items()
        },
        "verdict": verdict(names, found),
    }


def verdict(names: list[str], found: Mapping[str, PairedResult]) -> str:
    """Which variant wins on which sets, in one sentence."""
    winners = {name: winner(names, one) for name, one in found.items()}
    won = {name for name in winners.values() if name is not None}
    many = "the held-out set" if len(found) == 1 else f"all {len(found)} held-out sets"
    if len(won) == 1 and None not in winners.values():
        return f"{won.pop()} wins: it has fewer bits per byte than every other variant on {many}."
    if not won:
        if any(one.tells_apart for comparison in found.values() for one in comparison.differences):
            return "No variant beats all others on a held-out set: see the pairs."
        return f"The variants cannot be told apart on {many}."
    parts = [
        f"{who or 'none'} on {', '.join(s for s, w in winners.items() if w == who)}" for who in dict.fromkeys(winners.values())
    ]
    return f"No variant wins everywhere. Best of all: {'; '.join(parts)}."


def winner(names: list[str], comparison: PairedResult) -> str | None:
    """The variant that beats every other one, if there is one."""
    beaten = [one.better_first() for one in comparison.differences if one.tells_apart]
    for name in names:
        if sum(one.a == name for one in beaten) == len(names) - 1:
            return name
    return None


def _set(name: str, names: list[str], texts: HeldOutTexts, one: PairedResult) -> dict[str, Any]:
    means = one.bits_per_byte.mean(axis=1)
    return {
        "documents": len(texts.texts),
        "text_bytes": int(texts.text_bytes.sum()),
        "left_out": texts.left_out,
        "shared": dict(texts.shared),
        "bits_per_byte": {
            variant: {"mean": float(mean), "seeds": seeds.tolist()}
            for variant, mean, seeds in zip(names, means, one.bits_per_byte, strict=True)
        },
        "spread": one.spread,
        "winner": winner(names, one),
        "differences": [
            {
                "a": pair.a,
                "b": pair.b,
                "mean": pair.mean,
                "low": pair.low,
                "high": pair.high,
                "told_apart": pair.tells_apart,
                "larger_than_spread": abs(pair.mean) > one.spread,
                "said": paired.said(pair, one.spread, name),
            }
            for pair in (each.better_first() for each in one.differences)
        ],
    }


def _facts(corpus: CorpusFolder, read: int) -> dict[str, Any]:
    """What a corpus holds, and how often a training of `read` tokens reads it."""
    store, tokenizer = PackFacts.of(corpus.require(PACK)), facts(corpus.require(TOKENIZER), TokenizerFacts)
    split = store.splits["train"]
    return {
        "collected": corpus.collect.counts.kept,
        "documents": split.documents,
        "text_bytes": split.text_bytes,
        "tokens": split.tokens,
        "epochs": read / max(1, split.tokens),
        "vocabulary": store.vocabulary,
        "tokenizer": tokenizer.fingerprint,
        "bytes_per_token": split.text_bytes / max(1, split.tokens),
    }
