"""Measures extractors of main text, and trains the model of ours.

Purpose: the work of `tokenmill extract evaluate` and `tokenmill extract train`.
Guarantee: see `tokenmill.pipeline.collect.extract`.
Cost: a second per 100 pages and extractor. A training takes half a minute for 1,600 pages; `blocks-hosts` needs five, and
`blocks-sets` one for each set.
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


@dataclass(frozen=True, kw_only=True)
class ExtractorScores:
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


def evaluate(paths: Sequence[Path], names: Sequence[str], *, seed: int, progress: Progress) -> ExtractorScores:
    """Compare the extractors `names` on the pages of Parquet files. Raises ConfigError, InputError."""
    known = (*peers.EXTRACTORS, BY_HOST, BY_SET)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigError(f"--extractor {','.join(unknown)}: choose from {', '.join(known)}")
    given = pages.read(paths)
    progress.say(f"{len(given):,} pages of {len({page.set for page in given})} sets")
    found, missing = peers.installed(tuple(name for name in names if name in peers.EXTRACTORS))
    if len(missing) == len(names):
        raise ConfigError(f"{', '.join(names)}: not installed; install one of them with pip, or choose others")
    by_trees = {BY_HOST, BY_SET} & set(names)
    examples = training.examples(given, seed=seed) if by_trees else None
    results = {}
    for name in dict.fromkeys(names):
        if name in missing:
            continue
        progress.say(f"{name} ...")
        if examples is not None and name in by_trees:
            results[name] = evaluation.of_trees(examples, name, Boosting(seed=seed))
        else:
            results[name] = evaluation.of_extractor(found[name], given)
    return ExtractorScores(table=evaluation.compared(given, results), missing=missing)


def train(paths: Sequence[Path], out: Path, *, note: str, seed: int, progress: Progress) -> Trained:
    """Train a model on the pages of Parquet files, and write it to `out`. Raises InputError."""
    given = pages.read(paths)
    progress.say(f"{len(given):,} pages of {len({page.set for page in given})} sets; six trainings")
    examples = training.examples(given, seed=seed)
    made, macro = training.make(examples, Boosting(seed=seed), note)
    model.save(made, out)
    return Trained(
        pages=len(given),
        blocks=len(examples.rows),
        main=int(examples.main[: len(examples.rows)].sum()),
        macro_f1=macro,
        bytes=out.stat().st_size,
    )
