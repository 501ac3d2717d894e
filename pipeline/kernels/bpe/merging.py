"""The merge loop of byte-pair encoding over distinct words with counts.

Purpose: the most frequent pair of neighbouring tokens becomes a token, again and again.
Guarantee: merges, ties and counts are those of `tokenizers`' BpeTrainer. Its less obvious rules: of equally frequent pairs, the
one with the lower ids comes first; a pair's count is looked up again when its turn comes; a pair whose bytes are an existing
token (`a bc` after `ab c`) merges into that token, and if this adds to a pair that was queued before, the pair is queued once
more, with the new words; the count of a merged pair stays as it was.
Cost: except for the queue, linear in the bytes of the words, since a merge visits only the places of its pair. 16 bytes per
byte of the words, most of it for places; pairs cost what `queue` says.

How: a token of k bytes takes k cells of one array. Its first and its last cell hold its id, so a token's neighbours are found
from their sizes: without links, in one or two cache lines. A list of places may be out of date; it is checked when its turn
comes. Words stand in descending order of their counts; a stretch is a run of words with equal counts, and a place has the
count of its stretch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tokenmill.pipeline.kernels.bpe.neighbours import Side, count_pairs, note
from tokenmill.pipeline.kernels.bpe.queue import (
    COUNT,
    DONE,
    ENTRIES,
    HEAPED,
    LEAST,
    MERGES,
    PAIR,
    PAIRS,
    PLACES,
    SHARED,
    SIZE,
    START,
    Int32s,
    Queue,
    enqueue,
    key_of,
    pop,
    refill,
    sift_down,
    slot_of,
)
from tokenmill.pipeline.kernels.bpe.tally import START as TOKEN_START
from tokenmill.pipeline.kernels.bpe.tally import Tally, arena_used, find_or_add
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.kernels.words.lookups import Bytes, Places

BETWEEN = -1
"""The cell before, between and behind words."""
INSIDE = -2
"""A cell inside a token: neither its first nor its last one."""


class TokenizedWords(NamedTuple):
    """The text as tokens, and how often each word occurs."""

    cells: Int32s
    """int32 [bytes + words + 1]: ids, BETWEEN and INSIDE."""
    stretches: Places
    """int64 [stretches + 1]: the cell where each stretch begins, and the number of cells."""
    counts: Places
    """int64 [stretches]: how often each word of a stretch occurs, in descending order."""


class Vocabulary(NamedTuple):
    """Tokens by their bytes, and merges."""

    table: Tally
    """Its entries are the tokens that a merge can make or use: all except special tokens that are not spelled in bytes."""
    ids: Int32s
    """int32 [ids]: the id of an entry."""
    entries: Int32s
    """int32 [ids]: the entry of an id."""
    sizes: Int32s
    """int32 [ids]: the size in bytes of a token."""
    merges: Int32s
    """int32 [merges, 3]: the ids of the first token, the second token and the token made."""
    used: Places
    """int64 [1]: the number of ids in use."""


@leaf
def begin(
    data: Bytes, offsets: Places, byte_ids: Int32s, words: TokenizedWords, queue: Queue, sizes: Places, totals: Places
) -> None:
    """Lay out the words `data[offsets[i]:offsets[i + 1]]` as tokens of single bytes, and queue their pairs.

    `words.cells` has one cell per byte, per word, and one more; `sizes` and `totals` are zeros, int64 [65536].
    """
    cells, stretches, counts = words
    stretch = 0
    pair: Integer
    for word in range(len(offsets) - 1):
        to = offsets[word] - offsets[0] + word
        cells[to] = BETWEEN
        while to >= stretches[stretch + 1]:
            stretch += 1
        for at in range(offsets[word], offsets[word + 1]):
            to += 1
            cells[to] = byte_ids[data[at]]
            if at > offsets[word]:
                pair = np.int64(data[at - 1]) << 8 | np.int64(data[at])
                sizes[pair] += 1
                totals[pair] += counts[stretch]
    cells[len(cells) - 1] = BETWEEN
    for total in totals:
        queue.state[LEAST] = max(queue.state[LEAST], total + 1)
    for pair in range(len(sizes)):
        if sizes[pair]:
            key = key_of(byte_ids[pair >> 8], byte_ids[pair & 0xFF])
            slot = slot_of(queue, key)
            queue.pairs[slot, 1] = 2 * totals[pair]
            enqueue(queue, slot, sizes[pair])
            sizes[pair] = queue.state[PLACES] - sizes[pair]
    for word in range(len(offsets) - 1):
        to = offsets[word] - offsets[0] + word
        for at in range(offsets[word] + 1, offsets[word + 1]):
            to += 1
            pair = np.int64(data[at - 1]) << 8 | np.int64(data[at])
            queue.places[sizes[pair]] = to
            sizes[pair] += 1


@leaf
def merge(
    words: TokenizedWords,
    queue: Queue,
    vocabulary: Vocabulary,
    left: Side,
    right: Side,
    most_ids: Integer,
    min_count: Integer,
    most_bytes: Integer,
    reserved: Integer,
) -> bool:
    """Merge until there are `most_ids` ids or no pair occurs `min_count` times; then return True.

    Returns False if an array is full: grow it and call again. A pair of `most_bytes` bytes or more is not counted and so never
    merged. A pair that spells an id below `reserved` stays two tokens.
    """
    entries, heap, state = queue.entries, queue.heap, queue.state
    while vocabulary.used[0] < most_ids:
        if state[HEAPED] == 0 and not refill(queue, min_count):
            return True
        if state[HEAPED] == 0:
            continue
        entry = heap[0]
        pair = entries[entry, PAIR]
        count = queue.pairs[slot_of(queue, pair), 1] >> 1
        if count != entries[entry, COUNT]:
            entries[entry, COUNT] = count
            if count < state[LEAST]:
                pop(queue)
            else:
                sift_down(queue, entry)
            continue
        if count < max(min_count, 1):
            return True
        first, second = pair >> 32, pair & 0xFFFFFFFF
        size = vocabulary.sizes[first] + vocabulary.sizes[second]
        most_pairs = 2 * min(count, vocabulary.used[0] + 1)
        if (
            state[ENTRIES] + most_pairs > len(entries)
            or 2 * (state[PAIRS] + most_pairs) > len(queue.pairs)
            or state[MERGES] == len(vocabulary.merges)
            or arena_used(vocabulary.table) + 2 * size + 16 > len(vocabulary.table.arena)
        ):
            return False
        pop(queue)
        entries[entry, COUNT] = DONE
        made = _token(vocabulary, first, second)
        if made < reserved:
            continue
        for column, token in enumerate((first, second, made)):
            vocabulary.merges[state[MERGES], column] = token
        state[MERGES] += 1
        _replace(words, queue, vocabulary, left, right, entry, first, second, made)
        count_pairs(queue, vocabulary.sizes, left, right, first, second, made, most_bytes)
    return True


@inlined
def _replace(
    words: TokenizedWords,
    queue: Queue,
    vocabulary: Vocabulary,
    left: Side,
    right: Side,
    entry: Integer,
    first: Integer,
    second: Integer,
    made: Integer,
) -> None:
    """Replace the pair by `made` at the places of `entry`, and note the neighbours."""
    cells, sizes = words.cells, vocabulary.sizes
    start = queue.entries[entry, START]
    stop = start + queue.entries[entry, SIZE]
    behind = sizes[first]
    low: Integer = 0
    high: Integer = 0
    weight: Integer = 0
    at: Integer
    if not queue.pairs[slot_of(queue, queue.entries[entry, PAIR]), 1] & SHARED:
        for i in range(start, stop):
            at = np.int64(queue.places[i])
            if cells[at] == first and cells[at + behind] == second:
                if not low <= at < high:
                    low, high, weight = _stretch(words, at)
                _join(cells, sizes, left, right, at, behind, made, weight)
        return
    end: Integer = 0
    for i in range(start, stop):
        at = np.int64(queue.places[i])
        if low <= at < end:
            continue
        while cells[at - 1] != BETWEEN:
            at -= 1
        low, high, weight = _stretch(words, at)
        low = at
        while cells[at] != BETWEEN:
            if cells[at] == first and cells[at + behind] == second:
                _join(cells, sizes, left, right, at, behind, made, weight)
            at += sizes[cells[at]]
        end = at


@inlined
def _join(
    cells: Int32s, sizes: Int32s, left: Side, right: Side, at: Integer, behind: Integer, made: Integer, weight: Integer
) -> None:
    """Merge the tokens at `at` and `at + behind` into `made`."""
    before, after = cells[at - 1], cells[at + sizes[made]]
    cells[at + behind - 1] = INSIDE
    cells[at + behind] = INSIDE
    cells[at] = made
    cells[at + sizes[made] - 1] = made
    if before >= 0:
        note(left, before, at - sizes[before], weight)
    if after >= 0:
        note(right, after, at, weight)


@leaf
def count_tokens(words: TokenizedWords, sizes: Int32s) -> Integer:
    """The number of tokens in all words, each word counted as often as it occurs."""
    total: Integer = 0
    at: Integer = 0
    for stretch in range(len(words.counts)):
        while at < words.stretches[stretch + 1]:
            if words.cells[at] >= 0:
                total += words.counts[stretch]
                at += sizes[words.cells[at]]
            else:
                at += 1
    return total


@leaf
def _stretch(words: TokenizedWords, at: Integer) -> tuple[Integer, Integer, Integer]:
    """The stretch of words of equal counts that `at` lies in: its first cell, the cell behind it, and the count."""
    low, high = 0, len(words.counts)
    while high - low > 1:
        middle = (low + high) >> 1
        if words.stretches[middle] <= at:
            low = middle
        else:
            high = middle
    return words.stretches[low], words.stretches[low + 1], words.counts[low]


@leaf
def _token(vocabulary: Vocabulary, first: Integer, second: Integer) -> Integer:
    """The id of the token with the bytes of `first` and `second`: an existing one, or the next id."""
    table, count = vocabulary.table, vocabulary.used[0]
    start = to = arena_used(table)
    for token in (first, second):
        begin = table.entries[vocabulary.entries[token], TOKEN_START]
        for at in range(begin, begin + vocabulary.sizes[token]):
            table.arena[to] = table.arena[at]
            to += 1
    known = table.used[0]
    entry = find_or_add(table, table.arena, int(start), int(to))
    if entry == known:
        vocabulary.ids[entry] = count
        vocabulary.entries[count] = entry
        vocabulary.sizes[count] = to - start
        vocabulary.used[0] = count + 1
    return np.int64(vocabulary.ids[entry])
