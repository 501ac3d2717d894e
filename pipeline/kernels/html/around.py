"""Numbers of the blocks and elements around each block, as rows of a table.

Guarantee: integers, and ratios made by one division of float64, rounded once to float32. The work is linear in blocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import leaf

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]


@leaf
def neighbours(
    weight: Ints, link_share: Numbers, group: Ints, sentences: Ints, paths: npt.NDArray[np.uint64], steps: Ints, out: Numbers
) -> None:
    """Of each block that stands `steps[k]` away: weight, share of links, group of the tag, sentences (-1: there is none), and
    whether its path is that of the block itself. All but `steps` are of blocks; out: float32 [blocks, 5 * steps]."""
    for block in range(len(weight)):
        for k in range(len(steps)):
            at, first = block + steps[k], 5 * k
            if 0 <= at < len(weight):
                out[block, first] = weight[at]
                out[block, first + 1] = link_share[at]
                out[block, first + 2] = group[at]
                out[block, first + 3] = sentences[at]
                out[block, first + 4] = paths[at] == paths[block]
            else:
                out[block, first : first + 4] = -1
                out[block, first + 4] = paths[block] == 0


@leaf
def windows(sums: Ints, radii: Ints, out: Numbers) -> None:
    """Of the blocks that are at most a radius away: weight, share of links, long paragraphs.

    sums: int64 [4, blocks + 1], the weight, characters, characters in links and long paragraphs of all blocks before. out:
    float32 [blocks, 3 * radii].
    """
    count = len(out)
    for block in range(count):
        for k in range(len(radii)):
            begin, end = max(block - radii[k], 0), min(block + radii[k] + 1, count)
            out[block, 3 * k] = sums[0, end] - sums[0, begin]
            out[block, 3 * k + 1] = (sums[2, end] - sums[2, begin]) / max(np.float64(sums[1, end] - sums[1, begin]), 1.0)
            out[block, 3 * k + 2] = sums[3, end] - sums[3, begin]


@leaf
def ancestors(first: Ints, up: Ints, inside: Ints, group: Ints, total: int, steps: int, out: Numbers) -> None:
    """Of `steps` growing ancestors of each block: weight, share of links, long paragraphs, their share of the weight, blocks,
    share of the page, and group of the tag.

    first: int64 [blocks], the first of them. up: int64 [elements], the next one. inside: int64 [6, elements], sums of weight,
    characters, characters in links, long paragraphs, their weight, and blocks. group: int64 [elements]. total: the weight of
    the page. out: float32 [blocks, 7 * steps].
    """
    for block in range(len(first)):
        at = first[block]
        for step in range(steps):
            k = 7 * step
            weight = np.float64(inside[0, at])
            out[block, k] = inside[0, at]
            out[block, k + 1] = inside[2, at] / max(np.float64(inside[1, at]), 1.0)
            out[block, k + 2] = inside[3, at]
            out[block, k + 3] = inside[4, at] / max(weight, 1.0)
            out[block, k + 4] = inside[5, at]
            out[block, k + 5] = weight / max(np.float64(total), 1.0)
            out[block, k + 6] = group[at]
            at = up[at]
