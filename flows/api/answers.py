"""Answers that fit a screen: a funnel that prints as a table, and answers to questions as values by name.

Guarantee: what is shown is cut, never what is held. Cost: none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from tokenmill.pipeline.ask.status import FunnelRow

LONGEST_VALUE = 100
"""Characters of a value that are shown."""


class Funnel(Sequence[FunnelRow]):
    """What each step of a corpus read, kept, dropped and quarantined: a sequence of rows that prints as a table.

    Examples
    --------
    >>> for row in corpus.funnel():
    ...     print(row.stage, row.read, row.kept)
    collect 40 40
    language 40 40
    dedup 40 40
    quality 40 40
    pack 40 40
    """

    def __init__(self, rows: Sequence[FunnelRow]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> FunnelRow: ...
    @overload
    def __getitem__(self, index: slice) -> Funnel: ...
    def __getitem__(self, index: int | slice) -> FunnelRow | Funnel:
        return Funnel(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        lines = [f"{'stage':<12}{'read':>14}{'kept':>14}{'dropped':>14}{'quarantined':>14}"]
        for row in self._rows:
            numbers = (row.read, row.kept, sum(row.dropped.values()), row.quarantined)
            lines.append(f"{row.stage:<12}" + "".join(f"{number:>14,}" for number in numbers))
        return "\n".join(lines)


class Answer(Mapping[str, Any]):
    """The answer to a question, as JSON values by name; `dict(answer)` gives them all."""

    def __init__(self, question: str, values: Mapping[str, Any]) -> None:
        self._question = question
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name!r}: {_short(value)}" for name, value in self._values.items())
        return f"Answer({self._question}: {parts})"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{len(value)} values}}" if len(repr(value)) > LONGEST_VALUE else repr(value)
    if isinstance(value, list | tuple):
        return f"[{len(value)} values]" if len(repr(value)) > LONGEST_VALUE else repr(value)
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
