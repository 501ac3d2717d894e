"""Compaction: rewrite the token shards that hold forgotten documents, without these documents.

Purpose: remove what `forget` masks from the payload and its side files. The list of forgotten documents stays. The text tables,
and what packing keeps below `.state`, are not touched.
Guarantee: the store has the bytes of one that was packed without these documents by the same settings. Documents stay in the
shard that packing chose for them, so shards without forgotten documents keep their bytes, and the others only get shorter. All
of this is proved before anything is replaced: new shards are read back and compared token for token and row for row with the
old ones, and unchanged shards are hashed. The new shards and their manifest stay beside the store until every one of them is
published, so compacting again repairs a crash at any point.
Cost: two reads of the store and one write of the shards that change. Memory: the documents table of one shard.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import files, manifest, ownership, shards, state
from tokenmill.pipeline.base.errors import CorruptFile, InputError, NotBuilt, TokenmillError
from tokenmill.pipeline.base.manifest import PACK, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.facts import SourceFacts, SplitFacts
from tokenmill.pipeline.tokens.forget import Forgotten, LeftOut
from tokenmill.pipeline.tokens.format import BLOCK_BYTES, DOCUMENTS, FOLDER, Ids
from tokenmill.pipeline.tokens.shard import TokenShard
from tokenmill.pipeline.tokens.store import TokenStore
from tokenmill.pipeline.tokens.write import write_shard

Totals = TypeVar("Totals", SourceFacts, SplitFacts)

BESIDE = f"{state.FOLDER}/compact"
"""The folder where new shards stay until they replace old ones."""
OURS = re.compile(r"\d{5,}\.(bin|idx|blocks|docs\.parquet)")


@dataclass(frozen=True, kw_only=True, repr=False)
class Compacted:
    """A store without forgotten documents. `shards`: the number of token shards that this call replaced or removed."""

    manifest: Manifest
    shards: int

    def __repr__(self) -> str:
        return f"Compacted: {self.shards:,} token shards changed, {self.documents:,} documents out of the store"

    @property
    def documents(self) -> int:
        """The number of documents that are out of the store, by this compaction or an earlier one."""
        return self.manifest.counts.dropped.get(forget.INPUT, 0)


def compact(root: Path, *, downstream: Sequence[str], progress: Progress) -> Compacted:
    """Remove forgotten documents from the store of the corpus in `root`, or finish an interrupted compaction.

    Call it under `files.lock(root)`. `downstream`: the stages made from the store; their manifests are removed. Raises
    InputError when nothing was forgotten; NotBuilt, CorruptFile, StaleInput.
    """
    known = forget.load(root / FOLDER)
    if known is None:
        raise InputError(f"{root / FOLDER}: nothing was forgotten in this store")
    beside = root / BESIDE
    if not manifest.path_of(root, PACK).exists():
        return _publish(root, beside, _cut_short(root, beside, known), downstream)
    _clear(beside)
    store = TokenStore.of(root / FOLDER)
    progress.begin("compact", sum(len(split.shards) for split in store.splits), "shards")
    if store.manifest.inputs.get(forget.INPUT) == known.hash:
        return Compacted(manifest=store.manifest, shards=len(_remove_others(root, store.manifest)))
    try:
        made = _write(store, known, beside, progress)
    except TokenmillError:
        _clear(beside)
        raise
    manifest.commit(beside, made)
    return _publish(root, beside, made, downstream)


def _write(store: TokenStore, known: Forgotten, beside: Path, progress: Progress) -> Manifest:
    """Write and prove the shards that change, below `beside`. Returns the manifest of the store with them."""
    made = store.manifest
    entries = dict(made.files)
    splits: dict[str, SplitFacts] = {}
    all_gone: list[pa.Table] = []
    for split in store.splits:
        gone, highest = [DOCUMENTS.empty_table()], -1
        for shard in split.shards:
            documents = shards.read(shard.root, shard.documents)
            rows = forget.rows_of(documents["doc_id"], known.documents)
            if len(rows):
                kept = documents.take(pa.array(np.setdiff1d(np.arange(documents.num_rows), rows)))
                gone.append(documents.take(pa.array(rows)))
                for name, _ in _names(shard):
                    del entries[f"{FOLDER}/{name}"]
                if kept.num_rows:
                    number = int(shard.path.stem)
                    written = write_shard(beside, split.name, number, _pieces(shard, kept), kept, shard.dtype)
                    _prove(shard, kept, beside / FOLDER, written.files)
                    entries |= written.files
                    highest = max(highest, written.highest_id)
            else:
                _require_unchanged(shard)
                highest = max(highest, _highest(shard))
            progress.advance(1)
        lost = pa.concat_tables(gone).unify_dictionaries()
        splits[split.name] = _less(store.facts.splits[split.name], lost, highest if highest >= 0 else None)
        all_gone.append(lost)
    left_out = _by_shard(pa.concat_tables(all_gone).unify_dictionaries())
    counted = tuple(
        dataclasses.replace(one, counts=forget.without(one.counts, left_out[one.name])) if one.name in left_out else one
        for one in made.shards
    )
    inputs = {**made.inputs, forget.INPUT: known.hash}
    facts = manifest.plain_facts(dataclasses.replace(store.facts, splits=splits))
    return dataclasses.replace(made, inputs=inputs, shards=counted, files=entries, facts=facts)


def _pieces(shard: TokenShard, documents: pa.Table) -> Iterator[Ids]:
    """Yield the ids of `documents`, some rows of the shard, at most `BLOCK_BYTES` ids at a time.

    Every block that is read is compared with its hash.
    """
    starts = documents["token_offset"].to_numpy()
    for first, last in forget.joined(starts, starts + documents["tokens"].to_numpy()).tolist():
        for start in range(first, last, BLOCK_BYTES):
            yield shard.read(start, min(start + BLOCK_BYTES, last))


def _prove(shard: TokenShard, kept: pa.Table, beside: Path, written: Mapping[str, files.FileEntry]) -> None:
    """Read the new shard back: it must hold the ids and rows of the documents in `kept`, in their order, and nothing else.

    `beside`: the folder of the new store. Raises CorruptFile.
    """
    for name, _ in _names(shard):
        if not files.holds(beside, name, written[f"{FOLDER}/{name}"]):
            raise CorruptFile(f"{beside / name}: holds other bytes than were just written; nothing was replaced")
    table = shard.documents[0]
    found = shards.read(beside, (table, written[f"{FOLDER}/{table}"]))
    rest = [name for name in DOCUMENTS.names if name != "token_offset"]
    payload = np.memmap(beside / shard.payload[0], dtype=shard.dtype, mode="r")
    same = found.num_rows == kept.num_rows and all(
        pc.all(pc.equal(_plain(found[name]), _plain(kept[name])).fill_null(True)).as_py() for name in rest
    )
    at = 0
    for ids in _pieces(shard, kept):
        same = same and np.array_equal(payload[at : at + len(ids)], ids)
        at += len(ids)
    if not same or at != len(payload):
        raise CorruptFile(f"{beside / shard.payload[0]}: differs from what {shard.path} should keep; nothing was replaced")


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _names(shard: TokenShard) -> tuple[Named, ...]:
    return (shard.payload, shard.blocks, shard.index, shard.documents)


def _require_unchanged(shard: TokenShard) -> None:
    for name, entry in _names(shard):
        if not files.holds(shard.root, name, entry):
            raise CorruptFile(f"{shard.root / name}: other bytes than its manifest names; run the build again to make it anew")


def _highest(shard: TokenShard) -> int:
    ids = shard.ids
    return max(int(ids[start : start + BLOCK_BYTES].max()) for start in range(0, len(ids), BLOCK_BYTES))


def _sums(rows: pa.Table) -> dict[str, int]:
    sums = {name: int(rows[name].to_numpy().sum()) for name in ("tokens", "text_bytes")}
    return {"documents": rows.num_rows, **sums}


def _less(totals: SplitFacts, gone: pa.Table, highest_id: int | None) -> SplitFacts:
    """The totals of a split, and of each source in it, after the rows `gone` are removed."""
    names = _plain(gone["source"])
    left = (_without(one, gone.filter(pc.equal(names, one.source))) for one in totals.sources)
    sources = tuple(one for one in left if one.documents)
    return dataclasses.replace(_without(totals, gone), highest_id=highest_id, sources=sources)


def _without(totals: Totals, gone: pa.Table) -> Totals:
    return dataclasses.replace(totals, **{key: getattr(totals, key) - value for key, value in _sums(gone).items()})


def _by_shard(gone: pa.Table) -> dict[str, LeftOut]:
    names = _plain(gone["shard"])
    found = {}
    for name in names.unique().to_pylist():
        rows = gone.filter(pc.equal(names, name))
        found[name] = LeftOut(rows=tuple(rows["row"].to_pylist()), text_bytes=_sums(rows)["text_bytes"])
    return found


def _cut_short(root: Path, beside: Path, known: Forgotten) -> Manifest:
    """The manifest of an interrupted compaction that is ready to be published. Raises NotBuilt when there is none."""
    found = manifest.find(beside, PACK)
    if found is not None and found.inputs.get(forget.INPUT) == known.hash:
        before = {name: manifest.find(root, name) for name in found.inputs if name != forget.INPUT}
        same = all(one is None or one.hash == found.inputs[name] for name, one in before.items())
        if same and all(files.holds(root, *named) or files.holds(beside, *named) for named in found.files.items()):
            return found
    raise NotBuilt(f"{root} has no finished store, and no interrupted compaction to finish; run the build first")


def _publish(root: Path, beside: Path, made: Manifest, downstream: Sequence[str]) -> Compacted:
    manifest.withdraw(root, [*reversed(downstream), PACK])
    replaced = set()
    for name, entry in made.files.items():
        if (beside / name).exists():
            replaced.add(Path(name).name.partition(".")[0] + Path(name).parent.name)
            if not files.holds(root, name, entry):
                files.link(beside, [(name, entry)], root / name)
    replaced |= _remove_others(root, made)
    manifest.commit(root, made)
    _clear(beside)
    return Compacted(manifest=made, shards=len(replaced))


def _remove_others(root: Path, made: Manifest) -> set[str]:
    """Remove the files of token shards that the manifest does not name, as an unfinished build leaves them too."""
    removed = set()
    ours = ownership.known(root) if files.marker(root) is not None else None
    for path in list(files.listed(root / FOLDER)):
        name = path.relative_to(root).as_posix()
        if OURS.fullmatch(path.name) and name not in made.files and (ours is None or name in ours):
            removed.add(path.name.partition(".")[0] + path.parent.name)
            files.remove(path)
    return removed


def _clear(beside: Path) -> None:
    """Empty the folder `beside`. Its manifest goes first, because nothing publishes the other files without it."""
    files.remove(manifest.path_of(beside, PACK))
    files.clear(beside)
    files.prune(beside)
