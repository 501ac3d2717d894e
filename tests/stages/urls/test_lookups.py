"""Look-ups among sorted hashes against NumPy's, also where hashes are not spread evenly; and parts that share a code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tokenmill.pipeline.kernels.urls import lookups

Hashes = npt.NDArray[np.uint64]
MOST = 2**64 - 1


def spread(kind: str, count: int) -> Hashes:
    """Ascending hashes of a kind."""
    chosen = np.random.default_rng(count)
    even = chosen.integers(0, MOST, count, dtype=np.uint64, endpoint=True)
    made = {
        "even": even,
        "few values": even % np.uint64(3),
        "powers of two": np.uint64(1) << even % np.uint64(64),
        "a half is 0": np.where(np.arange(count) % 2 == 0, np.uint64(0), even),
        "at both ends": np.where(np.arange(count) % 2 == 0, even % np.uint64(1000), np.uint64(MOST) - even % np.uint64(1000)),
    }
    return np.sort(made[kind])


@pytest.mark.parametrize("count", [0, 1, 8, 9, 100, 5_000])
@pytest.mark.parametrize("kind", ["even", "few values", "powers of two", "a half is 0", "at both ends"])
@pytest.mark.parametrize("sieved", [0, 1_000_000])
def test_the_first_place_of_a_hash_is_found(kind: str, count: int, sieved: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "SIEVED", sieved)
    known = spread(kind, count)
    held = lookups.sorted_hashes(known)
    others = np.random.default_rng(1).integers(0, MOST, 200, dtype=np.uint64)
    asked = np.concatenate([known, known + np.uint64(1), known - np.uint64(1), others, np.array([0, MOST], dtype=np.uint64)])
    at = np.searchsorted(known, asked)
    there = np.isin(asked, known)
    for wanted, place, is_there in zip(asked, at.tolist(), there.tolist(), strict=True):
        assert lookups.place_of(wanted, held) == (place if is_there else -1)
