"""The loop over a cluster's tasks, with an engine that is played here; and what a node must have before it works."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tokenmill.pipeline.base import executor, files
from tokenmill.pipeline.base.errors import ClusterError, InputError, Locked, OutOfMemory, WorkerDied
from tokenmill.pipeline.base.executor import cluster, node, protocol
from tokenmill.pipeline.base.executor.cluster import Lost, TaskLoop
from tokenmill.pipeline.base.executor.protocol import nothing

WORKERS = 2


def square(number: int) -> int:
    return number * number


@dataclass(kw_only=True)
class Played:
    """An engine that finishes one task at each look, the newest first. `lost`: how often the worker of a task is lost.

    `stuck`: tasks whose first attempt never ends.
    """

    function: Callable[[Any], Any] = square
    lost: dict[int, int] = field(default_factory=dict)
    stuck: set[int] = field(default_factory=set)
    submitted: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    most: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _tasks: dict[int, int] = field(default_factory=dict)

    def submit(self, task: int) -> int:
        self.submitted.append(task)
        handle = next(self._numbers)
        self._tasks[handle] = task
        return handle

    def wait(self, handles: Collection[int], seconds: float) -> Collection[int]:
        self.most = max(self.most, len(handles))
        free = [one for one in sorted(handles, reverse=True) if not self._is_stuck(one)]
        return free[:1]

    def _is_stuck(self, handle: int) -> bool:
        task = self._tasks[handle]
        return task in self.stuck and handle == min(one for one, its in self._tasks.items() if its == task)

    def answer(self, handle: int) -> Any:
        task = self._tasks[handle]
        if self.lost.get(task, 0):
            self.lost[task] -= 1
            raise Lost("gone")
        return self.function(task)

    def cancel(self, handles: Collection[int]) -> None:
        self.cancelled += [self._tasks[one] for one in handles]


def run(engine: Played, tasks: Any, root: Path = Path("/nowhere"), *, straggler_seconds: float = 1e9) -> list[int]:
    in_flight = protocol.in_flight(WORKERS, capped=False)
    loop = TaskLoop(
        engine=engine,
        function=engine.function,
        root=root,
        workers=WORKERS,
        in_flight=in_flight,
        straggler_seconds=straggler_seconds,
    )
    return loop.all(tasks, nothing)


def test_tasks_are_taken_as_workers_get_free_and_answered_in_order() -> None:
    engine = Played()
    made = []

    def tasks() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            assert len(made) - (len(engine.submitted) - engine.most) <= 50
            yield number

    assert run(engine, tasks()) == [number * number for number in range(50)]
    assert engine.most == WORKERS * protocol.IN_FLIGHT_PER_WORKER
    assert protocol.in_flight(WORKERS, capped=True) == WORKERS
    assert run(Played(), iter(())) == []


def test_a_lost_worker_costs_its_task_and_too_many_are_an_error() -> None:
    engine = Played(lost={3: 2, 7: cluster.MOST_LOSSES})
    assert run(engine, range(10)) == [number * number for number in range(10)]
    assert engine.submitted.count(3) == 3
    assert engine.submitted.count(5) == 1
    engine = Played(lost={3: cluster.MOST_LOSSES + 1})
    with pytest.raises(WorkerDied, match="square: 4 workers in turn ended without an answer to one task"):
        run(engine, range(100))
    assert engine.cancelled == [0, 1, 2]


def test_what_a_task_raises_is_raised_once_and_ends_the_others() -> None:
    def fails(number: int) -> int:
        if number == 4:
            raise InputError(f"{number=}")
        if number == 90:
            raise MemoryError
        return number

    engine = Played(function=fails)
    with pytest.raises(InputError, match="number=4"):
        run(engine, range(5))
    assert engine.submitted.count(4) == 1
    assert sorted(engine.cancelled) == [0, 1, 2, 3]
    with pytest.raises(OutOfMemory):
        run(Played(function=fails), [90])


def test_a_straggler_is_run_a_second_time_and_cut_off(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    with corpus(root):
        before = files.token_of(root)
        engine = Played(stuck={0})
        assert run(engine, range(9), root, straggler_seconds=0.0) == [number * number for number in range(9)]
        assert engine.submitted.count(0) == 2
        assert engine.cancelled == [0]
        after = files.token_of(root)
        assert after != before
        with files.holding({str(root): str(before)}), pytest.raises(Locked, match="lost its lock"):
            files.write_bytes(root / "late", b"late")
        with files.holding({str(root): str(after)}):
            files.write_bytes(root / "now", b"now")
    assert not (root / "late").exists()


def corpus(root: Path) -> Any:
    """A corpus folder that this process holds the lock of."""
    root.mkdir()
    files.write_json(root / files.MARKER, files.Marker(id="ab" * 16).plain())
    return files.lock(root)


def test_a_task_on_another_host_writes_for_its_run_alone(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    with corpus(root), node.ground(root) as on:
        on = dataclasses.replace(on, held=files.held())
        path = root / "documents" / "a"
        assert node.run(on, functools.partial(files.write_bytes, path), b"a").bytes == 1
        journals = sorted(one.name for one in (root / ".state").glob("names*"))
        assert journals == ["names", f"names-{files.host()}"]
        assert "documents/a" in files.noted(root)
        files.settle(root)
        assert "documents/a" in files.noted(root)
        assert not (root / ".state" / f"names-{files.host()}").exists()
        # A run that came before has no lock any more, though this process, which works for both, holds the new one.
        stale = dataclasses.replace(on, held={str(root): "another"})
        with pytest.raises(Locked, match="lost its lock"):
            node.run(stale, functools.partial(files.write_bytes, path), b"b")
    assert path.read_bytes() == b"a"
    assert not (root / node.WITNESS).exists()


def test_a_node_that_does_not_fit_says_why(tmp_path: Path) -> None:
    called = []
    with node.ground(tmp_path, lambda: called.append(1)) as on:
        node.prepare(on)
        assert called == [1]
        wrong = dataclasses.replace(on, nonce="1", versions={**on.versions, "Unicode": "1.1.0"})
        with pytest.raises(ClusterError, match=r"has other versions: Unicode .* \(here 1.1.0\)"):
            node.prepare(wrong)
        elsewhere = dataclasses.replace(on, nonce="2", witness=str(tmp_path / "not" / ".state" / "x"))
        with pytest.raises(ClusterError, match="does not see the folder .*/not of the driver"):
            node.run(elsewhere, square, 2)
        with pytest.raises(ClusterError, match="another folder of that name"):
            node.run(dataclasses.replace(on, nonce="3"), square, 2)
        assert len(called) == 1


def size_and_process(table: bytes, number: int) -> tuple[int, int, int]:
    return number, len(table), os.getpid()


def test_what_all_tasks_share_is_bound_to_the_function() -> None:
    table = bytes(200_000)
    with executor.local(2) as pool:
        found = pool.map(functools.partial(size_and_process, table), iter(range(7)))
    assert [(number, size) for number, size, _ in found] == [(number, len(table)) for number in range(7)]
    assert os.getpid() not in {process for _, _, process in found}
