"""The entry of the stage `dedup` in the table of stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import number, share
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.dedup.facts import DedupFacts
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.kind import Again, Finished, StageKind
from tokenmill.pipeline.stages.step import Estimate, Resolver


def _make(config: Config) -> Resolver:
    from tokenmill.pipeline.stages.dedup.stage import Dedup

    sources = tuple(source.name for source in config.collect.all_sources)
    return Dedup(config=DEDUP.settings(config), sources=sources, quality=_survivor_score(config))


def _check(config: Config) -> None:
    _survivor_score(config)


def _survivor_score(config: Config) -> str | None:
    """The score column that "quality" stands for in the survivor policy; None if the policy does not name quality.

    Raises ValueError if no column fits, or if several do.
    """
    settings = DEDUP.settings(config)
    if DEDUP.name not in config.stages or "quality" not in settings.survivor:
        return None
    if "quality" not in config.stages[: config.stages.index(DEDUP.name)]:
        raise ValueError('dedup.survivor names quality, so "quality" must come before "dedup" in `stages`')
    columns = config.rankings_of("quality")
    fit, named = sorted(columns), settings.survivor_model
    if named is None and len(fit) == 1:
        return columns[fit[0]]
    if named is not None and named in columns:
        return columns[named]
    what = "names quality without survivor_model" if named is None else f'names quality by the model "{named}"'
    raise ValueError(
        f"dedup.survivor {what}; name a model whose higher scores are better (one without max): {', '.join(fit) or 'none'}"
    )


EQUAL = {"bytes": "equal byte for byte", "white_space": "equal once runs of white space are one space"}


def compared(made: Manifest) -> tuple[str, str, str] | None:
    """What verdicts say was compared of exact duplicates, of near ones, and of revisions ("" if none were sought).

    None of version 1, whose verdicts do not say it.
    """
    scoring, deciding = made.config["scoring"], made.config["deciding"]
    if "normalise" not in scoring:
        return None
    kept = {name: scoring[name] for name in DedupConfig.model_fields if name in scoring}
    config = DedupConfig(**{**kept, "exact": deciding["exact"]})
    looser = deciding.get("looser", {})
    return *config.compared[:2], config.model_copy(update=looser).compared[1] if looser else ""


def _words(made: Manifest) -> str:
    scoring, deciding = made.config["scoring"], made.config["deciding"]
    said = compared(made)
    if said is None:
        what, near, revised = "equal once normalised", f"{scoring['ngram']}-grams of {scoring['shingle']}", ""
    else:
        what, (_, near, revised) = EQUAL.get(deciding["exact"], ""), said
    also = f"Of documents that are {what}, and of" if what else "Of"
    least = number(deciding["threshold"])
    again = (
        " A pair that misses this by little counts too if it reaches it as a revision: compared again with "
        f"{' and '.join(fold.removeprefix('fold_') for fold in deciding['looser'])} folded."
    )
    loses = float(deciding.get("loses", 1))
    limit = "" if loses == 1 else f" A document stays if the kept one would lack more than {share(loses, 1)} of its n-grams."
    keys = deciding.get("keys", ())
    first = f"Of documents with the same {' or '.join(keys)}, one went on. " if keys else ""
    return (
        f"{first}{also} documents whose sets of {near}, have a Jaccard similarity of at least {least}, one was kept."
        f"{again if revised else ''}{limit} The verdict of a removed document names the kept one and says what was compared."
    )


def _problems(finished: Finished) -> Iterator[str]:
    from tokenmill.pipeline.stages.dedup.check import problems

    yield from problems(finished.root, finished.manifest, finished.before, most=finished.most)


def _again(asked: Again) -> Sequence[pa.RecordBatch]:
    from tokenmill.pipeline.stages.dedup.again import decide_again

    return decide_again(asked)


def _effective(settings: DedupConfig) -> dict[str, Any]:
    stands_for = {**dataclasses.asdict(settings.scheme), "normalise": settings.normalisation, "recall": settings.least_recall}
    return {**settings.model_dump(mode="json"), **stands_for}


DEDUP = StageKind(
    name="dedup",
    section=DedupConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=60_000_000, disk_per_text=0.7),
    words=_words,
    facts=DedupFacts,
    problems=_problems,
    check=_check,
    again=_again,
    effective=_effective,
    comes_to=lambda settings: settings.comes_to,
    remark=lambda settings: settings.remark,
    alarm=lambda settings: settings.alarm,
)
