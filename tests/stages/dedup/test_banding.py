"""Bands and rows: datasketch's choice, what recall adds to it, presets, and settings that contradict one another."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
import tomli_w
from datasketch.lsh import _optimal_param
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config.test_config import parse
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.dedup.banding import PRESETS, Scheme, least_error
from tokenmill.pipeline.stages.dedup.kind import DEDUP
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup


@pytest.mark.parametrize("permutations", [2, 16, 112, 128, 260])
@pytest.mark.parametrize("similarity", [0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_the_choice_is_that_of_datasketch(similarity: float, permutations: int) -> None:
    assert least_error(similarity, permutations) == _optimal_param(similarity, permutations, 0.5, 0.5)


@given(st.floats(0.05, 0.99), st.integers(1, 200), st.floats(0.0, 0.999))
@settings(max_examples=60, deadline=None)
def test_recall_is_reached_or_refused(similarity: float, permutations: int, recall: float) -> None:
    try:
        bands, rows = least_error(similarity, permutations, recall)
    except ValueError:
        # One row a band finds the most.
        assert 1 - (1 - similarity) ** permutations < recall
        return
    assert bands * rows <= permutations
    assert Scheme(shingle="words", ngram=5, bands=bands, rows=rows).probability(similarity) >= recall - 1e-12


def test_published_bands_come_out_of_their_recall() -> None:
    assert least_error(0.8, 112, 0.92) == (14, 8)
    assert least_error(0.8, 286, 0.9) == (26, 11)


def test_more_recall_costs_no_permutation_more_than_allowed_and_finds_more() -> None:
    found = [DedupConfig(recall=recall).scheme for recall in (0.5, 0.9, 0.95, 0.99, 0.9999)]
    reached = [scheme.probability(0.8) for scheme in found]
    assert reached == sorted(reached)
    assert reached[-1] >= 0.9999
    assert all(scheme.bands * scheme.rows <= 128 for scheme in found)


@pytest.mark.parametrize("threshold", [0.03, 0.1, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0])
def test_bands_follow_the_threshold(threshold: float) -> None:
    made = DedupConfig(threshold=threshold)
    assert made.expected_recall >= made.least_recall == 0.975
    assert made.scheme.bands * made.scheme.rows <= 128


def test_given_bands_are_measured_by_the_threshold() -> None:
    """What is said of them: see `DEDUP.notes`."""
    given = [
        DedupConfig(threshold=0.5, bands=14, rows=8),
        DedupConfig(preset="fineweb"),
        DedupConfig(preset="fineweb", recall=0.95),
    ]
    assert [round(one.expected_recall, 3) for one in given] == [0.053, 0.924, 0.924]
    assert [one.expected_recall < one.least_recall for one in given] == [True, False, True]


def test_probability_is_what_is_published_of_fineweb() -> None:
    values = [round(PRESETS["fineweb"].probability(similarity), 3) for similarity in (0.7, 0.75, 0.8, 0.85)]
    assert values == [0.565, 0.772, 0.924, 0.988]
    assert [PRESETS["fineweb"].probability(end) for end in (0.0, 1.0)] == [0.0, 1.0]


def test_probability_is_the_share_of_simulated_pairs() -> None:
    rng = np.random.default_rng(1)
    equal = rng.random((20_000, 26, 11)) < 0.8
    assert equal.all(axis=2).any(axis=1).mean() == pytest.approx(PRESETS["dolma3"].probability(0.8), abs=0.01)


@pytest.mark.parametrize(
    ("given", "scheme"),
    [
        ({}, ("words", 5, 16, 7)),
        ({"preset": "fineweb"}, ("words", 5, 14, 8)),
        ({"preset": "dolma3"}, ("words", 5, 26, 11)),
        ({"preset": "nemo"}, ("characters", 24, 20, 13)),
        ({"shingle": "characters"}, ("characters", 24, 16, 7)),
        ({"ngram": 3}, ("words", 3, 16, 7)),
        ({"shingle": "characters", "ngram": 7, "bands": 9, "rows": 4}, ("characters", 7, 9, 4)),
        ({"threshold": 0.5}, ("words", 5, 28, 3)),
        ({"threshold": 0.5, "permutations": 256}, ("words", 5, 58, 4)),
        ({"threshold": 0.95}, ("words", 5, 7, 17)),
        ({"preset": "nemo", "threshold": 0.5}, ("characters", 24, 20, 13)),
        ({"recall": 0.92, "permutations": 112, "ngram": 13}, ("words", 13, 14, 8)),
    ],
)
def test_what_settings_come_to(given: dict[str, Any], scheme: tuple[str, int, int, int]) -> None:
    shingle, ngram, bands, rows = scheme
    made = DedupConfig(**given).scheme
    assert (made.shingle, made.ngram, made.bands, made.rows) == (shingle, ngram, bands, rows)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "nemo", "bands": 20, "rows": 13}, "leave out bands = 20 and rows = 13, or the preset"),
        ({"preset": "fineweb", "ngram": 5}, "leave out ngram = 5"),
        ({"preset": "fineweb", "permutations": 64}, "leave out permutations = 64"),
        ({"bands": 9}, "belong together, but only bands = 9 is set"),
        ({"rows": 9}, "only rows = 9 is set"),
        ({"bands": 9, "rows": 9, "permutations": 64}, "leave out bands = 9 and rows = 9, or permutations = 64"),
        ({"similarity": 0.8}, "bands and rows follow from threshold and recall"),
        (
            {"threshold": 0.5, "recall": 0.999, "permutations": 8},
            "recall = 0.999 at threshold = 0.5 needs more than permutations = 8, which reach 0.996094",
        ),
        ({"preset": "finewep"}, "dedup.preset"),
        ({"survivor_model": "edu"}, 'survivor_model = "edu" needs "quality" in survivor'),
    ],
)
def test_contradictions_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(dedup=given)


@pytest.mark.parametrize("given", [{}, {"preset": "nemo"}, {"threshold": 0.7, "recall": 0.95}, {"bands": 3, "rows": 2}])
def test_written_settings_are_read_again_as_they_were(given: dict[str, Any]) -> None:
    made = parse(dedup=given)
    written = tomli_w.dumps(made.model_dump(mode="json", exclude_none=True))
    assert parse(**{**tomllib.loads(written), "collect": {"paths": ["x"]}}) == made


EDU = {"path": "edu.bin", "min": 0.5}
TOXIC = {"path": "toxic.bin", "max": 0.5}


def by_quality(models: dict[str, Any], **dedup: Any) -> str | None:
    survivor = ["quality", "doc_id"]
    return ordering(parse(stages=["quality", "dedup"], quality={"models": models}, dedup={"survivor": survivor, **dedup}))


def ordering(config: Config) -> str | None:
    """The score column that the stage `dedup` orders survivors by."""
    made = DEDUP.make(config)
    assert isinstance(made, Dedup)
    return made.quality


def test_the_model_that_orders_survivors() -> None:
    assert ordering(parse()) is None
    assert by_quality({"edu": EDU}) == "model_edu"
    # A model with a ceiling says what is bad.
    assert by_quality({"edu": EDU, "toxic": TOXIC}) == "model_edu"
    assert by_quality({"edu": EDU, "math": EDU}, survivor_model="math") == "model_math"


@pytest.mark.parametrize(
    ("models", "dedup", "message"),
    [
        ({}, {}, r"names quality without survivor_model; .*: none"),
        ({"toxic": TOXIC}, {}, r": none"),
        ({"edu": EDU, "math": EDU}, {}, "without survivor_model; .*: edu, math"),
        ({"edu": EDU}, {"survivor_model": "math"}, r'by the model "math"; .*: edu'),
        ({"edu": EDU, "toxic": TOXIC}, {"survivor_model": "toxic"}, r'by the model "toxic"; .*: edu'),
    ],
)
def test_a_quality_that_cannot_order_is_refused(models: dict[str, Any], dedup: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        by_quality(models, **dedup)


def test_quality_has_to_stand_earlier() -> None:
    dedup, quality = {"survivor": ["quality"]}, {"models": {"edu": EDU}}
    for stages in (["dedup", "quality"], ["language", "dedup"]):
        with pytest.raises(ConfigError, match='"quality" must come before "dedup" in `stages`'):
            parse(stages=stages, quality=quality, dedup=dedup)
    made = parse(stages=["quality"], quality=quality, dedup=dedup)
    assert ordering(made) is None
