"""Language identification over UTF-8 bytes with py3langid's tables: an automaton of byte n-grams and naive Bayes.

Purpose: each byte moves the automaton to the longest n-gram that ends there. The n-grams met are features, and a language's
score is the sum over them of log(1 + count) times the feature's weight in that language (M. Lui, T. Baldwin 2012, langid.py;
tables and formula of py3langid 0.4). Probabilities are a softmax of the scores over the square root of the text's bytes.
Guarantee: weights are multiples of 2^-9 and are added as integers; the rest is added in float64, in the order in which the
n-grams were met. A text's result depends on nothing else. Sums below 10^6 are exact, so their order does not matter at all.
Of equal scores, the first language in the model's order wins.
py3langid adds in single precision, in an order that its matrix library chooses. Its probabilities therefore differ from these
by its own rounding: by up to 6e-6 on sentences, 6e-5 on texts of 10 kB, and 1.4e-3 at most on 28,591 documents. One label of
these differed, where the two best languages had 0.390500 and 0.390496. Exact sums in rational numbers agree with this module.
Fit: the score tells languages apart, and cannot say that a text is in none of them. That says the mean, over the n-grams of the
text, of log P(n-gram | language) / P(n-gram), less what is expected of a text in that language, in its standard deviations. Of
sentences and of long texts alike 1 % of those in languages of the model lie below -1.6, and 83 % of texts of 1,000 characters
in other languages.
Cost: about 10 ns per byte of English, 17 for a mix of 60 languages, 35 on lines of 150 bytes. The tables take 70 MB; work
memory is 1.7 MB per call, whatever the texts.

The automaton is that of Aho and Corasick (1975): the last few bytes determine its state. Four quarters of a text are therefore
walked at once, each from that many bytes before its start, so that the processor waits for four look-ups at a time, not one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.language.langtext import PLAIN, CharacterTable, inspect
from tokenmill.pipeline.kernels.machine_code import njit

SCALE = 512
"""Weights are kept as integers: this many times their value."""
LANES = 4
LANE_BYTES = 16
"""A text with shorter quarters is walked from start to end."""
GROUPS = 8
"""The weights of features met fewer times than this are added as integers, in one group per number of times."""
COLUMNS = 16
"""The number of columns is a multiple of this, so that rows are added in whole vectors."""
BETWEEN_TEXTS = 0.15
"""Standard deviation of the fit between long texts of one language, in nats per n-gram. With it, the share of sentences, of
texts of 200 characters and of 1,000 below -1.6 is about the same."""
NEGLIGIBLE = -60.0
"""exp(x) for x below this adds nothing to a float64 sum of at least 1."""


class NaiveBayesTables(NamedTuple):
    """The tables as kernels take them."""

    moves: npt.NDArray[np.uint32]
    """[distinct rows * 256]: the next state, by row and byte."""
    rows: npt.NDArray[np.uint16]
    """[states]: each state's row of `moves`."""
    features: npt.NDArray[np.int32]
    """[states]: the feature that the state stands for, or -1."""
    weights: npt.NDArray[np.int16]
    """[features, columns]: SCALE times log P; the column behind the languages is that of P in their mean, others are 0."""
    prior: npt.NDArray[np.float64]
    """[languages]: added to each language's score."""
    labels: npt.NDArray[np.int64]
    """[languages]: the first language with the same name; probabilities of equal names are added."""
    expected: npt.NDArray[np.float64]
    """[languages]: mean of log P(n-gram | language) / P(n-gram) over n-grams of the language."""
    variance: npt.NDArray[np.float64]
    """[languages]: its variance."""
    context: int
    """The number of last bytes that determine a state; 0 if it may depend on all."""


class NaiveBayesScratch(NamedTuple):
    """Work memory of the kernels. Counts are 0 between texts."""

    states: npt.NDArray[np.int32]
    visited: npt.NDArray[np.uint32]
    features: npt.NDArray[np.int32]
    met: npt.NDArray[np.uint32]
    groups: npt.NDArray[np.int32]
    frequent: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]


