"""A function on its way to the workers of this machine: what is bound to it travels once, not with every task.

Guarantee: what is loaded is what this user wrote, in a folder that nobody else can enter. Cost: one pickling for each `map`; a
large function is written to a temporary file once, and loaded once by each worker.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files

LARGE_BYTES = 1 << 16
"""A function of at least this many bytes, pickled, with all that is bound to it, is not sent with each task."""


@dataclass(frozen=True)
class _Stored:
    """Stands for a function in a file."""

    path: str

    def __call__(self, task: Any) -> Any:
        return _loaded(self.path)(task)


@functools.lru_cache(maxsize=1)
def _loaded(path: str) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = pickle.loads(files.read_bytes(Path(path)))  # noqa: S301 -- the parent's own, as each task is
    return found


@contextlib.contextmanager
def sent(function: Callable[[Any], Any]) -> Iterator[Callable[[Any], Any]]:
    """What workers call in place of `function`: itself if it is small, else what loads it from a file, once per worker."""
    data = pickle.dumps(function)
    if len(data) < LARGE_BYTES:
        yield function
        return
    with tempfile.TemporaryDirectory(prefix="tokenmill-") as folder:
        path = Path(folder, "function")
        files.write_bytes(path, data, durable=False)
        yield _Stored(str(path))
