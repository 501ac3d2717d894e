"""The kernels of `repeats` beside plain Python, on hostile text."""

from __future__ import annotations

import collections
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels.dedup_oracles import HOSTILE
from tests.stages.repeats import oracle
from tokenmill.pipeline.kernels.dedup import bloom
from tokenmill.pipeline.stages.repeats import filters, scores
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig

UNIT = Literal["lines", "paragraphs"]
LINES = st.lists(st.one_of(HOSTILE, st.sampled_from(["", "\n", " \n", "\r", "a", "\u3000b\u3000", "\x00"])), max_size=8)
TEXTS = st.lists(st.one_of(LINES.map("\n".join), LINES.map("\n\n".join)), max_size=5)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from(["lines", "paragraphs"]), st.integers(1, 6))
@example(["", "\n", "\n\n", "a", "\na\n", "\n\n\na\n\nb\n", "a\n \nb", "é" * 3], "paragraphs", 3)
@example(["a\x00\na", "a\r\nb\r\n", "\u2028\n\u2028a"], "lines", 1)
def test_units_are_those_of_split_and_strip(texts: list[str], unit: UNIT, fewest: int) -> None:
    # Sliced, so that the first offset is not 0.
    column = pa.array(["before", *texts], pa.large_string())[1:]
    batch = scores.split(column, RepeatsConfig(unit=unit, min_characters=fewest))
    hash_of: dict[str, int] = {}
    for text, row in zip(texts, batch.to_pylist(), strict=True):
        units, rest = oracle.split(text, unit, fewest)
        assert [(one["start"], one["end"], one["before"], one["after"]) for one in row["units"]] == [
            (one.start, one.end, one.before, one.after) for one in units
        ]
        assert (row["rest_bytes"], row["bytes"]) == (rest, len(text.encode()))
        for mine, theirs in zip(row["units"], units, strict=True):
            assert hash_of.setdefault(theirs.text, mine["hash"]) == mine["hash"]
    assert len(set(hash_of.values())) == len(hash_of), "different units, different hashes"


def test_hashes_stay_what_they_were() -> None:
    (row,) = scores.split(pa.array(["All rights reserved."], pa.large_string()), RepeatsConfig()).to_pylist()
    assert [one["hash"] for one in row["units"]] == [5397899903605468974]


def test_room_is_enough_where_every_unit_is_as_short_as_it_may_be() -> None:
    texts = pa.array(["a\n" * 1000 + "a", "b", "", "c\n\n\nd"], pa.large_string())
    found = scores.units_of(scores.split(texts, RepeatsConfig(min_characters=1))["units"])
    assert np.diff(found.bounds).tolist() == [1001, 1, 0, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=40))
def test_groups_count_rows_and_occurrences(units: list[tuple[int, int]]) -> None:
    units = sorted(units, key=lambda unit: unit[0])
    rows, hashes = [row for row, _ in units], [key for _, key in units]
    places = np.zeros(len(units), dtype=np.int64)
    bounds = np.searchsorted(rows, range(7)).astype(np.int64)
    found = scores.Units(
        hashes=np.array(hashes, np.uint64), starts=places, ends=places, before=places, after=places, bounds=bounds
    ).grouped()
    wanted = collections.Counter(hashes)
    assert found.hashes.tolist() == sorted(wanted)
    assert found.occurrences.tolist() == [wanted[key] for key in sorted(wanted)]
    assert found.documents.tolist() == [len({row for row, mine in units if mine == key}) for key in sorted(wanted)]
    assert found.first.tolist() == [min(row for row, mine in units if mine == key) for key in sorted(wanted)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.integers(1, 80), st.integers(1, 9))
def test_a_filter_never_counts_too_low(keys: list[int], size: int, probes: int) -> None:
    counters = np.zeros(size, dtype=np.uint8)
    bloom.add(counters, probes, np.array(keys, dtype=np.uint64))
    places = [0] * size
    for key in keys:
        for place in probed(key, probes, size):
            places[place] = min(255, places[place] + 1)
    assert counters.tolist() == places
    asked = np.array([*keys, 1, 2], dtype=np.uint64)
    found = np.empty(len(asked), dtype=np.uint8)
    bloom.lowest(counters, probes, asked, found)
    assert found.tolist() == [min(places[place] for place in probed(key, probes, size)) for key in asked.tolist()]
    assert all(count >= keys.count(key) for count, key in zip(found.tolist(), asked.tolist(), strict=True))
    backwards = np.zeros(size, dtype=np.uint8)
    bloom.add(backwards, probes, np.array(keys[::-1], dtype=np.uint64))
    assert backwards.tolist() == places


def probed(key: int, probes: int, size: int) -> list[int]:
    """Where a key is counted."""
    mask = 2**64 - 1
    step = key
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        step = (step ^ step >> 33) * factor & mask
    step = (step ^ step >> 33) | 1
    return [(key + probe * step & mask) % size for probe in range(probes)]


def test_counters_stop_at_the_most_they_can_hold() -> None:
    counters = np.zeros(4, dtype=np.uint8)
    bloom.add(counters, 1, np.zeros(300, dtype=np.uint64))
    assert counters.max() == bloom.MOST


@pytest.mark.parametrize(("error_rate", "per_unit"), [(0.5, 1.443), (0.01, 9.585), (0.0001, 19.17)])
def test_filters_keep_their_error(error_rate: float, per_unit: float) -> None:
    units = 20_000
    size, probes = filters.sizes(units, error_rate)
    assert size / units == pytest.approx(per_unit, abs=0.001)
    numbers = np.random.default_rng(3).integers(0, 2**64, size=3 * units, dtype=np.uint64)
    counters = np.zeros(size, dtype=np.uint8)
    bloom.add(counters, probes, numbers[:units])
    found = np.empty(2 * units, dtype=np.uint8)
    bloom.lowest(counters, probes, numbers[units:], found)
    passed = (found >= 1).mean()
    assert passed == pytest.approx(error_rate, rel=0.1, abs=4 * (error_rate / (2 * units)) ** 0.5)
    fill = np.count_nonzero(counters) / size
    assert fill == pytest.approx(0.5, abs=0.02)
    assert fill**probes == pytest.approx(passed, rel=0.1, abs=4 * (error_rate / (2 * units)) ** 0.5)


def test_the_oracle_takes_out_what_it_should() -> None:
    assert oracle.without("a\nM\nb\nM\n M", "lines", {"M"}) == "a\nb"
    assert oracle.without("a\nM\n\nb\n\nM\nM\nc", "lines", {"M"}) == "a\n\nb\n\nc"
    assert oracle.without("\nM\na\nM\n", "lines", {"M"}) == "a"
    assert oracle.without("a\n\n\nM\n\nb", "paragraphs", {"M"}) == "a\n\n\nb"
    assert oracle.without("a\nM\n\nM", "paragraphs", {"M"}) == "a\nM"
    assert oracle.without(" M \n\n", "paragraphs", {"M"}) == ""
