"""Pairs of buckets, and who stays, against the rule in plain Python."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernels.candidates import bucket_pairs, survivors


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(2, 12))
@settings(max_examples=200, deadline=None)
def test_pairs_of_buckets(values: list[int], limit: int) -> None:
    hashes = np.array(values, dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    pairs, capped, members = bucket_pairs(hashes[order], order, limit)
    buckets = defaultdict(list)
    for rank, value in enumerate(values):
        buckets[value].append(rank)
    expected = set()
    for bucket in buckets.values():
        for i, low in enumerate(bucket):
            for j in range(i + 1, len(bucket)):
                if len(bucket) <= limit or i == 0 or j - i <= limit // 2:
                    expected.add((low, bucket[j]))
    found = [(int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in pairs]
    assert sorted(found) == sorted(expected)
    large = [len(bucket) for bucket in buckets.values() if len(bucket) > limit]
    assert (capped, members) == (len(large), sum(large))


EDGES = st.dictionaries(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda edge: edge[0] < edge[1]),
    st.sampled_from([0.8, 0.85, 0.9, 1.0]),
    max_size=30,
)


@given(EDGES)
@settings(max_examples=300, deadline=None)
def test_one_is_kept_unless_it_has_an_edge_to_a_kept_one(edges: dict[tuple[int, int], float]) -> None:
    ordered = sorted(edges, key=lambda edge: (edge[1], edge[0]))
    keeper, similarity = np.arange(12), np.ones(12)
    survivors(
        np.array([low for low, _ in ordered], dtype=np.int64),
        np.array([high for _, high in ordered], dtype=np.int64),
        np.array([edges[edge] for edge in ordered], dtype=np.float64),
        keeper,
        similarity,
    )
    kept: list[int] = []
    for rank in range(12):
        choices = [(-edges[low, rank], low) for low in kept if (low, rank) in edges]
        expected = min(choices, default=(-1.0, rank))
        assert (int(keeper[rank]), float(similarity[rank])) == (expected[1], -expected[0])
        if not choices:
            kept.append(rank)
