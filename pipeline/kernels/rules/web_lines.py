"""C4's line rules over one text: which lines stay, the counts that page rules need, and the edits that remove the rest.

Guarantee: the order and the thresholds of the rules are those of datatrove 0.10.1's C4QualityFilter. Applying the edits to the
text gives the lines that stay, without white space around them, joined by newlines.
Cost: 2 to 4 ns per byte, plus splitting the lines that stay into words. Nothing is allocated.

Source: Raffel et al. 2020 (JMLR 21/140), section 2.2, and the code of its data set for long words and policy phrases.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.rules import phrases
from tokenmill.pipeline.kernels.text.buffers import copy
from tokenmill.pipeline.kernels.text.spaces import find, read_line, stripped_start, stripped_stop
from tokenmill.pipeline.kernels.text.utf8 import decode
from tokenmill.pipeline.kernels.words import classes
from tokenmill.pipeline.kernels.words.split import sentences, split

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

NEWLINE = 0x0A
_EDIT, _CITATION_NEEDED = b"edit]", b"citation needed]"


class Rules(NamedTuple):
    """Which lines are removed, by the settings of the same names. A word here is a chunk between white space."""

    max_line_word_characters: int
    min_line_words: int
    terminal_punctuation: bool
    no_javascript: bool
    no_policy: bool
    no_citations: bool


class WordColumns(NamedTuple):
    """Room for the words of a text; the columns are those that `words.split` writes."""

    starts: Places
    ends: Places
    characters: npt.NDArray[np.int32]
    flags: Bytes
    hashes: npt.NDArray[np.uint64]


class Edits(NamedTuple):
    """What is removed: the bytes [start, end) of a text, and whether a newline replaces them."""

    starts: Places
    ends: Places
    newlines: npt.NDArray[np.bool_]


class Pieces(NamedTuple):
    """What stays of a text, in order: spans of its bytes, and whether each begins a line."""

    starts: Places
    ends: Places
    begins: npt.NDArray[np.bool_]


@leaf
def split_into(data: Bytes, start: int, stop: int, tables: classes.Tables, words: WordColumns) -> int:
    """Split `data[start:stop]` into `words`; returns the number of words."""
    return split(data, start, stop, tables, words.starts, words.ends, words.characters, words.flags, words.hashes)


@leaf
def _stands(data: Bytes, at: int, stop: int, word: bytes) -> bool:
    i = 0
    while i < len(word) and at + i < stop and data[at + i] == word[i]:
        i += 1
    return i == len(word)


@leaf
def citation_end(data: Bytes, at: int, stop: int, tables: classes.Tables) -> int:
    r"""The end of the citation (`\[\d*]|\[edit]|\[citation needed]`) whose bracket stands at `at`; -1 if it is none."""
    at += 1
    if _stands(data, at, stop, _EDIT):
        return at + len(_EDIT)
    if _stands(data, at, stop, _CITATION_NEEDED):
        return at + len(_CITATION_NEEDED)
    lookup = tables.classes
    while at < stop:
        if data[at] == 0x5D:
            return at + 1
        code, after = decode(data, at, stop)
        cell = lookup[np.int64(lookup[code >> 8]) + (code & 0xFF)]
        if cell & (classes.ALPHANUMERIC | classes.LETTER) != classes.ALPHANUMERIC:
            return -1
        at = after
    return -1


@leaf
def _cut(data: Bytes, start: int, stop: int, tables: classes.Tables, pieces: Pieces, count: int) -> int:
    """Add the pieces between the citations of a line: at least one, so that a line of citations only is still a line."""
    first = count
    at = find(data, start, stop, 0x5B)
    while at < stop:
        end = citation_end(data, at, stop, tables)
        if end < 0:
            at = find(data, at + 1, stop, 0x5B)
            continue
        if at > start:
            pieces.starts[count], pieces.ends[count], pieces.begins[count] = start, at, count == first
            count += 1
        start = end
        at = find(data, end, stop, 0x5B)
    pieces.starts[count], pieces.ends[count], pieces.begins[count] = start, stop, count == first
    return count + 1


@leaf
def _ends_a_sentence(data: Bytes, start: int, stop: int) -> bool:
    if start == stop or data[stop - 1] not in (0x2E, 0x3F, 0x21, 0x22, 0x27):
        return False
    return not (stop - start >= 3 and data[stop - 1] == 0x2E and data[stop - 2] == 0x2E and data[stop - 3] == 0x2E)


@leaf
def leave(
    data: Bytes,
    size: int,
    rules: Rules,
    tables: classes.Tables,
    words: WordColumns,
    count: int,
    pieces: Pieces,
    line: Bytes,
    line_words: WordColumns,
) -> tuple[int, int, int, int, int, int]:
    """Apply the rules to `data[:size]`.

    Returns the first piece that stays and the end of the pieces; the number of lines with "lorem ipsum" and of lines with "{";
    and the number of sentences and of words in the lines that stay. A line that an earlier rule removes is not counted by a
    later one. `words` holds the `count` words of the text; with a negative `count` they are unknown, and each line is split by
    itself. `line` and `line_words` are scratch for one line.
    """
    last = lorem_ipsum = curly = sentence_count = word_count = 0
    word = 0
    at = 0
    while at < size:
        start, end, chunks, long, at = read_line(data, at, size, rules.max_line_word_characters)
        if long:
            continue
        first = last
        cut = False
        if rules.no_citations:
            last = _cut(data, start, end, tables, pieces, first)
            cut = pieces.starts[first] != start or pieces.ends[first] != end
        else:
            pieces.starts[first], pieces.ends[first], pieces.begins[first] = start, end, True
            last = first + 1
        kept, source, begin, stop = last, data, start, end
        if cut:
            source, begin, stop = line, 0, 0
            for piece in range(first, kept):
                copy(data, pieces.starts[piece], pieces.ends[piece] - pieces.starts[piece], line, stop)
                stop += pieces.ends[piece] - pieces.starts[piece]
        last = first
        if rules.terminal_punctuation and not _ends_a_sentence(source, begin, stop):
            continue
        if chunks < rules.min_line_words:
            continue
        found = phrases.find(source, begin, stop)
        lorem_ipsum += found & phrases.LOREM_IPSUM != 0
        if rules.no_javascript and found & phrases.JAVASCRIPT:
            continue
        curly += found & phrases.CURLY != 0
        if rules.no_policy and found & phrases.POLICY:
            continue
        last = kept
        if cut or count < 0:
            of_line = split_into(source, begin, stop, tables, line_words)
            sentence_count += sentences(line_words.flags, 0, of_line)
            word_count += of_line
        else:
            while word < count and words.starts[word] < start:
                word += 1
            before = word
            while word < count and words.starts[word] < end:
                word += 1
            sentence_count += sentences(words.flags, before, word)
            word_count += word - before
    first, last = _trim(data, pieces, last)
    return first, last, lorem_ipsum, curly, sentence_count, word_count


@leaf
def _trim(data: Bytes, pieces: Pieces, last: int) -> tuple[int, int]:
    """Remove blank pieces at both ends, and the white space at the start of the first piece and the end of the last."""
    first = 0
    while first < last and stripped_start(data, pieces.starts[first], pieces.ends[first]) == pieces.ends[first]:
        first += 1
    while first < last and stripped_start(data, pieces.starts[last - 1], pieces.ends[last - 1]) == pieces.ends[last - 1]:
        last -= 1
    if first < last:
        pieces.starts[first] = stripped_start(data, pieces.starts[first], pieces.ends[first])
        pieces.ends[last - 1] = stripped_stop(data, pieces.starts[last - 1], pieces.ends[last - 1])
    return first, last


@leaf
def gaps(
    data: Bytes,
    size: int,
    pieces: Pieces,
    first: int,
    last: int,
    edits: Edits,
    count: int,
) -> int:
    """Add to `edits`, from `count` on, the gaps between the pieces; one newline stays of a gap between lines.

    Each edit removes at least one byte, so a text has at most `size` edits. Returns where the next text's edits begin.
    """
    starts, ends, newlines = edits.starts, edits.ends, edits.newlines
    position = 0
    for piece in range(first, last):
        start = pieces.starts[piece]
        newline = -1
        begins = pieces.begins[piece] and piece > first
        if begins:
            newline = find(data, position, start, NEWLINE)
            if newline == start:
                newline = -1
        if newline >= 0:
            if position < newline:
                starts[count], ends[count], newlines[count] = position, newline, False
                count += 1
            position = newline + 1
        if position < start:
            starts[count], ends[count], newlines[count] = position, start, begins and newline < 0
            count += 1
        position = pieces.ends[piece]
    if position < size:
        starts[count], ends[count], newlines[count] = position, size, False
        count += 1
    return count


@leaf
def join(data: Bytes, pieces: Pieces, first: int, last: int, out: Bytes) -> int:
    """Write the text that stays to `out`; returns its size in bytes."""
    size = 0
    for piece in range(first, last):
        if pieces.begins[piece] and piece > first:
            out[size] = NEWLINE
            size += 1
        copy(data, pieces.starts[piece], pieces.ends[piece] - pieces.starts[piece], out, size)
        size += pieces.ends[piece] - pieces.starts[piece]
    return size
