"""Grows one tree of gradient boosting from histograms of binned features, leaf by leaf.

Source: J. H. Friedman, "Greedy function approximation: a gradient boosting machine" (2001), with second derivatives as T. Chen,
C. Guestrin, "XGBoost" (2016, arXiv 1603.02754); histograms, growth by the best leaf, and the histogram of the larger child as
the parent's less the smaller child's: G. Ke et al., "LightGBM" (2017).
Guarantee: sums run in the order of the rows, and of equally good splits the first leaf, feature and bin wins; so the same input
gives the same tree. There is no call of the C library's mathematics, whose last bit differs between machines.
Cost: about 1.5 ns per row, feature and level of the tree.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.trees.score import probability

BINS = 256
GRADIENT, HESSIAN, ROWS = range(3)
"""What a histogram sums."""
STRIP = 64
"""Rows that are gathered at a time, so that they stay in the cache."""
SMOOTHING = 1.0
"""Added to the sum of second derivatives (lambda in XGBoost): small leaves move less."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Binned = npt.NDArray[np.uint8]


@leaf
def derivatives(
    margins: npt.NDArray[np.int32],
    unit: float,
    main: npt.NDArray[np.bool_],
    weights: Floats,
    gradients: Floats,
    hessians: Floats,
) -> None:
    """First and second derivatives of the weighted log loss by the margin; float64 [rows]. A margin counts units of `unit`."""
    for i in range(len(margins)):
        share = probability(margins[i] * unit)
        gradients[i] = weights[i] * (share - main[i])
        hessians[i] = weights[i] * share * (1.0 - share)


@leaf
def gather(bins: Binned, drawn: Integers, chosen: Integers, out: Binned) -> None:
    """out[i, k] = bins[drawn[k], chosen[i]]: what a tree looks at, row by row, which is twice as fast to sum up."""
    for begin in range(0, len(chosen), STRIP):
        for k in range(len(drawn)):
            column = bins[drawn[k]]
            for at in range(begin, min(begin + STRIP, len(chosen))):
                out[at, k] = column[chosen[at]]


@inlined
def _fill(
    bins: Binned, widths: Integers, rows: Integers, begin: int, end: int, gradients: Floats, hessians: Floats, out: Floats
) -> None:
    """out[k] = the histogram of feature k over the rows of a leaf."""
    features = bins.shape[1]
    for k in range(features):
        for place in range(widths[k]):
            for what in range(3):
                out[k, place, what] = 0.0
    for at in range(begin, end):
        row = rows[at]
        gradient, hessian = gradients[row], hessians[row]
        for k in range(features):
            place = bins[row, k]
            out[k, place, GRADIENT] += gradient
            out[k, place, HESSIAN] += hessian
            out[k, place, ROWS] += 1.0


@inlined
def _take(whole: Floats, part: Floats, widths: Integers, swap: bool) -> None:
    """whole -= part, and then, if `swap`, each takes the place of the other."""
    for k in range(len(widths)):
        for place in range(widths[k]):
            for what in range(3):
                taken = part[k, place, what]
                rest = whole[k, place, what] - taken
                whole[k, place, what] = taken if swap else rest
                part[k, place, what] = rest if swap else taken


@inlined
def _gain(gradient: float, hessian: float) -> float:
    return gradient * gradient / (hessian + SMOOTHING)


@inlined
def _best(histogram: Floats, widths: Integers, least_rows: int, best: Floats) -> None:
    """best = gain, feature, bin: of the split of a leaf that gains most; a gain of 0 if there is none."""
    best[:] = 0.0
    for k in range(len(widths)):
        gradient = hessian = count = 0.0
        for place in range(widths[k]):
            gradient += histogram[k, place, GRADIENT]
            hessian += histogram[k, place, HESSIAN]
            count += histogram[k, place, ROWS]
        whole = _gain(gradient, hessian)
        left_gradient = left_hessian = left_count = 0.0
        for place in range(widths[k] - 1):
            left_gradient += histogram[k, place, GRADIENT]
            left_hessian += histogram[k, place, HESSIAN]
            left_count += histogram[k, place, ROWS]
            if left_count < least_rows or histogram[k, place, ROWS] == 0:
                continue
            if count - left_count < least_rows:
                break
            gain = _gain(left_gradient, left_hessian) + _gain(gradient - left_gradient, hessian - left_hessian) - whole
            if gain > best[0] + 1e-9:
                best[0], best[1], best[2] = gain, k, place


