"""What the stage `decontamination` found: for each evaluation set its items, and examples of passages that hold them.

Guarantee: numbers come from the published table of items. A passage is looked for in the text that is shown, so it is marked
where it stands there, whatever other stages did to that text. Cost: one read of that table and of the published index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report.excerpts import Excerpt, excerpt
from tokenmill.pipeline.report.measure import Preview, Survey
from tokenmill.pipeline.stages.criteria import Spans
from tokenmill.pipeline.stages.decontamination.kind import DECONTAMINATION

EXAMPLES, MOST_FOUND = 5, 10


@dataclass(frozen=True, kw_only=True)
class FoundItem:
    """An item that contaminates documents. `documents`: how many. `doc_id`: the one with most of it."""

    row: int
    """Its row in the table of items."""
    item: str
    documents: int
    share: float
    doc_id: bytes


@dataclass(frozen=True, kw_only=True)
class SetResults:
    """One evaluation set: the facts of the stage, the items in most documents, and those of which passages are shown."""

    name: str
    facts: Mapping[str, int]
    ignored: bool
    most: Sequence[FoundItem]
    examples: Sequence[FoundItem]


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """The results of the stage."""

    said: str
    cut: bool
    sets: Sequence[SetResults] = field(default=())

    def shown(self) -> set[bytes]:
        """The documents of which passages are shown."""
        return {one.doc_id for results in self.sets for one in results.examples}


def contamination(corpus: CorpusFolder) -> Contamination | None:
    """The results of the stage; None if it was left out. Raises CorruptFile."""
    made = corpus.step(DECONTAMINATION.name)
    if made is None:
        return None
    from tokenmill.pipeline.stages.decontamination.evidence import ITEMS

    table = shards.read(corpus.published, (ITEMS, made.files[ITEMS]))
    table = table.append_column("row", pa.array(range(table.num_rows))).filter(pc.greater(table["documents"], 0))
    names = table["set"].cast(pa.string())
    found = []
    for name, facts in made.facts.items():
        rows = table.filter(pc.equal(names, name)).sort_by([("documents", "descending"), ("row", "ascending")])
        items = [
            FoundItem(row=row["row"], item=row["item"], documents=row["documents"], share=row["share"], doc_id=row["doc_id"])
            for row in rows.slice(0, MOST_FOUND).to_pylist()
        ]
        ignored = name in made.config["deciding"]["ignored_sets"]
        best = sorted(items, key=lambda item: -item.share)[:EXAMPLES]
        found.append(SetResults(name=name, facts=facts, ignored=ignored, most=items, examples=best))
    cut = made.config["deciding"]["action"] == "cut"
    return Contamination(said=DECONTAMINATION.words(made), cut=cut, sets=found)


def examples(
    corpus: CorpusFolder, found: Contamination, survey: Survey, characters: int
) -> dict[str, list[tuple[FoundItem, Preview, Excerpt]]]:
    """By set, the items whose passages are shown, with their documents. Raises CorruptFile."""
    rows = [one.row for results in found.sets for one in results.examples]
    texts = [survey.texts[one.doc_id] for results in found.sets for one in results.examples]
    parts = iter([excerpt(*one, characters=characters) for one in zip(texts, _spans(corpus, rows, texts), strict=True)])
    return {
        results.name: [(one, survey.previews[one.doc_id], next(parts)) for one in results.examples] for results in found.sets
    }


def _spans(corpus: CorpusFolder, rows: Sequence[int], texts: Sequence[str]) -> list[Spans]:
    """Where the item of each row stands in its text, in characters."""
    # They load kernels.
    from tokenmill.pipeline.stages.decontamination.check import settings
    from tokenmill.pipeline.stages.decontamination.evidence import ITEMS
    from tokenmill.pipeline.stages.decontamination.hits import found
    from tokenmill.pipeline.stages.decontamination.index import INDEX, thawed

    made = corpus.require(DECONTAMINATION.name)
    if not rows:
        return []
    config = settings(made)
    items = shards.read(corpus.published, (ITEMS, made.files[ITEMS]))
    index = shards.read(corpus.published, (INDEX, made.files[INDEX]))
    # Only of the items that are shown: an index of all can be large.
    few = thawed(index.filter(pc.is_in(index["item"], value_set=pa.array(rows))), items, tuple(config.sets), config.ngram_words)
    hits: list[list[dict[str, Any]]] = found(pa.array(texts, pa.large_string()), few, config)["hits"].to_pylist()
    names = list(zip(items["set"].to_pylist(), items["item"].to_pylist(), strict=True))
    return [
        _in_characters(text, [hit for hit in mine if (hit["set"], hit["item"]) == names[row]])
        for row, text, mine in zip(rows, texts, hits, strict=True)
    ]


def _in_characters(text: str, hits: Sequence[Mapping[str, Any]]) -> Spans:
    """The union of passages, sorted and disjoint."""
    data, spans = text.encode(), list[tuple[int, int]]()
    for hit in sorted(hits, key=lambda hit: (hit["start"], hit["end"])):
        start, end = (len(data[: hit[side]].decode()) for side in ("start", "end"))
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans
