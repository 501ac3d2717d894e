"""Checks that the evidence of a finished `decontamination` stage is true. `tokenmill verify` runs it in addition to hashes.

Guarantee: verdicts and the table of items follow from all stored passages, decided anew. For a seeded sample of the shards the
text is read and looked up in the published index: the stored passages are those that stand there, and what the next stage reads
is the text without the passages that were cut. The files of the evaluation sets are not needed.
Cost: one read of scores and verdicts; two reads of the sample's text; the index in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.edits import Edit, apply, merge
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.stages.decontamination.decide import Judged, judge
from tokenmill.pipeline.stages.decontamination.evidence import ITEMS, evidence
from tokenmill.pipeline.stages.decontamination.hits import alive, found
from tokenmill.pipeline.stages.decontamination.index import INDEX, thawed
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.stages.stage import name_of, one_batch, plain

SAMPLE, SEED = 8, 0


def settings(made: Manifest) -> DecontaminationConfig:
    """The settings of a finished stage, with sets that have no path."""
    scoring = made.config["scoring"]
    sets = {name: {"path": "unknown"} for name in scoring["sets"]}
    kept = {name: scoring[name] for name in ("ngram_words", "numbers")}
    return DecontaminationConfig.model_validate({**made.config["deciding"], **kept, "sets": sets})


def problems(finished: Finished) -> Iterator[str]:
    """What is wrong, one line per problem, beginning with the file's path. Raises what reading raises."""
    root, made = finished.root, finished.manifest
    config = settings(made)
    items = shards.read(root, (ITEMS, made.files[ITEMS]))
    index = thawed(shards.read(root, (INDEX, made.files[INDEX])), items, tuple(config.sets), config.ngram_words)
    scores = [alive(shards.read(root, _named(made, view, "scores"))) for view in finished.before]
    judged = judge([one_batch(table) for table in scores], config)
    for view, one in zip(finished.before, judged, strict=True):
        name, entry = _named(made, view, "verdicts")
        table = shards.read(root, (name, entry)).drop_columns(["doc_id"])
        if not plain(table.filter(table["reason"].is_valid())).equals(plain(pa.Table.from_batches([one.verdict()]))):
            yield f"{root / name}: the verdicts do not follow from the stored passages"
    if not plain(items).equals(plain(evidence(index, judged, config))):
        yield f"{root / ITEMS}: the items do not agree with the stored passages"
    chosen = np.random.default_rng(SEED).permutation(len(finished.before))[:SAMPLE]
    for number in sorted(chosen.tolist()):
        view, seen, one = finished.before[number], finished.after[number], judged[number]
        texts, left = view.read(), seen.read()
        name, _ = _named(made, view, "scores")
        if not pa.Table.from_batches([found(one_batch(texts.table)["text"], index, config)]).equals(
            scores[number].drop_columns(["doc_id"])
        ):
            yield f"{root / name}: the passages that are stored are not those of the texts"
        elif _without_cuts(texts.table["text"], one) != left.table["text"].to_pylist():
            yield f"{root / name}: what the next stage reads is not the text without the passages that were cut"


def _named(made: Manifest, view: View, kind: str) -> Named:
    name = name_of(made.stage, kind, view.name)
    for shard in made.shards:
        if name in shard.files:
            return name, shard.files[name]
    raise CorruptFile(f"{made.stage}: its manifest does not name {name}; run the build again")


def _without_cuts(texts: pa.ChunkedArray, judged: Judged) -> list[str]:
    """The texts that are kept, without the passages that are cut."""
    spans: dict[int, list[Edit]] = {}
    for at in np.flatnonzero(judged.cut).tolist():
        spans.setdefault(int(judged.hits.rows[at]), []).append(
            Edit(int(judged.hits.starts[at]), int(judged.hits.ends[at]), b"")
        )
    kept = np.flatnonzero(judged.reasons == schema.KEPT).tolist()
    return [apply(texts[row].as_py().encode(), merge(spans.get(row, []))).decode() for row in kept]
