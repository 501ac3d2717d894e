"""Tokens and bytes of text by source and split, from the token store's document tables.

Guarantee: sums over the published tables; tokens include end-of-text. Memory: one table at a time. Cost: one read of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import PACK
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report.fates import coded

DOCUMENTS = ".docs.parquet"


@dataclass(kw_only=True)
class PackedTotals:
    """Documents, tokens (end-of-text included) and bytes of text."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0

    def add(self, other: PackedTotals) -> None:
        self.documents += other.documents
        self.tokens += other.tokens
        self.bytes += other.bytes


def packed(corpus: CorpusFolder) -> dict[tuple[str, str], PackedTotals]:
    """By (split, source). Empty where nothing has been packed."""
    found: dict[tuple[str, str], PackedTotals] = {}
    pack = corpus.step(PACK)
    for named in pack.entries() if pack is not None else ():
        if not named[0].endswith(DOCUMENTS):
            continue
        table = shards.read(corpus.published, named, ["source", "tokens", "text_bytes"])
        codes, names = coded(table["source"])
        tokens = np.asarray(table["tokens"].to_numpy(), dtype=np.int64)
        sizes = np.asarray(table["text_bytes"].to_numpy(), dtype=np.int64)
        for code, name in enumerate(names):
            rows = codes == code
            if rows.any():
                part = PackedTotals(documents=int(rows.sum()), tokens=int(tokens[rows].sum()), bytes=int(sizes[rows].sum()))
                found.setdefault((named[0].split("/")[1], name), PackedTotals()).add(part)
    return found


def total(found: Mapping[tuple[str, str], PackedTotals]) -> PackedTotals:
    """The sum over all."""
    result = PackedTotals()
    for part in found.values():
        result.add(part)
    return result
