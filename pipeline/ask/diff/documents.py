"""Finds the documents that two corpora share, and those of which they made something else.

Purpose: a document of A and one of B are the same if they have one id; where ids differ, if they have the same text.
Guarantee: each document is in at most one pair. Of several documents with one text and other ids, kept ones are paired first,
so that a renamed source alone moves nothing. Samples are the documents with the lowest keyed hash of their id.
Cost: one read of the verdicts of both. Shards of documents that both hold byte for byte are compared one at a time, without
their text. The others are read once with their text, 3 us and 250 bytes of memory for each document (measured).
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.ask.diff.rows import DocumentPlace, DocumentRows, joined, read
from tokenmill.pipeline.ask.fates import SURVIVED, Fate, forgotten_in
from tokenmill.pipeline.base.manifest import COLLECT
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.corpus import CorpusFolder, CorpusShard
from tokenmill.pipeline.report.fates import id_words, keyed

ABSENT = Fate(COLLECT, "not_collected")
"""What became of a document that the other corpus does not hold."""
Pair = tuple[Fate, Fate]
"""What became of a document in A and in B."""


@dataclass(kw_only=True)
class ChangeGroup:
    """Documents with one fate in A and another one in B."""

    documents: int = 0
    picks: list[tuple[int, DocumentPlace | None, DocumentPlace | None]] = field(default_factory=list)
    """The samples: a keyed hash, and the place in A and in B."""


@dataclass(kw_only=True)
class Overlap:
    """How many documents two corpora share."""

    collected_a: int = 0
    collected_b: int = 0
    by_id: int = 0
    changed_text: int = 0
    """Of those with one id, those whose text differs."""
    by_text: int = 0
    """Documents with the same text under another id."""
    kept_a: int = 0
    kept_b: int = 0
    kept_in_both: int = 0

    def plain(self) -> dict[str, dict[str, int]]:
        """As JSON values."""
        both = self.by_id + self.by_text
        collected = {"a": self.collected_a, "b": self.collected_b, "in_both": both, "by_id": self.by_id}
        collected |= {"changed_text": self.changed_text, "by_text": self.by_text}
        collected |= {"only_a": self.collected_a - both, "only_b": self.collected_b - both}
        kept = {"a": self.kept_a, "b": self.kept_b, "in_both": self.kept_in_both}
        kept |= {"only_a": self.kept_a - self.kept_in_both, "only_b": self.kept_b - self.kept_in_both}
        return {"collected": collected, "kept": kept}


class PairedDocuments:
    """What is known of all pairs so far."""

    def __init__(self, samples: int, seed: int) -> None:
        self.overlap = Overlap()
        self.groups: dict[Pair, ChangeGroup] = {}
        self.numbers: dict[Fate, int] = {SURVIVED: 0, ABSENT: 1}
        self._samples = samples
        self._seed = np.uint64(int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "little"))

    def add_same(self, a: DocumentRows, b: DocumentRows) -> None:
        """Shards that both hold byte for byte, row by row."""
        self._count_kept(a, b)
        self.overlap.by_id += len(a.fates)
        self._add_pairs(a, b)

    def add_others(self, a: DocumentRows, b: DocumentRows) -> None:
        """All other documents: they are paired by id, and the rest by text. Of those that stay single, kept ones moved."""
        self._count_kept(a, b)
        mine, theirs, a, b = _paired(a, b, a.ids, b.ids)
        self.overlap.by_id += len(mine.fates)
        self.overlap.changed_text += int((mine.texts != theirs.texts).any(axis=1).sum())
        self._add_pairs(mine, theirs)
        mine, theirs, a, b = _paired(a, b, _numbered(a), _numbered(b))
        self.overlap.by_text += len(mine.fates)
        self._add_pairs(mine, theirs)
        self._add(a.take(np.flatnonzero(a.fates == 0)), None)
        self._add(None, b.take(np.flatnonzero(b.fates == 0)))

    def _count_kept(self, a: DocumentRows, b: DocumentRows) -> None:
        self.overlap.kept_a += int((a.fates == 0).sum())
        self.overlap.kept_b += int((b.fates == 0).sum())

    def _add_pairs(self, a: DocumentRows, b: DocumentRows) -> None:
        self.overlap.kept_in_both += int(((a.fates == 0) & (b.fates == 0)).sum())
        differ = np.flatnonzero(a.fates != b.fates)
        self._add(a.take(differ), b.take(differ))

    def _add(self, a: DocumentRows | None, b: DocumentRows | None) -> None:
        named = a or b
        assert named is not None
        absent = np.full(len(named.fates), self.numbers[ABSENT])
        pairs = np.stack([a.fates if a else absent, b.fates if b else absent], axis=1)
        known = list(self.numbers)
        keys = keyed(pa.chunked_array([named.ids]), self._seed)
        for fate_a, fate_b in np.unique(pairs, axis=0).tolist():
            rows = np.flatnonzero((pairs == (fate_a, fate_b)).all(axis=1))
            group = self.groups.setdefault((known[fate_a], known[fate_b]), ChangeGroup())
            group.documents += len(rows)
            few = rows[np.argsort(keys[rows], kind="stable")[: self._samples]]
            picked = [(int(keys[row]), a.place(row) if a else None, b.place(row) if b else None) for row in few.tolist()]
            group.picks = heapq.nsmallest(self._samples, [*group.picks, *picked], key=lambda pick: pick[0])


def compare(a: CorpusFolder, b: CorpusFolder, *, samples: int, seed: int, progress: Progress) -> PairedDocuments:
    """Compare all documents. `samples`: per group. Raises CorruptFile, StaleInput, Misaligned."""
    found = PairedDocuments(samples, seed)
    forgotten = forgotten_in(a), forgotten_in(b)
    found.overlap.collected_a, found.overlap.collected_b = (
        sum(one.documents[1].rows or 0 for one in corpus.shards) for corpus in (a, b)
    )
    same, others_a, others_b = _divide(a.shards, b.shards)
    progress.begin("diff", len(same) + len(others_a) + len(others_b), "shards")
    for at, other in same:
        found.add_same(
            read(a, at, forgotten[0], found.numbers, text=False),
            read(b, other, forgotten[1], found.numbers, text=False),
        )
        progress.advance(1)
    found.add_others(
        joined(read(a, at, forgotten[0], found.numbers, text=True) for at in _advancing(others_a, progress)),
        joined(read(b, at, forgotten[1], found.numbers, text=True) for at in _advancing(others_b, progress)),
    )
    progress.end(f"{found.overlap.collected_a:,} and {found.overlap.collected_b:,} documents")
    return found


def _divide(a: Sequence[CorpusShard], b: Sequence[CorpusShard]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Shards with the same documents, as pairs of numbers, and the others of A and of B. Ids differ in a corpus, so a document
    of a pair stands nowhere else.
    """
    places = {one.documents[1].sha256: at for at, one in enumerate(b)}
    same = [(at, places.pop(one.documents[1].sha256)) for at, one in enumerate(a) if one.documents[1].sha256 in places]
    left, right = {at for at, _ in same}, {at for _, at in same}
    return same, [at for at in range(len(a)) if at not in left], [at for at in range(len(b)) if at not in right]


