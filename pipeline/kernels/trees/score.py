"""Scores of rows by boosted trees, and where to cut a ranking of them.

A tree is a part of three arrays over nodes: the feature that a node looks at, the threshold it is compared with, and two
children. A child at or above 0 is a node; below 0 it is a leaf, number ~child.
Guarantee: trees only compare floats, and leaves are integers, so a row has the same score on every processor. What else is
computed are sums, products and quotients in a fixed order, which IEEE 754 defines to the bit.
Cost: 4 us per row for 180 trees of 31 leaves.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined, leaf

LN2 = math.log(2)


@inlined
def _child(
    row: npt.NDArray[np.float32],
    features: npt.NDArray[np.int32],
    thresholds: npt.NDArray[np.float32],
    children: npt.NDArray[np.int32],
    node: np.int64,
) -> np.int64:
    return np.int64(children[node, 1 if row[features[node]] > thresholds[node] else 0])


@leaf
def scores(
    rows: npt.NDArray[np.float32],
    roots: npt.NDArray[np.int32],
    features: npt.NDArray[np.int32],
    thresholds: npt.NDArray[np.float32],
    children: npt.NDArray[np.int32],
    leaves: npt.NDArray[np.int32],
    start: int,
    out: npt.NDArray[np.int32],
) -> None:
    """out[i] = start + the sum of the leaves in which rows[i] ends, one for each tree.

    rows: float32 [rows, features]. roots: int32 [trees], as children. features, thresholds: [nodes]. children: int32 [nodes,
    2], for at most the threshold, and for above it. leaves: int32 [leaves]. out: int32 [rows].
    """
    count = len(rows)
    for i in range(count):
        out[i] = start
    for root in roots:
        # Four rows walk side by side, since each step of a walk waits for the one before: 1.5 times as fast.
        for i in range(0, count - 3, 4):
            a = b = c = d = np.int64(root)
            while a >= 0 or b >= 0 or c >= 0 or d >= 0:
                if a >= 0:
                    a = _child(rows[i], features, thresholds, children, a)
                if b >= 0:
                    b = _child(rows[i + 1], features, thresholds, children, b)
                if c >= 0:
                    c = _child(rows[i + 2], features, thresholds, children, c)
                if d >= 0:
                    d = _child(rows[i + 3], features, thresholds, children, d)
            out[i] += leaves[~a]
            out[i + 1] += leaves[~b]
            out[i + 2] += leaves[~c]
            out[i + 3] += leaves[~d]
        for i in range(count - count % 4, count):
            a = np.int64(root)
            while a >= 0:
                a = _child(rows[i], features, thresholds, children, a)
            out[i] += leaves[~a]


@inlined
def probability(margin: float) -> float:
    """1 / (1 + e ** -margin) within 1e-14, without the C library, whose last bit differs between machines."""
    x = -min(max(margin, -40.0), 40.0)
    power = math.floor(x / LN2 + 0.5)
    rest = x - power * LN2
    value = 1.0
    for term in range(16, 0, -1):
        value = 1.0 + value * rest / term
    scale = 2.0 if power > 0 else 0.5
    for _ in range(abs(power)):
        value *= scale
    return 1.0 / (1.0 + value)


@leaf
def best_cut(
    order: npt.NDArray[np.int64], found: npt.NDArray[np.int32], sizes: npt.NDArray[np.float64], offset: int, unit: float
) -> int:
    """How many of the rows in `order` to keep, so that the expected F1 is highest; at least one, if there is one.

    With a probability p that a row of size n is wanted, the first k rows have an expected F1 of about 2 * (the sum of p * n
    over them) / (the sum of n over them + the sum of p * n over all): Z. Lipton, C. Elkan, B. Narayanaswamy, "Optimal
    thresholding of classifiers to maximize F1 measure" (2014, arXiv 1402.1892).

    order: int64 [rows], by descending score. found: int32 [rows], scores in units of `unit` log odds. sizes: float64 [rows],
    above 0. offset: added to each score.
    """
    wanted = 0.0
    for row in order:
        wanted += sizes[row] * probability((found[row] + offset) * unit)
    kept, best, size, inside = 0, -1.0, 0.0, 0.0
    for place in range(len(order)):
        row = order[place]
        size += sizes[row]
        inside += sizes[row] * probability((found[row] + offset) * unit)
        value = inside / (size + wanted)
        if value > best:
            kept, best = place + 1, value
    return kept
