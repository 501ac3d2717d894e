"""Forgetting: the list of documents that are out of the store, and where their tokens still are.

Purpose: `tokens/forgotten.json` names the documents to forget and, for the store it was made for, the spans of their tokens.
Readers mask these spans at once. `compact`, or the next build, removes the tokens.
Guarantee: nothing is renumbered. The list holds a hash of itself and of the store's manifest. A list that was changed, cut or
made for another store is refused, and so is a missing list after documents have been forgotten. A document on the list stays
out of every later store of the corpus, because the list is an input of packing.
Cost: forgetting reads the documents tables of the store once; reading the list is one small file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import files, formats, manifest, schema, shards, state, versions
from tokenmill.pipeline.base.errors import CorruptFile, InputError, StaleInput
from tokenmill.pipeline.base.manifest import PACK, Counts, Manifest
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.tokens.format import FOLDER

NAME = "forgotten.json"
LIST = f"{FOLDER}/{NAME}"
INPUT = "forgotten"
"""The name of the input in a store's manifest that says which documents were left out by packing or compaction."""

By = Literal["doc_id", "url_prefix", "source", "ids_file"]
Spans = Mapping[str, npt.NDArray[np.int64]]
"""By token shard (`train/00000`): int64 [spans, 2], from the first token to the one after the last; sorted and disjoint."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to forget documents. `ids`: the documents named by `doc_id` or `ids_file`, 16 bytes each."""

    by: By
    value: str
    """The value as the user gave it; for a file of ids, the SHA-256 of the ids."""
    ids: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Found:
    """How much of the store a request names. `known`: how many of its documents had been forgotten before."""

    by: By
    value: str
    documents: int
    tokens: int
    known: int
    absent: int
    """The number of ids that the store does not hold. They go on the list too, so no later build brings them in."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What packing leaves out of a shard of documents: rows of its encoded table, and the bytes of their text."""

    rows: tuple[int, ...]
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """The list. `store`: the hash of the manifest that `places` was made for. `documents`: sorted ids."""

    store: str
    documents: tuple[bytes, ...]
    requests: tuple[Mapping[str, Any], ...]
    places: Mapping[str, Sequence[Sequence[int]]]
    header: Mapping[str, Any] = field(default_factory=lambda: formats.FORGOTTEN.header)
    """The format of the file, and who may change it."""

    @property
    def hash(self) -> str:
        """The identity of the set of forgotten documents. It does not depend on the store."""
        return hashlib.sha256(b"".join(self.documents)).hexdigest()


