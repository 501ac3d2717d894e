"""The contract between stages: the columns of documents, verdicts and edits, and how a document gets its id.

Guarantee: `doc_id` depends only on the source's name and the document's own identity there, so it is the same in every run
and on every machine. Row-aligned tables have it as their first column, and readers compare it.
Cost: one BLAKE2b of a short string per document (about 1 us).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DOC_ID_BYTES = 16
DOC_ID = pa.field("doc_id", pa.binary(DOC_ID_BYTES), nullable=False)

DOCUMENTS = pa.schema(
    [
        DOC_ID,
        pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)
"""One row per document. `metadata` is a JSON object as a string; `url` is null where the source has none."""

REASON = pa.field("reason", pa.dictionary(pa.int32(), pa.string()))
KEPT = ""
"""The reason of a row that is kept. A null reason means that an earlier stage dropped the row."""

EDITS = pa.schema(
    [
        DOC_ID,
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("replacement", pa.string(), nullable=False),
    ]
)
"""Spans [start, end) in bytes of the *stored* text, sorted and disjoint within a document; an empty replacement removes."""

REJECTED = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("preview", pa.binary(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("unread_bytes", pa.int64(), nullable=False),
        pa.field("at_least", pa.bool_(), nullable=False),
    ]
)
"""One row per record that did not become a document: dropped by a rule, or quarantined because it is broken.

A fault that takes more records with it is one row. `rows`: how many records it stands for; `at_least`: whether there may be
more. `unread_bytes`: the bytes of the file that were not read because of it.
"""


def doc_id(source: str, identity: str) -> bytes:
    """The 16-byte id of the document that `source` calls `identity`.

    BLAKE2b over length-prefixed UTF-8, so that no two pairs of strings share an input.
    """
    digest = hashlib.blake2b(digest_size=DOC_ID_BYTES)
    name = source.encode()
    digest.update(len(name).to_bytes(4, "little") + name + identity.encode())
    return digest.digest()


def verdicts(*evidence: pa.Field) -> pa.Schema:
    """The schema of a verdict table: doc_id, reason, and the columns `evidence` that explain the reason."""
    return pa.schema([DOC_ID, REASON, *evidence])


def reasons(names: npt.NDArray[np.object_] | list[str | None]) -> pa.Array:
    """An array of reasons as the contract stores it, [rows] of type `REASON`. None means dropped by an earlier stage."""
    return pa.array(names, pa.string()).dictionary_encode().cast(REASON.type)


def alive(reason: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which rows are kept, bool [rows], after the stage that gave these reasons."""
    import pyarrow.compute as pc

    kept = pc.equal(reason.cast(pa.string()), KEPT)
    return np.asarray(pc.fill_null(kept, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
