"""Which source and which language each token of a split belongs to, for losses of each.

Guarantee: every token is in one group. A document whose language is not known is in `unknown`.
Cost: sources none; languages one reading of the labels of the corpus, and 8 bytes for each document of the split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages.language.kind import LANGUAGE, labels_in
from tokenmill.pipeline.tokens import Split

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class TokenGroups:
    """The groups of the tokens of a split, as parts that follow one another."""

    names: tuple[str, ...]
    edges: npt.NDArray[np.int64]
    """int64 [parts - 1]: the first token of each part but the first."""
    numbers: npt.NDArray[np.int64]
    """int64 [parts]: the group of each part, by its number in `names`."""


def by_source(split: Split) -> TokenGroups:
    """The sources of a split."""
    runs = split.sources
    return TokenGroups(
        names=tuple(run.source for run in runs),
        edges=np.array([run.first_token for run in runs[1:]], dtype=np.int64),
        numbers=np.arange(len(runs)),
    )


def by_language(split: Split, corpus: CorpusFolder) -> TokenGroups | None:
    """The languages of a split; None where the corpus was built without them. Raises CorruptFile."""
    made = corpus.step(LANGUAGE.name)
    if made is None:
        return None
    table = split.documents_table()
    ids, languages = [], []
    for shard in corpus.shards:
        labels = shards.read(corpus.published, shard.tables[LANGUAGE.name, labels_in(made)]).select(["doc_id", "language"])
        found = labels.filter(pc.is_in(labels["doc_id"], value_set=table["doc_id"]))
        ids.append(found["doc_id"])
        languages.append(found["language"].cast(pa.string()))
    known = pa.chunked_array([part for column in ids for part in column.chunks], table.schema.field("doc_id").type)
    labels_of = pa.chunked_array([part for column in languages for part in column.chunks], pa.string())
    each = pc.fill_null(pc.take(labels_of, pc.index_in(table["doc_id"], value_set=known)), UNKNOWN).to_pylist()
    names = sorted(set(each))
    number = {name: at for at, name in enumerate(names)}
    tokens = table["tokens"].to_numpy().astype(np.int64)
    return TokenGroups(
        names=tuple(names),
        edges=np.cumsum(tokens)[:-1],
        numbers=np.array([number[name] for name in each], dtype=np.int64),
    )
