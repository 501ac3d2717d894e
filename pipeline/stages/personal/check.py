"""Checks that the evidence of a finished `personal` stage is true. `tokenmill verify` runs it in addition to hashes.

Guarantee: on a seeded sample of the shards, the texts are searched anew, and exactly what the scores name is found; the edited
texts are those that the scores make.
Cost: two reads of the sample's text, and a search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.edits import Edit, apply
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.stages.personal.search import Sought, findings
from tokenmill.pipeline.stages.personal.settings import ID, KINDS
from tokenmill.pipeline.stages.stage import name_of, one_batch

SHARDS = 8


def problems(finished: Finished, *, seed: int = 0) -> Iterator[str]:
    """What is wrong, one line per problem, beginning with the file's path. Raises what reading raises."""
    scoring = finished.manifest.config["scoring"]
    entries = dict(finished.manifest.entries())
    for number in np.random.default_rng(seed).permutation(len(finished.before))[:SHARDS].tolist():
        before, after = finished.before[number], finished.after[number]
        name = name_of(finished.manifest.stage, "scores", before.name)
        yield from _compare(
            f"{finished.root / name}", before, after, shards.read(finished.root, (name, entries[name])), scoring
        )


def _compare(path: str, before: View, after: View, scores: pa.Table, scoring: Mapping[str, Any]) -> Iterator[str]:
    alive, left = before.read(), after.read()
    texts = one_batch(alive.table)["text"]
    sought = Sought(kinds=tuple(scoring["kinds"]), public_only=scoring["public_only"], countries=tuple(scoring["countries"]))
    stored = scores["spans"].take(pa.array(alive.rows)).to_pylist()
    now = dict(zip(left.rows.tolist(), one_batch(left.table)["text"].to_pylist(), strict=True))
    for row, text, values, spans in zip(alive.rows.tolist(), texts, findings(texts, sought), stored, strict=True):
        if [(one["start"], one["end"], KINDS[one["kind"]]) for one in spans] != [one[:3] for one in values]:
            yield f"{path}: row {row}: what its text holds is not what the scores name"
        elif row in now and now[row] != _edited(text.as_py(), spans, scoring["replacements"]):
            yield f"{path}: row {row}: its edited text is not what the scores make of it"


def _edited(text: str, spans: Sequence[Mapping[str, Any]], replacements: Mapping[str, str]) -> str:
    """The text with each value replaced, as `Personal.edits` does it."""
    edits = [
        Edit(one["start"], one["end"], replacements[KINDS[one["kind"]]].replace(ID, one["pseudonym"] or "").encode())
        for one in spans
    ]
    return apply(text.encode(), edits).decode()
