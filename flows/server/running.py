"""Runs scheduled builds until a signal, or until the server is gone.

Guarantee: builds that are running end before anything else does, and are marked as cancelled where the server still answers.
They go on from their files at the next run. Nothing waits for a server that is gone.
Cost: up to `GRACE_SECONDS` for builds to end, where the server is gone; up to `END_SECONDS` where it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from prefect.exceptions import PrefectException
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL

from tokenmill.flows.server.start import Server, answers
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.words import address

LOOK_SECONDS = 1.0
"""How often it is asked whether the server still runs."""
ANSWER_SECONDS = 5.0
GRACE_SECONDS = 10.0
END_SECONDS = 30.0
_CANCELS = 10


def run(runner: Runner, server: Server | None) -> None:
    """Run the deployments of `runner`. `server`: the one that this process started, if it did.

    Raises KeyboardInterrupt after SIGINT or SIGTERM, TokenmillError if the server is gone.
    """
    asyncio.run(_run(runner, server))


def gone(url: str) -> str:
    """What is said when the server at `url` answers no more."""
    return f"Prefect's server at {address(url)} is gone, and so no build starts any more; run the same command again"


async def _run(runner: Runner, server: Server | None) -> None:
    told = asyncio.Event()
    running = asyncio.create_task(runner.start())
    # Prefect sets its own handler for SIGTERM when it starts; this one stands from then on.
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    while not told.is_set() and not running.done() and (server is None or server.runs()):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), LOOK_SECONDS)
    url = str(PREFECT_API_URL.value())
    # A runner that has not begun cannot be told to stop, and one that was told may wait for an answer that never comes.
    if runner.started and not running.done() and await asyncio.to_thread(answers, url, ANSWER_SECONDS):
        await runner.astop()
        await asyncio.wait({running}, timeout=END_SECONDS)
    if not running.done():
        await _end_without_server(running, server)
    with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError, PrefectException):
        await running
    if told.is_set():
        raise KeyboardInterrupt
    raise TokenmillError(gone(url))


async def _end_without_server(running: asyncio.Task[None], server: Server | None) -> None:
    """End builds and then the runner, which would tell the server of each, for minutes, and in many lines."""
    for name in ("asyncio", "prefect", "EventsWorker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    await asyncio.to_thread(_end_builds, server.process.pid if server else None)
    for _ in range(_CANCELS):
        if running.done():
            return
        running.cancel()
        await asyncio.wait({running}, timeout=LOOK_SECONDS)


def _end_builds(but: int | None) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    how = signal.SIGTERM
    while builds := [pid for pid in _children() if pid != but]:
        for pid in builds:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        how = signal.SIGKILL
        while time.monotonic() < deadline and set(builds) & set(_children()):
            time.sleep(0.1)
        deadline = time.monotonic() + GRACE_SECONDS


def _children() -> Iterator[int]:
    """The processes that this one started and that have not ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                yield int(stat.parent.name)
