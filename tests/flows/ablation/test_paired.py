"""Differences over seeds and documents, against plain Python, known quantiles, and what is true in made-up data."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest

from tokenmill.flows.ablation.paired import Floats, PairedDifference, compare, said

T_975 = {1: 12.706, 2: 4.303, 4: 2.776}
"""Student's t at 97.5 % by degrees of freedom, from a printed table."""


def bits_of(per_seed: list[list[float]], documents: int = 50) -> Floats:
    """Variants and seeds of which every document costs the same: documents add nothing to the interval."""
    return np.repeat(np.array(per_seed)[:, :, None], documents, axis=2)


def test_means_and_spread_are_those_of_plain_python() -> None:
    generator = np.random.default_rng(0)
    bits, sizes = generator.gamma(3.0, 100.0, (3, 4, 30)), generator.integers(50, 500, 30)
    found = compare(["a", "b", "c"], bits, sizes, comparisons=1, draws=200)
    plain = [[sum(bits[v, s].tolist()) / sum(sizes.tolist()) for s in range(4)] for v in range(3)]
    assert found.bits_per_byte.tolist() == [pytest.approx(row) for row in plain]
    assert found.spread == pytest.approx(statistics.mean(statistics.variance(row) for row in plain) ** 0.5)
    pairs = [(one.a, one.b) for one in found.differences]
    assert pairs == list(itertools.combinations("abc", 2))
    for one in found.differences:
        a, b = ("abc".index(name) for name in (one.a, one.b))
        assert one.mean == pytest.approx(statistics.mean(plain[a]) - statistics.mean(plain[b]))
        assert one.low <= one.mean <= one.high


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_without_noise_of_documents_the_interval_is_that_of_a_paired_t_test(seeds: int) -> None:
    noise = np.random.default_rng(seeds).normal(0, 1, (2, seeds))
    (one,) = compare(["a", "b"], bits_of(noise.tolist()), np.ones(50, dtype=np.int64), comparisons=1).differences
    pairs = (noise[0] - noise[1]).tolist()
    half = T_975[seeds - 1] * statistics.stdev(pairs) / seeds**0.5
    assert one.mean == pytest.approx(statistics.mean(pairs))
    assert one.high - one.low == pytest.approx(2 * half, rel=0.12)


def test_without_noise_of_seeds_the_interval_is_that_of_a_paired_bootstrap() -> None:
    generator = np.random.default_rng(3)
    sizes = generator.integers(50, 500, 40)
    one_seed = generator.gamma(3.0, 100.0, (2, 40))
    bits = np.repeat(one_seed[:, None], 3, axis=1)
    (one,) = compare(["a", "b"], bits, sizes, comparisons=1).differences
    drawn = []
    for _ in range(4_000):
        rows = generator.integers(0, 40, 40).tolist()
        drawn.append(sum(one_seed[0, row] - one_seed[1, row] for row in rows) / sum(sizes[row] for row in rows))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (one.low, one.high) == (pytest.approx(low, rel=0.1, abs=0.02), pytest.approx(high, rel=0.1, abs=0.02))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Seeds, documents, and what a seed makes of a document are drawn; `b` needs 5 bits more for each document of 100 bytes."""
    generator, held, told = np.random.default_rng(7), 0, 0
    repeats, documents = 200, 40
    for _ in range(repeats):
        document = generator.gamma(4.0, 25.0, documents)
        by_seed = generator.normal(0, 2.0, (2, 3, 1)) + generator.normal(0, 2.0, (1, 3, 1))
        better = generator.normal(5.0, 6.0, documents)
        bits = document + by_seed + np.stack([0 * better, better])[:, None] + generator.normal(0, 1.0, (2, 3, documents))
        (one,) = compare(["a", "b"], bits, np.full(documents, 100), comparisons=1, draws=300).differences
        held += one.low <= -0.05 <= one.high
        told += one.high < 0
    assert held >= 0.92 * repeats, "95 % are promised; 200 repeats leave three standard errors to 92 % and below"
    assert told >= 0.1 * repeats, "an interval that holds everything tells nothing"


def test_equal_variants_are_not_told_apart_by_chance() -> None:
    generator, told = np.random.default_rng(11), 0
    for _ in range(100):
        bits = generator.gamma(4.0, 25.0, 30) + generator.normal(0, 2.0, (2, 3, 1)) + generator.normal(0, 3.0, (2, 3, 30))
        (one,) = compare(["a", "b"], bits, np.full(30, 100), comparisons=1, draws=300).differences
        told += one.tells_apart
    assert told <= 12


def test_the_same_models_differ_by_nothing_and_more_comparisons_are_wider() -> None:
    generator = np.random.default_rng(5)
    bits = generator.gamma(4.0, 25.0, (3, 3, 30))
    bits[1] = bits[0]
    one, *_ = compare(["a", "b", "c"], bits, np.full(30, 100), comparisons=1).differences
    assert (one.mean, one.low, one.high, one.tells_apart) == (0.0, 0.0, 0.0, False)
    narrow, wide = (
        compare(["a", "b", "c"], bits, np.full(30, 100), comparisons=comparisons).differences[1] for comparisons in (1, 6)
    )
    assert wide.low < narrow.low < narrow.high < wide.high
    again = compare(["a", "b", "c"], bits, np.full(30, 100), comparisons=6).differences[1]
    assert again == wide, "draws are seeded"


def test_a_difference_in_words() -> None:
    one = PairedDifference(a="a", b="b", mean=0.012, low=0.008, high=0.016)
    assert said(one, 0.003, "web") == (
        "b beats a by 0.0120 bits per byte [0.0080, 0.0160] on web; larger than the spread of seeds (0.0030)"
    )
    assert "smaller than the spread of seeds (0.0200)" in said(one, 0.02, "web")
    none = PairedDifference(a="a", b="b", mean=0.001, low=-0.002, high=0.004)
    assert said(none, 0.003, "web") == ("b and a cannot be told apart on web: -0.0010 bits per byte [-0.0040, 0.0020]")
