"""C4's line rules in the stage `quality`: which rules are on, and the column of their edits.

Purpose: lines without a sentence (menus, notices, captions) are removed from a page before the page rules judge it.
Guarantee: applying the edits to the text gives the text that is judged: the lines that stay, without white space around them,
joined by newlines. `tokenmill.pipeline.kernels.rules.web_lines` implements the rules.
Cost: none in addition to the kernel's; the columns wrap its arrays.

Source: Raffel et al. 2020 (JMLR 21/140), section 2.2, and the code of its data set for long words and policy phrases.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.kernels.rules.web_lines import Edits, Rules

REMOVED = pa.field(
    "removed",
    pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("replacement", pa.string())])),
)
"""The edits of the line rules, in bytes of the scored text."""

_ANY_LENGTH = 1 << 62


@dataclass(frozen=True, kw_only=True)
class LineRules:
    """Which lines are removed. Names and meanings are those of `config.Thresholds`. By default no rule is on."""

    max_line_word_characters: int | None = None
    min_line_words: int | None = None
    terminal_punctuation: bool = False
    no_javascript: bool = False
    no_policy: bool = False
    no_citations: bool = False


def kernel_rules(rules: LineRules | None) -> Rules:
    """The rules in the form that the kernel takes."""
    rules = rules or LineRules()
    return Rules(
        max_line_word_characters=_ANY_LENGTH if rules.max_line_word_characters is None else rules.max_line_word_characters,
        min_line_words=rules.min_line_words or 0,
        terminal_punctuation=rules.terminal_punctuation,
        no_javascript=rules.no_javascript,
        no_policy=rules.no_policy,
        no_citations=rules.no_citations,
    )


def removed_column(edits: Edits, bounds: npt.NDArray[np.int64]) -> pa.Array:
    """The column REMOVED. Row i has the edits bounds[i] to bounds[i + 1]. bounds: int64 [rows + 1]"""
    ends = np.concatenate([[0], np.cumsum(edits.newlines)]).astype(np.int32)
    newlines = pa.StringArray.from_buffers(len(edits.newlines), pa.py_buffer(ends), pa.py_buffer(b"\n" * int(ends[-1])))
    fields = list(REMOVED.type.value_type)
    spans = pa.StructArray.from_arrays([pa.array(edits.starts), pa.array(edits.ends), newlines], fields=fields)
    return pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), spans, type=REMOVED.type)


def removed(column: pa.Array) -> list[list[tuple[int, int, str]]]:
    """The edits of each row of a column REMOVED: (start, end, replacement), in bytes."""
    starts, ends, replacements = (part.to_pylist() for part in column.flatten().flatten())
    edits = list(zip(starts, ends, replacements, strict=True))
    bounds = np.concatenate([[0], np.cumsum(column.value_lengths())]).tolist()
    return [edits[begin:end] for begin, end in itertools.pairwise(bounds)]
