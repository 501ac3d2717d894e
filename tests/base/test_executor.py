"""Workers: answers in order, errors at once, no hang when one is killed, no orphans when the parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tokenmill.pipeline.base import executor
from tokenmill.pipeline.base.errors import InputError, WorkerDied
from tokenmill.pipeline.base.executor import processes


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise InputError(f"{number=}")
    return number


def killed_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_come_in_the_order_of_the_tasks(workers: int) -> None:
    done: list[int] = []
    with executor.local(workers) as pool:
        assert pool.map(square, range(20), done=done.append) == [number * number for number in range(20)]
        assert pool.map(square, []) == []
    assert sorted(done) == list(range(20))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_is_raised_as_it_is(workers: int) -> None:
    with executor.local(workers) as pool, pytest.raises(InputError, match="number=3"):
        pool.map(fail_at_three, range(10))


def test_a_killed_worker_is_an_error_and_the_pool_can_go_on() -> None:
    with executor.local(2) as pool:
        begun = time.monotonic()
        with pytest.raises(WorkerDied, match="run the same command again"):
            pool.map(killed_at_three, range(10))
        assert time.monotonic() - begun < 60
        assert pool.map(square, [5]) == [25]


def stopped_once(task: tuple[int, str]) -> int:
    number, mark = task
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return number
    os.kill(os.getpid(), signal.SIGSTOP)
    return number


def test_a_stopped_worker_is_replaced_and_its_task_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "WATCH_SECONDS", 0.05)
    done: list[int] = []
    with executor.local(2) as pool:
        tasks = [(number, str(tmp_path / "mark")) for number in range(9)]
        assert pool.map(stopped_once, tasks, done=done.append) == list(range(9))
    assert sorted(done) == list(range(9))


def test_workers_that_are_stopped_again_and_again_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "WATCH_SECONDS", 0.05)
    with executor.local(1 + 1) as pool, pytest.raises(WorkerDied, match="stopped again and again"):
        pool.map(stopped_once, [(number, str(tmp_path / f"mark {number}")) for number in range(99)])


PARENT = """
import os, sys, time
from tokenmill.pipeline.base import executor

def note(number):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(120)

if __name__ == "__main__":
    with executor.local(2) as pool:
        pool.map(note, range(2))
"""


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    notes = tmp_path / "notes"
    notes.mkdir()
    parent = subprocess.Popen([sys.executable, script, notes])
    deadline = time.monotonic() + 60
    while len(list(notes.iterdir())) < 2:
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    workers = [int(path.name) for path in notes.iterdir()]
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < deadline, "orphans"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
