"""For each threshold the bands find as many planted pairs as they promise: through the whole stage, within 3 sigma."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tests.kernels import dedup_oracles as oracle
from tests.stages.dedup.test_dedup import fresh_folder
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

MakeCorpus = Callable[..., Work]
NGRAM = 5


def planted(threshold: float, pairs: int, seed: int) -> tuple[list[str], list[str], float]:
    """Originals and copies, of which a block was replaced: just as much that pairs reach the threshold; and their similarity.

    No word comes twice, so k other words in one block change k + 4 of the 5-grams.
    """
    grams = 120 if threshold <= 0.9 else 400
    count = grams + NGRAM - 1
    changed = next(k for k in range(grams, 0, -1) if k < NGRAM or (grams - k) / (grams + k) >= threshold)
    rng = np.random.default_rng(seed)
    originals, copies = [], []
    for number in range(pairs):
        words = [f"w{number}x{at}y{seed}" for at in range(count)]
        at = int(rng.integers(NGRAM, count - changed - NGRAM))
        other = [*words[:at], *(f"new{number}x{at}" for at in range(changed - NGRAM + 1)), *words[at + changed - NGRAM + 1 :]]
        originals.append(" ".join(words))
        copies.append(" ".join(other))
    return originals, copies, (grams - changed) / (grams + changed)


def found(make_corpus: MakeCorpus, config: DedupConfig, pairs: int, seed: int) -> tuple[float, float]:
    """The share of the pairs of which a side was removed, and their similarity."""
    originals, copies, similarity = planted(config.threshold, pairs, seed)
    assert oracle.jaccard(originals[0], copies[0], NGRAM) == similarity >= config.threshold
    work = make_corpus({"a/0": originals, "b/0": copies}, folder=fresh_folder())
    made = perform(StageStep(Dedup(config=config, sources=("a", "b"))), work, downstream=()).manifest
    assert made.facts["expected_recall"] == round(config.expected_recall, 6)
    return made.counts.dropped["near_duplicate"] / pairs, similarity


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_recall_is_at_least_what_was_promised(make_corpus: MakeCorpus, threshold: float) -> None:
    config = DedupConfig(threshold=threshold, revisions=False)
    share, _ = found(make_corpus, config, 400, seed=1)
    promised = config.expected_recall
    assert promised >= 0.975
    assert share >= promised - 3 * math.sqrt(promised * (1 - promised) / 400)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
@pytest.mark.parametrize("recall", [0.9, 0.975, 0.999])
def test_recall_is_that_of_the_curve(make_corpus: MakeCorpus, threshold: float, recall: float, seed: int) -> None:
    """Also where more or less is asked for; and it is what the bands say of the similarity that the pairs have."""
    config = DedupConfig(threshold=threshold, recall=recall, permutations=256, revisions=False, seed=seed)
    share, similarity = found(make_corpus, config, 4_000, seed)
    bands = f"{config.scheme.bands} x {config.scheme.rows}"
    print(f"{threshold=} {recall=} {bands}: promised {config.expected_recall:.4f}, found {share:.4f} at {similarity:.4f}")
    assert share >= recall - 3 * math.sqrt(recall * (1 - recall) / 4_000)
    likely = config.scheme.probability(similarity)
    assert abs(share - likely) <= 4 * math.sqrt(likely * (1 - likely) / 4_000) + 1 / 4_000


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (20, 13)])
def test_given_bands_find_what_is_said_of_them(make_corpus: MakeCorpus, bands: int, rows: int) -> None:
    config = DedupConfig(threshold=0.5, bands=bands, rows=rows, revisions=False)
    share, similarity = found(make_corpus, config, 1_000, seed=2)
    likely = config.scheme.probability(similarity)
    assert abs(share - likely) <= 3 * math.sqrt(likely * (1 - likely) / 1_000)
    assert config.expected_recall <= likely < 0.06
