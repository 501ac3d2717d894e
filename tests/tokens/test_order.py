"""The keyed permutation: a bijection for every count, and for ever the same one."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.tokens import permute

WORD = 2**64

GOLDEN = [4, 5, 3, 7, 0, 1, 2, 9, 8, 6]


def plain(index: int, count: int, *, seed: int, epoch: int) -> int:
    """The same network in plain Python, one number at a time."""
    digest = hashlib.blake2b(f"{seed}/{epoch}".encode(), digest_size=64, person=b"tokenmill.order").digest()
    keys = [int.from_bytes(digest[8 * place : 8 * place + 8], "little") for place in range(8)]
    bits = max(1, ((count - 1).bit_length() + 1) // 2)

    def mix(value: int) -> int:
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % WORD
        return value ^ (value >> 31)

    while True:
        left, right = index >> bits, index % 2**bits
        for key in keys:
            left, right = right, left ^ (mix(right ^ key) % 2**bits)
        index = (left << bits) | right
        if index < count:
            return index


@pytest.mark.parametrize("count", [*range(1, 70), 255, 256, 257, 1000, 4095, 4096, 4097])
def test_every_number_once_under_several_keys(count: int) -> None:
    for seed, epoch in [(0, 0), (0, 1), (7, 0)]:
        order = permute(np.arange(count), count, seed=seed, epoch=epoch)
        assert sorted(order.tolist()) == list(range(count))


@pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.soak)])
def test_every_number_once_for_each_count_up_to_5000(step: int) -> None:
    for count in range(1, 5001, step):
        order = permute(np.arange(count), count, seed=count, epoch=count % 7)
        assert (np.bincount(order, minlength=count) == 1).all(), count


@pytest.mark.parametrize("count", [4096, 5000, 100_003])
def test_neighbours_are_as_if_drawn(count: int) -> None:
    """Chi-square over pairs of neighbours: which tenth of the numbers a window is in says nothing of the next one's.

    Over 20 keys, so that the sum has 20 * 99 degrees of freedom: within 4 standard deviations of what chance gives.
    """
    cells, keys, total = 10, 20, 0.0
    for key in range(keys):
        tenth = permute(np.arange(count), count, seed=key, epoch=0) * cells // count
        pairs = np.bincount(tenth[:-1] * cells + tenth[1:], minlength=cells**2)
        wanted = (count - 1) / cells**2
        total += float(((pairs - wanted) ** 2 / wanted).sum())
    # Each tenth comes equally often, which takes 2 * 9 of the 99 degrees of freedom from pairs.
    freedom = keys * (cells - 1) ** 2
    assert abs(total - freedom) < 4 * (2 * freedom) ** 0.5


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 2**62), st.integers(-(2**70), 2**70), st.integers(0, 2**40))
def test_it_is_the_plain_network(data: st.DataObject, count: int, seed: int, epoch: int) -> None:
    indices = data.draw(st.lists(st.integers(0, count - 1), max_size=5, unique=True))
    found = permute(np.array(indices, dtype=np.int64), count, seed=seed, epoch=epoch)
    assert found.dtype == np.int64
    assert found.tolist() == [plain(index, count, seed=seed, epoch=epoch) for index in indices]
    assert len(set(found.tolist())) == len(indices)


def test_the_order_is_for_ever() -> None:
    """Runs resume by number of samples, so these values may never change."""
    assert permute(np.arange(10), 10, seed=0, epoch=0).tolist() == GOLDEN


def test_epochs_and_seeds_differ() -> None:
    numbers = np.arange(1000)
    orders = {tuple(permute(numbers, 1000, seed=seed, epoch=epoch).tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_shape_is_kept_and_parts_agree() -> None:
    whole = permute(np.arange(60), 60, seed=1, epoch=2)
    assert (permute(np.arange(60).reshape(3, 20), 60, seed=1, epoch=2) == whole.reshape(3, 20)).all()
    assert permute(np.array([17]), 60, seed=1, epoch=2)[0] == whole[17]


def test_neighbours_are_far_apart() -> None:
    order = permute(np.arange(10_000), 10_000, seed=0, epoch=0)
    assert abs(np.corrcoef(np.arange(10_000), order)[0, 1]) < 0.05
    assert np.mean(np.abs(np.diff(order))) == pytest.approx(10_000 / 3, rel=0.05)
