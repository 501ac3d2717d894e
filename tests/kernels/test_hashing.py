"""Hashes against their published vectors and against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.kernels import hashing

KEY = bytes(range(16))


def digest(data: bytes, key: bytes = KEY) -> bytes:
    out = np.zeros(2, dtype=np.uint64)
    padded = np.frombuffer(data + b"\xff" * hashing.PADDING_BYTES, dtype=np.uint8)
    hashing.siphash128(padded, len(data), np.frombuffer(key, dtype=np.uint64), out)
    return out.tobytes()


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", "a3817f04ba25a8e66df67214c7550293"), (b"\x00", "da87c1d86b99af44347659119b22fc45")],
)
def test_siphash_has_the_reference_vectors(data: bytes, expected: str) -> None:
    assert digest(data).hex() == expected
    assert oracle.siphash128(data, KEY).hex() == expected


@given(st.binary(max_size=70), st.binary(min_size=16, max_size=16))
@settings(max_examples=200, deadline=None)
def test_siphash_is_its_twin(data: bytes, key: bytes) -> None:
    assert digest(data, key) == oracle.siphash128(data, key)


def test_siphash_of_more_than_255_bytes_is_its_twin() -> None:
    for size in (255, 256, 257, 300):
        assert digest(bytes(size)) == oracle.siphash128(bytes(size), KEY)


@given(st.binary(max_size=40), st.binary(max_size=9))
@settings(max_examples=200, deadline=None)
def test_words_hash_by_their_bytes_alone(word: bytes, behind: bytes) -> None:
    data = np.frombuffer(b"?" + word + behind + bytes(hashing.PADDING_BYTES), dtype=np.uint8)
    assert hashing.hash_word(data, 1, 1 + len(word)) == oracle.hash_word(word)
