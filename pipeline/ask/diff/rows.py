"""Documents of a corpus as columns: their ids, what became of them, where they stand, and what identifies their text.

Guarantee: a column has a row for each document of the shards that were read, in their order. Memory: 56 bytes a document.
Cost: one read of the verdicts, and of the text if that is asked for.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.ask.fates import Fate, fates
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.schema import DOC_ID
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages.stage import one_batch

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class DocumentPlace:
    """Where a document stands: the number of its shard, in document order, its row there, and its id."""

    shard: int
    row: int
    doc_id: bytes


@dataclass(frozen=True, kw_only=True)
class DocumentRows:
    """Documents of one corpus, as columns."""

    ids: pa.Array
    fates: Integers
    """Numbers of fates; 0 is kept."""
    shards: Integers
    rows: Integers
    texts: Words
    """The first 16 bytes of the SHA-256 of each text: uint64 [rows, 2]. Without rows where no text was read."""

    def take(self, wanted: Integers) -> DocumentRows:
        """Some of the rows."""
        texts = self.texts[wanted] if len(self.texts) else self.texts
        return DocumentRows(
            ids=self.ids.take(pa.array(wanted)),
            fates=self.fates[wanted],
            shards=self.shards[wanted],
            rows=self.rows[wanted],
            texts=texts,
        )

    def place(self, row: int) -> DocumentPlace:
        """Where a document stands."""
        return DocumentPlace(shard=int(self.shards[row]), row=int(self.rows[row]), doc_id=self.ids[row].as_py())


def read(
    corpus: CorpusFolder, number: int, forgotten: tuple[bytes, ...], numbers: dict[Fate, int], *, text: bool
) -> DocumentRows:
    """A shard of a corpus. `numbers`: a number for each fate, which grows. Raises CorruptFile, Misaligned."""
    shard = corpus.shards[number]
    table = shards.read(corpus.published, shard.documents, ["doc_id", *(["text"] if text else [])])
    codes, known = fates(corpus, shard, table["doc_id"], forgotten)
    renumbered = np.array([numbers.setdefault(fate, len(numbers)) for fate in known], dtype=np.int64)
    batch = one_batch(table)
    return DocumentRows(
        ids=batch["doc_id"],
        fates=renumbered[codes],
        shards=np.full(len(codes), number, dtype=np.int64),
        rows=np.arange(len(codes), dtype=np.int64),
        texts=digests(batch["text"]) if text else np.empty((0, 2), dtype=np.uint64),
    )


def digests(texts: pa.LargeStringArray) -> Words:
    """The first 16 bytes of the SHA-256 of each text: uint64 [rows, 2]."""
    # Imports Numba, which two corpora with the same documents do not need.
    from tokenmill.pipeline.kernels.text.buffers import utf8

    data, offsets = utf8(texts)
    places = itertools.pairwise(offsets.tolist())
    whole = b"".join(hashlib.sha256(data.data[start:stop]).digest()[:16] for start, stop in places)
    return np.frombuffer(whole, dtype="<u8").reshape(-1, 2)


def joined(parts: Iterable[DocumentRows]) -> DocumentRows:
    """All rows of the parts."""
    many = list(parts)
    empty = np.empty(0, dtype=np.int64)
    return DocumentRows(
        ids=pa.concat_arrays([pa.array([], DOC_ID.type), *(one.ids for one in many)]),
        fates=np.concatenate([empty, *(one.fates for one in many)]),
        shards=np.concatenate([empty, *(one.shards for one in many)]),
        rows=np.concatenate([empty, *(one.rows for one in many)]),
        texts=np.concatenate([np.empty((0, 2), dtype=np.uint64), *(one.texts for one in many)]),
    )
