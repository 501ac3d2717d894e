"""The single pass over the text: lengths, languages, what each rule did, and the documents that were chosen.

Guarantee: every number is a sum over shards, so it depends neither on their order nor on who reads them. Bytes are UTF-8 bytes
of the text as collected. Memory: one shard of text, kilobytes for each rule, the previews, and the beginnings of texts that are
compared.
Cost: one read of every documents and scores table, by workers, in a fixed number of tasks; NumPy works on Arrow's offsets,
without an object per document.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import address
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report import tallies
from tokenmill.pipeline.report.fates import Fate, coded, fates
from tokenmill.pipeline.report.histograms import LENGTHS, Histogram
from tokenmill.pipeline.report.judging import judge, table_of
from tokenmill.pipeline.report.origins import places, where
from tokenmill.pipeline.report.tallies import RuleTally
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.criteria import Criterion
from tokenmill.pipeline.stages.language.kind import LANGUAGE, labels_in

PREVIEW_CHARACTERS = 50_000
"""Passages are looked for in so much of a text; much less of it is shown."""
COMPARED_CHARACTERS = 1_000_000
TASKS_PER_WORKER = 4
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A document that is shown. `where`: its address or path. `text`: its beginning. `bytes`: the length of its whole text."""

    doc_id: str
    source: str
    place: str
    where: str
    fate: Fate
    text: str
    bytes: int
    cut: bool


@dataclass(kw_only=True)
class KeptTotals:
    """Numbers of documents and bytes of text: of all documents, and of those that every stage kept."""

    documents: int = 0
    bytes: int = 0
    kept: int = 0
    bytes_kept: int = 0


@dataclass(kw_only=True)
class Survey:
    """What the pass found. `rules`: by stage, in the order of the rules. In `lengths`, `kept` means kept by all stages."""

    lengths: Histogram = field(default_factory=lambda: Histogram.empty(LENGTHS))
    languages: dict[str, KeptTotals] = field(default_factory=dict)
    rules: dict[str, dict[Criterion, RuleTally]] = field(default_factory=dict)
    previews: dict[bytes, Preview] = field(default_factory=dict)
    texts: dict[bytes, str] = field(default_factory=dict)
    """The first COMPARED_CHARACTERS of each document that is compared with another."""

    def merge(self, other: Survey) -> None:
        """Add what was found in later shards, besides `rules`."""
        self.lengths.merge(other.lengths)
        for name, totals in other.languages.items():
            mine = self.languages.setdefault(name, KeptTotals())
            for part in fields(KeptTotals):
                setattr(mine, part.name, getattr(mine, part.name) + getattr(totals, part.name))
        self.previews |= other.previews
        self.texts |= other.texts


@dataclass(frozen=True, kw_only=True)
class SurveyTask:
    """Shards of a corpus that a worker reads, from number `first` to the one before `last`; for the rest see `survey`."""

    published: Path
    steps: tuple[Manifest, ...]
    first: int
    last: int
    wanted: tuple[bytes, ...]
    compared: tuple[bytes, ...]
    censor: Censor


def survey(corpus: CorpusFolder, wanted: set[bytes], compared: set[bytes], executor: Executor) -> Survey:
    """Read every documents table once, preview the documents `wanted`, and keep the text of those `compared`, some of them.

    Raises CorruptFile, Misaligned, StaleInput.
    """
    step = max(1, -(-len(corpus.shards) // (TASKS_PER_WORKER * executor.workers)))
    tasks = [
        SurveyTask(
            published=corpus.published,
            steps=corpus.steps,
            first=first,
            last=first + step,
            wanted=tuple(sorted(wanted)),
            compared=tuple(sorted(compared)),
            censor=corpus.censor,
        )
        for first in range(0, max(1, len(corpus.shards)), step)
    ]
    whole = Survey(rules=_rules(corpus))
    for found, of_rules in executor.map(_survey, tasks):
        whole.merge(found)
        for stage, tallied in of_rules.items():
            for mine, theirs in zip(whole.rules[stage].values(), tallied, strict=True):
                mine.merge(theirs)
    return whole


def _rules(corpus: CorpusFolder) -> dict[str, dict[Criterion, RuleTally]]:
    """Empty tallies of each stage that has rules."""
    rules = {made.stage: kind.criteria(made) for kind, made in corpus.stages}
    return {stage: tallies.tallies(criteria) for stage, criteria in rules.items() if criteria}


def _survey(task: SurveyTask) -> tuple[Survey, dict[str, list[RuleTally]]]:
    """What is found in the shards of a task, and what each rule of a stage did there: criteria are functions, and stay here."""
    corpus = CorpusFolder(root=task.published, published=task.published, steps=task.steps, known_settings=None)
    found, rules = Survey(), _rules(corpus)
    value_set = pa.array(task.wanted, pa.binary(16))
    for shard in corpus.shards[task.first : task.last]:
        table = shards.read(corpus.published, shard.documents, ["doc_id", "source", "url", "text", "metadata"])
        lengths = np.asarray(pc.binary_length(table["text"]).to_numpy(), dtype=np.int64)
        codes, known = fates(corpus, shard, table["doc_id"])
        found.lengths.add(lengths, codes == 0)
        for stage, of_stage in rules.items():
            tallies.add(of_stage, judge(corpus, shard, stage, tuple(of_stage), table["doc_id"]), lengths)
        if (made := corpus.step(LANGUAGE.name)) is not None:
            labels = table_of(corpus, shard, LANGUAGE.name, labels_in(made), table["doc_id"])["language"]
            _add_languages(found.languages, labels, lengths, codes == 0)
        _add_previews(table, value_set, codes, known, found, task.censor)
        few = table.filter(pc.is_in(table["doc_id"], value_set=pa.array(task.compared, pa.binary(16))))
        heads = (task.censor.text(text)[:COMPARED_CHARACTERS] for text in few["text"].to_pylist())
        found.texts.update(zip(few["doc_id"].to_pylist(), heads, strict=True))
    return found, {stage: list(of_stage.values()) for stage, of_stage in rules.items()}


def _add_languages(found: dict[str, KeptTotals], labels: pa.ChunkedArray, lengths: npt.NDArray[np.int64], alive: Mask) -> None:
    codes, names = coded(labels)
    for code, name in enumerate(names):
        rows = codes == code
        tally = found.setdefault(name, KeptTotals())
        tally.documents += int(rows.sum())
        tally.bytes += int(lengths[rows].sum())
        tally.kept += int((rows & alive).sum())
        tally.bytes_kept += int(lengths[rows & alive].sum())


def _add_previews(
    table: pa.Table, wanted: pa.Array, codes: npt.NDArray[np.int64], known: list[Fate], found: Survey, censor: Censor
) -> None:
    rows = np.flatnonzero(pc.is_in(table["doc_id"], value_set=wanted).to_numpy(zero_copy_only=False))
    few = table.take(pa.array(rows))
    few = few.append_column("place", places(few)).append_column("bytes", pc.binary_length(few["text"]))
    for row, one in zip(rows.tolist(), few.to_pylist(), strict=True):
        # A cut text may end inside a value, so the whole one is censored.
        text, url = censor.text(one["text"]), censor.value(one["url"])
        found.previews[one["doc_id"]] = Preview(
            doc_id=one["doc_id"].hex(),
            source=one["source"],
            place=censor.value(one["place"]) or "",
            where=where(url, censor.metadata(one["metadata"]), address(url or "")),
            fate=known[codes[row]],
            text=text[:PREVIEW_CHARACTERS],
            bytes=one["bytes"],
            cut=len(text) > PREVIEW_CHARACTERS,
        )
