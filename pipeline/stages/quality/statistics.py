"""Statistics of texts, which the quality rules compare with thresholds. Each is a count or the ratio of two counts.

Purpose: kernels count (see `pipeline.kernels.rules.quality`); this module says which counts form which statistic, and its
source.
Guarantee: a ratio with denominator 0 is 0; any other ratio is the float nearest to the quotient of the integers. Boundaries
and denominators are those of datatrove 0.10.1. A text's statistics do not depend on the texts around it.
Cost: one pass over the texts, in groups of 16 MB or of one longer text. The longest text bounds the memory. Scratch for texts
of up to 16 MB is kept between calls.

Sources: Gopher, Rae et al. 2021 (arXiv 2112.11446), section A1.1 (quality) and table A1 (repetition); C4, Raffel et al. 2020
(JMLR 21/140), section 2.2; FineWeb, Penedo et al. 2024 (arXiv 2406.17557), section 3.4.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.kernels.rules import quality as kernel
from tokenmill.pipeline.kernels.rules.web_lines import Edits
from tokenmill.pipeline.kernels.text import buffers
from tokenmill.pipeline.stages.quality.lines import LineRules, kernel_rules, removed_column

GROUP_BYTES = 16_000_000
"""Most bytes of text per call of the kernel, or one longer text. Scratch for edits has this size."""
_KEPT = threading.local()


class Statistic(NamedTuple):
    """Columns of the kernel's counts. Without `whole`: the count, as int32. With it: the ratio part / whole, as float64."""

    part: int
    whole: int | None = None


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        # Gopher, repetition. Newlines separate lines, two or more separate paragraphs. A first occurrence is not a repetition.
        "duplicate_paragraphs": Statistic(kernel.DUPLICATE_PARAGRAPHS, kernel.PARAGRAPHS),
        "duplicate_paragraph_characters": Statistic(kernel.DUPLICATE_PARAGRAPH_CHARACTERS, kernel.CHARACTERS),
        "duplicate_lines": Statistic(kernel.DUPLICATE_LINES, kernel.LINES),
        "duplicate_line_characters": Statistic(kernel.DUPLICATE_LINE_CHARACTERS, kernel.CHARACTERS),
        # Characters of the most frequent n-gram (ties: the first one), with its spaces, times its count.
        **{f"top_{n}gram": Statistic(kernel.TOP_2GRAM + n - 2, kernel.CHARACTERS) for n in range(*kernel.TOP)},
        # Characters, without spaces, of n-grams that occurred before, counted from the left and without overlap.
        **{
            f"duplicate_{n}gram": Statistic(kernel.DUPLICATE_5GRAM + n - 5, kernel.CHARACTERS) for n in range(*kernel.DUPLICATE)
        },
        # Gopher, quality. `words` and their mean exclude words that are all symbols; the other shares include them.
        "words": Statistic(kernel.WORDS),
        "mean_word_characters": Statistic(kernel.WORD_CHARACTERS, kernel.WORDS),
        "hashes_per_word": Statistic(kernel.HASHES, kernel.ALL_WORDS),
        "ellipses_per_word": Statistic(kernel.ELLIPSES, kernel.ALL_WORDS),
        "bullet_lines": Statistic(kernel.BULLET_LINES, kernel.SPLIT_LINES),
        "ellipsis_lines": Statistic(kernel.ELLIPSIS_LINES, kernel.SPLIT_LINES),
        "alphabetic_words": Statistic(kernel.ALPHABETIC_WORDS, kernel.ALL_WORDS),
        "stop_words": Statistic(kernel.STOP_WORDS),
        # C4. The first two count lines that no earlier line rule removed, `sentences` counts in the text that they all leave.
        "lorem_ipsum_lines": Statistic(kernel.LOREM_IPSUM_LINES),
        "curly_bracket_lines": Statistic(kernel.CURLY_BRACKET_LINES),
        "sentences": Statistic(kernel.SENTENCES),
        # FineWeb, over the text that C4's line rules leave. Blank lines do not count.
        "punctuated_lines": Statistic(kernel.PUNCTUATED_LINES, kernel.REST_LINES),
        "short_lines": Statistic(kernel.SHORT_LINES, kernel.REST_LINES),
        "duplicate_characters": Statistic(kernel.DUPLICATE_CHARACTERS, kernel.REST_CHARACTERS),
        "newlines_per_word": Statistic(kernel.NEWLINES, kernel.REST_WORDS),
    }
)


def type_of(statistic: str) -> pa.DataType:
    """The Arrow type of a statistic's column."""
    return pa.int32() if STATISTICS[statistic].whole is None else pa.float64()


@functools.cache
def tables() -> kernel.QualityTables:
    """The lookup tables of the kernel, made once per process."""
    return kernel.tables()


def measure(texts: pa.LargeStringArray, names: Collection[str], rules: LineRules | None) -> tuple[list[pa.Array], pa.Array]:
    """The statistics `names` of each text, and the edits of C4's line `rules` (None: no text is edited)."""
    data, offsets = buffers.utf8(texts)
    wanted = np.zeros(kernel.COUNTS, dtype=np.bool_)
    for name in names:
        wanted[[column for column in STATISTICS[name] if column is not None]] = True
    counts = np.zeros((len(texts), kernel.COUNTS), dtype=np.int64)
    groups = list(_groups(offsets))
    room = max((int(offsets[last] - offsets[first]) for first, last in groups), default=0) if rules else 0
    work = _scratch(int(np.diff(offsets).max(initial=0)))
    edits = kernel.edits(room)
    taken = [kernel.edits(0)]
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    for first, last in groups:
        before = bounds[first]
        bounds[first] = 0
        count = kernel.count(
            data, offsets, first, last, wanted, rules is not None, kernel_rules(rules), tables(), work, counts, edits, bounds
        )
        bounds[first : last + 1] += before
        taken.append(Edits(edits.starts[:count].copy(), edits.ends[:count].copy(), edits.newlines[:count].copy()))
    removed = Edits(
        starts=np.concatenate([part.starts for part in taken]),
        ends=np.concatenate([part.ends for part in taken]),
        newlines=np.concatenate([part.newlines for part in taken]),
    )
    return [_column(counts, STATISTICS[name]) for name in names], removed_column(removed, bounds)


def _scratch(longest_bytes: int) -> kernel.Scratch:
    """Scratch for texts of up to `longest_bytes`. Each thread keeps its own: fresh memory per batch costs a tenth of the
    time.
    """
    if longest_bytes > GROUP_BYTES:
        return kernel.scratch(longest_bytes)
    kept: kernel.Scratch | None = getattr(_KEPT, "scratch", None)
    if kept is None or len(kept.places) <= longest_bytes:
        _KEPT.scratch = kept = kernel.scratch(1 << longest_bytes.bit_length())
    return kept


def _groups(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of rows with at most `GROUP_BYTES` of text, or with one row."""
    first = 0
    while first < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[first] + GROUP_BYTES, side="right")) - 1
        last = max(first + 1, end)
        yield first, last
        first = last


def _column(counts: npt.NDArray[np.int64], statistic: Statistic) -> pa.Array:
    part = counts[:, statistic.part]
    if statistic.whole is None:
        return pa.array(part.astype(np.int32))
    whole = counts[:, statistic.whole]
    return pa.array(np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0))