@leaf
def step(bins: Binned, nodes: Integers, values: Integers, margins: Integers) -> None:
    """Add to the margin of each row the value of the leaf in which it ends; `nodes` as `grow` fills them, for one tree."""
    for row in range(len(margins)):
        node = np.int64(0) if len(nodes) else np.int64(-1)
        while node >= 0:
            above = bins[nodes[node, 0], row] > nodes[node, 1]
            node = np.int64(nodes[node, 3 if above else 2])
        margins[row] += values[~node]


@leaf
def grow(
    bins: Binned,
    widths: Integers,
    gradients: Floats,
    hessians: Floats,
    least_rows: int,
    rows: Integers,
    scratch: Integers,
    histograms: Floats,
    best: Floats,
    bounds: Integers,
    nodes: Integers,
    sums: Floats,
) -> int:
    """Grow one tree; returns its number of leaves, which has one more than there are nodes.

    bins: uint8 [rows, features]. widths: how many bins each feature has. gradients, hessians: float64 [rows]. least_rows: in a
    leaf. rows: int32 [rows], the numbers of all rows; they are sorted by leaf. scratch: int32 [rows]. histograms: float64 [most
    leaves, features, BINS, 3]. best: float64 [most leaves, 3]. bounds: int32 [most leaves
    + 1, 2], where the rows of each leaf begin and end. nodes: int32 [most leaves - 1, 4]: feature, bin, and two children, for
    at most the bin and above it; a leaf is ~number. sums: float64 [most leaves, 2], of the gradients and hessians in each leaf.
    """
    bounds[0, 0], bounds[0, 1] = 0, len(rows)
    _fill(bins, widths, rows, 0, len(rows), gradients, hessians, histograms[0])
    _best(histograms[0], widths, least_rows, best[0])
    leaves = 1
    while leaves < len(best):
        chosen = 0
        for number in range(1, leaves):
            if best[number, 0] > best[chosen, 0]:
                chosen = number
        if best[chosen, 0] <= 0.0:
            break
        feature, place = int(best[chosen, 1]), int(best[chosen, 2])
        begin, end = bounds[chosen, 0], bounds[chosen, 1]
        middle, above = begin, 0
        for at in range(begin, end):
            row = rows[at]
            if bins[row, feature] <= place:
                rows[middle] = row
                middle += 1
            else:
                scratch[above] = row
                above += 1
        for at in range(above):
            rows[middle + at] = scratch[at]
        new, node = leaves, leaves - 1
        for other in range(node):
            for side in range(2, 4):
                if nodes[other, side] == ~chosen:
                    nodes[other, side] = node
        nodes[node, 0], nodes[node, 1], nodes[node, 2], nodes[node, 3] = feature, place, ~chosen, ~new
        bounds[chosen, 1] = middle
        bounds[new, 0], bounds[new, 1] = middle, end
        # The histogram of the smaller child is filled; that of the larger one is what is left of their parent's.
        below = middle - begin < end - middle
        first, last = (begin, middle) if below else (middle, end)
        _fill(bins, widths, rows, first, last, gradients, hessians, histograms[new])
        _take(histograms[chosen], histograms[new], widths, below)
        _best(histograms[chosen], widths, least_rows, best[chosen])
        _best(histograms[new], widths, least_rows, best[new])
        leaves += 1
    for number in range(leaves):
        sums[number] = 0.0
        for at in range(bounds[number, 0], bounds[number, 1]):
            sums[number, 0] += gradients[rows[at]]
            sums[number, 1] += hessians[rows[at]]
    return leaves
