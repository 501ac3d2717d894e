"""What the log of a training says, read once and followed as it grows.

Purpose: the log is appended to by every run that goes on, so it may repeat steps, lack keys, and have lines that a kill cut.
Guarantee: steps ascend, and each is there once. A line takes back all that was said of later steps before it: the run went on
from an earlier checkpoint. A line that cannot be read is counted, and a number that is not one is NaN.
Cost: about 8 microseconds and 64 bytes of memory per update; a second reading reads only what is new.
"""

from __future__ import annotations

import bisect
import json
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files

Floats = npt.NDArray[np.float64]
NUMBERS = ("tokens", "loss", "learning_rate", "gradient_norm", "tokens_per_second", "mfu", "loss_scale")
"""What the log says of an update, where it says it."""
TOGETHER = 1_000
"""Lines that are parsed at once."""
SAMPLE_CHARACTERS = 2_000
"""Of a sample that are kept."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The losses on the validation split after `step` updates, in nats per token; NaN where there is none."""

    step: int
    loss: float
    bits_per_byte: float
    sources: Mapping[str, float]
    languages: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the model said after `step` updates."""

    step: int
    text: str


@dataclass(kw_only=True)
class History:
    """What `path` says. Call `follow` to read it."""

    path: Path
    evaluations: list[Evaluated] = field(default_factory=list)
    samples: list[Said] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """By phase, of all updates that say it together, repeated ones too: that time was spent."""
    timed: int = 0
    """How many updates say it."""
    skipped: list[int] = field(default_factory=list)
    """Steps whose update was skipped."""
    unreadable: int = 0
    """Lines that are none, such as one that a kill cut."""
    _steps: array[int] = field(default_factory=lambda: array("q"))
    _columns: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in NUMBERS})
    _read: int = 0
    """Bytes."""

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """The numbers of the updates: int64 [updates], ascending."""
        return np.array(self._steps, dtype=np.int64)

    def column(self, name: str) -> Floats:
        """What is said of each update: float64 [updates], NaN where nothing is."""
        return np.array(self._columns[name], dtype=np.float64)

    @property
    def last(self) -> int:
        """The last step of which anything is said, 0 before any."""
        said = [of[-1].step for of in (self.evaluations, self.samples) if of]
        return max([*self._steps[-1:], *said], default=0)

    def follow(self) -> None:
        """Read what was appended since the last call. A log that is not there says nothing. Raises OSError."""
        try:
            with files.reading(self.path) as log:
                log.seek(self._read)
                new = log.readall() or b""
        except FileNotFoundError:
            return
        whole, end, _ = new.rpartition(b"\n")
        self._read += len(whole) + len(end)
        lines = whole.split(b"\n") if end else []
        for first in range(0, len(lines), TOGETHER):
            for line in _parsed(lines[first : first + TOGETHER]):
                try:
                    self._take(line)
                except (ValueError, TypeError, KeyError):
                    self.unreadable += 1

    def _take(self, line: Any) -> None:
        step = line["step"]
        if type(step) is not int or not 0 <= step < 2**53:
            raise ValueError(step)
        if "loss" in line:
            self._forget(step, update=True)
            self._steps.append(step)
            for name, column in self._columns.items():
                value = line.get(name, math.nan)
                column.append(value if type(value) is float and abs(value) < math.inf else _number(value))
            if line.get("skipped") is True:
                self.skipped.append(step)
            spent = _numbers(line.get("seconds"))
            self.timed += bool(spent)
            for phase, seconds in spent.items():
                self.seconds[phase] = self.seconds.get(phase, 0.0) + (seconds if math.isfinite(seconds) else 0.0)
        elif "validation_loss" in line:
            self._forget(step, evaluation=True)
            self.evaluations.append(
                Evaluated(
                    step=step,
                    loss=_number(line["validation_loss"]),
                    bits_per_byte=_number(line.get("bits_per_byte")),
                    sources=_numbers(line.get("sources")),
                    languages=_numbers(line.get("languages")),
                )
            )
        elif "sample" in line:
            self._forget(step, sample=True)
            self.samples.append(Said(step=step, text=str(line["sample"])[:SAMPLE_CHARACTERS]))
        else:
            raise ValueError(line)

    def _forget(self, step: int, *, update: bool = False, evaluation: bool = False, sample: bool = False) -> None:
        """Take back what was said of later steps, and of this one what is said again now."""
        if self._steps and self._steps[-1] >= step + (not update):
            kept = bisect.bisect_left(self._steps, step + (not update))
            del self._steps[kept:]
            for column in self._columns.values():
                del column[kept:]
            del self.skipped[bisect.bisect_left(self.skipped, step + (not update)) :]
        while self.evaluations and self.evaluations[-1].step >= step + (not evaluation):
            self.evaluations.pop()
        while self.samples and self.samples[-1].step >= step + (not sample):
            self.samples.pop()


def _parsed(lines: list[bytes]) -> list[Any]:
    """Each line as a value of JSON; None for one that is none."""
    try:
        # Two thirds of the time of one by one, since names of keys are made once.
        values = json.loads(b"[" + b",".join(lines) + b"]")
        if len(values) == len(lines):
            return list(values)
    # RecursionError: brackets in brackets in brackets.
    except (ValueError, RecursionError):
        pass
    found: list[Any] = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            found.append(None)
    return found


def _number(value: Any) -> float:
    """A number of JSON as a float; NaN for anything else, infinities too."""
    if type(value) not in (int, float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan


def _numbers(value: Any) -> dict[str, float]:
    """An object of JSON with numbers, by name."""
    return {name: _number(one) for name, one in value.items()} if isinstance(value, dict) else {}
