"""Measures extractors of main text, and trains the model of ours.

Purpose: the work of `tokenmill extract evaluate` and `tokenmill extract train`.
Guarantee: see `tokenmill.pipeline.collect.extract`. Cost: a second per 100 pages and extractor; a training takes half a minute for
1,600 pages, and `blocks-hosts` takes five, `blocks-sets` one for each set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.collect.extract import evaluate as evaluation
from tokenmill.pipeline.collect.extract import model, pages, peers
from tokenmill.pipeline.collect.extract import train as training
from tokenmill.pipeline.collect.extract.boost import Boosting
from tokenmill.pipeline.collect.extract.evaluate import BY_HOST, BY_SET, Mean
from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.collect.html.features import VERSION


@dataclass(frozen=True, kw_only=True)
class Compared:
    """By extractor, then by set, "macro" and page type; and the extractors whose library is not installed."""

    table: Mapping[str, Mapping[str, Mean]]
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training had, and how good its trees are on hosts that were left out."""

    pages: int
    blocks: int
    main: int
    macro_f1: float
    bytes: int


def evaluate(paths: Sequence[Path], names: Sequence[str], *, seed: int, progress: Progress) -> Compared:
    """Compare the extractors `names` on the pages of Parquet files. Raises ConfigError, InputError."""
    known = (*peers.EXTRACTORS, BY_HOST, BY_SET)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigError(f"--extractor {','.join(unknown)}: choose from {', '.join(known)}")
    given = pages.read(paths)
    progress.say(f"{len(given):,} pages of {len({page.set for page in given})} sets")
    trees = tuple(name for name in names if name in (BY_HOST, BY_SET))
    extractors, missing = peers.installed(tuple(name for name in names if name not in trees))
    results = {}
    for name in names:
        if name in missing:
            continue
        progress.say(f"{name} ...")
        if name in extractors:
            results[name] = evaluation.of_extractor(extractors[name], given)
    if trees:
        examples = training.examples(given, blocks_of)
        for name in trees:
            results[name] = evaluation.of_trees(examples, name, Boosting(seed=seed))
    if not results:
        raise ConfigError(f"of the extractors {', '.join(names)} none is installed; pip install one, or choose others")
    ordered = {name: results[name] for name in names if name in results}
    return Compared(table=evaluation.compared(given, ordered), missing=missing)


def train(paths: Sequence[Path], out: Path, *, note: str, seed: int, progress: Progress) -> Trained:
    """Train a model on the pages of Parquet files, and write it to `out`. Raises InputError."""
    given = pages.read(paths)
    progress.say(f"{len(given):,} pages of {len({page.set for page in given})} sets; six trainings")
    examples = training.examples(given, blocks_of)
    made, macro = training.make(examples, Boosting(seed=seed), features_version=VERSION, note=note)
    model.save(made, out)
    return Trained(
        pages=len(given),
        blocks=len(examples.main),
        main=int(examples.main.sum()),
        macro_f1=macro,
        bytes=out.stat().st_size,
    )
