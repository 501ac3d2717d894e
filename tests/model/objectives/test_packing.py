"""Rows: packed as the definition says, little filled up, each example whole and once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.model.objectives.packing import Example, pack, packed


def packed_in_steps(lengths: Sequence[int], room: int) -> list[int]:
    """What is left of each row by best-fit decreasing: the definition."""
    left: list[int] = []
    for length in sorted(lengths, reverse=True):
        fits = [row for row in range(len(left)) if left[row] >= length]
        if fits:
            left[min(fits, key=lambda row: left[row])] -= length
        else:
            left.append(room - length)
    return sorted(left)


@given(st.lists(st.integers(1, 20), max_size=60))
def test_rows_are_those_of_best_fit_decreasing(lengths: list[int]) -> None:
    rows = pack(lengths, 20)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert sorted(20 - sum(lengths[number] for number in row) for row in rows) == packed_in_steps(lengths, 20)


def test_examples_stand_whole_in_rows_and_every_epoch_has_each_row_once() -> None:
    some = [
        Example(ids=np.arange(size) + size, kept=np.arange(size + 1) >= size // 2, label=size) for size in (1, 2, 3, 5, 8, 8, 0)
    ]
    rows = packed(some, length=10, seed=3, end_of_text=99)
    assert rows.ids.shape == (4, 11)
    assert rows.filled == 34 / 40
    found = []
    for ids, kept, ends, labels in zip(rows.ids.tolist(), rows.kept.tolist(), rows.ends, rows.labels, strict=True):
        assert (ids[0], kept[0]) == (99, False)
        at = 1
        for end, label in zip(ends, labels, strict=True):
            assert (ids[at : end + 1], ids[end + 1]) == (list(range(label, 2 * label)), 99)
            assert kept[at : end + 2] == [place >= label // 2 for place in range(label + 1)]
            at = end + 2
            found.append(label)
        assert set(ids[at:]) <= {99}
        assert not any(kept[at:])
    assert sorted(found) == [0, 1, 2, 3, 5, 8, 8]
    whole = rows.numbers(0, 40)
    for epoch in range(10):
        assert sorted(whole[4 * epoch : 4 * epoch + 4]) == [0, 1, 2, 3]
    assert rows.numbers(3, 6).tolist() == whole[3:9].tolist()
    assert len({tuple(whole[at : at + 4]) for at in range(0, 40, 4)}) > 1


def test_a_thousand_examples_leave_little_of_their_rows_empty() -> None:
    lengths = (np.random.default_rng(0).lognormal(3, 0.8, 1000).astype(int) % 128 + 1).tolist()
    rows = pack(lengths, 128)
    assert sum(lengths) / (128 * len(rows)) > 0.98
