"""Byte-level BPE: training, encoding, and what a tokenizer makes of a text.

`train` learns a tokenizer from a table of texts; `load` opens one that others made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenmill.tokenizer.front import Tokenizer, load, train

__all__ = ["Tokenizer", "load", "train"]


def __getattr__(name: str) -> Any:
    """The names above are imported when they are first used (PEP 562): this package stands below many others."""
    if name in __all__:
        return getattr(importlib.import_module("tokenmill.tokenizer.front"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
