"""Mixtures: shares by weight, held back by the cap, spread evenly, and found by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.tokens.mixture import BLOCK, mixture

WEIGHTS = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 100), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.integers(1, 3 * BLOCK))
def test_counts_are_never_far_from_the_shares(weights: dict[str, float], samples: int) -> None:
    mixed = mixture(dict.fromkeys("abcdefgh", 10), weights, samples=samples)
    source, number = mixed.places(np.arange(samples))
    for place, share in enumerate(mixed.shares):
        assert abs(share.given - weights[share.source] / sum(weights.values())) <= 1 / BLOCK
        mine = np.flatnonzero(source == place)
        assert number[mine].tolist() == list(range(len(mine))), "the samples of a source are numbered in order"
        counted = np.arange(1, len(mine) + 1)
        assert np.abs(counted - (mine + 1) * share.given).max(initial=0) < len(weights) + 1


@settings(max_examples=60, deadline=None)
@given(
    WEIGHTS,
    st.lists(st.integers(1, 10**6), min_size=8, max_size=8),
    st.floats(0.5, 8),
    st.integers(1, 10**6),
)
def test_the_cap_holds_and_what_it_takes_goes_to_the_others(
    weights: dict[str, float], sizes: list[int], most_epochs: float, samples: int
) -> None:
    windows = dict(zip("abcdefgh", sizes, strict=True))
    room = sum(windows[name] for name in weights) * most_epochs
    assume(abs(room - samples) > 0.01 * samples)
    if room < samples:
        with pytest.raises(InputError, match="allow more epochs"):
            mixture(windows, weights, samples=samples, most_epochs=most_epochs)
        return
    # A source of which less than one sample in a block would come is refused; the next test has that.
    assume(min(windows[name] for name in weights) * most_epochs / samples > 2 / BLOCK)
    mixed = mixture(windows, weights, samples=samples, most_epochs=most_epochs)
    assert sum(share.quota for share in mixed.shares) == BLOCK
    for share in mixed.shares:
        assert share.epochs * windows[share.source] <= most_epochs * windows[share.source] + samples / BLOCK
    free = [one for one in mixed.shares if one.epochs < most_epochs * 0.99 and one.quota > 200]
    for one in free[1:]:
        assert one.given / one.asked == pytest.approx(free[0].given / free[0].asked, rel=0.02)


def test_a_cap_by_hand() -> None:
    mixed = mixture({"web": 10_000, "books": 100}, {"web": 1, "books": 1}, samples=1000, most_epochs=4)
    assert [round(share.given, 3) for share in mixed.shares] == [0.6, 0.4]
    assert str(mixed) == "web 60.00% instead of 50.00% (0.06 epochs), books 40.00% instead of 50.00% (4.00 epochs)"
    assert str(mixture({"a": 5}, {"a": 2}, samples=10)) == "a 100.00% (2.00 epochs)"


def test_two_to_one_is_two_of_three() -> None:
    mixed = mixture({"a": 9, "b": 9}, {"a": 2, "b": 1}, samples=9)
    source, number = mixed.places(np.arange(9))
    assert source.tolist() == [0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert number.tolist() == [0, 0, 1, 2, 1, 3, 4, 2, 5]


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"c": 1.0}, "'c' cannot be weighted, because it has no window in this store; there is a, b"),
        ({"empty": 1.0}, "'empty' cannot be weighted"),
        ({"a": 0.0}, "the weight of 'a' must be a number above 0, but weight=0.0"),
        ({"a": float("nan")}, "must be a number above 0"),
        ({"a": 1.0, "b": 1e-9}, "the share of 'b' is 1e-09, below 1/65536"),
        ({}, "at least one source"),
    ],
)
def test_impossible_weights_are_refused(weights: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        mixture({"a": 5, "b": 5, "empty": 0}, weights, samples=10)
