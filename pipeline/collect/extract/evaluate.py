"""Extractors side by side: precision, recall and F1 by set and by page type, with bootstrap intervals.

Source: percentile bootstrap (B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13), stratified by set:
pages are drawn anew within each set. All extractors are judged on the same draws, so that differences have intervals too.
Guarantee: the same pages and extractors give the same figures; the draws have a seed.
Cost: a second for each extractor, beside extraction and training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.extract import train
from tokenmill.pipeline.collect.extract.boost import Boosting
from tokenmill.pipeline.collect.extract.overlap import TokenOverlap, overlap, tokens
from tokenmill.pipeline.collect.extract.pages import SMALLEST_SET, KnownPage
from tokenmill.pipeline.collect.extract.peers import Extract
from tokenmill.pipeline.collect.extract.train import Examples
from tokenmill.pipeline.collect.html import choose, embedded
from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.collect.html.candidates import Candidates
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.html.page import everything

DRAWS = 1_000
PERCENTILES = (2.5, 97.5)
"""Of an interval of 95 %."""
MACRO = "macro"
"""The mean over sets, each of which counts the same."""
TYPE = "type:"
"""Before the name of a page type. Types with fewer than `SMALLEST_SET` pages are left out."""
BY_HOST, BY_SET = "blocks-hosts", "blocks-sets"
"""Trees trained without the hosts, or without the whole set, of the pages that they are tested on."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Means over the pages of a set or a page type, or over sets.

    low, high: the interval of F1. ahead: F1 less that of the first extractor, with the interval of the difference.
    """

    pages: int
    f1: float
    precision: float
    recall: float
    low: float
    high: float
    ahead: float
    ahead_low: float
    ahead_high: float


def of_extractor(extract: Extract, pages: Iterable[KnownPage]) -> list[TokenOverlap]:
    """What an extractor has in common with the main text of each page."""
    return [overlap(tokens(extract(page.html)), tokens(page.gold)) for page in pages]


def of_trees(given: Examples, by: str, settings: Boosting) -> list[TokenOverlap]:
    """The same of trees, and an offset, that saw no page of the same host (`by` is `BY_HOST`) or of the same set (`BY_SET`)."""
    folds = train.by_host(given.pages) if by == BY_HOST else train.by_set(given.pages)
    scores = train.crossed(given, folds, settings)
    by_page = train.offsets(train.curves(given, scores), given.pages, folds)
    texts = _texts(given, scores, by_page)
    return [overlap(tokens(text), tokens(page.gold)) for text, page in zip(texts, given.pages, strict=True)]


def _texts(given: Examples, scores: npt.NDArray[np.int32], by_page: npt.NDArray[np.int64]) -> Iterator[str]:
    """The text that a build takes from each page whose blocks have these scores, int32 [blocks of all pages]."""
    how = Extraction()
    for page, begin, end, offset in zip(given.pages, given.first[:-1], given.first[1:], by_page, strict=True):
        shown = ""
        if begin < end:
            blocks, of_page = blocks_of(page.html), scores[begin:end] + np.int32(offset)
            sizes = given.sizes[begin:end].astype(np.int32)
            shown = choose.text(blocks, Candidates(found=blocks.found, scores=of_page, sizes=sizes), how)
        found = embedded.instead(page.html, shown, everything(how))
        yield found.text if found else shown


def compared(pages: Sequence[KnownPage], results: Mapping[str, Sequence[TokenOverlap]]) -> dict[str, dict[str, Mean]]:
    """By extractor, then by set, `MACRO` and page type: what `results` says of each page, as means."""
    sets = sorted({page.set for page in pages})
    members = {name: np.array([at for at, page in enumerate(pages) if page.set == name]) for name in sets}
    for kind in sorted({page.page_type for page in pages}):
        of_type = np.array([at for at, page in enumerate(pages) if page.page_type == kind])
        if len(of_type) >= SMALLEST_SET:
            members[TYPE + kind] = of_type
    generator = np.random.Generator(np.random.PCG64(0))
    draws = {name: of[generator.integers(0, len(of), size=(DRAWS, len(of)))] for name, of in members.items()}
    table: dict[str, dict[str, Mean]] = {}
    first: dict[str, Floats] = {}
    for extractor, overlaps in results.items():
        values = np.array([(one.f1, one.precision, one.recall) for one in overlaps])
        means = {name: values[of].mean(axis=0) for name, of in members.items()}
        drawn = {name: values[of, 0].mean(axis=1) for name, of in draws.items()}
        means[MACRO] = np.mean([means[name] for name in sets], axis=0)
        drawn[MACRO] = np.mean([drawn[name] for name in sets], axis=0)
        # The mean itself stands before the means of the draws.
        f1 = {name: np.append(means[name][0], drawn[name]) for name in means}
        first = first or f1
        sizes = {**{name: len(of) for name, of in members.items()}, MACRO: len(pages)}
        table[extractor] = {name: _mean(sizes[name], means[name], f1[name], first[name]) for name in means}
    return table


def _mean(pages: int, values: Floats, f1: Floats, first: Floats) -> Mean:
    ahead = f1 - first
    low, high = np.percentile(f1[1:], PERCENTILES)
    ahead_low, ahead_high = np.percentile(ahead[1:], PERCENTILES)
    return Mean(
        pages=pages,
        f1=float(values[0]),
        precision=float(values[1]),
        recall=float(values[2]),
        low=float(low),
        high=float(high),
        ahead=float(ahead[0]),
        ahead_low=float(ahead_low),
        ahead_high=float(ahead_high),
    )
