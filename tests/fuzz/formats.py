"""Which formats are fuzzed, and how."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.fuzz import bombs, child, collecting, own
from tests.fuzz.campaign import Campaign, Check
from tests.fuzz.mutate import Mutant, mutant
from tests.fuzz.seeds import Seed, input_seeds

Weighted = tuple[float, Callable[[], Campaign]]
"""A campaign that is made when its turn comes, and its share of the work."""
FILES_AT_ONCE = 60
Texts = Mapping[Seed, list[str]]
DATASETS_AT_ONCE = 4
BOMBS_AT_ONCE = 2
EVERY = "every"
"""Files of all formats in one folder: a short run that needs few processes."""
OWN_AT_ONCE = 50
SIGNED = 0.4
"""Of the mutants of our own files, those that get the hash that belongs to them."""
WEIGHTS = {
    "dataset": 0.2,
    "checkpoint": 0.5,
    "bomb": 0.2,
    "parquet": 3.0,
    "warc": 2.0,
    "warc.gz": 1.5,
    "html": 1.5,
    "jsonl": 1.5,
}
"""Shares of the work; others have 1."""
SPECIAL: dict[str, Check] = {"dataset": collecting.check_datasets, "python": collecting.check_installed}


def soaked() -> list[str]:
    """The formats that a long run takes in turn."""
    return [*input_seeds(), "bomb", *own.KINDS]


def share_of(format: str) -> float:
    """The share of a long run that a format has, from 0 to 1."""
    return WEIGHTS.get(format, 1.0) / sum(WEIGHTS.get(one, 1.0) for one in soaked())


def campaigns(folder: Path, saved: Path, only: Sequence[str] | None = None) -> list[Weighted]:
    """The campaigns of all formats, or of those in `only`."""
    inputs = input_seeds()
    everything = [seed for seeds in inputs.values() for seed in seeds]
    chosen: dict[str, Weighted] = {}
    for format, seeds in inputs.items():
        kind = functools.partial(_checked, SPECIAL[format]) if format in SPECIAL else _inputs
        make = functools.partial(kind, format, seeds, everything, folder / format, saved)
        chosen[format] = (WEIGHTS.get(format, 1.0), make)
    every = [seed for seed in everything if seed.format not in SPECIAL]
    chosen[EVERY] = (1.0, functools.partial(_inputs, EVERY, every, everything, folder / EVERY, saved))
    chosen["bomb"] = (WEIGHTS["bomb"], functools.partial(_bombs, inputs["text"], folder / "bomb", saved))
    for format in own.KINDS:
        chosen[format] = (WEIGHTS.get(format, 1.0), functools.partial(_own, format, folder / format, saved))
    return [one for format, one in chosen.items() if (format != EVERY if only is None else format in only)]


def _in_child(function: Callable[[], list[str] | None], log: Path) -> list[str]:
    """The answer of a function that runs in a fork, so that this process stays small and starts no library's threads."""
    log.parent.mkdir(parents=True, exist_ok=True)
    ended = child.run(lambda: function() or [], wall_seconds=600, cpu_seconds=300, log=log)
    assert not ended.problem, ended.problem
    return ended.answer


def _inputs(
    format: str, seeds: Sequence[Seed], others: Sequence[Seed], folder: Path, saved: Path, texts: Texts | None = None
) -> Campaign:
    """Every mutant is a file in a folder that is collected. `texts`: those of the whole seeds, if somebody knows them."""
    folder.mkdir(parents=True, exist_ok=True)
    if texts is None:
        answer = _in_child(lambda: collecting.whole(seeds, folder / "whole"), folder / "log")
        texts = {seed: json.loads(one) for seed, one in zip(seeds, answer, strict=True)}
    return Campaign(
        format=format,
        seeds=seeds,
        others=others,
        check=lambda batch, where: collecting.check(batch, texts, where),
        batch=FILES_AT_ONCE,
        folder=folder,
        saved=saved,
    )


def _bombs(harmless: Sequence[Seed], folder: Path, saved: Path) -> Campaign:
    """Every mutant is a file that asks for much, beside whole files that ask for little."""
    _in_child(lambda: bombs.write(folder / "seeds"), folder / "log")
    seeds = bombs.read(folder / "seeds")
    return dataclasses.replace(
        _inputs("bomb", seeds, seeds, folder, saved, texts={seed: [] for seed in seeds}), harmless=harmless, batch=BOMBS_AT_ONCE
    )


def _checked(check: Check, format: str, seeds: Sequence[Seed], others: Sequence[Seed], folder: Path, saved: Path) -> Campaign:
    """Every mutant is a file of a data set, or of an installation."""
    folder.mkdir(parents=True)
    return Campaign(
        format=format,
        seeds=seeds,
        others=others,
        check=check,
        batch=DATASETS_AT_ONCE if format == "dataset" else FILES_AT_ONCE,
        folder=folder,
        saved=saved,
    )


def _own(format: str, folder: Path, saved: Path) -> Campaign:
    """Every mutant is a file of ours, read where it belongs."""
    kind, base = own.KINDS[format], folder / "base"
    base.mkdir(parents=True)
    for module in kind.modules:
        importlib.import_module(module)

    _in_child(lambda: kind.make(base), folder / "log")
    seeds = own.seeds_of(format, base)

    def make_mutant(seed: Seed, others: Sequence[Seed], draw: random.Random) -> Mutant:
        signed = own.signed_again(seed, draw) if seed.sealed and draw.random() < SIGNED else None
        return signed or mutant(seed, others, draw)

    return Campaign(
        format=format,
        seeds=seeds,
        others=seeds,
        check=functools.partial(own.check, kind.use, base),
        batch=OWN_AT_ONCE,
        folder=folder,
        saved=saved,
        make=make_mutant,
    )
