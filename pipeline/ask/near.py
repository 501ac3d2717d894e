"""Finds the documents of a corpus that are similar to a text, with the stored MinHash signatures.

Purpose: datasketch's MinHashLSH indexes the stored hashes of bands, one row per band, and gives candidates; their texts give
the exact similarity, and how much of each stands in the other.
Guarantee: the index has exactly the buckets of the stage `dedup`; a document without bands is in the bucket of its text's hash
(`dedup.exact`).
So the candidates are the documents that the stage would have compared, and equal texts are found at any length. Documents that
were dropped before the stage have no signatures and are not found. Signatures made with other settings are refused.
Cost: an entry of the index takes about 40 us and 5 kB. In memory, the index holds only documents that share a bucket with one
of the texts: one read of the scores (140 bytes and 0.3 us per document) picks them. In Redis, the index holds all documents: it
is made once for a corpus, and later calls read the scores of one shard. An index of an earlier state of the corpus stays in
Redis until somebody removes it. In both cases, the text of each shard that holds a candidate is read, one shard at a time.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from datasketch import LeanMinHash, MinHashLSH

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.collect.memory import texts_of
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.dedup import texts
from tokenmill.pipeline.stages.dedup.kind import DEDUP
from tokenmill.pipeline.stages.dedup.revisions import are_revisions
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.shares import shares
from tokenmill.pipeline.stages.dedup.signatures import check_settings, integers, sign
from tokenmill.pipeline.stages.dedup.texts import Texts
from tokenmill.pipeline.stages.stage import name_of
from tokenmill.pipeline.tokens import forget

SHARD_BYTES = 4
"""Bytes of the shard number in a key of the index. A key is a shard number followed by a `doc_id`."""
COMPLETE = b"complete"
"""The key that is written last. An index that has it is complete."""
IN_MEMORY: Mapping[str, Any] = {"type": "dict"}


@dataclass(frozen=True, kw_only=True)
class Similar:
    """A document of the corpus that is similar to a text. Ids are 32 hex digits."""

    doc_id: str
    source: str
    url: str | None
    similarity: float
    """The Jaccard similarity of the two n-gram sets (0 to 1); 1 if the texts are exact duplicates."""
    contained: float
    """The share of the text's n-grams that stand in the document (0 to 1)."""
    contains: float
    """The share of the document's n-grams that stand in the text (0 to 1)."""
    exact: bool
    """True if the texts are exact duplicates, as `dedup.exact` of the corpus has it ("bytes" where it is "off")."""
    kept: bool
    """True if all stages kept it. Otherwise `stage` dropped it."""
    stage: str | None
    reason: str | None
    kept_doc_id: str | None
    """The kept document of which it is a duplicate, if it was dropped as one."""
    forgotten: bool
    """True if readers mask its tokens, or they were taken out of the store."""


@contextlib.contextmanager
def redis_storage(url: str) -> Iterator[Mapping[str, Any]]:
    """The storage settings of datasketch for an index in Redis: `redis://host:port/db`, `rediss://...` or `unix://path`.

    Raises ConfigError for another address or if the package `redis` is not installed, InputError for an error of Redis.
    """
    try:
        from redis import RedisError
        from redis.connection import parse_url
    except ImportError as error:
        raise ConfigError("an index in Redis needs the package `redis`: pip install 'tokenmill[redis]'") from error
    try:
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ConfigError("the address of Redis must have the form redis://host:port/db") from error
    options.pop("connection_class", None)
    if "path" in options:
        options["unix_socket_path"] = options.pop("path")
    try:
        yield {"type": "redis", "redis": {**options, "ssl": url.startswith("rediss:")}}
    except RedisError as error:
        raise InputError(f"Redis: {error}") from error


@dataclass(frozen=True, kw_only=True, repr=False)
class Near:
    """The answer: `found` has, for each text in the given order, its similar documents."""

    threshold: float
    compared: str
    """What was compared: the n-grams, and how the texts were normalised."""
    expected_recall: float
    """The probability (0 to 1) that the bands find a document whose similarity is exactly `threshold`."""
    found: tuple[tuple[Similar, ...], ...]

    def __repr__(self) -> str:
        return f"Near: {sum(map(len, self.found)):,} documents like {len(self.found):,} texts, at {self.threshold} or more"


