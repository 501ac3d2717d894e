"""The bytes of the store, against descriptions written by hand."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.tokens import BLOCK_BYTES, BlockHashes, content_hash, dtype_for, index, offsets
from tokenmill.pipeline.tokens.format import first_place_of_train, places

GOLDEN = [0, 1, 8, 14, 28]


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def i32(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


def test_index_of_three_documents_in_uint16() -> None:
    wanted = (
        b"MMIDIDX\x00\x00"
        + u64(1)  # version
        + b"\x08"  # uint16
        + u64(3)  # sequences
        + u64(4)  # entries of the document index
        + (i32(5) + i32(1) + i32(700))  # tokens
        + (u64(0) + u64(10) + u64(12))  # first bytes
        + (u64(0) + u64(1) + u64(2) + u64(3))  # first sequences of the documents, and the end
    )
    assert index(np.array([5, 1, 700]), dtype_for(257)) == wanted
    assert len(wanted) == 34 + 3 * 4 + 3 * 8 + 4 * 8


def test_index_says_int32_for_uint32() -> None:
    found = index(np.array([2, 3]), dtype_for(65_537))
    assert found[17:18] == b"\x04"
    assert found[34 + 8 : 34 + 24] == u64(0) + u64(8)


def test_index_of_no_documents() -> None:
    assert index(np.array([], dtype=np.int64), dtype_for(300)) == b"MMIDIDX\x00\x00" + u64(1) + b"\x08" + u64(0) + u64(1) + u64(
        0
    )


def test_types_of_ids() -> None:
    assert dtype_for(65_536).str == "<u2"
    assert dtype_for(65_537).str == "<u4"


def test_offsets() -> None:
    assert offsets(np.array([3, 0, 2])).tolist() == [0, 3, 3]
    assert offsets(np.array([], dtype=np.int64)).tolist() == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3 * BLOCK_BYTES // 2), max_size=5))
def test_block_hashes_do_not_depend_on_the_pieces(sizes: list[int]) -> None:
    stream = np.random.default_rng(sum(sizes)).bytes(sum(sizes))
    hashes = BlockHashes()
    at = 0
    for size in sizes:
        hashes.update(stream[at : at + size])
        at += size
    pieces = [stream[start : start + BLOCK_BYTES] for start in range(0, len(stream), BLOCK_BYTES)]
    assert hashes.finish() == b"".join(hashlib.sha256(piece).digest() for piece in pieces)


def ids_of(count: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([schema.doc_id("a", str(number)) for number in range(count)], pa.binary(16))])


def in_validation(doc_ids: pa.ChunkedArray, fraction: float) -> npt.NDArray[np.bool_]:
    return places(doc_ids) < first_place_of_train(fraction)


def test_a_document_is_on_the_same_side_for_ever() -> None:
    many = ids_of(2000)
    tenth, fifth = in_validation(many, 0.1), in_validation(many, 0.2)
    assert not (tenth & ~fifth).any(), "a larger fraction only adds"
    assert tenth.sum() == pytest.approx(200, abs=45)
    assert not in_validation(many, 0.0).any()
    assert in_validation(many[10:20], 0.1).tolist() == tenth[10:20].tolist()
    assert np.flatnonzero(tenth)[:5].tolist() == GOLDEN, "these may never change"


def test_content_hash_is_xxh3() -> None:
    """The first is a known answer of the algorithm: the hash of nothing."""
    assert content_hash(b"").hex() == "99aa06d3014798d86001c324468d497f"
    assert content_hash("ä".encode()) == content_hash(memoryview(b"\xc3\xa4")) != content_hash(b"\xc3\xa5")
