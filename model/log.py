"""What a run writes down: a line of JSON for each update, evaluation and sample, and the same for TensorBoard if asked.

Guarantee: `log.jsonl` is a history, to which each run that goes on appends; the page and TensorBoard show of a step what was
said of it last.
Cost: one system call for each line, and one for its event.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.model import tensorboard
from tokenmill.pipeline.base import files

LOG = "log.jsonl"
"""Below the folder of the model."""
EVENTS = "tensorboard"
"""Folder of events, below that of the model."""


class TrainingLog:
    """The log of one call of `train`, which makes the updates after `step`. Raises OSError."""

    def __init__(self, folder: Path, *, step: int, events: bool) -> None:
        self._lines = files.Log(folder / LOG)
        self._events: files.Log | None = None
        if events:
            # A file for each call: a kill may have cut the last event of the one before, and a reader stops there.
            made = (path.name.removeprefix(tensorboard.PREFIX) for path in (folder / EVENTS).glob(f"{tensorboard.PREFIX}*"))
            numbers = [int(number) for number in made if number.isdecimal()]
            self._events = files.Log(folder / EVENTS / f"{tensorboard.PREFIX}{max(numbers, default=-1) + 1:06d}")
            for event in tensorboard.beginning(time.time(), step + 1 if step else 0):
                self._events.write(event)

    def append(self, line: Mapping[str, Any]) -> None:
        """Append `line`, which says its `step`. Raises OSError."""
        self._lines.append(line)
        if self._events is not None:
            self._events.write(tensorboard.event(time.time(), line))

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        if self._events is not None:
            self._events.close()
