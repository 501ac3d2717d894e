"""Runs on disk against sorting in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.external import runs

KEY = st.one_of(st.integers(0, 20), st.integers(2**64 - 20, 2**64 - 1), st.integers(0, 2**64 - 1))
NUMBERS = itertools.count()


@given(st.lists(st.lists(KEY, max_size=60), max_size=5), st.integers(1, 40))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ranges_hold_every_row_once_and_equal_keys_together(tmp_path: Path, parts: list[list[int]], rows: int) -> None:
    made, expected = [], []
    for part in parts:
        keys = np.array(sorted(part), dtype=np.uint64)
        values = np.arange(len(keys), dtype=np.uint32) + 1_000 * len(made)
        made.append(runs.write(tmp_path / str(next(NUMBERS)), keys, values))
        expected += zip(keys.tolist(), values.tolist(), strict=True)
    found: list[tuple[int, int]] = []
    ranges = runs.ranges(made, rows)
    assert (ranges[0].first, ranges[-1].last) == (0, runs.LAST)
    for one, other in itertools.pairwise(ranges):
        assert one.last + 1 == other.first
    for within in ranges:
        keys, values = runs.read(made, within, ["<u8", "<u4"])
        assert all(within.first <= key <= within.last for key in keys.tolist())
        found += zip(keys.tolist(), values.tolist(), strict=True)
    assert sorted(found) == sorted(expected)


def test_ranges_are_about_as_large_as_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    made = [
        runs.write(tmp_path / str(number), np.sort(rng.integers(0, 2**60, size, dtype=np.uint64)))
        for number, size in enumerate([50_000, 10, 0, 120_000, *[300] * 100])
    ]
    sizes = [len(runs.read(made, within, ["<u8"])[0]) for within in runs.ranges(made, 20_000)]
    assert sum(sizes) == 200_010
    assert len(sizes) in (10, 11)
    assert max(sizes) < 22_000


ROWS = st.lists(st.tuples(*[st.one_of(st.integers(0, 2), KEY)] * 3), max_size=40)


@given(ROWS, st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_rows_are_ordered_by_all_of_their_key_and_stay_in_order_where_it_is_equal(rows: list[tuple[int, ...]], by: int) -> None:
    columns = [np.array([row[at] for row in rows], dtype=np.uint64) for at in range(3)]
    expected = sorted(range(len(rows)), key=lambda at: rows[at][:by])
    assert runs.order(columns, by).tolist() == expected


def _rows(run: runs.Run, span: runs.Span) -> Iterator[tuple[int, ...]]:
    columns = run.columns()
    return zip(*(column[span.of(columns)].tolist() for column in columns), strict=True)


@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 20))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spans_hold_every_row_once_also_where_the_first_column_has_one_value(
    tmp_path: Path, parts: list[list[tuple[int, ...]]], rows: int
) -> None:
    made = []
    for part in parts:
        columns = [np.array([row[at] for row in sorted(part)], dtype=np.uint64) for at in range(3)]
        made.append(runs.write(tmp_path / str(next(NUMBERS)), np.zeros(len(part), dtype=np.uint64), *columns))
    found: list[tuple[int, ...]] = []
    for span in runs.spans(made, rows, 4):
        block = [row for run in made for row in _rows(run, span)]
        assert len(block) <= 4 * rows + 64 or len({row[:3] for row in block}) == 1
        found += sorted(block)
    assert found == sorted((0, *row) for part in parts for row in part)


def test_a_scratch_folder_is_empty_before_and_after(tmp_path: Path) -> None:
    """Also of what a run that was killed left, and when the work fails."""
    folder = tmp_path / "scratch"
    runs.save(folder / "left", np.arange(3))
    with pytest.raises(ZeroDivisionError), runs.scratch(folder) as given:
        assert given == folder
        assert list(folder.iterdir()) == []
        runs.save(folder / "made", np.arange(3))
        raise ZeroDivisionError
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("values", [[], [3], [2, 2], [5, 1, 5, 2**64 - 1, 1, 0]])
def test_distinct(values: list[int]) -> None:
    assert runs.distinct(np.array(values, dtype=np.uint64)).tolist() == sorted(set(values))
