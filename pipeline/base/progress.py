"""The protocol by which long work reports its progress.

Purpose: a step reports to a `Progress`; the caller decides what happens with the reports.
Guarantee: no result depends on it. Cost: one call per task.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a step. The command line draws it; a test ignores it."""

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step starts that will advance by `total` units in all; `unit` names them, for example "tokens"."""
        ...

    def advance(self, amount: int) -> None:
        """`amount` more units are done."""
        ...

    def end(self, note: str) -> None:
        """The step is done; `note` says in a few words with what result."""
        ...

    def say(self, line: str) -> None:
        """Show a line to the user, for example what takes long now, or what was decided for them."""
        ...


class Silent:
    """Ignores all progress."""

    def begin(self, step: str, total: int, unit: str) -> None: ...
    def advance(self, amount: int) -> None: ...
    def end(self, note: str) -> None: ...
    def say(self, line: str) -> None: ...
