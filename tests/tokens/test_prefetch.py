"""Reading ahead: in order, bounded, with errors in their place, and no thread left."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from tokenmill.pipeline.tokens.prefetch import ahead


@pytest.mark.parametrize("threads", [1, 4])
def test_answers_come_in_order(threads: int) -> None:
    def slow(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    with ahead(slow, range(40), depth=5, threads=threads) as answers:
        assert list(answers) == [item * item for item in range(40)]


def test_no_more_than_depth_are_read_ahead() -> None:
    seen: list[int] = []
    before = threading.enumerate()
    with ahead(seen.append, itertools.count(), depth=3) as answers:
        for taken in range(1, 6):
            next(answers)
            time.sleep(0.05)
            assert len(seen) <= taken + 3
        assert len(seen) == 8
    assert set(threading.enumerate()) <= set(before)


def test_an_error_comes_where_its_answer_would_have_come() -> None:
    def fails(item: int) -> float:
        return 1 / (item - 3)

    with ahead(fails, range(10), depth=5) as answers:
        assert [next(answers) for _ in range(3)] == [-1 / 3, -1 / 2, -1]
        with pytest.raises(ZeroDivisionError):
            next(answers)


def test_a_consumer_that_stops_leaves_no_thread() -> None:
    before = threading.enumerate()
    with pytest.raises(KeyError), ahead(str, itertools.count(), depth=8, threads=3) as answers:
        next(answers)
        raise KeyError
    assert set(threading.enumerate()) <= set(before)
