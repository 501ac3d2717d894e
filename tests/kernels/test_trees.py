"""Kernels of boosted trees beside plain Python twins."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from tokenmill.pipeline.kernels.trees import grow, score

Node = tuple[int, int, int, int]


def gain(gradient: float, hessian: float) -> float:
    return gradient**2 / (hessian + 1)


def best_split(
    bins: npt.NDArray[np.uint8], drawn: list[int], gradients: list[float], hessians: list[float], rows: list[int], least: int
) -> tuple[float, int, int]:
    best = (0.0, 0, 0)
    whole = gain(sum(gradients[row] for row in rows), sum(hessians[row] for row in rows))
    for feature in drawn:
        for place in sorted({int(bins[feature, row]) for row in rows}):
            sides = [[row for row in rows if (bins[feature, row] > place) == above] for above in (False, True)]
            if min(map(len, sides)) < least:
                continue
            value = sum(gain(sum(gradients[row] for row in side), sum(hessians[row] for row in side)) for side in sides) - whole
            if value > best[0] + 1e-9:
                best = (value, feature, place)
    return best


def grown(
    bins: npt.NDArray[np.uint8], drawn: list[int], gradients: list[float], hessians: list[float], least: int, most: int
) -> tuple[list[Node], list[list[int]]]:
    """The nodes of a tree and the rows of its leaves, as `grow.grow` makes them."""
    leaves = [list(range(bins.shape[1]))]
    nodes: list[Node] = []
    while len(leaves) < most:
        splits = [best_split(bins, drawn, gradients, hessians, rows, least) for rows in leaves]
        chosen = max(range(len(leaves)), key=lambda number: (splits[number][0], -number))
        value, feature, place = splits[chosen]
        if value <= 0:
            break
        node, new = len(nodes), len(leaves)
        nodes = [
            (f, p, *(node if side == ~chosen else side for side in sides))  # type: ignore[misc]
            for f, p, *sides in nodes
        ]
        nodes.append((feature, place, ~chosen, ~new))
        rows = leaves[chosen]
        leaves[chosen] = [row for row in rows if bins[feature, row] <= place]
        leaves.append([row for row in rows if bins[feature, row] > place])
    return nodes, leaves


@pytest.mark.parametrize("seed", range(12))
def test_a_tree_is_that_of_plain_python(seed: int) -> None:
    generator = np.random.Generator(np.random.PCG64(seed))
    count, most, least = int(generator.integers(1, 80)), int(generator.integers(2, 9)), int(generator.integers(1, 8))
    width = (3, 256, 1, 20, 2)[seed % 5]
    bins = generator.integers(0, width, size=(4, count), dtype=np.uint8)
    widths = np.full(4, width, dtype=np.int32)
    drawn = np.sort(generator.permutation(4)[:3]).astype(np.int32)
    # Sums of whole numbers are exact, so that their order does not matter.
    gradients = generator.integers(-9, 10, size=count).astype(np.float64)
    hessians = generator.integers(0, 5, size=count).astype(np.float64)
    rows = np.arange(count, dtype=np.int32)
    nodes = np.zeros((most - 1, 4), dtype=np.int32)
    bounds, sums = np.zeros((most + 1, 2), dtype=np.int32), np.zeros((most, 2))
    room = (np.empty(count, dtype=np.int32), np.empty((most, 3, grow.BINS, 3)), np.empty((most, 3)))
    table = np.empty((count, 3), dtype=np.uint8)
    grow.gather(bins, drawn, rows, table)
    leaves = grow.grow(table, widths[drawn], gradients, hessians, least, rows, *room, bounds, nodes, sums)
    nodes[: leaves - 1, 0] = drawn[nodes[: leaves - 1, 0]]
    expected, of_leaves = grown(bins, drawn.tolist(), gradients.tolist(), hessians.tolist(), least, most)
    assert leaves == len(of_leaves)
    assert [tuple(node) for node in nodes[: leaves - 1].tolist()] == expected
    for number, members in enumerate(of_leaves):
        assert rows[bounds[number, 0] : bounds[number, 1]].tolist() == members
        assert sums[number].tolist() == [gradients[members].sum(), hessians[members].sum()]
    margins = np.full(count, 7, dtype=np.int32)
    grow.step(bins, nodes[: leaves - 1], np.arange(1, leaves + 1, dtype=np.int32), margins)
    for number, members in enumerate(of_leaves):
        assert (margins[members] == 8 + number).all()


def test_derivatives_are_those_of_the_log_loss() -> None:
    margins = np.array([0, 655_360, -655_360, 65_536, -(2**31), 2**31 - 1], dtype=np.int32)
    main = np.array([True, True, True, False, False, True])
    weights = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 1.0])
    gradients, hessians = np.empty(6), np.empty(6)
    grow.derivatives(margins, 1 / 65_536, main, weights, gradients, hessians)
    for i, margin in enumerate(margins.tolist()):
        probability = 1 / (1 + math.exp(-min(max(margin / 65_536, -40), 40)))
        assert gradients[i] == pytest.approx(weights[i] * (probability - main[i]), rel=1e-12, abs=1e-15)
        assert hessians[i] == pytest.approx(weights[i] * probability * (1 - probability), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_plain_python(seed: int) -> None:
    generator = np.random.Generator(np.random.PCG64(seed))
    values = np.array([0.0, -0.0, 0.1, 1 / 3, 1e-45, 3e38, -7.5], dtype=np.float32)
    rows = generator.choice(values, size=(50, 3))
    # Two trees of three nodes, and one that is a leaf.
    roots = np.array([0, 3, ~8], dtype=np.int32)
    children = np.array([[1, 2], [~0, ~1], [~2, ~3], [~4, 4], [5, ~5], [~6, ~7]], dtype=np.int32)
    features = generator.integers(0, 3, size=6).astype(np.int32)
    thresholds = generator.choice(values, size=6)
    leaves = generator.integers(-(2**20), 2**20, size=9).astype(np.int32)
    out = np.empty(50, dtype=np.int32)
    score.scores(rows, roots, features, thresholds, children, leaves, 7, out)
    for row, found in zip(rows, out.tolist(), strict=True):
        expected = 7
        for node in roots.tolist():
            while node >= 0:
                node = int(children[node][int(row[features[node]] > thresholds[node])])
            expected += int(leaves[~node])
        assert found == expected
