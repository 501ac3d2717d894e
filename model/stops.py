"""Signals that ask a training to stop.

Guarantee: the first one is only noted, so that the loop can end between two updates, with a checkpoint; a second one does what
it did before.
Cost: none.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.progress import Progress

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; what `kill` and machines that shut down send; a terminal that was closed."""
TWICE_SECONDS = 1.0
"""Within it, a second signal is the same wish: `timeout`, for example, sends it to a process and to its group,
and `torchrun` sends on what Ctrl-C has sent already."""


@contextlib.contextmanager
def asked(progress: Progress) -> Iterator[list[int]]:
    """Collect the numbers of `STOPPING` that arrive in the block. A second one does what it did before the block."""
    numbers: list[int] = []
    before: dict[int, Any] = {}
    first_at = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first_at
        if not numbers:
            first_at = time.monotonic()
            numbers.append(number)
            # It may have come while another line is written, or because the terminal is gone.
            with contextlib.suppress(RuntimeError, OSError, TokenmillError):
                progress.say("stopping after this update; once more to stop at once")
        elif time.monotonic() - first_at > TWICE_SECONDS:
            if callable(before[number]):
                before[number](number, frame)
            else:
                signal.signal(number, before[number])
                signal.raise_signal(number)

    # Only the main thread may set handlers; elsewhere whoever runs the loop ends it.
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    try:
        yield numbers
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
