"""n-gram sets, signatures and bands against plain Python; estimates against datasketch."""

from __future__ import annotations

import datasketch
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernels import minhash, ngrams
from pipeline.kernels.buffers import utf8
from pipeline.kernels.unicode import tables
from tests.kernels import dedup_oracles as oracle

WORDS = st.lists(st.sampled_from(["to", "be", "or", "not", "\u65e5\u672c", "a1", "x"]), max_size=30).map(" ".join)


@given(st.lists(st.one_of(WORDS, oracle.HOSTILE), min_size=1, max_size=5), st.integers(1, 6), st.randoms())
@settings(max_examples=150, deadline=None)
def test_sets_are_the_sorted_distinct_ngrams_of_the_chosen_rows(texts: list[str], n: int, random: object) -> None:
    rows = np.array([row for row in range(len(texts)) if row % 2 == 0], dtype=np.int64)
    found, bounds = ngrams.ngram_sets(*utf8(pa.array(texts, pa.large_string())), rows, n, tables())
    assert bounds[0] == 0
    assert bounds[-1] == len(found)
    for at, row in enumerate(rows):
        assert found[bounds[at] : bounds[at + 1]].tolist() == sorted(set(oracle.ngrams(texts[row], n)))


@given(WORDS, WORDS, st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_similarity_is_that_of_the_sets_of_word_tuples(a: str, b: str, n: int) -> None:
    found, bounds = ngrams.ngram_sets(*utf8(pa.array([a, b], pa.large_string())), np.arange(2), n, tables())
    spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
    assert ngrams.similarities(found, found, spans[:1], spans[1:]).tolist() == [oracle.jaccard(a, b, n)]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(1, 9), st.integers(1, 5), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_minima_and_bands_are_their_twins(grams: list[int], rows: int, bands: int, seed: int) -> None:
    multipliers, increments = minhash.permutations(seed, rows * bands)
    assert (multipliers & 1).all()
    signature = np.empty(rows * bands, dtype=np.uint32)
    minhash.minima(np.array(grams, dtype=np.uint64), len(grams), multipliers, increments, signature)
    pairs = list(zip(multipliers.tolist(), increments.tolist(), strict=True))
    assert signature.tolist() == [min(((a * (x >> 32) + b) % 2**32 for x in grams), default=2**32 - 1) for a, b in pairs]
    hashes = np.empty(bands, dtype=np.uint64)
    minhash.band_hashes(signature, hashes)
    for band in range(bands):
        state = rows
        for row in range(rows):
            state = (oracle.mix64(state ^ int(signature[band * rows + row])) + row + 1) & oracle.MASK
        assert int(hashes[band]) == state


def test_estimates_are_as_good_as_datasketch() -> None:
    """Over pairs of sets of known similarity, the error of 128 minima is what theory says, as datasketch's is."""
    rng = np.random.default_rng(7)
    multipliers, increments = minhash.permutations(1, 128)
    ours, theirs = [], []
    for shared in np.linspace(0.05, 0.95, 40):
        common = round(400 * shared)
        elements = rng.integers(0, 2**64, size=800 - common, dtype=np.uint64)
        sets = [elements[:400], elements[400 - common :]]
        true = common / (800 - common)
        signatures = np.empty((2, 128), dtype=np.uint32)
        sketches = [datasketch.MinHash(num_perm=128) for _ in sets]
        for signature, sketch, grams in zip(signatures, sketches, sets, strict=True):
            minhash.minima(grams, len(grams), multipliers, increments, signature)
            sketch.update_batch([gram.tobytes() for gram in grams])
        ours.append((signatures[0] == signatures[1]).mean() - true)
        theirs.append(sketches[0].jaccard(sketches[1]) - true)
    # The standard error of one estimate is at most 0.5 / sqrt(128) = 0.044.
    assert np.sqrt(np.mean(np.square(ours))) < 0.05
    assert np.sqrt(np.mean(np.square(theirs))) < 0.05
    assert abs(np.mean(ours)) < 0.02
