"""Runs that are stopped or listened to, and what they leave."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch

from tokenmill.model.data import Windows
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

Make = Callable[..., Path]

Tiny = Callable[..., TrainConfig]


class Stopped(BaseException):
    """Ends a run from inside, as a signal would."""


class StopAt(Silent):
    """Stops a run after so many updates."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, amount: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped


class SignalAt(Silent):
    """Sends this process a signal after so many updates."""

    def __init__(self, steps: int, number: int) -> None:
        self.left, self.number = steps, number

    def advance(self, amount: int) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


class Told(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begun: list[tuple[str, int, str]] = []
        self.advanced = 0

    def begin(self, step: str, total: int, unit: str) -> None:
        self.begun.append((step, total, unit))

    def advance(self, amount: int) -> None:
        self.advanced += amount

    def say(self, line: str) -> None:
        self.lines.append(line)


def windows_of(rows: list[list[int]], starts: list[list[int]] | None = None) -> Windows:
    """A batch in which every target counts."""
    ids = torch.tensor(rows)
    return Windows(ids=ids, kept=None, starts=None if starts is None else torch.tensor(starts), targets=ids.numel() - len(ids))


def published(root: Path) -> dict[str, bytes]:
    """Everything below `model` but the log, which is a history, and the page and the events made of it."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "model").rglob("*"))
        if path.is_file() and path.name not in ("log.jsonl", "training.html") and path.parent.name != "tensorboard"
    }


def log_of(root: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (root / "model/log.jsonl").read_text().splitlines()]
