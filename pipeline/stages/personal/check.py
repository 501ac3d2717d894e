"""Checks that the evidence of a finished `personal` stage is true. `tokenmill verify` runs it in addition to hashes.

Guarantee: on a seeded sample of the shards, the texts are searched anew, and exactly what the scores name is found; the edits
are those of the scores, and no edited text holds a value that it should not.
Cost: two reads of the sample's text, and two searches.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.stages.personal.search import Sought, findings
from tokenmill.pipeline.stages.personal.settings import KINDS
from tokenmill.pipeline.stages.stage import name_of, one_batch

SHARDS = 8


def problems(finished: Finished, *, seed: int = 0) -> Iterator[str]:
    """What is wrong, one line per problem, beginning with the file's path. Raises what reading raises."""
    scoring = finished.manifest.config["scoring"]
    sought = Sought(kinds=tuple(scoring["kinds"]), public_only=scoring["public_only"], countries=tuple(scoring["countries"]))
    entries = dict(finished.manifest.entries())
    for number in np.random.default_rng(seed).permutation(len(finished.before))[:SHARDS].tolist():
        before, after = finished.before[number], finished.after[number]
        name = name_of(finished.manifest.stage, "scores", before.name)
        yield from _compare(f"{finished.root / name}", before, after, shards.read(finished.root, (name, entries[name])), sought)


def _compare(path: str, before: View, after: View, scores: pa.Table, sought: Sought) -> Iterator[str]:
    alive, left = before.read(), after.read()
    texts = one_batch(alive.table)["text"]
    found = findings(texts, sought)
    stored = scores["spans"].take(pa.array(alive.rows)).to_pylist()
    now = dict(zip(left.rows.tolist(), one_batch(left.table)["text"].to_pylist(), strict=True))
    for row, values, spans in zip(alive.rows.tolist(), found, stored, strict=True):
        if [(one["start"], one["end"], KINDS[one["kind"]]) for one in spans] != [one[:3] for one in values]:
            yield f"{path}: row {row}: what its text holds is not what the scores name"
        elif row in now and values:
            text = texts[alive.rows.tolist().index(row)].as_py().encode()
            if any(text[one.start : one.end].decode() in now[row] for one in values):
                yield f"{path}: row {row}: its edited text still holds a value"
