"""Which windows a sample is: a pure function of (store, seed, sample)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import data
from pipeline.errors import InputError
from pipeline.tokens import TokenStore


@settings(max_examples=60, deadline=None)
@given(
    windows=st.integers(1, 40),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    seed=st.integers(0, 2**63 - 1),
    first=st.integers(0, 100),
)
def test_order_does_not_depend_on_how_it_is_asked_for(windows: int, sizes: list[int], seed: int, first: int) -> None:
    whole = data.order(first, sum(sizes), windows=windows, seed=seed)
    parts, at = [], first
    for size in sizes:
        parts.append(data.order(at, size, windows=windows, seed=seed))
        at += size
    assert np.array_equal(whole, np.concatenate(parts))


@settings(max_examples=30, deadline=None)
@given(windows=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_each_epoch_has_every_window_once(windows: int, seed: int) -> None:
    places = data.order(0, 3 * windows, windows=windows, seed=seed).reshape(3, windows)
    assert np.array_equal(np.sort(places, axis=1), np.tile(np.arange(windows), (3, 1)))


def test_epochs_and_seeds_differ() -> None:
    first, second = data.order(0, 2_000, windows=1_000, seed=0).reshape(2, 1_000)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, data.order(0, 1_000, windows=1_000, seed=1))


def test_a_batch_holds_the_ids_of_its_windows(make_store: Callable[..., Path]) -> None:
    root = make_store(train=[[1, 2, 3], [4, 5, 6, 7]])
    split = TokenStore.open(root / "tokens").split("train")
    made = data.batch(split, np.array([1, 0]), 4)
    assert made.dtype == torch.int64
    assert made.tolist() == [[4, 5, 6, 7, 49], [1, 2, 3, 49, 4]]


def test_a_store_below_one_batch_is_refused(make_store: Callable[..., Path]) -> None:
    root = make_store(train=[[1, 2, 3], [4, 5, 6, 7]])
    split = TokenStore.open(root / "tokens").split("train")
    assert data.require(split, length=4, at_least=2, where="here") == 2
    with pytest.raises(InputError, match=r"here: 9 tokens for training are 2 windows .* reads 3"):
        data.require(split, length=4, at_least=3, where="here")
