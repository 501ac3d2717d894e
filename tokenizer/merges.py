"""Learn byte-pair encoding from distinct words and their counts.

Guarantee: tokens, ids and merges are those of `tokenizers`' BpeTrainer with all 256 bytes as its alphabet, for the same words,
counts and settings, but for merges that `guard_special` rules out. The order of the words does not matter.
Cost: 1 s for 32,000 merges over 800,000 words (9 MB). Memory: see `pipeline.kernels.bpe.merging`. One word of 50 MB takes no
longer than many short ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.kernels.bpe import merging as bpe
from tokenmill.pipeline.kernels.bpe import queue as bpe_queue
from tokenmill.pipeline.kernels.bpe import tally
from tokenmill.pipeline.kernels.bpe.merging import Vocabulary
from tokenmill.pipeline.kernels.bpe.neighbours import Side
from tokenmill.pipeline.kernels.bpe.queue import Queue
from tokenmill.tokenizer.formats import byte_alphabet

MOST_CELLS = 2**31 - 1
UNLIMITED = 2**62
FIRST_PAIRS = 1 << 20
FIRST_TOKEN_BYTES = 1 << 20
NO_WEIGHTS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Words:
    """Distinct words and how often each occurs. Word i is `data[offsets[i]:offsets[i + 1]]`."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    """int64 [words + 1]"""
    counts: npt.NDArray[np.int64]
    """int64 [words], above 0, in descending order."""

    @property
    def bytes(self) -> int:
        """The size in bytes of the text that was counted."""
        return int(np.dot(np.diff(self.offsets), self.counts))


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A vocabulary. Special tokens come first, then the 256 bytes in the order of the characters that spell them."""

    special: tuple[str, ...]
    tokens: list[bytes]
    """The bytes of each id.

    A special token that consists of the characters of `byte_alphabet` has the bytes these stand for; another one has its UTF-8.
    """
    merges: list[tuple[int, int]]
    """Pairs of ids, in the order in which an encoder applies them."""
    text_tokens: int
    """The number of tokens in the counted text."""


class Learner:
    """A vocabulary that can grow: the tokens of a smaller one are the first tokens of every larger one.

    It begins with `special` and the 256 bytes. `most` is the largest vocabulary that will be asked for. A merge whose token
    would have `max_token_bytes` or more is not made, except a merge of two bytes. With `guard_special`, no merge makes a
    special token: `tokenizers` makes one where a pattern leaves the token's text in one piece, and text then encodes to its id.
    Raises ConfigError when `most` has no room for the bytes, InputError when there are no words or 2 GiB of them.
    """

    def __init__(
        self,
        words: Words,
        *,
        most: int,
        min_frequency: int = 0,
        special: Sequence[str] = (),
        max_token_bytes: int | None = None,
        guard_special: bool = False,
    ) -> None:
        self._special = tuple(dict.fromkeys(special))
        self.first = len(self._special) + 256 - sum(token in byte_alphabet() for token in self._special)
        """The number of tokens before the first merge."""
        if most < self.first:
            raise ConfigError(
                f"a vocabulary of {most} has no room for the {self.first} tokens it begins with: 256 bytes and {self._special}"
            )
        if len(words.counts) == 0:
            raise InputError("there are no words to learn merges from")
        size = int(words.offsets[-1] - words.offsets[0])
        if size + len(words.counts) >= MOST_CELLS:
            raise InputError(
                f"{len(words.counts):,} distinct words of {size:,} bytes are more than can be merged at once (2 GiB); "
                "learn from less text (tokenizer.sample_bytes)"
            )
        self._min_frequency = min_frequency
        self._reserved = len(self._special) if guard_special else 0
        self._most_bytes = UNLIMITED if max_token_bytes is None else max_token_bytes
        counts, firsts = np.unique(-words.counts, return_index=True)
        cells = np.empty(size + len(words.counts) + 1, dtype=np.int32)
        stretches = np.append(words.offsets[firsts] - words.offsets[0] + firsts, len(cells))
        self._text = bpe.TokenizedWords(cells=cells, stretches=stretches, counts=-counts)
        self._known, byte_ids = _begin(self._special, min(most, self.first + size))
        self._queue = Queue(
            pairs=np.zeros((FIRST_PAIRS, 2), dtype=np.int64),
            entries=np.empty((FIRST_PAIRS, 4), dtype=np.int64),
            heap=np.empty(FIRST_PAIRS, dtype=np.int32),
            # One place per pair of bytes, then two per pair replaced. Each replacement removes one token, so there are fewer
            # than `size` of them.
            places=np.empty(3 * size, dtype=np.int32),
            state=np.zeros(6, dtype=np.int64),
        )
        bpe.begin(words.data, words.offsets, byte_ids, self._text, self._queue, *np.zeros((2, 1 << 16), dtype=np.int64))
        self._left, self._right = (_side(len(self._known.ids), size) for _ in range(2))

    @property
    def vocabulary(self) -> int:
        """How many tokens there are now."""
        return int(self._known.used[0])

    @property
    def text_tokens(self) -> int:
        """How many tokens the counted text has now."""
        return int(bpe.count_tokens(self._text, self._known.sizes))

    def grow(self, vocabulary: int) -> None:
        """Merge until there are `vocabulary` tokens. Stops earlier if no pair occurs `min_frequency` times.

        Raises ConfigError for fewer tokens than there are.
        """
        if vocabulary < self.vocabulary:
            raise ConfigError(f"a vocabulary of {self.vocabulary} only grows: {vocabulary=}")
        most = min(vocabulary, len(self._known.ids))
        while not bpe.merge(
            self._text,
            self._queue,
            self._known,
            self._left,
            self._right,
            most,
            self._min_frequency,
            self._most_bytes,
            self._reserved,
        ):
            # One at a time, so that each old array is freed before the next one is made.
            self._queue = _more_pairs(self._queue)
            self._queue = _more_entries(self._queue)
            self._known = _longer(self._known)

    def learned(self) -> Learned:
        """The vocabulary as it is now."""
        return Learned(
            special=self._special,
            tokens=_tokens(self._known, self._special),
            merges=_in_order(self._known.merges[: self._queue.state[bpe_queue.MERGES]]),
            text_tokens=self.text_tokens,
        )


