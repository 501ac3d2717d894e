"""Checks that the verdicts of a finished stage `language` follow from its scores. `tokenmill verify` runs it besides hashes.

Guarantee: for every document that reached the stage, reason, label and doubt are those of the stored scores under the settings
in the manifest. Cost: one read of scores and verdicts; no text.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language
from tokenmill.pipeline.stages.stage import name_of, one_batch, plain


def problems(finished: Finished) -> Iterator[str]:
    """What is wrong, one line for each shard, beginning with the file's path. Raises what reading raises."""
    made = finished.manifest
    stage = Language(config=LanguageConfig(judged_bytes=made.config["scoring"]["judged_bytes"], **made.config["deciding"]))
    for view, shard in zip(finished.after, made.shards, strict=True):
        view.read(["doc_id"])
        names = [name_of(made.stage, kind, view.name) for kind in ("scores", "verdicts")]
        scores, verdicts = (shards.read(finished.root, (name, shard.files[name])) for name in names)
        reached = verdicts["reason"].is_valid()
        stored = plain(verdicts.filter(reached).drop_columns(["doc_id"])).combine_chunks()
        anew = stage.decide(one_batch(scores.filter(reached).drop_columns(["doc_id"])))
        if not plain(pa.Table.from_batches([anew])).equals(stored):
            yield f"{finished.root / names[1]}: its verdicts are not those that the scores give"