def work(model: NaiveBayesTables) -> NaiveBayesScratch:
    """Make work memory for `model`."""
    features, columns = model.weights.shape
    return NaiveBayesScratch(
        states=np.zeros(len(model.rows), dtype=np.int32),
        visited=np.empty(len(model.rows) + 1, dtype=np.uint32),
        features=np.zeros(features, dtype=np.int32),
        met=np.empty(features + 1, dtype=np.uint32),
        groups=np.zeros((GROUPS, columns), dtype=np.int32),
        frequent=np.zeros(columns, dtype=np.float64),
        scores=np.zeros(columns, dtype=np.float64),
    )


@njit(nogil=True, cache=True)
def context_bytes(moves: npt.NDArray[np.uint32], rows: npt.NDArray[np.uint16]) -> int:
    """The number of last bytes that determine the state, if the automaton is that of Aho and Corasick; otherwise 0.

    The search is breadth first: a state not seen before is a child of the current one, one byte deeper. All other moves of a
    state must equal those of the state of its longest proper suffix. The answer is the depth of the deepest state.
    """
    states = len(rows)
    depth = np.full(states, -1, dtype=np.int64)
    suffix = np.zeros(states, dtype=np.int64)
    queue = np.zeros(states, dtype=np.int64)
    depth[0] = 0
    filled = 1
    for at in range(states):
        if at == filled:
            break
        state = queue[at]
        for byte in range(256):
            after = np.int64(moves[np.int64(rows[state]) * 256 + byte])
            shorter = np.int64(moves[np.int64(rows[suffix[state]]) * 256 + byte]) if state else 0
            if depth[after] < 0:
                depth[after] = depth[state] + 1
                suffix[after] = shorter
                queue[filled] = after
                filled += 1
            elif after != shorter:
                return 0
    return int(depth[queue[filled - 1]])


@njit(nogil=True, cache=True)
def _move(state: np.uint64, byte: np.uint8, model: NaiveBayesTables) -> np.uint64:
    return np.uint64(model.moves[np.uint64(model.rows[state]) << np.uint64(8) | np.uint64(byte)])


@njit(nogil=True, cache=True)
def _count(state: np.uint64, found: int, work: NaiveBayesScratch) -> int:
    work.visited[found] = state
    before = work.states[state]
    work.states[state] = before + 1
    return found + 1 if before == 0 else found


@njit(nogil=True, cache=True)
def _walk(data: npt.NDArray[np.uint8], start: int, stop: int, model: NaiveBayesTables, work: NaiveBayesScratch) -> int:
    """Count the states on the way through `data[start:stop]`; returns the number of distinct states in `work.visited`."""
    found = 0
    a = b = c = d = np.uint64(0)
    size = (stop - start) // LANES
    if model.context and size >= max(LANE_BYTES, model.context):
        second, third, fourth = start + size, start + 2 * size, start + 3 * size
        for at in range(1 - model.context, 0):
            b = _move(b, data[second + at], model)
            c = _move(c, data[third + at], model)
            d = _move(d, data[fourth + at], model)
        for at in range(size):
            a = _move(a, data[start + at], model)
            b = _move(b, data[second + at], model)
            c = _move(c, data[third + at], model)
            d = _move(d, data[fourth + at], model)
            found = _count(a, found, work)
            found = _count(b, found, work)
            found = _count(c, found, work)
            found = _count(d, found, work)
        start += LANES * size
    for at in range(start, stop):
        d = _move(d, data[at], model)
        found = _count(d, found, work)
    return found


@njit(nogil=True, cache=True)
def _features(found: int, model: NaiveBayesTables, work: NaiveBayesScratch) -> int:
    """Turn counts of states into counts of features, which several states may share; returns the number of features met.

    The features stand in `work.met` in the order in which they were met.
    """
    met = 0
    for at in range(found):
        state = work.visited[at]
        count = work.states[state]
        work.states[state] = 0
        feature = model.features[state]
        if feature >= 0:
            work.met[met] = feature
            met += work.features[feature] == 0
            work.features[feature] += count
    return met


@njit(nogil=True, cache=True)
def _log1p(count: int) -> np.float64:
    """log(1 + count), rounded to single precision as in py3langid."""
    return np.float64(np.float32(math.log1p(count)))


