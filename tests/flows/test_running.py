"""How scheduled builds end where the runner does not do what it is told."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from tokenmill.flows.server import running


class StubbornRunner:
    """Runs until it was cancelled `cancels` times, and takes no other word for an end."""

    def __init__(self, *, started: bool, cancels: int) -> None:
        self.started, self.cancels, self.told = started, cancels, 0

    async def start(self) -> None:
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
        while self.cancels:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancels -= 1

    async def astop(self) -> None:
        assert self.started
        self.told += 1


@pytest.mark.parametrize("started", [True, False])
def test_a_runner_that_does_not_stop_is_ended(started: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "answers", lambda *_: True)
    monkeypatch.setattr(running, "_end_builds", lambda _: None)  # builds are what this process started: workers of other tests
    monkeypatch.setattr(running, "END_SECONDS", 0.2)
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.1)
    runner: Any = StubbornRunner(started=started, cancels=3)
    with pytest.raises(KeyboardInterrupt):
        running.run(runner, None)
    assert (runner.told, runner.cancels) == (started, 0)
