"""Batches of datatrove's documents as columns of Arrow, which stages read.

Guarantee: one row for each document, in their order. Half of a surrogate pair, which UTF-8 cannot spell, is spelt as an escape,
and `unpaired` says in which rows. Cost: one encoding of the texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from datatrove.data import Document


def texts_of(documents: Sequence[Document]) -> tuple[pa.Array, list[bool]]:
    """The texts, large_string [documents], and for each one whether it holds half of a surrogate pair."""
    texts = [document.text for document in documents]
    try:
        return pa.array(texts, pa.large_string()), [False] * len(texts)
    except UnicodeEncodeError:
        spelt = [text.encode(errors="backslashreplace").decode() for text in texts]
        return pa.array(spelt, pa.large_string()), [text != other for text, other in zip(texts, spelt, strict=True)]
