"""Greedy generation of 64 tokens at the end of a context of 1,024, with the cache of keys and values and without it.

MB here are of new ids, two bytes each: 0.001 MB/s are 500 tokens per second. Reading the prompt is part of both. Models: the
presets `gpt2` and `modern`, 4 layers of 256, a vocabulary of 8,192.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import torch

from tests.bench.run import Row, significant
from tokenmill.model.generate import Choice, generate
from tokenmill.model.gpt import GPT
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.pipeline.config.train import Preset

STAGE = "generate"
CONTEXT, NEW, VOCABULARY = 1_024, 64, 8_192
TOKEN_BYTES = 2
MODELS: tuple[Preset, ...] = ("gpt2", "modern")


def measure(folder: Path, *, rounds: int, clock: Callable[[], float]) -> tuple[list[Row], list[str]]:
    """The rows of this bench; no peer is missing."""
    rows = []
    prompt = torch.randint(1, VOCABULARY, (CONTEXT - NEW,), generator=torch.Generator().manual_seed(0)).tolist()
    for preset in MODELS:
        shape = Shape(layers=4, heads=4, width=256, context_tokens=CONTEXT, vocabulary=VOCABULARY, **PRESETS[preset])
        model = GPT(shape)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for cached, took in seconds.items():
                begun = clock()
                made = generate(
                    model, [prompt], tokens=NEW, choice=Choice(temperature=0), seed=0, end_of_text=VOCABULARY, cached=cached
                )
                assert sum(1 for _ in made) == NEW
                took.append(clock() - begun)
        with_it, without = (statistics.median(seconds[cached]) for cached in (True, False))
        rows.append(
            Row(
                stage=f"{STAGE}_{preset}",
                ours_mb_s=significant(TOKEN_BYTES * NEW / 1e6 / with_it),
                peer="no_cache",
                peer_mb_s=significant(TOKEN_BYTES * NEW / 1e6 / without),
                ratio=significant(without / with_it),
            )
        )
    return rows, []
