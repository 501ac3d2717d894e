"""Language identification over UTF-8 bytes with py3langid's tables: an automaton of byte n-grams and naive Bayes.

Purpose: every byte moves the automaton to the longest n-gram that ends there; the n-grams met are features, and a language's
score is the sum over them of log(1 + count) times the feature's weight in that language (M. Lui, T. Baldwin 2012, langid.py;
tables and formula of py3langid 0.4). Probabilities are a softmax of the scores over the square root of the text's bytes.
Guarantee: weights are multiples of 2^-9 and are added as integers, the rest in float64 in the order in which n-grams were
met; a text's result depends on nothing else. Sums below 10^6 are exact, so their order does not matter at all. Of equal
scores, the first language in the model's order wins.
py3langid adds in single precision, in an order that its matrix library chooses. Its probabilities differ from these by its own
rounding: by up to 6e-6 on sentences, 6e-5 on texts of 10 kB, 1.4e-3 at most on 28,591 documents, in which one label
differed, where the two best languages had 0.390500 and 0.390496. Exact sums in rational numbers say what is said here.
Cost: about 10 ns per byte of English, 17 of a mix of 60 languages, whose tables are 70 MB; on lines of 150 bytes 35. Work
memory is 1.7 MB per call, whatever the texts.

The automaton is Aho and Corasick's (1975): its state is determined by the last few bytes. Four quarters of a text are therefore
walked at once, each begun so many bytes early, and the processor waits for four look-ups at a time instead of one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from tokenmill.pipeline.kernels.language.langtext import PLAIN, Characters, inspect

SCALE = 512
"""Weights are kept as integers: so many times their value."""
LANES = 4
LANE_BYTES = 16
"""Texts with shorter quarters are walked from end to end."""
GROUPS = 8
"""Features that were met fewer times than this are added up as integers, by how often they were met."""
COLUMNS = 16
"""The number of columns is a multiple of this, so that rows are added by whole vectors."""
NEGLIGIBLE = -60.0
"""exp of less than this adds nothing to a float64 sum that is at least 1."""


class Model(NamedTuple):
    """The tables as kernels take them."""

    moves: npt.NDArray[np.uint32]
    """[distinct rows * 256]: the next state, by row and byte."""
    rows: npt.NDArray[np.uint16]
    """[states]: each state's row of `moves`."""
    features: npt.NDArray[np.int32]
    """[states]: the feature that is met with the state, or -1."""
    weights: npt.NDArray[np.int16]
    """[features, columns]: SCALE times log P; columns beyond the languages are 0."""
    prior: npt.NDArray[np.float64]
    """[languages]"""
    labels: npt.NDArray[np.int64]
    """[languages]: the first language with the same name; probabilities of one name are added up."""
    context: int
    """A state depends on so many bytes, the last one included; 0 where it may depend on all."""


class Work(NamedTuple):
    """What the kernels write on. Counts are 0 between texts."""

    states: npt.NDArray[np.int32]
    visited: npt.NDArray[np.uint32]
    features: npt.NDArray[np.int32]
    met: npt.NDArray[np.uint32]
    groups: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float64]


def work(model: Model) -> Work:
    """Fresh work memory for `model`."""
    features, columns = model.weights.shape
    return Work(
        states=np.zeros(len(model.rows), dtype=np.int32),
        visited=np.empty(len(model.rows) + 1, dtype=np.uint32),
        features=np.zeros(features, dtype=np.int32),
        met=np.empty(features + 1, dtype=np.uint32),
        groups=np.zeros((GROUPS, columns), dtype=np.int32),
        scores=np.zeros(columns, dtype=np.float64),
    )


@njit(nogil=True, cache=True)
def context_bytes(moves: npt.NDArray[np.uint32], rows: npt.NDArray[np.uint16]) -> int:
    """How many bytes determine the state, if the automaton is Aho and Corasick's, else 0.

    Breadth first: what a state reaches first is its child, one byte deeper. All its other moves must be those of the state
    of its longest proper suffix. The depth of the deepest state is the answer.
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
def _move(state: np.uint64, byte: np.uint8, model: Model) -> np.uint64:
    return np.uint64(model.moves[np.uint64(model.rows[state]) << np.uint64(8) | np.uint64(byte)])


@njit(nogil=True, cache=True)
def _count(state: np.uint64, found: int, work: Work) -> int:
    work.visited[found] = state
    before = work.states[state]
    work.states[state] = before + 1
    return found + 1 if before == 0 else found


@njit(nogil=True, cache=True)
def _walk(data: npt.NDArray[np.uint8], start: int, stop: int, model: Model, work: Work) -> int:
    """Count the states that `data[start:stop]` leads through; returns how many there are in `work.visited`."""
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
def _features(found: int, model: Model, work: Work) -> int:
    """From counts of states to counts of features, in the order in which they were met; several states may share one."""
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
    """Rounded to single precision, as py3langid's are."""
    return np.float64(np.float32(math.log1p(count)))


@njit(nogil=True, cache=True)
def _score(met: int, model: Model, work: Work) -> None:
    """Add up the weights of the features met, into `work.scores`."""
    columns, weights = model.weights.shape[1], model.weights
    work.groups[:] = 0
    work.scores[:] = 0.0
    once = 0
    for at in range(met):
        feature = work.met[at]
        count = work.features[feature]
        work.features[feature] = 0
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


@njit(nogil=True, cache=True)
def _best(size: int, met: int, model: Model, work: Work) -> tuple[int, float]:
    """The most probable label and its probability, for a text of `size` bytes. Without features all are equal."""
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
    model: Model,
    table: Characters,
    rewritten: bool,
    work: Work,
    state: npt.NDArray[np.uint8],
    label: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
) -> None:
    """Identify each text `data[starts[i]:ends[i]]`.

    state: what `inspect` says of it; PLAIN where all are `rewritten` already. label, score: of PLAIN texts the index of the
    most probable language and its probability; others keep what stands there. Each [texts].
    """
    for at in range(len(starts)):
        start, stop = starts[at], ends[at]
        state[at] = PLAIN if rewritten else inspect(data, start, stop, table)
        if state[at] == PLAIN:
            met = _features(_walk(data, start, stop, model, work), model, work)
            _score(met, model, work)
            label[at], score[at] = _best(stop - start, met, model, work)
