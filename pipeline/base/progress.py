"""Where long work says how far it is.

Purpose: a step reports to a `Progress`; who asked for the work decides what becomes of it.
Guarantee: no result depends on it. Cost: a call per task.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Where a step says how far it is. The command line draws it; a test ignores it."""

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step starts that will advance by `total` in all."""
        ...

    def advance(self, amount: int) -> None:
        """So much more is done."""
        ...

    def end(self, note: str) -> None:
        """The step is done; `note` says in a few words with what."""
        ...

    def say(self, line: str) -> None:
        """One line for people: what takes long now, what was decided for them."""
        ...


class Silent:
    """No progress."""

    def begin(self, step: str, total: int, unit: str) -> None: ...
    def advance(self, amount: int) -> None: ...
    def end(self, note: str) -> None: ...
    def say(self, line: str) -> None: ...
