"""Writes the documents of a finished corpus masked, for those who must not keep the text as it came.

Purpose: `compact --personal`. Texts, URLs and metadata of all documents, kept or not, and what is kept of rejected records,
are replaced by what the stage `personal` makes of them. Edits of other stages move with the bytes, so every stage reads the
text that it would read without this: tokens stay as they are.
Guarantee: for each kept document, the text after all edits is compared with the one before, before anything is replaced. All
new files stand beside the corpus, with their manifests, until each is in place: masking again repairs a crash at any point.
Scores and verdicts stay: they are of the text as it came.
Cost: one read and one write of the documents; memory of one shard.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import files, manifest, schema, shards, state
from tokenmill.pipeline.base.edits import Edit, apply, merge
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import COLLECT, CORPUS, MODELS, PACK, TOKENIZER, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.corpus import DROPPED, QUARANTINE, CorpusFolder, CorpusShard
from tokenmill.pipeline.stages import table as stages
from tokenmill.pipeline.stages.censor import COLUMNS, MASKED
from tokenmill.pipeline.stages.personal.kind import PERSONAL

BESIDE = f"{state.FOLDER}/masked"
"""The folder where new files stay until they replace old ones."""
AS_IT_CAME = (f"{state.FOLDER}/{COLLECT}", f"{state.FOLDER}/fetched")
"""What a build keeps of the input, beside what it publishes: folders, and the names and hashes of files in `INPUTS`."""
INPUTS = f"{state.FOLDER}/inputs.json"
STEPS = (COLLECT, *(kind.name for kind in stages.STAGES), TOKENIZER, PACK)
Edits = dict[str, list[Edit]]
"""The edits of one document by stage, in the order of the stages."""


def is_begun(root: Path) -> bool:
    """Whether all masked files of what stands in the corpus folder are ready, since masking was interrupted."""
    ready, there = manifest.find(root / BESIDE, COLLECT), manifest.find(root, COLLECT)
    if ready is None or not (there is None or there.hash in (ready.hash, ready.facts[MASKED]["of"])):
        return False
    named = [named for made in _ready(root) for named in made.entries()]
    return all(files.holds(root, *one) or files.holds(root / BESIDE, *one) for one in named)


def mask(corpus: CorpusFolder, progress: Progress) -> None:
    """Mask the documents of a corpus whose steps are finished, unless they are masked by these settings already.

    Call it under the lock of the corpus. Raises ConfigError for a corpus without the stage `personal`, CorruptFile, Misaligned.
    """
    if corpus.collect.facts.get(MASKED, {}).get("by") != corpus.censor.identity:
        prepare(corpus, progress)
        publish(corpus.root)
    done = manifest.load(corpus.root, COLLECT).facts[MASKED]
    progress.end(
        f"{done['documents']:,} documents and {done['records']:,} beginnings of rejected records changed; all are stored masked"
    )


def prepare(corpus: CorpusFolder, progress: Progress) -> None:
    """Write and prove all masked files, with their manifests, beside the corpus.

    Raises ConfigError for a corpus without the stage `personal`, CorruptFile, Misaligned.
    """
    beside = corpus.root / BESIDE
    clear(corpus.root)
    personal = corpus.step(PERSONAL.name)
    if personal is None:
        raise ConfigError(
            f"{corpus.root} was built without the stage `{PERSONAL.name}`, which says what to mask; add it to `stages` and"
            " build again"
        )
    entries: dict[str, FileEntry] = {}
    counts = {"documents": 0, "records": 0}
    progress.begin("mask", len(corpus.shards), "shards")
    for shard, view in zip(corpus.shards, corpus.views(), strict=True):
        changed, written = _write_shard(corpus, shard, view, beside)
        counts["documents"] += changed
        entries |= written
        progress.advance(1)
    for named in corpus.collect.entries():
        if named[0] == DROPPED or named[0].startswith(f"{QUARANTINE}/"):
            changed, written = _write_records(corpus, named, beside)
            counts["records"] += changed
            entries |= written
    hashes: dict[str, str] = {}
    columns = corpus.censor.value(corpus.collect.facts.get(COLUMNS, {}))
    facts = {COLUMNS: columns, MASKED: {"of": corpus.collect.hash, "by": corpus.censor.identity, **counts}}
    made = [_with(one, entries, hashes, facts) for one in corpus.steps]
    # That of collection comes last: nothing is published without it.
    for one in (*made[1:], made[0]):
        manifest.commit(beside, one)


def publish(root: Path) -> None:
    """Put masked files that stand ready in the place of the others, and remove what builds keep of the input."""
    beside = root / BESIDE
    steps = _ready(root)
    manifest.withdraw(root, [CORPUS, *MODELS, *(made.stage for made in reversed(steps))])
    for made in steps:
        for name, entry in made.entries():
            if (beside / name).exists() and not files.holds(root, name, entry):
                files.link(beside, [(name, entry)], root / name)
    for name in AS_IT_CAME:
        files.clear(root / name)
        files.prune(root / name)
    files.remove(root / INPUTS)
    for made in steps:
        manifest.commit(root, made)
    clear(root)


def clear(root: Path) -> None:
    """Remove what stands beside the corpus. The manifest of collection goes first, because nothing is published without it."""
    beside = root / BESIDE
    files.remove(manifest.path_of(beside, COLLECT))
    files.clear(beside)
    files.prune(beside)


def _ready(root: Path) -> list[Manifest]:
    """The manifests that stand ready, in the order of the steps."""
    beside = root / BESIDE
    found = [made for name in STEPS if (made := manifest.find(beside, name)) is not None]
    # A step names those before it as its inputs; those of collection are sources.
    return sorted(found, key=lambda made: 0 if made.stage == COLLECT else len(made.inputs))


def _with(made: Manifest, entries: Mapping[str, FileEntry], hashes: dict[str, str], facts: Mapping[str, Any]) -> Manifest:
    """The manifest of a step with masked files, made from steps with masked files. Adds its hash to `hashes`."""
    new = dataclasses.replace(
        made,
        inputs={name: hashes.get(name, value) for name, value in made.inputs.items()} if made.stage != COLLECT else made.inputs,
        shards=tuple(
            dataclasses.replace(shard, files={name: entries.get(name, entry) for name, entry in shard.files.items()})
            for shard in made.shards
        ),
        files={name: entries.get(name, entry) for name, entry in made.files.items()},
        facts={**made.facts, **facts} if made.stage == COLLECT else made.facts,
    )
    hashes[made.stage] = new.hash
    return new


def _write_records(corpus: CorpusFolder, named: Named, beside: Path) -> tuple[int, dict[str, FileEntry]]:
    """Write a table of rejected records masked. Returns how many changed, and its entry."""
    table, censor = shards.read(corpus.published, named), corpus.censor
    masked = table
    for name, hide in (("position", censor.value), ("message", censor.text), ("preview", censor.preview)):
        at, field = table.schema.get_field_index(name), table.schema.field(name)
        masked = masked.set_column(at, field, pa.array([hide(value) for value in table[name].to_pylist()], field.type))
    return int(_differ(table, masked).sum()), {named[0]: shards.write(beside, named[0], masked)}


def _write_shard(corpus: CorpusFolder, shard: CorpusShard, view: View, beside: Path) -> tuple[int, dict[str, FileEntry]]:
    """Write a shard of documents masked, and the edits of all stages moved. Returns how many documents changed, and entries.

    `view`: the shard as all stages leave it.
    """
    censor = corpus.censor
    table = shards.read(corpus.published, shard.documents)
    ids, texts = table["doc_id"].to_pylist(), table["text"].to_pylist()
    edits = _edits(corpus, shard)
    kept = set(view.read(["doc_id"]).table["doc_id"].to_pylist())
    found = censor.edits_of(texts)
    masked = censor.table(table)
    changed = _differ(table, masked)
    rows: dict[str, list[dict[str, Any]]] = {stage: [] for stage, kind in shard.tables if kind == "edits"}
    for row, (doc_id, text) in enumerate(zip(ids, texts, strict=True)):
        mine = edits.get(doc_id, {})
        if not mine and not found[row]:
            continue
        masks = _masks(mine, found[row], kept=doc_id in kept)
        texts[row] = apply(text.encode(), masks).decode()
        moved = {stage: _moved(masks, mine, stage) for stage in mine if stage != PERSONAL.name}
        before, after = (merge(one for spans in of.values() for one in spans) for of in (mine, moved))
        if doc_id in kept and apply(text.encode(), before) != apply(texts[row].encode(), after):
            raise CorruptFile(
                f"{shard.name}: masking {doc_id.hex()} would change the text behind its tokens; nothing was replaced"
            )
        for stage, spans in moved.items():
            rows[stage] += [
                {"doc_id": doc_id, "start": one.start, "end": one.end, "replacement": one.replacement.decode()} for one in spans
            ]
        changed[row] |= bool(masks)
    column, field = table.schema.get_field_index("text"), table.schema.field("text")
    masked = masked.set_column(column, field, pa.array(texts, field.type)).combine_chunks()
    written = {shard.documents[0]: shards.write(beside, shard.documents[0], masked)}
    for stage, of_stage in rows.items():
        name = shard.tables[stage, "edits"][0]
        written[name] = shards.write(beside, name, pa.Table.from_pylist(of_stage, schema=schema.EDITS))
    return int(changed.sum()), written


def _differ(table: pa.Table, masked: pa.Table) -> npt.NDArray[np.bool_]:
    """The rows in which any column of strings has another value. bool [rows]"""
    changed = np.zeros(table.num_rows, dtype=np.bool_)
    for field in table.schema:
        if field.type in (pa.string(), pa.binary()):
            same = pc.fill_null(pc.equal(table[field.name], masked[field.name]), True)
            changed |= ~same.to_numpy()
    return changed


def _edits(corpus: CorpusFolder, shard: CorpusShard) -> dict[bytes, Edits]:
    """The edits of a shard by document and stage, in the order of the stages."""
    found: dict[bytes, Edits] = {}
    for (stage, kind), named in shard.tables.items():
        if kind == "edits":
            for one in shards.read(corpus.published, named).to_pylist():
                edit = Edit(one["start"], one["end"], one["replacement"].encode())
                found.setdefault(one["doc_id"], {}).setdefault(stage, []).append(edit)
    return found


def _masks(edits: Edits, found: list[Edit], *, kept: bool) -> list[Edit]:
    """The edits that the stored text takes: those of the stage, and what else was found in it.

    Of a kept document the latter change only what other stages remove, so that what is read stays as it is.
    """
    mine = edits.get(PERSONAL.name, [])
    if kept:
        removed = merge(edit for stage, spans in edits.items() if stage != PERSONAL.name for edit in spans)
        found = [piece for edit in found for piece in _within(edit, removed)]
    found = [piece for edit in found for piece in _without(edit, merge(mine))]
    return merge([*mine, *found])


def _within(edit: Edit, spans: Sequence[Edit]) -> Iterator[Edit]:
    """The parts of an edit inside some of the disjoint `spans`."""
    for span in spans:
        start, end = max(edit.start, span.start), min(edit.end, span.end)
        if start < end:
            yield edit._replace(start=start, end=end)


def _without(edit: Edit, spans: Sequence[Edit]) -> Iterator[Edit]:
    """The parts of an edit outside all of the disjoint, sorted `spans`."""
    at = edit.start
    for span in spans:
        if span.start > at and at < edit.end:
            yield edit._replace(start=at, end=min(edit.end, span.start))
        at = max(at, span.end)
    if at < edit.end:
        yield edit._replace(start=at)


def _moved(masks: Sequence[Edit], edits: Edits, stage: str) -> list[Edit]:
    """The edits of another stage in bytes of the text with `masks` applied.

    Those of an earlier stage inside an edit of `personal` are gone with it. All others cover whole masks (`edits.project`).
    """
    growth = [0, *accumulate(len(one.replacement) - (one.end - one.start) for one in masks)]
    starts = [one.start for one in masks]

    def place(position: int, *, end: bool) -> int:
        at = bisect_right(starts, position - 1 if end else position)
        mask = masks[at - 1] if at else None
        if mask is None or position >= mask.end:
            return position + growth[at]
        # Inside a mask: all that stands in its place.
        return mask.start + growth[at - 1] + (len(mask.replacement) if end else 0)

    def inside(edit: Edit) -> bool:
        return any(
            one.start <= edit.start and edit.end <= one.end and edit[:2] != one[:2] for one in edits.get(PERSONAL.name, ())
        )

    outside = (edit for edit in edits[stage] if not inside(edit))
    return merge(edit._replace(start=place(edit.start, end=False), end=place(edit.end, end=True)) for edit in outside)
