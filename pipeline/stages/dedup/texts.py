"""What comparing two texts needs: the hash by which exact duplicates are found, and the set of n-grams.

Guarantee: both are computed as the stage computes them, so equal texts and settings give equal hashes and similarities.
Cost: 60 MB/s of text on one core; 8 bytes per distinct n-gram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import tables
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.signatures import exact_digests

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Hashes and n-gram sets of n texts."""

    exact: npt.NDArray[np.uint64]
    """[n, 4]: SHA-256 of what exact duplicates have in common."""
    grams: npt.NDArray[np.uint64]
    """The n-gram sets, end to end."""
    bounds: Rows
    """[n + 1]: where each set begins in `grams`."""

    @property
    def sizes(self) -> Rows:
        """[n]: the number of elements of each set."""
        return np.diff(self.bounds)


def read(column: pa.ChunkedArray, config: DedupConfig) -> Texts:
    """Hashes and n-gram sets for a column of texts (large_string)."""
    text, scheme = column.combine_chunks(), config.scheme
    characters = scheme.shingle == "characters"
    grams, bounds = ngrams.ngram_sets(*utf8(text), np.arange(len(text)), characters, scheme.ngram, tables(config.folding))
    # The kernel's array has room for the largest possible sets; the copy frees the rest.
    return Texts(exact=exact_digests(*utf8(text), config), grams=grams.copy(), bounds=bounds)


def joined(parts: Sequence[Texts]) -> Texts:
    """One Texts with the texts of all parts. At least one part."""
    starts = np.cumsum([0, *(len(part.grams) for part in parts)])
    bounds = [part.bounds[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
    return Texts(
        exact=np.concatenate([part.exact for part in parts]),
        grams=np.concatenate([part.grams for part in parts]),
        bounds=np.concatenate([*bounds, starts[-1:]]),
    )


def equal(a: Texts, rows_a: Rows, b: Texts, rows_b: Rows) -> npt.NDArray[np.bool_]:
    """For each pair of rows, whether they are exact duplicates."""
    return np.asarray((a.exact[rows_a] == b.exact[rows_b]).all(axis=1), dtype=np.bool_)


def similar(a: Texts, rows_a: Rows, b: Texts, rows_b: Rows) -> npt.NDArray[np.float64]:
    """For each pair of rows, the Jaccard similarity of the n-gram sets.

    0 if both sets are empty, as for texts shorter than an n-gram.
    """
    spans = [np.stack([texts.bounds[rows], texts.bounds[rows + 1]], axis=1) for texts, rows in ((a, rows_a), (b, rows_b))]
    return np.asarray(ngrams.similarities(a.grams, b.grams, *spans), dtype=np.float64)
