"""Gradient boosting: binary log loss, histograms, trees that grow by their best leaf.

Purpose: the few hundred lines that a model of blocks needs, without a library of trees, the same on every machine.
Guarantee: the same rows, weights and seed give the same trees, to the bit. Margins are integers, as in the finished model, so
what is learnt from is what will be computed.
Cost: memory of one byte for each value; 180 trees of 31 leaves on 500,000 rows of 260 features take about 45 s of one core.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.extract.model import UNITS
from tokenmill.pipeline.collect.extract.trees import Trees
from tokenmill.pipeline.kernels.trees import grow

Rows = npt.NDArray[np.float32]
Tree = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
"""Nodes, as `grow.grow` makes them, and the values of the leaves."""


@dataclass(frozen=True, kw_only=True)
class Boosting:
    """Settings of the training."""

    bags: int = 3
    """Models that are trained independently of one another, and whose mean is the model."""
    trees: int = 60
    """Of each of them."""
    leaves: int = 31
    """Of a tree, at most; `score.MOST_LEAVES` is the limit."""
    rate: float = 0.14
    least_rows: int = 80
    """Rows of a leaf, in a tree that is grown from all rows."""
    feature_share: float = 0.5
    """Share of the features that a tree may use."""
    row_share: float = 0.5
    """Share of the rows that a tree is grown from, drawn anew for each.

    Source: J. H. Friedman, "Stochastic gradient boosting" (2002).
    """
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Binned:
    """Values as bins: bin b of a feature holds values up to edges[b], the last one what is above all edges."""

    bins: npt.NDArray[np.uint8]
    """[features, rows]"""
    edges: tuple[Rows, ...]

    def of(self, chosen: npt.NDArray[np.intp]) -> Binned:
        """Some of the rows."""
        return Binned(bins=np.ascontiguousarray(self.bins[:, chosen]), edges=self.edges)


def binned(rows: Rows) -> Binned:
    """The rows of float32 [rows, features] as bins. A value that is frequent has one of its own, the others share by number."""
    edges = tuple(_edges(column) for column in rows.T)
    bins = np.empty(rows.shape[::-1], dtype=np.uint8)
    for number, column in enumerate(rows.T):
        bins[number] = np.searchsorted(edges[number], column, side="left")
    return Binned(bins=bins, edges=edges)


def _edges(column: Rows) -> Rows:
    values, counts = np.unique(column, return_counts=True)
    if len(values) <= grow.BINS:
        return values[:-1].astype(np.float32)
    upto = np.cumsum(np.minimum(counts, max(1, len(column) // grow.BINS)))
    places = np.searchsorted(upto, np.arange(1, grow.BINS) * (upto[-1] // grow.BINS))
    edges: Rows = values[np.unique(places)]
    return edges


def train(data: Binned, main: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64], settings: Boosting) -> Trees:
    """Trees that tell rows that are `main` from the others. weights: float64 [rows], with a mean of about 1.

    Source of the mean of several models: L. Breiman, "Bagging predictors" (1996).
    """
    share = min(max(float(weights[main].sum() / weights.sum()), 1e-3), 1 - 1e-3)
    start = round(math.log(share / (1 - share)) * UNITS)
    grown: list[Tree] = []
    for bag in range(settings.bags):
        generator = np.random.Generator(np.random.PCG64([settings.seed, bag]))
        for nodes, values in _bag(data, main, weights, start, settings, generator):
            grown.append((nodes, np.rint(values / settings.bags).astype(np.int32)))
    return _trees(grown, data.edges, start)


def _bag(
    data: Binned,
    main: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float64],
    start: int,
    settings: Boosting,
    generator: np.random.Generator,
) -> Iterator[Tree]:
    """One model: its trees, each with the values of its leaves."""
    features, count = data.bins.shape
    margins = np.full(count, start, dtype=np.int32)
    least_rows = max(1, round(settings.least_rows * settings.row_share))
    drawn_features = max(1, round(features * settings.feature_share))
    gradients, hessians = np.empty(count), np.empty(count)
    scratch = np.empty(count, dtype=np.int32)
    histograms = np.empty((settings.leaves, drawn_features, grow.BINS, 3))
    widths = np.array([len(of) + 1 for of in data.edges], dtype=np.int32)
    best, sums = np.empty((settings.leaves, 3)), np.empty((settings.leaves, 2))
    bounds = np.empty((settings.leaves + 1, 2), dtype=np.int32)
    nodes = np.empty((settings.leaves - 1, 4), dtype=np.int32)
    for _ in range(settings.trees):
        grow.derivatives(margins, 1 / UNITS, main, weights, gradients, hessians)
        drawn = np.sort(generator.permutation(features)[:drawn_features]).astype(np.int32)
        chosen = np.flatnonzero(generator.random(count) < settings.row_share).astype(np.int32)
        table = np.empty((len(chosen), drawn_features), dtype=np.uint8)
        grow.gather(data.bins, drawn, chosen, table)
        rows = np.arange(len(chosen), dtype=np.int32)
        room = (scratch, histograms, best, bounds, nodes, sums)
        leaves = grow.grow(table, widths[drawn], gradients[chosen], hessians[chosen], least_rows, rows, *room)
        nodes[: leaves - 1, 0] = drawn[nodes[: leaves - 1, 0]]
        steps = -sums[:leaves, 0] / (sums[:leaves, 1] + grow.SMOOTHING) * settings.rate
        values = np.rint(steps * UNITS).astype(np.int32)
        grow.step(data.bins, nodes[: leaves - 1], values, margins)
        yield nodes[: leaves - 1].copy(), values


def _trees(grown: list[Tree], edges: tuple[Rows, ...], start: int) -> Trees:
    """One table of all trees, in which numbers of nodes and leaves run on."""
    roots, children, first_node, first_leaf = [], [], 0, 0
    for nodes, values in grown:
        roots.append(first_node if len(nodes) else ~first_leaf)
        sides = nodes[:, 2:]
        children.append(np.where(sides >= 0, sides + first_node, sides - first_leaf))
        first_node += len(nodes)
        first_leaf += len(values)
    nodes = np.concatenate([nodes for nodes, _ in grown])
    thresholds = [edges[feature][place] for feature, place in nodes[:, :2]]
    return Trees(
        start=start,
        roots=np.array(roots, dtype=np.int32),
        features=np.ascontiguousarray(nodes[:, 0]),
        thresholds=np.array(thresholds, dtype=np.float32),
        children=np.concatenate(children).astype(np.int32),
        leaves=np.concatenate([values for _, values in grown]),
    )