@njit(nogil=True, cache=True)
def _score(met: int, model: NaiveBayesTables, work: NaiveBayesScratch) -> int:
    """Sum the weights of the features met into `work.scores`. Returns how many were met, repeated ones counted each time.

    Sums for `_fit` stay in `work.groups` and, of features met GROUPS times and more, in `work.frequent`.
    """
    columns, weights = model.weights.shape[1], model.weights
    work.groups[:] = 0
    work.frequent[:] = 0.0
    work.scores[:] = 0.0
    once, total = 0, 0
    for at in range(met):
        feature = work.met[at]
        count = work.features[feature]
        work.features[feature] = 0
        total += count
        if count == 1:
            work.met[once] = feature
            once += 1
        elif count < GROUPS:
            for column in range(columns):
                work.groups[count, column] += weights[feature, column]
        else:
            weight = _log1p(count)
            for column in range(columns):
                work.scores[column] += weight * weights[feature, column]
                work.frequent[column] += count * weights[feature, column]
    fours = once - once % 4
    for at in range(0, fours, 4):
        a, b, c, d = work.met[at], work.met[at + 1], work.met[at + 2], work.met[at + 3]
        for column in range(columns):
            work.groups[1, column] += (weights[a, column] + weights[b, column]) + (weights[c, column] + weights[d, column])
    for at in range(fours, once):
        for column in range(columns):
            work.groups[1, column] += weights[work.met[at], column]
    for count in range(1, GROUPS):
        weight = _log1p(count)
        for column in range(columns):
            work.scores[column] += weight * work.groups[count, column]
    for column in range(len(model.prior)):
        work.scores[column] = work.scores[column] / SCALE + model.prior[column]
    return total


@njit(nogil=True, cache=True)
def _fit(label: int, total: int, model: NaiveBayesTables, work: NaiveBayesScratch) -> float:
    """How typical of a language its text is, after `_score`; NaN for a text without features.

    If several languages of the model have that label, it is the one that fits best.
    """
    best = np.nan
    if total == 0:
        return best
    languages = len(model.prior)
    for language in range(languages):
        if model.labels[language] != label:
            continue
        gain = work.frequent[language] - work.frequent[languages]
        for count in range(1, GROUPS):
            gain += count * np.float64(work.groups[count, language] - work.groups[count, languages])
        above = gain / SCALE / total - model.expected[language]
        fit = above / math.sqrt(model.variance[language] / total + BETWEEN_TEXTS * BETWEEN_TEXTS)
        best = fit if math.isnan(best) else max(best, fit)
    return best


@njit(nogil=True, cache=True)
def _best(size: int, met: int, model: NaiveBayesTables, work: NaiveBayesScratch) -> tuple[int, float]:
    """The most probable label and its probability, for a text of `size` bytes. Without features all languages are equal."""
    languages = len(model.prior)
    scores = work.scores
    if met == 0:
        scores[:] = 0.0
    highest = scores[0]
    for language in range(1, languages):
        highest = max(highest, scores[language])
    factor = 1.0 / math.sqrt(max(size, 1))
    total = 0.0
    for language in range(languages):
        power = (scores[language] - highest) * factor
        scores[language] = math.exp(power) if power > NEGLIGIBLE else 0.0
        total += scores[language]
    best = 0
    for language in range(languages):
        label = model.labels[language]
        if label != language:
            scores[label] += scores[language]
            scores[language] = 0.0
    for language in range(1, languages):
        if scores[language] > scores[best]:
            best = language
    return best, scores[best] / total


@njit(nogil=True, cache=True)
def identify(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    model: NaiveBayesTables,
    table: CharacterTable,
    rewritten: bool,
    work: NaiveBayesScratch,
    state: npt.NDArray[np.uint8],
    label: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
    fit: npt.NDArray[np.float64],
) -> None:
    """Identify each text `data[starts[i]:ends[i]]`.

    Writes `state`, uint8 [texts]: the result of `inspect`, or PLAIN if all texts are `rewritten` already; and for PLAIN texts
    `label`, int64 [texts]: the index of the most probable language, `score`, float64 [texts]: its probability, and `fit`,
    float64 [texts]: how typical of it the text is. Those of other texts are left as they are.
    """
    for at in range(len(starts)):
        start, stop = starts[at], ends[at]
        state[at] = PLAIN if rewritten else inspect(data, start, stop, table)
        if state[at] == PLAIN:
            met = _features(_walk(data, start, stop, model, work), model, work)
            total = _score(met, model, work)
            label[at], score[at] = _best(stop - start, met, model, work)
            fit[at] = _fit(label[at], total, model, work)
