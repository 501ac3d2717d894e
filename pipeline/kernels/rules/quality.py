"""All counts that quality rules need, over a column of texts in one pass.

Purpose: a text is split into words and lines once, and every rule uses that; `tokenmill.pipeline.stages.quality` turns the
counts into ratios and compares them with thresholds.
Guarantee: only wanted counts are computed; the counts of a text do not depend on the texts around it.
Cost: about 20 ns per byte of English for all counts, 4 to 7 ns for those without n-grams. Scratch memory is 12 bytes per byte
of the longest text for prose, 90 if every byte is a word; untouched memory is never taken from the system.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.rules import fingerprints, slots
from tokenmill.pipeline.kernels.rules.repetition import duplicate_characters, fingerprint_words, most_frequent, parts, repeated
from tokenmill.pipeline.kernels.rules.web_lines import Edits, Pieces, Rules, WordColumns, gaps, join, leave, split_into
from tokenmill.pipeline.kernels.text.buffers import copy
from tokenmill.pipeline.kernels.text.lines import edged_lines, marks, written_lines
from tokenmill.pipeline.kernels.text.masks import BLOCK
from tokenmill.pipeline.kernels.text.ngrams import ngram_hashes
from tokenmill.pipeline.kernels.text.spaces import characters, stripped_start, stripped_stop
from tokenmill.pipeline.kernels.words import classes, word_counts
from tokenmill.pipeline.kernels.words.split import STOP_WORD_SHIFT
from tokenmill.pipeline.kernels.words.word_counts import count_words

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

# The columns of the counts. Counts of the whole text:
CHARACTERS = 0
LINES, DUPLICATE_LINES, DUPLICATE_LINE_CHARACTERS = 1, 2, 3
PARAGRAPHS, DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARACTERS = 4, 5, 6
TOP_2GRAM = 7
"""Characters of the most frequent 2-gram, its space included, times its count; 3- and 4-grams follow."""
DUPLICATE_5GRAM = 10
"""Characters in 5-grams that occurred before; 6- to 10-grams follow."""
ALL_WORDS, WORDS, WORD_CHARACTERS, ALPHABETIC_WORDS, STOP_WORDS = 16, 17, 18, 19, 20
"""`WORDS` and `WORD_CHARACTERS` leave out words made of symbols only. `STOP_WORDS` counts distinct stop words."""
HASHES, ELLIPSES = 21, 22
SPLIT_LINES, BULLET_LINES, ELLIPSIS_LINES = 23, 24, 25
# Counts that C4's line rules make: of the lines that reach a rule, and sentences of the lines that stay:
LOREM_IPSUM_LINES, CURLY_BRACKET_LINES, SENTENCES = 26, 27, 28
# Counts of the text that the line rules leave; without line rules, of the whole text:
REST_LINES, PUNCTUATED_LINES, SHORT_LINES, DUPLICATE_CHARACTERS = 29, 30, 31, 32
REST_CHARACTERS = 33
"""Newlines are not counted."""
NEWLINES, REST_WORDS = 34, 35
COUNTS = 36

TOP = (2, 5)
DUPLICATE = (5, 11)


class QualityTables(NamedTuple):
    """Tables that the kernels look up."""

    words: classes.Tables
    terminal: Places
    powers: npt.NDArray[np.uint64]


class Scratch(NamedTuple):
    """Scratch memory for the longest text."""

    text: Bytes
    rest: Bytes
    line: Bytes
    words: WordColumns
    line_words: WordColumns
    pieces: Pieces
    keys: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.int32]
    fingerprints: npt.NDArray[np.uint64]
    places: Places
    slots: slots.Slots
    chunks: npt.NDArray[np.uint64]


def tables() -> QualityTables:
    """The tables of this process. `terminal`: sorted code points of the marks that end a sentence."""
    powers = np.empty(fingerprints.POWERS, dtype=np.uint64)
    fingerprints.fill_powers(powers)
    return QualityTables(
        words=classes.tables(), terminal=np.array(sorted(map(ord, classes.TERMINAL)), dtype=np.int64), powers=powers
    )


def scratch(longest_bytes: int) -> Scratch:
    """Make scratch memory for texts of up to `longest_bytes` bytes."""
    room = longest_bytes + 1

    def words() -> WordColumns:
        return WordColumns(
            starts=np.empty(room, dtype=np.int64),
            ends=np.empty(room, dtype=np.int64),
            characters=np.empty(room, dtype=np.int32),
            flags=np.empty(room, dtype=np.uint8),
            hashes=np.empty(room, dtype=np.uint64),
        )

    return Scratch(
        text=np.empty(longest_bytes + BLOCK, dtype=np.uint8),
        rest=np.empty(longest_bytes + BLOCK, dtype=np.uint8),
        line=np.empty(longest_bytes + BLOCK, dtype=np.uint8),
        words=words(),
        line_words=words(),
        pieces=Pieces(
            starts=np.empty(room, dtype=np.int64), ends=np.empty(room, dtype=np.int64), begins=np.empty(room, dtype=np.bool_)
        ),
        keys=np.empty(room, dtype=np.uint64),
        counts=np.empty(room, dtype=np.int32),
        fingerprints=np.empty(room, dtype=np.uint64),
        places=np.empty(room, dtype=np.int64),
        slots=slots.make(room),
        chunks=word_counts.remembered(),
    )


def edits(most: int) -> Edits:
    """Make room for `most` edits; a text has at most one edit per byte."""
    return Edits(
        starts=np.empty(most, dtype=np.int64), ends=np.empty(most, dtype=np.int64), newlines=np.empty(most, dtype=np.bool_)
    )


@leaf
def _any(wanted: npt.NDArray[np.bool_], first: int, last: int) -> bool:
    found = False
    for column in range(first, last + 1):
        found |= wanted[column]
    return found


@leaf
def _count_words(words: WordColumns, count: int, out: Places) -> None:
    plain = letters = alphabetic = seen = 0
    for word in range(count):
        flags = words.flags[word]
        if not flags & classes.SYMBOLIC:
            plain += 1
            letters += words.characters[word]
        alphabetic += flags & classes.ALPHABETIC != 0
        seen |= 1 << (flags >> STOP_WORD_SHIFT)
    out[WORDS], out[WORD_CHARACTERS], out[ALPHABETIC_WORDS] = plain, letters, alphabetic
    for bit in range(1, 1 + len(classes.STOP_WORDS)):
        out[STOP_WORDS] += seen >> bit & 1


@leaf
def _count_repeated(size: int, wanted: npt.NDArray[np.bool_], work: Scratch, out: Places) -> None:
    text, starts, ends = work.text, work.pieces.starts, work.pieces.ends
    if _any(wanted, LINES, DUPLICATE_LINE_CHARACTERS):
        out[LINES] = parts(text, 0, size, 1, starts, ends)
        out[DUPLICATE_LINES], out[DUPLICATE_LINE_CHARACTERS] = repeated(text, starts, ends, out[LINES], work.keys, work.slots)
    if _any(wanted, PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARACTERS):
        begin = stripped_start(text, 0, size)
        out[PARAGRAPHS] = parts(text, begin, stripped_stop(text, begin, size), 2, starts, ends)
        out[DUPLICATE_PARAGRAPHS], out[DUPLICATE_PARAGRAPH_CHARACTERS] = repeated(
            text, starts, ends, out[PARAGRAPHS], work.keys, work.slots
        )


@leaf
def _count_ngrams(
    count: int, wanted: npt.NDArray[np.bool_], powers: npt.NDArray[np.uint64], work: Scratch, out: Places
) -> None:
    words = work.words
    for n in range(*TOP):
        if wanted[TOP_2GRAM + n - 2]:
            ngrams = ngram_hashes(words.hashes, count, n, work.keys)
            best, often = most_frequent(work.keys, ngrams, work.counts, work.slots)
            if often:
                letters = n - 1
                for word in range(best, best + n):
                    letters += words.characters[word]
                out[TOP_2GRAM + n - 2] = letters * often
    if _any(wanted, DUPLICATE_5GRAM, DUPLICATE_5GRAM + 5):
        fingerprint_words(work.text, words.starts, words.ends, count, powers, work.fingerprints, work.places)
        for n in range(*DUPLICATE):
            if wanted[DUPLICATE_5GRAM + n - 5]:
                out[DUPLICATE_5GRAM + n - 5] = duplicate_characters(
                    n, count, work.fingerprints, work.places, words.characters, powers, work.keys, work.slots
                )


@leaf
def _count_rest(text: Bytes, size: int, terminal: Places, work: Scratch, out: Places) -> None:
    starts, ends = work.pieces.starts, work.pieces.ends
    out[REST_LINES], out[PUNCTUATED_LINES], out[SHORT_LINES], out[NEWLINES] = written_lines(text, size, terminal, starts, ends)
    _, out[DUPLICATE_CHARACTERS] = repeated(text, starts, ends, out[REST_LINES], work.keys, work.slots)
    out[REST_CHARACTERS] = characters(text, 0, size) - out[NEWLINES]


@leaf
def count(
    data: Bytes,
    offsets: Places,
    first: int,
    last: int,
    wanted: npt.NDArray[np.bool_],
    web: bool,
    rules: Rules,
    lookup: QualityTables,
    work: Scratch,
    out: npt.NDArray[np.int64],
    removed: Edits,
    bounds: Places,
) -> int:
    """Fill `out[first:last]` (int64 [rows, COUNTS], zeros) for the texts `data[offsets[i]:offsets[i + 1]]`.

    `wanted`, bool [COUNTS], says which counts are needed; others of the same kind may be filled too. `web` says whether C4's
    line `rules` are applied; if so, `removed` receives the edits of all texts end to end. bounds[i + 1] receives where the
    edits of text i end. Returns the number of edits.
    """
    need_words = _any(wanted, TOP_2GRAM, STOP_WORDS)
    need_rest = _any(wanted, REST_LINES, REST_WORDS)
    edit_count = 0
    text = work.text
    for row in range(first, last):
        begin, size = offsets[row], offsets[row + 1] - offsets[row]
        copy(data, begin, size, text, 0)
        found = out[row]
        found[CHARACTERS] = characters(text, 0, size)
        _count_repeated(size, wanted, work, found)
        words = -1
        if need_words:
            words = split_into(text, 0, size, lookup.words, work.words)
            found[ALL_WORDS] = words
            _count_words(work.words, words, found)
            _count_ngrams(words, wanted, lookup.powers, work, found)
        if _any(wanted, HASHES, ELLIPSES):
            found[HASHES], found[ELLIPSES] = marks(text, size)
        if _any(wanted, SPLIT_LINES, ELLIPSIS_LINES):
            found[SPLIT_LINES], found[BULLET_LINES], found[ELLIPSIS_LINES] = edged_lines(text, size)
        rest = text
        if wanted[REST_WORDS] and not web:
            starts, ends = work.words.starts, work.words.ends
            found[REST_WORDS] = words if need_words else count_words(text, 0, size, lookup.words, starts, ends, work.chunks)
        if web:
            left, right, found[LOREM_IPSUM_LINES], found[CURLY_BRACKET_LINES], found[SENTENCES], found[REST_WORDS] = leave(
                text, size, rules, lookup.words, work.words, words, work.pieces, work.line, work.line_words
            )
            edit_count = gaps(text, size, work.pieces, left, right, removed, edit_count)
            if need_rest:
                rest, size = work.rest, join(text, work.pieces, left, right, work.rest)
        bounds[row + 1] = edit_count
        if need_rest:
            _count_rest(rest, size, lookup.terminal, work, found)
    return edit_count
