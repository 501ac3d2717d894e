"""Plain Python twins of what decontamination is made of: slow, obvious, and written without its kernels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.kernels.dedup_oracles import is_unspaced

N, MOST_ITEMS, MOST_PLACES, ONE = 5, 100, 4, 1 << 20


class Word(NamedTuple):
    """A word of a text, and its bytes [start, end)."""

    spelled: str
    start: int
    end: int


def spelled(character: str) -> str:
    """What a character of a word is written as; "" if it is left out."""
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    folded = unicodedata.normalize("NFD", character.lower().replace("\u03c2", "\u03c3"))
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).lower())
    word = "".join(one for one in plain if unicodedata.category(one)[0] in "LMN")
    if 0 < len(word.encode()) <= 3 * len(folded.encode()):
        folded = word
    return "".join(one for one in folded if unicodedata.category(one) != "Mn")


ESCAPE = re.compile(r"\\(?:[nrt]|u[0-9a-fA-F]{4})")


def characters(text: str) -> Iterator[tuple[str, int, int]]:
    """The characters of a text, and the bytes of each; escapes are what they stand for."""
    size = place = 0
    while place < len(text):
        escape = ESCAPE.match(text, place)
        written = escape[0] if escape else text[place]
        meant = chr(int(written[2:], 16)) if written.startswith("\\u") else written[0]
        yield ("\\" if "\ud800" <= meant <= "\udfff" else meant), size, size + len(written.encode())
        size += len(written.encode())
        place += len(written)


def words(text: str) -> list[Word]:
    """The words of a text: case, accents, punctuation, symbols and format characters make no difference."""
    found: list[Word] = []
    open_word: Word | None = None
    for character, start, at in characters(text):
        category = unicodedata.category(character)
        if category == "Cf":
            continue
        gap = character.isspace() or category[0] in "PS" or category == "Cc"
        written = "" if gap else spelled(character)
        if not gap and not written:
            continue
        own = not gap and is_unspaced(character)
        if open_word is not None and (gap or own):
            found.append(open_word)
            open_word = None
        if own:
            found += [Word(one, start, at) for one in written]
        elif not gap:
            open_word = Word(written, start, at) if open_word is None else Word(open_word[0] + written, open_word[1], at)
    found += [open_word] if open_word is not None else []
    # The letters that name choices are no words.
    return [word for word in found if not (word.spelled.isascii() and len(word.spelled) == 1 and not word.spelled.isdigit())]


def ngrams(text: Sequence[str], n: int = N) -> dict[tuple[str, ...], list[int]]:
    """The n-grams of a text, with the words at which each stands, the first few. A shorter text is one n-gram."""
    length = min(n, len(text))
    found: dict[tuple[str, ...], list[int]] = {}
    for at in range(len(text) - length + 1):
        found.setdefault(tuple(text[at : at + length]), []).append(at)
    return {gram: places[:MOST_PLACES] for gram, places in found.items()}


class Sought(NamedTuple):
    """A text of an item: its n-grams that count, and the weights of its words."""

    grams: dict[tuple[str, ...], list[int]]
    weights: list[int]


def sought(items: Sequence[Sequence[str]]) -> list[Sought]:
    """The texts of items of which each has one."""
    texts = [[word.spelled for word in words(text)] for (text,) in items]
    every = [ngrams(text) for text in texts]
    result = []
    for text, grams in zip(texts, every, strict=True):
        weights = [0] * len(text)
        counted = {}
        for gram, places in grams.items():
            frequency = sum(gram in others for others in every)
            if frequency <= MOST_ITEMS:
                counted[gram] = places
                for word in {at + word for at in places for word in range(len(gram))}:
                    weights[word] = max(weights[word], ONE // frequency)
        result.append(Sought(counted, weights))
    return result


def passages(document: Sequence[str], one: Sought, least: float, n: int = N) -> Iterator[tuple[int, int, float]]:
    """The first and the last word of each passage of a document with at least the share `least` of a text, and the share."""
    size = len(one.weights)
    length, most = min(n, size), int(1.5 * size) + 2 * n
    grams = [(place, tuple(document[place : place + length])) for place in range(len(document) - length + 1)]
    matches = [(place, at) for place, gram in grams for at in one.grams.get(gram, ())]
    yield from _best(matches, one.weights, length, most, least)


def _best(
    matches: list[tuple[int, int]], weights: list[int], length: int, most: int, least: float
) -> Iterator[tuple[int, int, float]]:
    def weight(i: int, j: int) -> int:
        return sum(weights[word] for word in {word for _, at in matches[i : j + 1] for word in range(at, at + length)})

    spans = [(i, j) for j in range(len(matches)) for i in range(j + 1) if matches[j][0] + length - matches[i][0] <= most]
    if not spans:
        return
    i, j = max(spans, key=lambda span: (weight(*span), -span[1], span[0]))
    share = weight(i, j) / sum(weights)
    if share < least:
        return
    left, right = matches[i][0], matches[j][0] + length - 1
    yield left, right, share
    yield from _best([one for one in matches if one[0] + length <= left], weights, length, most, least)
    yield from _best([one for one in matches if one[0] > right], weights, length, most, least)