def _begin(special: Sequence[str], most_ids: int) -> tuple[Vocabulary, npt.NDArray[np.int32]]:
    """The vocabulary before the first merge, and the ids of the 256 bytes."""
    alphabet = byte_alphabet()
    spelled = [bytes(alphabet[one] for one in token) if set(token) <= alphabet.keys() else None for token in special]
    characters = sorted(alphabet, key=ord)
    spelled += [bytes([alphabet[one]]) for one in characters if one not in special]
    known = Vocabulary(
        table=tally.make(most_ids, FIRST_TOKEN_BYTES),
        ids=np.empty(most_ids, dtype=np.int32),
        entries=np.empty(most_ids, dtype=np.int32),
        sizes=np.zeros(most_ids, dtype=np.int32),
        merges=np.empty((most_ids, 3), dtype=np.int32),
        used=np.array([len(spelled)], dtype=np.int64),
    )
    byte_ids = np.empty(256, dtype=np.int32)
    for number, token in enumerate(spelled):
        if token is None:
            continue
        entry = known.table.used[0]
        ends = np.array([len(token)], dtype=np.int64)
        tally.add(known.table, np.frombuffer(token, dtype=np.uint8), 0, ends, 0, 1, NO_WEIGHTS)
        known.ids[entry], known.entries[number], known.sizes[number] = number, entry, len(token)
        if len(token) == 1:
            byte_ids[token[0]] = number
    return known, byte_ids


def _side(ids: int, places: int) -> Side:
    return Side(
        totals=np.zeros(ids, dtype=np.int64),
        cursors=np.zeros(ids, dtype=np.int64),
        seen=np.empty(ids, dtype=np.int32),
        slots=np.empty(ids, dtype=np.int64),
        places=np.empty(places, dtype=np.int32),
        ids=np.empty(places, dtype=np.int32),
        used=np.zeros(2, dtype=np.int64),
    )


def _more_pairs(queue: Queue) -> Queue:
    """The same queue with twice the room for pairs."""
    made = queue._replace(pairs=np.zeros((2 * len(queue.pairs), 2), dtype=np.int64))
    bpe_queue.rehash(queue, made)
    return made


def _more_entries(queue: Queue) -> Queue:
    """The same queue with twice the room for entries. The new half is not written to, so it takes no memory yet."""
    entries = np.empty((2 * len(queue.entries), 4), dtype=np.int64)
    heap = np.empty(2 * len(queue.heap), dtype=np.int32)
    used, heaped = queue.state[bpe_queue.ENTRIES], queue.state[bpe_queue.HEAPED]
    entries[:used], heap[:heaped] = queue.entries[:used], queue.heap[:heaped]
    return queue._replace(entries=entries, heap=heap)


def _longer(known: Vocabulary) -> Vocabulary:
    """The same vocabulary with twice the room for the bytes of tokens and for merges. There can be more merges than tokens."""
    arena = np.concatenate([known.table.arena, np.empty_like(known.table.arena)])
    return known._replace(
        table=known.table._replace(arena=arena), merges=np.concatenate([known.merges, np.empty_like(known.merges)])
    )


def _tokens(known: Vocabulary, special: Sequence[str]) -> list[bytes]:
    """The bytes of each id. A special token that does not spell bytes has its UTF-8."""
    tokens = [token.encode() for token in special] + [b""] * (int(known.used[0]) - len(special))
    arena = known.table.arena.tobytes()
    used = int(known.table.used[0])
    for number, (_, _, start, size) in zip(known.ids[:used].tolist(), known.table.entries[:used].tolist(), strict=True):
        tokens[number] = arena[start : start + size]
    return tokens


def _in_order(merges: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """Each merge once, at the place where it occurs last."""
    last = {(first, second): place for place, (first, second, _) in enumerate(merges.tolist())}
    return sorted(last, key=last.__getitem__)