def load(folder: Path) -> Forgotten | None:
    """Read the list of the store in `folder`. Returns None if nothing was forgotten. Raises CorruptFile."""
    path = folder / NAME
    try:
        data = files.read_bytes(path)
    except FileNotFoundError as error:
        if folder.name == FOLDER and not folder.parent.is_dir() and (said := files.lost(folder.parent)):
            raise CorruptFile(said) from error
        mark = _mark(folder.parent)
        if folder.name == FOLDER and mark.exists():
            raise CorruptFile(
                f"{path}: is missing, but documents have been forgotten; restore it, or remove {mark} too "
                "to include these documents again"
            ) from error
        return None
    plain = formats.opened(data, formats.FORGOTTEN, path)
    try:
        documents = tuple(bytes.fromhex(one) for one in plain["documents"])
        known = Forgotten(
            store=plain["store"], documents=documents, requests=tuple(plain["requests"]), places=plain["spans"], header=plain
        )
        sound = plain == {**plain, **_plain(known)} and all(_is_sound(spans) for spans in known.places.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{path}: is not {formats.FORGOTTEN.name}; {formats.FORGOTTEN.remedy}") from error
    if not sound:
        raise CorruptFile(f"{path}: its ids or its spans are not in order; {formats.FORGOTTEN.remedy}")
    return known


def spans(folder: Path, made: Manifest, *, listed_in: Path | None = None) -> Spans:
    """The spans that readers of the store in `folder`, with the manifest `made`, must mask. Raises CorruptFile, StaleInput.

    `listed_in`: the folder of the list, for a store of a version. If the list was made for another version, the spans are found
    in the documents tables.
    """
    home = listed_in or folder
    known, packed_without = load(home), made.inputs.get(INPUT)
    if known is None:
        if packed_without is not None:
            raise CorruptFile(f"{home / NAME}: is missing, but the store was packed without the documents it names; restore it")
        return {}
    if packed_without == known.hash:
        return {}
    if known.store != made.hash and home != folder:
        return {name: np.array(pairs, dtype=np.int64) for name, pairs in _places(folder, made, known.documents).items()}
    if known.store != made.hash:
        raise StaleInput(
            f"{folder / NAME}: names tokens of the store {known.store}, this one is {made.hash}; run the build again to pack "
            "it without the documents"
        )
    return {name: np.array(places, dtype=np.int64) for name, places in known.places.items()}


def inputs(root: Path) -> dict[str, str]:
    """The input that the list adds to packing; empty while nothing was forgotten. Raises CorruptFile."""
    known = load(root / FOLDER)
    return {} if known is None else {INPUT: known.hash}


def left_out(root: Path, encoded: Mapping[str, Named]) -> dict[str, LeftOut]:
    """What packing must leave out, by encoded shard. Raises CorruptFile.

    `encoded`: the documents tables of the encoded shards, by name.
    """
    known = load(root / FOLDER)
    if known is None:
        return {}
    found = {}
    for name, table in encoded.items():
        rows = shards.read(root, table, ["doc_id", "text_bytes"])
        gone = rows_of(rows["doc_id"], known.documents)
        if len(gone):
            text_bytes = int(rows["text_bytes"].to_numpy()[gone].sum())
            found[name] = LeftOut(rows=tuple(gone.tolist()), text_bytes=text_bytes)
    return found


def forget(root: Path, requests: Sequence[Request], *, dry_run: bool = False) -> list[Found]:
    """Put the documents that `requests` name on the list, and report how many they are. Asking twice changes nothing.

    Call it under `files.lock(root)`. `dry_run`: write nothing. Raises InputError when a request names nothing in the store and
    was not made before; NotBuilt, CorruptFile, StaleInput, NewerFormat.
    """
    # What is published is masked at once; a newer build that is unfinished leaves these documents out when it goes on.
    now = versions.reading(root)
    store = now.folder / FOLDER
    made = manifest.load(now.folder, PACK)
    spans(store, made, listed_in=root / FOLDER)
    known = load(root / FOLDER)
    if known is not None:
        formats.require_writer(known.header, formats.FORGOTTEN, root / LIST)
    before = set(known.documents) if known else set()
    asked_before = {(one["by"], one["value"]) for one in known.requests} if known else set()
    matched: list[dict[bytes, int]] = [{} for _ in requests]
    for _, table in _tables(store, made, ("doc_id", "source", "url", "tokens")):
        for request, found in zip(requests, matched, strict=True):
            hit = table.filter(_matches(table, request))
            found.update(zip(hit["doc_id"].to_pylist(), hit["tokens"].to_pylist(), strict=True))
    answers = [_answer(request, found, before) for request, found in zip(requests, matched, strict=True)]
    for request, answer in zip(requests, answers, strict=True):
        if not answer.documents and not answer.known and (request.by, request.value) not in asked_before:
            named = f"{len(request.ids)} ids" if request.by == "ids_file" else repr(request.value)
            raise InputError(f"{request.by}={named} names no document of {root / FOLDER}; nothing was forgotten")
    documents = tuple(sorted(before.union(*matched, *(request.ids for request in requests))))
    fresh = [asdict(one) for one in answers if (one.by, one.value) not in asked_before]
    if dry_run or (known is not None and not fresh and len(documents) == len(before)):
        return answers
    asked = (*(known.requests if known else ()), *({key: one[key] for key in ("by", "value", "documents")} for one in fresh))
    listed = Forgotten(store=made.hash, documents=documents, requests=asked, places=_places(store, made, documents))
    files.write_json(root / LIST, formats.sealed({**formats.FORGOTTEN.header, **_plain(listed)}))
    # The mark comes second. After a crash between the two, the list is in force, but nobody would notice its loss.
    state.save(_mark(root), True, durable=True)
    return answers


def without(counts: Counts, left_out: LeftOut) -> Counts:
    """The counts of a shard of documents after `left_out` is removed from it."""
    gone = len(left_out.rows)
    return Counts(
        read=counts.read,
        kept=counts.kept - gone,
        dropped={**counts.dropped, INPUT: counts.dropped.get(INPUT, 0) + gone},
        bytes_in=counts.bytes_in,
        bytes_kept=counts.bytes_kept - left_out.text_bytes,
    )


def rows_of(doc_ids: pa.ChunkedArray, documents: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """The rows whose `doc_id` is one of `documents`. int64 [found]"""
    there = pc.is_in(doc_ids, value_set=pa.array(documents, schema.DOC_ID.type))
    return np.flatnonzero(there.to_numpy())


def joined(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Merge sorted spans that touch. int64 [spans, 2]"""
    apart = starts[1:] != ends[:-1]
    return np.stack([starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]], axis=1)


def request_ids(by: By, value: str, ids: Sequence[str]) -> Request:
    """A request for documents by their ids, 32 hex digits each. Raises InputError at an invalid id."""
    found = []
    for number, text in enumerate(ids, 1):
        try:
            one = bytes.fromhex(text)
        except ValueError:
            one = b""
        if len(one) != schema.DOC_ID_BYTES:
            raise InputError(f"{by}={value!r}: {text!r} (number {number}) is no id of a document, which is 32 hex digits")
        found.append(one)
    unique = tuple(sorted(set(found)))
    return Request(by=by, value=hashlib.sha256(b"".join(unique)).hexdigest() if by == "ids_file" else value, ids=unique)


def problems(folder: Path, made: Manifest, *, listed_in: Path) -> Iterator[str]:
    """Find shards whose spans on the list differ from what the documents tables say, one line each.

    `listed_in`, and what it raises: see `spans`.
    """
    found, known = spans(folder, made, listed_in=listed_in), load(listed_in)
    places = _places(folder, made, known.documents) if known else {}
    wanted = {name: np.array(pairs, dtype=np.int64) for name, pairs in places.items()}
    for name in sorted({*found, *wanted}):
        if name not in found or name not in wanted or not np.array_equal(found[name], wanted[name]):
            yield f"{listed_in / NAME}: the spans of {name} are not those of the documents that it names"


def _answer(request: Request, found: Mapping[bytes, int], before: set[bytes]) -> Found:
    return Found(
        by=request.by,
        value=request.value,
        documents=len(found),
        tokens=sum(found.values()),
        known=len(before.intersection(found, request.ids) if request.ids else before.intersection(found)),
        absent=len(set(request.ids) - set(found)),
    )


def _matches(table: pa.Table, request: Request) -> pa.ChunkedArray:
    if request.by == "url_prefix":
        return pc.fill_null(pc.starts_with(table["url"], request.value), False)
    if request.by == "source":
        return pc.equal(table["source"].cast(pa.string()), request.value)
    return pc.is_in(table["doc_id"], value_set=pa.array(request.ids, schema.DOC_ID.type))


def _tables(folder: Path, made: Manifest, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The documents table of each token shard, by the shard's name. Raises CorruptFile."""
    suffix = ".docs.parquet"
    for name, entry in sorted(made.files.items()):
        if name.endswith(suffix):
            inside = name.removeprefix(f"{FOLDER}/")
            yield inside.removesuffix(suffix), shards.read(folder, (inside, entry), columns)


def _places(folder: Path, made: Manifest, documents: Sequence[bytes]) -> dict[str, list[list[int]]]:
    """The spans of the tokens of `documents`, end-of-text included. Adjacent documents share one span."""
    found = {}
    for name, table in _tables(folder, made, ("doc_id", "token_offset", "tokens")):
        rows = table.take(pa.array(rows_of(table["doc_id"], documents)))
        starts = rows["token_offset"].to_numpy()
        if len(starts):
            found[name] = joined(starts, starts + rows["tokens"].to_numpy()).tolist()
    return found


def _is_sound(pairs: Sequence[Sequence[int]]) -> bool:
    edges = np.array(pairs, dtype=np.int64)
    return edges.ndim == 2 and edges.shape[1] == 2 and edges[0, 0] >= 0 and bool((np.diff(edges.ravel()) > 0).all())


def _mark(root: Path) -> Path:
    """The path of a mark beside the list. It records that a list exists, in case the list itself is lost."""
    return root / state.FOLDER / "forgotten.json"


def _plain(known: Forgotten) -> dict[str, Any]:
    return {
        "store": known.store,
        "documents": [one.hex() for one in known.documents],
        "requests": list(known.requests),
        "spans": dict(known.places),
    }
