"""Byte-pair encoding in plain Python: the code to read first, and the oracle of the tests.

`LESSON.md` beside this file explains it from zero, with an example to check by hand.

Purpose: training and encoding as they are defined, without tables, queues or lists of places. A character-level model beside
them shows, by its `<UNK>`, why tokens are made of bytes.
Guarantee: the merges of `tokenizers`' BpeTrainer (see `train`), and the ids that its encoder gives.
Cost: every merge reads all words. For texts of some kilobytes.

Source: R. Sennrich, B. Haddow, A. Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016); bytes in place
of characters: A. Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tokenmill.tokenizer.formats import byte_alphabet

Pair = tuple[int, int]


@dataclass(frozen=True)
class Model:
    """A vocabulary and its merges."""

    tokens: list[bytes]
    """The bytes of each id."""
    merges: list[Pair]
    """Pairs of ids. An encoder applies earlier pairs first."""


def train(words: Mapping[bytes, int], vocabulary: int, min_frequency: int = 0, never: Collection[bytes] = ()) -> Model:
    """Learn merges from words (pre-tokens) and how often each occurs.

    The first ids are the 256 bytes, in the order of the characters that spell them in files. Then each round merges the pair of
    neighbours that occurs most often; of equally frequent pairs, it merges the one with the lowest ids. The pair becomes a new
    token, or the existing token if one has the same bytes. Training ends with `vocabulary` tokens, or when no pair occurs
    `min_frequency` times. No merge makes a token in `never`: these are the texts of special tokens.
    """
    alphabet = byte_alphabet()
    tokens = [bytes([alphabet[character]]) for character in sorted(alphabet)]
    id_of = {token: number for number, token in enumerate(tokens)}
    split = {word: [id_of[bytes([byte])] for byte in word] for word in words}
    merges: list[Pair] = []
    while len(tokens) < vocabulary:
        counts: Counter[Pair] = Counter()
        for word, ids in split.items():
            for pair in pairwise(ids):
                if tokens[pair[0]] + tokens[pair[1]] not in never:
                    counts[pair] += words[word]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        if counts[best] < min_frequency:
            break
        made = tokens[best[0]] + tokens[best[1]]
        if made not in id_of:
            id_of[made] = len(tokens)
            tokens.append(made)
        merges.append(best)
        split = {word: replace(ids, best, id_of[made]) for word, ids in split.items()}
    return Model(tokens, merges)


def replace(ids: Sequence[int], pair: Pair, made: int) -> list[int]:
    """`ids` with each occurrence of `pair` replaced by `made`, from left to right."""
    replaced: list[int] = []
    at = 0
    while at < len(ids):
        if tuple(ids[at : at + 2]) == pair:
            replaced.append(made)
            at += 2
        else:
            replaced.append(ids[at])
            at += 1
    return replaced


def encode(model: Model, word: bytes) -> list[int]:
    """The ids of one pre-token: apply the earliest merge that fits, again and again, until none fits."""
    id_of = {token: number for number, token in enumerate(model.tokens)}
    rank = {pair: place for place, pair in enumerate(model.merges)}
    ids = [id_of[bytes([byte])] for byte in word]
    while candidates := [pair for pair in pairwise(ids) if pair in rank]:
        first = min(candidates, key=rank.__getitem__)
        ids = replace(ids, first, id_of[model.tokens[first[0]] + model.tokens[first[1]]])
    return ids


def decode(model: Model, ids: Iterable[int]) -> bytes:
    """The bytes that ids stand for: exactly those that were encoded."""
    return b"".join(model.tokens[number] for number in ids)


UNK = "<UNK>"


@dataclass(frozen=True)
class Characters:
    """A character-level model: each character seen in training is a token; every other character becomes `<UNK>`, id 0.

    The text gets no shorter, and a character that training did not see is lost: it decodes to `<UNK>`. A vocabulary of bytes
    has neither fault.
    """

    tokens: list[str]

    @classmethod
    def train(cls, text: str) -> Characters:
        return cls([UNK, *sorted(set(text))])

    def encode(self, text: str) -> list[int]:
        id_of = {token: number for number, token in enumerate(self.tokens)}
        return [id_of.get(character, 0) for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.tokens[number] for number in ids)
