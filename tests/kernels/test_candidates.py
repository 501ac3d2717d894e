"""Pairs of buckets, and who stays, against the rule in plain Python."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.kernels.dedup.candidates import band_keys, bucket_pairs, survivors

BASE = 2**32 - 25
BUCKET = st.tuples(st.lists(st.integers(0, 50), min_size=1, max_size=30, unique=True), st.integers(0, 35))


@given(st.lists(BUCKET, max_size=6), st.integers(36, 60))
@settings(max_examples=200, deadline=None)
def test_pairs_of_buckets(buckets: list[tuple[list[int], int]], room: int) -> None:
    # Ranks have 64 bits: those of the test stand on both sides of 2^32.
    ranks = np.array([BASE + rank for bucket, _ in buckets for rank in sorted(bucket)], dtype=np.uint64)
    place = np.array([at for bucket, _ in buckets for at in range(len(bucket))], dtype=np.int64)
    near = np.array([min(at, window) for bucket, window in buckets for at in range(len(bucket))], dtype=np.int64)
    first = np.array([BASE + min(bucket) for bucket, _ in buckets for _ in bucket], dtype=np.uint64)
    expected = []
    for bucket, window in buckets:
        for (i, low), (j, high) in itertools.combinations(enumerate(sorted(bucket)), 2):
            if i == 0 or j - i <= window:
                expected.append((high, low))
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(ranks):
        higher, lower = np.zeros((2, room), dtype=np.uint64)
        after, filled = bucket_pairs(place, near, first, ranks, at, higher, lower)
        assert after > at
        at = after
        found += zip(higher[:filled].tolist(), lower[:filled].tolist(), strict=True)
    assert sorted(found) == sorted((BASE + high, BASE + low) for high, low in expected)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6))
def test_keys_of_bands(values: list[int]) -> None:
    mask = 2**64 - 1

    def mixed(value: int) -> int:
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            value = (value ^ value >> 33) * factor & mask
        return value ^ value >> 33

    out = np.zeros(6, dtype=np.uint64)
    band_keys(np.array(values, dtype=np.uint64).reshape(2, 3), out)
    assert out.tolist() == [mixed(value ^ mixed(at % 3 + 1)) for at, value in enumerate(values)]


EDGES = st.dictionaries(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda edge: edge[0] < edge[1]),
    st.sampled_from([0.8, 0.85, 0.9, 1.0]),
    max_size=30,
)


@given(EDGES, st.integers(0, 30))
@settings(max_examples=300, deadline=None)
def test_one_is_kept_unless_it_has_an_edge_to_a_kept_one(edges: dict[tuple[int, int], float], cut: int) -> None:
    ordered = sorted(edges, key=lambda edge: (edge[1], edge[0]))
    higher, lower = (np.array([edge[at] for edge in ordered], dtype=np.uint64) for at in (1, 0))
    values = np.array([edges[edge] for edge in ordered], dtype=np.float64)
    # All edges of a higher rank come in one call.
    while 0 < cut < len(ordered) and ordered[cut][1] == ordered[cut - 1][1]:
        cut += 1
    removed, keeper = np.zeros(2, dtype=np.uint8), {}
    for part in (slice(0, cut), slice(cut, None)):
        out = np.zeros(len(higher[part]), dtype=np.int64)
        chosen = out[: survivors(higher[part], lower[part], values[part], removed, out)]
        columns = (column[part][chosen].tolist() for column in (higher, lower, values))
        keeper.update((rank, (low, value)) for rank, low, value in zip(*columns, strict=True))
    kept: list[int] = []
    for rank in range(12):
        choices = [(-edges[low, rank], low) for low in kept if (low, rank) in edges]
        expected = min(choices, default=(-1.0, rank))
        assert keeper.get(rank, (rank, 1.0)) == (expected[1], -expected[0])
        assert removed[rank >> 3] >> (rank & 7) & 1 == bool(choices)
        if not choices:
            kept.append(rank)
