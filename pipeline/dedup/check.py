"""Whether the verdicts of a finished `dedup` stage are true: what `tokenmill verify` runs beside hashes.

Guarantee: every removed document names one that is kept at the end of the stage; of a seeded sample of the near
duplicates the similarity is computed anew from the two texts, reaches the threshold and is the one that is stored.
Cost: one read of the verdicts; for the sample, one read of each shard that holds one of its documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, shards
from pipeline.dedup.resolve import NEAR_DUPLICATE
from pipeline.kernels import ngrams
from pipeline.kernels.buffers import utf8
from pipeline.kernels.unicode import tables
from pipeline.manifest import Manifest
from pipeline.shards import View


def problems(root: Path, made: Manifest, views: Sequence[View], *, sample: int = 200, seed: int = 0) -> Iterator[str]:
    """What is wrong with the verdicts that `made` names: one line each, beginning with the file's path.

    `views`: the shards as the stage saw them, `work.views(root, manifests before it)`. Raises what reading raises.
    """
    threshold = made.config["deciding"]["threshold"]
    verdicts = {}
    for shard in made.shards:
        name = f"{made.stage}/verdicts/{shard.name}.parquet"
        verdicts[name] = shards.read(root, (name, shard.files[name])).combine_chunks()
    kept = [table["doc_id"].filter(pa.array(schema.alive(table["reason"]))) for table in verdicts.values()]
    kept_ids = pa.chunked_array([chunk for column in kept for chunk in column.chunks], schema.DOC_ID.type)
    near = []
    for name, table in verdicts.items():
        reason = table["reason"].cast(pa.string())
        removed = table.filter(pc.greater(pc.binary_length(reason), 0))
        lost = removed.filter(pc.invert(pc.is_in(removed["kept_doc_id"], value_set=kept_ids)))
        if lost.num_rows:
            yield f"{root / name}: {lost.num_rows} removed rows name no kept document, the first: {_hex(lost['doc_id'][0])}"
        unlike = removed.filter(pc.invert(pc.fill_null(pc.greater_equal(removed["jaccard"], threshold), False)))
        if unlike.num_rows:
            yield f"{root / name}: {unlike.num_rows} removed rows below the threshold, the first: {_hex(unlike['doc_id'][0])}"
        rows = table.filter(pc.equal(reason, NEAR_DUPLICATE)).select(["doc_id", "kept_doc_id", "jaccard"])
        near.append((name, rows))
    yield from _recompute(root, near, views, made.config["scoring"]["ngram_words"], sample, seed)


def _recompute(
    root: Path, near: Sequence[tuple[str, pa.Table]], views: Sequence[View], ngram_words: int, sample: int, seed: int
) -> Iterator[str]:
    sizes = [table.num_rows for _, table in near]
    names = np.repeat(np.arange(len(near)), sizes)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(names))[:sample])
    if not len(chosen):
        return
    rows = pa.concat_tables([table for _, table in near]).take(pa.array(chosen)).to_pylist()
    sets = _sets(views, {row[column] for row in rows for column in ("doc_id", "kept_doc_id")}, ngram_words)
    for number, row in zip(names[chosen], rows, strict=True):
        here = f"{root / near[number][0]}: {row['doc_id'].hex()} and {row['kept_doc_id'].hex()}"
        if row["doc_id"] not in sets or row["kept_doc_id"] not in sets:
            yield f"{here}: not both are documents that the stage saw"
            continue
        found = ngrams.jaccard(sets[row["doc_id"]], sets[row["kept_doc_id"]])
        if found != row["jaccard"]:
            yield f"{here}: their similarity is {found}, the verdict says {row['jaccard']}"


def _sets(views: Sequence[View], wanted: set[bytes], ngram_words: int) -> dict[bytes, npt.NDArray[np.uint64]]:
    """The n-gram sets of the wanted documents, by `doc_id`. Only shards that hold one of them are read with their text."""
    ids = pa.array(sorted(wanted), schema.DOC_ID.type)
    sets = {}
    for view in views:
        here = pc.is_in(view.read(["doc_id"]).table["doc_id"], value_set=ids)
        if not pc.any(here).as_py():
            continue
        table = view.read().table.filter(here).combine_chunks()
        data, offsets = utf8(table["text"].chunk(0))
        found, bounds = ngrams.ngram_sets(data, offsets, np.arange(table.num_rows), ngram_words, tables())
        for row, doc_id in enumerate(table["doc_id"].to_pylist()):
            sets[doc_id] = found[bounds[row] : bounds[row + 1]]
    return sets


def _hex(value: pa.Scalar) -> str:
    identity: bytes = value.as_py()
    return f"doc_id {identity.hex()}"
