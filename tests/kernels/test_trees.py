"""Kernels of boosted trees beside plain Python twins."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest

from tokenmill.pipeline.collect.extract.trees import Trees
from tokenmill.pipeline.kernels.trees import grow

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


def random_trees(generator: np.random.Generator, sizes: list[int], features: int, values: npt.NDArray[np.float32]) -> Trees:
    """Trees with so many leaves, split at random."""
    roots: list[int] = []
    children: list[list[int]] = []
    count = 0
    for size in sizes:
        base, open_leaves = len(children), [(-1, 0)]
        while len(open_leaves) < size:
            above, side = open_leaves.pop(int(generator.integers(len(open_leaves))))
            if above >= 0:
                children[above][side] = len(children)
            open_leaves += [(len(children), 0), (len(children), 1)]
            children.append([0, 0])
        for above, side in open_leaves:
            if above >= 0:
                children[above][side] = ~count
            count += 1
        roots.append(base if size > 1 else ~(count - 1))
    return Trees(
        start=7,
        roots=np.array(roots, np.int32),
        features=generator.integers(0, features, len(children)).astype(np.int32),
        thresholds=generator.choice(values, len(children)),
        children=np.array(children, np.int32).reshape(-1, 2),
        leaves=generator.integers(-(2**20), 2**20, count).astype(np.int32),
    )


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
@pytest.mark.parametrize("sizes", [[], [1], [2, 1, 32], [32] * 5, [3, 31, 17, 1, 1]])
def test_scores_are_those_of_walks_in_plain_python(count: int, sizes: list[int]) -> None:
    generator = np.random.Generator(np.random.PCG64(count))
    values = np.array([0.0, -0.0, 0.1, 1 / 3, 1e-45, 3e38, -7.5, np.inf], dtype=np.float32)
    rows = generator.choice(values, size=(count, 3))
    trees = random_trees(generator, sizes, 3, values)
    trees.check(3)
    for row, found in zip(rows, trees.scores(rows).tolist(), strict=True):
        expected = 7
        for node in trees.roots.tolist():
            while node >= 0:
                node = int(trees.children[node][int(row[trees.features[node]] > trees.thresholds[node])])
            expected += int(trees.leaves[~node])
        assert found == expected


def test_trees_that_cannot_be_scored_are_refused() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    values = np.zeros(1, np.float32)
    with pytest.raises(ValueError, match="more than 32 leaves"):
        random_trees(generator, [33], 3, values).check(3)
    good = random_trees(generator, [4, 3], 3, values)
    for changes in (
        {"roots": good.roots[:1]},
        {"roots": np.array([0, 0], np.int32)},
        {"leaves": good.leaves[:-1]},
        {"children": np.where(good.children == 1, 0, good.children)},
        {"features": good.features + np.int32(3)},
        {"thresholds": good.thresholds[1:]},
    ):
        with pytest.raises(ValueError, match="node"):
            dataclasses.replace(good, **changes).check(3)