def _advancing(numbers: Sequence[int], progress: Progress) -> Iterator[int]:
    for number in numbers:
        yield number
        progress.advance(1)


def _paired(
    a: DocumentRows, b: DocumentRows, values: pa.Array, among: pa.Array
) -> tuple[DocumentRows, DocumentRows, DocumentRows, DocumentRows]:
    """The rows of A and of B with one value, as pairs, and the others of A and of B. Both hold each value once."""
    places = np.asarray(pc.index_in(values, value_set=among).cast(pa.int64()).fill_null(-1), dtype=np.int64)
    there = places >= 0
    alone = np.ones(len(b.fates), dtype=np.bool_)
    alone[places[there]] = False
    rest = a.take(np.flatnonzero(~there)), b.take(np.flatnonzero(alone))
    return a.take(np.flatnonzero(there)), b.take(places[there]), *rest


def _numbered(rows: DocumentRows) -> pa.Array:
    """The digest of each text with a number that tells apart documents of one text: kept ones first, then by id."""
    ids = id_words(pa.chunked_array([rows.ids]))
    order = np.lexsort((ids[:, 1], ids[:, 0], rows.fates != 0, rows.texts[:, 1], rows.texts[:, 0]))
    ordered = rows.texts[order]
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    at = np.arange(len(order))
    numbers = np.empty(len(order), dtype=np.uint64)
    numbers[order] = at - np.maximum.accumulate(np.where(begins, at, 0))
    keys = np.ascontiguousarray(np.column_stack([rows.texts, numbers]).astype("<u8"))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(24), len(keys), [None, pa.py_buffer(keys)])
