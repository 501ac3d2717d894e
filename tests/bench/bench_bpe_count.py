"""Cutting text into pre-tokens and counting them: the stage of `bpe_train` that reads the text, beside Python's `regex`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec

import pyarrow as pa

from tokenmill.tokenizer import count, sums
from tokenmill.tokenizer.merges import Words
from tokenmill.tokenizer.pretokenize import pattern

STAGE = "bpe_count"
PEER_BYTES = {"regex": 8_000_000}
CUT = pattern("cl100k")


def counted(batch: pa.RecordBatch) -> Words:
    """The counts of a batch, as one table."""
    (table,) = count.count(batch["text"], CUT, budget_bytes=1 << 40)
    return sums.ranked(table)


def ours(batch: pa.RecordBatch) -> object:
    return counted(batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    return {"regex": _regex() if find_spec("regex") else None}


def _regex() -> Callable[[pa.RecordBatch], object]:
    import regex

    find = regex.compile(CUT.regex).finditer

    def run(batch: pa.RecordBatch) -> Counter[str]:
        return Counter(match.group() for text in batch["text"].to_pylist() for match in find(text))

    return run
