"""The normaliser against the recipe in plain Python, on hostile text."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.kernels.hashing import PADDING_BYTES
from tokenmill.pipeline.kernels.text import buffers, normalise, unicode


def run_bytes(data: bytes, behind: bytes) -> tuple[bytes, list[int]]:
    """Normalise one document that stands between others; text and hashes of words. The scratch is dirty, as in a batch."""
    source = np.frombuffer(b"x \xc3\xa9" + data + behind, dtype=np.uint8)
    text = np.full(normalise.GROWTH * len(data) + PADDING_BYTES, 0xAA, dtype=np.uint8)
    words = np.zeros(len(data) // 2 + 1, dtype=np.uint64)
    size, count = normalise.normalise(source, 4, 4 + len(data), unicode.tables(), text, words)
    assert size <= normalise.GROWTH * len(data)
    assert count <= len(words)
    return text[:size].tobytes(), words[:count].tolist()


def run(data: str) -> tuple[str, list[int]]:
    text, words = run_bytes(data.encode(), b"9.9 \xe6\x97\xa5")
    return text.decode(), words


@given(oracle.HOSTILE)
@settings(max_examples=500, deadline=None)
def test_text_and_words_are_those_of_the_recipe(text: str) -> None:
    normal = oracle.normalised(text)
    hashes = [oracle.hash_word(word.encode()) for word in oracle.words_of(normal)]
    assert run(text) == (normal, hashes)


@given(oracle.HOSTILE)
@settings(max_examples=300, deadline=None)
def test_whole_strings_differ_only_by_the_order_of_rare_marks(text: str) -> None:
    """Lowering and decomposing the whole string, as the recipe is written, gives the same but for those marks."""
    rare = [c for c in text if unicodedata.combining(c) and not oracle.is_mark(c)]
    decomposed = "".join(c for c in unicodedata.normalize("NFD", text) if not oracle.is_mark(c))
    if not rare and not any(unicodedata.combining(c) for c in decomposed):
        assert run(text)[0] == oracle.normalised(text, whole=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n\u3000", ""),
        ("\x00\x00", ""),
        ("!!! ... ---", ""),
        ("Hello,  WORLD!", "hello world"),
        ("1,234.56", "0 0"),
        ("1.2.3.4", "0 0"),
        ("v1.2-rc3", "v0 rc0"),
        ("1,", "0"),
        (".5", "0"),
        ("1..2", "0 0"),
        ("1.a", "0 a"),
        ("\u0661\u066b\u0662", "0"),
        ("\u0130stanbul", "istanbul"),
        ("\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03bf\u03c2", "\u03bf\u03b4\u03bf\u03c3 \u03bf\u03b4\u03bf\u03c3"),
        ("caf\u00e9 cafe\u0301", "cafe cafe"),
        ("a \u0301 b", "a  b"),
        ("\u0301 a", "a"),
        ("\ud55c", "\u1112\u1161\u11ab"),
        ("\u304c", "\u304b"),
        ("e\u200bf", "e\u200bf"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert run(text)[0] == expected


def test_words_of_scripts_without_spaces_are_characters() -> None:
    assert len(run("\u65e5\u672c\u8a9e")[1]) == 3
    assert len(run("abc\u65e5x")[1]) == 3
    assert len(run("\ud55c\uad6d\uc5b4 \ub9d0")[1]) == 2


@given(st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_utf8_never_reach_beyond_the_document(data: bytes) -> None:
    assert run_bytes(data, b"\x80\xbf\x80\xbf") == run_bytes(data, b"9.9 ") == run_bytes(data, b"")


@given(st.lists(oracle.HOSTILE, max_size=6), st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_buffers_honour_slices(texts: list[str], start: int, stop: int) -> None:
    column = pa.array(texts, pa.large_string())[start:stop]
    data, offsets = buffers.utf8(column)
    assert [bytes(data[a:b]).decode() for a, b in itertools.pairwise(offsets)] == texts[start:stop]
    longest = max((len(text.encode()) for text in texts[start:stop]), default=0)
    assert normalise.longest(offsets) == longest
