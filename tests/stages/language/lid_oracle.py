"""Plain Python twins of the language kernels: samples, lines, and py3langid's formula in exact arithmetic."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np

from tokenmill.pipeline.kernels.language import scripts

PIECES = 5


def sample(text: bytes, characters: int) -> str:
    """All of the text, or 5 pieces of equal length, joined by blanks."""
    whole = text.decode()
    if len(whole) <= characters:
        return whole
    width = characters // PIECES
    middles = (len(text) * (2 * i + 1) // (2 * PIECES) for i in range(PIECES))
    return " ".join(_piece(text, max(0, middle - width // 2), width - 1) for middle in middles)


def _piece(text: bytes, start: int, width: int) -> str:
    piece = text[start : start + 4 * width].decode(errors="ignore")[:width]
    space = next((at for at, character in enumerate(piece[: width // 2]) if character.isspace()), -1)
    return piece[space + 1 :] if start else piece


def lines(text: bytes, budget: int, least: int, most: int) -> list[bytes]:
    """The lines that are judged: joined up to `least` bytes, cut at `most`; evenly taken from texts beyond `budget`."""
    if len(text) <= budget:
        return _lines(text, least, most)
    parts = max(1, budget // most)
    taken = []
    for part in range(parts):
        at, end = (_character_start(text, len(text) * place // parts) for place in (part, part + 1))
        begun = text.find(b"\n", at, end) + 1
        if part and begun and end - begun >= least:
            at = begun
        taken += _lines(text[at:end], least, most)[:1]
    return taken


def _lines(text: bytes, least: int, most: int) -> list[bytes]:
    made = []
    while len(text) >= least:
        end = _character_start(text, min(len(text), most))
        size = 0
        for line in _split(text[:end]):
            size += len(line)
            if size >= least:
                break
        made.append(text[:size])
        text = text[size:]
    return made


def _split(text: bytes) -> list[bytes]:
    return [line + b"\n" for line in text.split(b"\n")[:-1]] + [text.split(b"\n")[-1]]


def _character_start(text: bytes, at: int) -> int:
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at


def as_read(text: str) -> bytes:
    """What the model reads of a text."""
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode()


def probabilities(identifier: Any, text: str) -> dict[str, float]:
    """py3langid's probabilities, with sums of scores in rational numbers: by label, in the order of the model."""
    data = as_read(text)
    state, met = 0, []
    for byte in data:
        state = identifier.tk_nextmove[identifier.tk_row[state] * 256 + byte]
        met.append(identifier.tk_output[state])
    counts = Counter(feature for feature in met if feature >= 0)
    scores = [Fraction(0)] * len(identifier.nb_classes)
    for feature, count in counts.items():
        weight = Fraction(float(np.float32(math.log1p(count))))
        for column, value in enumerate(identifier.nb_ptc[feature].tolist()):
            scores[column] += weight * Fraction(value)
    if counts:
        scores = [score + Fraction(float(prior)) for score, prior in zip(scores, identifier.nb_pc, strict=True)]
    factor = 1 / math.sqrt(max(len(data), 1))
    powers = [math.exp(float(score - max(scores)) * factor) for score in scores]
    labels: dict[str, float] = {}
    for label, power in zip(identifier.nb_classes, powers, strict=True):
        labels[label] = labels.get(label, 0.0) + power / math.fsum(powers)
    return labels


def fit(identifier: Any, text: str, label: str) -> float | None:
    """How typical of a language a text is: the mean gain of its n-grams over what is expected, in standard deviations."""
    state, met = 0, []
    for byte in as_read(text):
        state = identifier.tk_nextmove[identifier.tk_row[state] * 256 + byte]
        if identifier.tk_output[state] >= 0:
            met.append(identifier.tk_output[state])
    if not met:
        return None
    own, mean, names = _languages(identifier)
    found = []
    for column in (at for at, name in enumerate(names) if name == label):
        gains = identifier.nb_ptc[:, column].astype(float) - np.log(mean)
        expected = float(own[:, column] @ gains)
        variance = float(own[:, column] @ (gains - expected) ** 2)
        above = sum(float(gains[feature]) for feature in met) / len(met) - expected
        found.append(above / math.sqrt(variance / len(met) + 0.15**2))
    return max(found)


@functools.cache
def _languages(identifier: Any) -> tuple[Any, Any, list[str]]:
    own = np.exp(identifier.nb_ptc.astype(float))
    own /= own.sum(axis=0)
    return own, own.mean(axis=1), list(identifier.nb_classes)


def script(text: str) -> str:
    """The script of most letters, by the first words of their Unicode names."""
    counts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            words = [word for word in unicodedata.name(character, "").split() if word not in ("FULLWIDTH", "HALFWIDTH")]
            if not words or words[0] in scripts.SHARED:
                continue
            starts = (" ".join(words[:2]), words[0])
            known = [code for code, name in PAIRS if name in starts]
            counts[known[0] if known else "Zzzz"] += 1
    if counts["Jpan"] * 10 > counts["Hani"]:
        counts["Jpan"] += counts.pop("Hani", 0)
    most = max(counts.values(), default=0)
    return next((code for code in scripts.CODES if most and counts[code] == most), "Zyyy")


PAIRS = [tuple(entry.split(" ", 1)) for line in scripts.NAMES.split("\n") if line for entry in line.split("|")]
