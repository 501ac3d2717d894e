"""n-gram sets, signatures and bands against plain Python; estimates against datasketch."""

from __future__ import annotations

import unicodedata

import datasketch
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.kernels.dedup import minhash
from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import KEPT, fold, tables

WORDS = st.lists(st.sampled_from(["to", "be", "or", "not", "\u65e5\u672c", "a1", "x"]), max_size=30).map(" ".join)


SHINGLE = st.sampled_from(["words", "characters"])


@given(st.lists(st.one_of(WORDS, oracle.HOSTILE), min_size=1, max_size=5), st.integers(1, 6), SHINGLE)
@settings(max_examples=200, deadline=None)
def test_sets_are_the_sorted_distinct_ngrams_of_the_chosen_rows(texts: list[str], n: int, shingle: str) -> None:
    rows = np.array([row for row in range(len(texts)) if row % 2 == 0], dtype=np.int64)
    column = utf8(pa.array(texts, pa.large_string()))
    found, bounds = ngrams.ngram_sets(*column, rows, shingle == "characters", n, tables())
    assert bounds[0] == 0
    assert bounds[-1] == len(found)
    for at, row in enumerate(rows):
        assert found[bounds[at] : bounds[at + 1]].tolist() == sorted(set(oracle.ngrams(texts[row], n, shingle)))


@given(st.one_of(WORDS, oracle.HOSTILE), WORDS, st.integers(1, 4), SHINGLE)
@settings(max_examples=200, deadline=None)
def test_similarity_is_that_of_the_sets_of_tuples(a: str, b: str, n: int, shingle: str) -> None:
    column = utf8(pa.array([a, b], pa.large_string()))
    found, bounds = ngrams.ngram_sets(*column, np.arange(2), shingle == "characters", n, tables())
    spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
    assert ngrams.similarities(found, found, spans[:1], spans[1:]).tolist() == [oracle.jaccard(a, b, n, shingle)]


def test_buffers_have_room_for_all_words_and_characters() -> None:
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        character = chr(code)
        assert len(fold(character, unicodedata.category(character), KEPT)[1]) <= ngrams.most_units(
            len(character.encode()), True
        )


@given(st.text(st.sampled_from("\u65e5\u672c\u304b\u30d5\u0e44\u0e17\u0e22\u1780\U00020000"), min_size=1), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_of_a_script_without_spaces_characters_are_the_words(text: str, n: int) -> None:
    column = utf8(pa.array([text], pa.large_string()))
    words, characters = (ngrams.ngram_sets(*column, np.arange(1), kind, n, tables())[0] for kind in (False, True))
    assert words.tolist() == characters.tolist()
    assert len(words) <= max(0, len(text) - n + 1)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(1, 9), st.integers(1, 5), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_minima_and_bands_are_their_twins(grams: list[int], rows: int, bands: int, seed: int) -> None:
    multipliers, increments = minhash.permutations(seed, rows * bands)
    assert (multipliers & 1).all()
    signature = np.empty(rows * bands, dtype=np.uint32)
    minhash.minima(np.array(grams, dtype=np.uint64), len(grams), multipliers, increments, signature)
    hashes = np.empty(bands, dtype=np.uint64)
    minhash.band_hashes(signature, hashes)
    assert hashes.tolist() == oracle.bands(grams, multipliers.tolist(), increments.tolist(), rows)


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