def near(
    corpus: CorpusFolder,
    wanted: Sequence[str],
    *,
    threshold: float | None = None,
    limit: int = 10,
    storage: Mapping[str, Any] = IN_MEMORY,
) -> Near:
    """For each of the texts `wanted`, find at most `limit` documents of similarity `threshold` or more, most similar first.

    `threshold`: None uses the threshold of the corpus. `storage`: IN_MEMORY or a `redis_storage`. Raises NotBuilt for a corpus
    without the stage `dedup`, StaleInput if other settings made the signatures, CorruptFile, Misaligned.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise ConfigError(f"{threshold=} is no similarity: give one above 0, at most 1")
    if limit < 1:
        raise ConfigError(f"{limit=}: at least one document for each text")
    config = DEDUP.settings(corpus.settings)
    least = config.threshold if threshold is None else threshold
    dedup = corpus.step(DEDUP.name)
    if dedup is None:
        raise NotBuilt(f"{corpus.root} was built without the stage `{DEDUP.name}`, so it holds no signatures")
    later = corpus.deciding[corpus.deciding.index(dedup) :]
    column = texts_of(list(wanted), "text")
    known = forget.load(corpus.root / TOKENS)
    forgotten = frozenset(known.documents if known is not None else ())
    hashes = _hashes(pa.Table.from_batches([sign(column.combine_chunks(), config)]), config)
    index = _index(corpus.published, dedup, config, hashes, storage)
    candidates: dict[int, list[tuple[int, bytes]]] = {}
    for number, row in enumerate(hashes):
        for key in index.query(_entry(row)):
            candidates.setdefault(int.from_bytes(key[:SHARD_BYTES], "big"), []).append((number, key[SHARD_BYTES:]))
    queries = [texts.read(column, one) for one in _foldings(config)]
    seen = corpus.views(before=DEDUP.name)
    best: list[list[Similar]] = [[] for _ in wanted]
    for shard, pairs in sorted(candidates.items()):
        for number, found in _compared(seen[shard], sorted(pairs), later, queries, config, least, forgotten, corpus.censor):
            best[number].append(found)
        best = [heapq.nsmallest(limit, mine, key=lambda one: (-one.similarity, one.doc_id)) for mine in best]
    recall = round(config.scheme.probability(least), 6)
    return Near(threshold=least, compared=_said(config), expected_recall=recall, found=tuple(map(tuple, best)))


def _foldings(config: DedupConfig) -> list[DedupConfig]:
    """The settings, and where revisions are sought those with the looser folding."""
    return [config, config.model_copy(update=dict(config.looser))] if config.looser else [config]


def _said(config: DedupConfig) -> str:
    return config.compared[1] if not config.looser else f"{config.compared[1]}; of revisions {config.compared[2]}"


def _index(
    root: Path, dedup: Manifest, config: DedupConfig, wanted: npt.NDArray[np.uint64], storage: Mapping[str, Any]
) -> MinHashLSH:
    rows = config.scheme.bands + 1
    lasting = storage is not IN_MEMORY
    # The name holds the hash of the manifest, so an index is only used with the signatures it was made from. Keys are bytes,
    # so that nothing from Redis is unpickled.
    options = {**storage, "basename": f"tokenmill-{dedup.hash}".encode()}
    index = MinHashLSH(num_perm=rows, params=(rows, 1), storage_config=options, prepickle=False)
    scored = _scored(root, dedup, config)
    if lasting and index.keys.has_key(COMPLETE):
        # Reading the first shard compares the settings, even though the index is complete.
        next(scored, None)
        return index
    with index.insertion_session() as session:
        for number, table in enumerate(scored):
            hashes = _hashes(table, config)
            shared = [np.isin(hashes[:, row], wanted[:, row]) for row in range(rows)]
            chosen = np.arange(len(hashes)) if lasting else np.flatnonzero(np.any(shared, axis=0))
            ids = table["doc_id"].take(pa.array(chosen)).to_pylist()
            for row, doc_id in zip(chosen, ids, strict=True):
                key = number.to_bytes(SHARD_BYTES, "big") + doc_id
                session.insert(key, _entry(hashes[row]), check_duplication=False)
    if lasting:
        index.keys.insert(COMPLETE, b"")
    return index


def _scored(root: Path, dedup: Manifest, config: DedupConfig) -> Iterator[pa.Table]:
    """The stored signatures, shard by shard. Raises StaleInput, CorruptFile."""
    for shard in dedup.shards:
        name = name_of(dedup.stage, "scores", shard.name)
        table = shards.read(root, (name, shard.files[name]))
        check_settings(table.schema, config, str(root / name))
        yield table.filter(table["exact"].is_valid()).combine_chunks()


def _hashes(signed: pa.Table, config: DedupConfig) -> npt.NDArray[np.uint64]:
    """The buckets of each row: one per band, and one for equal texts. uint64 [rows, bands + 1]"""
    exact = integers(signed["exact"], 2)[:, :1]
    bands = integers(signed["bands"], config.scheme.bands)
    banded = np.asarray(signed["bands"].is_valid().to_numpy(), dtype=np.bool_)[:, np.newaxis]
    return np.hstack([np.where(banded, bands, exact), exact])


def _entry(hashes: npt.NDArray[np.uint64]) -> LeanMinHash:
    # Seed and scheme say how minima were made. The index only compares them, so any constant values do.
    return LeanMinHash(seed=1, hashvalues=hashes, scheme="legacy")


def _compared(
    view: View,
    pairs: Sequence[tuple[int, bytes]],
    made: Sequence[Manifest],
    queries: Sequence[Texts],
    config: DedupConfig,
    threshold: float,
    forgotten: frozenset[bytes],
    censor: Censor,
) -> Iterator[tuple[int, Similar]]:
    """The pairs of a text and a document of this shard that reach `threshold`. `made`: `dedup` and the stages after it."""
    ids = pa.array(sorted({doc_id for _, doc_id in pairs}), schema.DOC_ID.type)
    table = view.read(["doc_id", "source", "url", "text"]).table
    table = table.filter(pc.is_in(table["doc_id"], value_set=ids))
    documents = [texts.read(table["text"], one) for one in _foldings(config)]
    row_of = {doc_id: row for row, doc_id in enumerate(table["doc_id"].to_pylist())}
    # A document may have a signature from an earlier build, although a stage before `dedup` drops it now.
    pairs = [pair for pair in pairs if pair[1] in row_of]
    one = np.array([number for number, _ in pairs], dtype=np.int64)
    other = np.array([row_of[doc_id] for _, doc_id in pairs], dtype=np.int64)
    same = texts.equal(queries[0], one, documents[0], other)
    strict, loose = (texts.similar(queries[at], one, documents[at], other) for at in (0, -1))
    revised = are_revisions(strict, loose, threshold)
    similarity = np.where(same, 1.0, np.where(revised, loose, strict))
    sizes = (
        np.where(revised, read[-1].sizes[rows], np.where(same, 0, read[0].sizes[rows]))
        for read, rows in ((queries, one), (documents, other))
    )
    both = shares(similarity, *sizes)
    fates = _fates(view, made, ids)
    values = (similarity.tolist(), both.contained.tolist(), both.contains.tolist(), same.tolist())
    for (number, doc_id), alike, contained, contains, exact in zip(pairs, *values, strict=True):
        if alike >= threshold:
            row = row_of[doc_id]
            stage, reason, kept = fates.get(doc_id, (None, None, None))
            yield (
                number,
                Similar(
                    doc_id=doc_id.hex(),
                    source=table["source"][row].as_py(),
                    url=censor.value(table["url"][row].as_py()),
                    similarity=alike,
                    contained=contained,
                    contains=contains,
                    exact=exact,
                    kept=stage is None,
                    stage=stage,
                    reason=reason,
                    kept_doc_id=None if kept is None else kept.hex(),
                    forgotten=doc_id in forgotten,
                ),
            )


def _fates(view: View, made: Sequence[Manifest], ids: pa.Array) -> dict[bytes, tuple[str, str, bytes | None]]:
    """For each dropped document, by id: the stage, the reason, and the kept document of which it is a duplicate."""
    fates: dict[bytes, tuple[str, str, bytes | None]] = {}
    for one in made:
        name = name_of(one.stage, "verdicts", view.name)
        entry = next((shard.files.get(name) for shard in one.shards if shard.name == view.name), None)
        if entry is None:
            continue
        table = shards.read(view.root, (name, entry))
        table = table.filter(pc.is_in(table["doc_id"], value_set=ids))
        for row in table.select(
            [column for column in ("doc_id", "reason", "kept_doc_id") if column in table.column_names]
        ).to_pylist():
            if row["reason"]:
                fates[row["doc_id"]] = (one.stage, row["reason"], row.get("kept_doc_id"))
    return fates
