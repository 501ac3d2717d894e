"""Examples of blocks from pages, and models trained on some of them and tested on the others.

Guarantee: no page is judged by a model that saw a page of its host (`crossed` over `by_host`), or of its set (over `by_set`).
The offset of a model comes from pages that it is not judged on.
Cost: features and bins of all blocks in memory, 5 bytes for each value; see `boost`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.errors import InputError, RecordError
from tokenmill.pipeline.collect.extract import boost
from tokenmill.pipeline.collect.extract.boost import Binned, Boosting
from tokenmill.pipeline.collect.extract.labels import main_blocks
from tokenmill.pipeline.collect.extract.model import UNITS, BlockModel, kept, sizes
from tokenmill.pipeline.collect.extract.overlap import tokens
from tokenmill.pipeline.collect.extract.pages import KnownPage
from tokenmill.pipeline.collect.extract.trees import Trees
from tokenmill.pipeline.collect.extract.variants import variant
from tokenmill.pipeline.collect.html.blocks import blocks_of

OFFSETS = np.arange(-4, 5) * (UNITS // 2)
"""What is tried to be added to scores: log odds from -2 to 2. With finer steps the choice follows the noise of some pages."""
FOLDS = 5
VARIANTS = 1 / 3
"""Share of the pages that are learnt from a second time, as in another language."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The blocks of all pages, page after page."""

    pages: Sequence[KnownPage]
    names: tuple[str, ...]
    first: npt.NDArray[np.int64]
    """int64 [pages + 1]: where the blocks of each page begin."""
    data: Binned
    """Of the blocks, and behind them those of `variants`; so are `main` and `weights`."""
    main: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]
    variants: npt.NDArray[np.int64]
    """int64 [blocks of variants]: the number of the page of which each block is a variant. They are learnt from, not judged."""
    rows: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.float64]
    tokens: Sequence[Sequence[str]]

    def of(self, pages: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which blocks are of the chosen pages."""
        return np.repeat(pages, np.diff(self.first))


def examples(pages: Sequence[KnownPage], *, seed: int) -> Examples:
    """Blocks with labels and weights.

    Each set weighs the square root of its number of pages, since each page weighs 1 over it. A block of a page weighs as its
    tokens over those of the main text, at most 1. `VARIANTS` of the pages are there a second time, as in another language;
    `seed` draws them.
    """
    set_pages = Counter(page.set for page in pages)
    rows, main, weights, words, counts = [], [], [], [], [0]
    more: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.float64], int]] = []
    generator = np.random.Generator(np.random.PCG64(seed))
    names: tuple[str, ...] = ()
    for number, page in enumerate(pages):
        try:
            blocks = blocks_of(page.html)
        except RecordError:  # a page that a build quarantines teaches nothing, and its text counts as empty
            counts.append(0)
            continue
        names = blocks.names
        of_blocks = [tokens(text) for text in blocks.texts()]
        lengths = np.array(list(map(len, of_blocks)), dtype=np.float64)
        labels = main_blocks(of_blocks, page.gold)
        rows.append(blocks.features)
        main.append(labels)
        weights.append(np.minimum(lengths / max(1.0, lengths[labels].sum()), 1) / np.sqrt(set_pages[page.set]))
        if generator.random() < VARIANTS:
            more.append((variant(blocks, generator).features, labels, weights[-1], number))
        words += of_blocks
        counts.append(len(of_blocks))
    if not rows:
        raise InputError("no page has blocks")
    table = np.concatenate(rows)
    weight = np.concatenate([*weights, *(one[2] for one in more)])
    labels = np.concatenate([*main, *(one[1] for one in more)])
    if not labels.any() or labels.all():
        raise InputError("the pages have no blocks that are main text, or none that are not: nothing can be learnt from them")
    return Examples(
        pages=pages,
        names=names,
        first=np.cumsum(counts),
        data=boost.binned(np.concatenate([table, *(one[0] for one in more)])),
        main=labels,
        weights=weight / weight.mean(),
        variants=np.repeat([one[3] for one in more], [len(one[1]) for one in more]).astype(np.int64),
        rows=table,
        sizes=sizes(table, names),
        tokens=words,
    )


def by_host(pages: Sequence[KnownPage], folds: int = FOLDS) -> list[npt.NDArray[np.bool_]]:
    """Pages of each fold; a hash of the host decides."""
    fold = np.array([int.from_bytes(hashlib.sha256(page.host.encode()).digest()[:8], "little") % folds for page in pages])
    return [fold == number for number in range(folds) if (fold == number).any()]


def by_set(pages: Sequence[KnownPage]) -> list[npt.NDArray[np.bool_]]:
    """Pages of each set."""
    names = np.array([page.set for page in pages])
    return [names == name for name in sorted(set(names))]


def trained(given: Examples, pages: npt.NDArray[np.bool_], settings: Boosting) -> Trees:
    """Trees that saw the chosen pages alone."""
    chosen = np.flatnonzero(np.concatenate([given.of(pages), pages[given.variants]]))
    return boost.train(given.data.of(chosen), given.main[chosen], given.weights[chosen], settings)


def crossed(given: Examples, folds: Sequence[npt.NDArray[np.bool_]], settings: Boosting) -> npt.NDArray[np.int32]:
    """Scores of all blocks, each by trees that saw no page of its fold; int32 [blocks]."""
    scores = np.empty(len(given.rows), dtype=np.int32)
    for fold in folds:
        tested = given.of(fold)
        scores[tested] = trained(given, ~fold, settings).scores(given.rows[tested])
    return scores


def curves(given: Examples, scores: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """F1 of each page with each of `OFFSETS`; float64 [pages, offsets]."""
    found = np.empty((len(given.pages), len(OFFSETS)))
    for number, page in enumerate(given.pages):
        begin, end = given.first[number], given.first[number + 1]
        left = Counter(tokens(page.gold))
        expected = left.total()
        order = np.argsort(-scores[begin:end].astype(np.int64), kind="stable")
        # Extracted and common tokens after the first k blocks in the order of their scores.
        sums = np.zeros((len(order) + 1, 2))
        for place, block in enumerate(order, 1):
            words = given.tokens[begin + block]
            common = 0
            for word in words:
                if left[word] > 0:
                    left[word] -= 1
                    common += 1
            sums[place] = sums[place - 1] + (len(words), common)
        parts = (scores[begin:end], given.sizes[begin:end])
        taken = np.array([kept(*parts, int(offset)).sum() for offset in OFFSETS])
        found[number] = 2 * sums[taken, 1] / np.maximum(1, sums[taken, 0] + expected)
    return found


def offset_of(curve: npt.NDArray[np.float64], pages: Sequence[KnownPage], chosen: npt.NDArray[np.bool_]) -> int:
    """The offset with the best mean over sets of the F1 of the chosen pages; the middle of the best if several are."""
    names = np.array([page.set for page in pages])
    means = [curve[chosen & (names == name)].mean(axis=0) for name in sorted(set(names[chosen]))]
    macro = np.mean(means, axis=0)
    best = np.flatnonzero(macro >= macro.max() - 1e-12)
    return int(OFFSETS[best[len(best) // 2]])


def offsets(
    curve: npt.NDArray[np.float64], pages: Sequence[KnownPage], folds: Sequence[npt.NDArray[np.bool_]]
) -> npt.NDArray[np.int64]:
    """For each page the offset that is best for the pages of the other folds; int64 [pages]."""
    out = np.empty(len(pages), dtype=np.int64)
    for fold in folds:
        out[fold] = offset_of(curve, pages, ~fold)
    return out


def make(given: Examples, settings: Boosting, note: str) -> tuple[BlockModel, float]:
    """A model of all pages, and its macro F1 on pages of hosts that were left out when trees and offset were chosen.

    The offset is the one that is best for scores of trees that did not see the page's host.
    """
    folds = by_host(given.pages)
    curve = curves(given, crossed(given, folds, settings))
    by_page = offsets(curve, given.pages, folds)
    f1 = curve[np.arange(len(given.pages)), np.searchsorted(OFFSETS, by_page)]
    every = np.ones(len(given.pages), dtype=bool)
    model = BlockModel(
        trees=trained(given, every, settings),
        names=given.names,
        offset=offset_of(curve, given.pages, every),
        note=note,
    )
    return model, float(np.mean([f1[chosen].mean() for chosen in by_set(given.pages)]))
