"""Boosted trees, as a file has them and as rows are scored by them.

A tree is a part of arrays over nodes: the feature that a node looks at, the threshold it is compared with, and two children,
for at most the threshold and for above it. A child at or above 0 is a node, which stands later; below 0 it is leaf ~child.
Guarantee: what `check` lets pass is scored without a step outside of the arrays.
Cost: 8 ms to make the masks of 180 trees of 31 leaves, once; then see `kernels.trees.score`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.trees import score


class Masks(NamedTuple):
    """Trees as `score.scores` takes them."""

    first: npt.NDArray[np.int32]
    features: npt.NDArray[np.int32]
    thresholds: npt.NDArray[np.float32]
    others: npt.NDArray[np.uint32]
    leaves: npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Trees:
    """roots: int32 [trees], as children. features: int32 [nodes]. thresholds: float32 [nodes]. children: int32 [nodes, 2].
    leaves: int32 [leaves]. start: what every score begins with."""

    start: int
    roots: npt.NDArray[np.int32]
    features: npt.NDArray[np.int32]
    thresholds: npt.NDArray[np.float32]
    children: npt.NDArray[np.int32]
    leaves: npt.NDArray[np.int32]

    def scores(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """The sum of the leaves in which each row of float32 [rows, features] ends; int32 [rows]."""
        out = np.empty(len(rows), np.int32)
        room = (np.empty((rows.shape[1], score.LANES), np.float32), np.empty(score.LANES, np.uint32))
        score.scores(np.ascontiguousarray(rows), *self.masks, self.start, *room, out)
        return out

    @functools.cached_property
    def masks(self) -> Masks:
        """Of each node, which leaves of its tree a row above its threshold may still end in."""
        children, sizes = self.children.tolist(), self._sizes()
        leaves = np.zeros((len(self.roots), score.MOST_LEAVES), np.int32)
        nodes, others, first = [], [], [0]
        for tree, root in enumerate(self.roots.tolist()):
            # What is under each child is a range of the tree's leaves, from left to right.
            left = [(root, 0)]
            while left:
                child, begin = left.pop()
                if child < 0:
                    leaves[tree, score.PLACES[begin]] = self.leaves[~child]
                    continue
                low, high = children[child]
                below = 1 if low < 0 else sizes[low]
                nodes.append(child)
                others.append(~(((1 << below) - 1) << begin) & 0xFFFFFFFF)
                left += [(high, begin + below), (low, begin)]
            first.append(len(nodes))
        return Masks(
            first=np.array(first, np.int32),
            features=self.features[nodes],
            thresholds=self.thresholds[nodes],
            others=np.array(others, np.uint32),
            leaves=leaves,
        )

    def _sizes(self) -> list[int]:
        """How many leaves are under each node."""
        sizes = [0] * len(self.features)
        for node, children in reversed(list(enumerate(self.children.tolist()))):
            sizes[node] = sum(1 if child < 0 else sizes[child] for child in children)
        return sizes

    def check(self, features: int) -> None:
        """Raise ValueError if a node looks at no feature, stands in no tree or in two, or if a tree has too many leaves."""
        count = len(self.features)
        if not len(self.thresholds) == len(self.children) == count:
            raise ValueError("nodes of different number")
        looked = (self.features >= 0) & (self.features < features)
        later = (self.children < 0) | (self.children > np.arange(count)[:, None])
        if not (looked.all() and later.all()):
            raise ValueError("a node looks at no feature, or leads back")
        named = np.sort(np.concatenate([self.roots, self.children.ravel()]))
        if not np.array_equal(named, np.arange(-len(self.leaves), count)):
            raise ValueError("a node or a leaf is in no tree, or in two")
        if max(self._sizes(), default=0) > score.MOST_LEAVES:
            raise ValueError(f"a tree has more than {score.MOST_LEAVES} leaves")
