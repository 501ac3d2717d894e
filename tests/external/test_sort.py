"""Merging and joining on disk against the same in memory, with fan-ins and memories of every size."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.join import join
from tokenmill.pipeline.external.means import Means, default_memory, rows_of
from tokenmill.pipeline.external.runs import Array, Run

KEY = st.one_of(st.integers(0, 3), st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 2**64 - 1))
RUNS = st.lists(st.lists(st.tuples(KEY, KEY), max_size=30), max_size=9)
LIMITS = st.tuples(st.sampled_from([2, 3, 4, 64]), st.sampled_from([1, 300, 1000, 10**6]))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


def means(folder: Path, limits: tuple[int, int]) -> Means:
    return Means(folder=folder, executor=InProcess(), memory_bytes=limits[1], fan_in=limits[0])


def columns_of(rows: list[tuple[int, int]], first: int) -> tuple[Array, Array, Array]:
    """Both parts of a key, and a number for each row."""
    keys = np.array(rows, dtype=np.uint64).reshape(-1, 2)
    return keys[:, 0], keys[:, 1], np.arange(first, first + len(rows), dtype=np.uint32)


def written(folder: Path, parts: list[list[tuple[int, int]]], by: int) -> list[Run]:
    firsts = itertools.accumulate((len(part) for part in parts), initial=0)
    return [
        runs.write_sorted(folder / f"given-{number}", *columns_of(part, first), by=by)
        for number, (part, first) in enumerate(zip(parts, firsts, strict=False))
    ]


def rows_in(found: list[Run]) -> list[tuple[int, ...]]:
    return [row for run in found for row in zip(*(column.tolist() for column in run.columns()), strict=True)]


@pytest.mark.parametrize("by", [1, 2])
@given(parts=RUNS, limits=LIMITS)
@settings(max_examples=25, deadline=None)
def test_merged_runs_are_the_sorted_rows(
    folder: Path, by: int, parts: list[list[tuple[int, int]]], limits: tuple[int, int]
) -> None:
    with runs.scratch(folder):
        found = sort.merge(means(folder, limits), written(folder, parts, by), "merged", by=by)
        assert len(found) <= limits[0]
        everything = [tuple(row) for part in parts for row in part]
        numbered = [(*row, number) for number, row in enumerate(everything)]
        expected = sorted(numbered, key=lambda row: row[:by])
        # Few runs stay apart, and are in order together once they are merged in memory.
        blocks = list(sort.ordered([run.columns() for run in found], by, 10))
        assert [row for block in blocks for row in zip(*(column.tolist() for column in block), strict=True)] == expected
        # What was merged is gone.
        assert {path.name for path in folder.iterdir()} == {run.path.name for run in found}


def _summed(columns: list[Array]) -> list[Array]:
    begins = np.flatnonzero(np.concatenate([[True], columns[0][1:] != columns[0][:-1]]))
    return [columns[0][begins], np.add.reduceat(columns[1], begins)]


@given(parts=st.lists(st.lists(st.integers(0, 20), max_size=40), max_size=20), limits=LIMITS)
@settings(max_examples=25, deadline=None)
def test_equal_keys_are_summed_on_the_way(folder: Path, parts: list[list[int]], limits: tuple[int, int]) -> None:
    with runs.scratch(folder):
        given_runs = [
            runs.write_sorted(folder / f"given-{number}", np.array(part, dtype=np.uint64), np.ones(len(part), dtype=np.int64))
            for number, part in enumerate(parts)
        ]
        found = sort.merge(means(folder, limits), given_runs, "merged", reduce=_summed)
        totals: dict[int, int] = {}
        for key, count in rows_in(found):
            totals[key] = totals.get(key, 0) + count
        every = [key for part in parts for key in part]
        assert totals == {key: every.count(key) for key in set(every)}
        if len(parts) > limits[0]:
            assert all(len(set(run.columns()[0].tolist())) == run.rows for run in found)


@given(asked=RUNS, known=st.sets(KEY, max_size=40), limits=LIMITS)
@settings(max_examples=50, deadline=None)
def test_a_join_gives_every_row_its_value(
    folder: Path, asked: list[list[tuple[int, int]]], known: set[int], limits: tuple[int, int]
) -> None:
    values = {key: number for number, key in enumerate(sorted(known))}
    with runs.scratch(folder):
        keys, numbers = np.array(list(values), dtype=np.uint64), np.array(list(values.values()), dtype=np.int64)
        halves = [runs.write_sorted(folder / f"known-{half}", keys[half::2], numbers[half::2]) for half in (0, 1)]
        found = join(means(folder, limits), written(folder, asked, 1), halves, "joined")
        every = [(*row, number) for number, row in enumerate(row for part in asked for row in part)]
        expected = sorted((row for row in every if row[0] in values), key=lambda row: row[0])
        assert rows_in(found) == [(*row, values[row[0]]) for row in expected]


def test_a_key_of_very_many_rows_is_never_held_whole(tmp_path: Path) -> None:
    keys = np.full(5_000, 7, dtype=np.uint64)
    places = np.arange(5_000, dtype=np.uint64)
    parts: list[list[npt.NDArray[Any]]] = [[keys, places[0::2]], [keys, places[1::2]]]
    parts = [[key[: len(place)], place] for key, place in parts]
    for by in (1, 2):
        blocks = list(sort.ordered(parts, by, 100))
        assert max(len(block[0]) for block in blocks) <= 250
        assert sum(len(block[0]) for block in blocks) == 5_000
    assert np.concatenate([block[1] for block in blocks]).tolist() == places.tolist()
    (whole,) = sort.ordered(parts, 1, 100, whole=True)
    assert len(whole[0]) == 5_000


def test_memory_gives_rows() -> None:
    assert rows_of(1, ["<u8"]) == 1
    assert rows_of(10**6, ["<u8"]) == 10**6 // 64
    assert default_memory(4) * 4 == pytest.approx(default_memory(1), rel=1e-6)
