"""The single pass over the text: lengths, languages, scores, and previews of the documents that were chosen.

Guarantee: every number is a sum over shards, so it does not depend on their order. Bytes are UTF-8 bytes of the text as
collected. Memory: one shard of text, a histogram per score, the previews, and the beginnings of texts that are compared.
Cost: one read of every documents and scores table; NumPy works on Arrow's offsets, without an object per document.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import StaleInput
from tokenmill.pipeline.corpus import CorpusFolder, CorpusShard
from tokenmill.pipeline.report import settings
from tokenmill.pipeline.report.fates import coded, fates
from tokenmill.pipeline.report.histograms import LENGTHS, UNIT, Histogram, Profile
from tokenmill.pipeline.stages.language.kind import LANGUAGE
from tokenmill.pipeline.stages.quality.kind import QUALITY

PREVIEW_CHARACTERS = 300
COMPARED_CHARACTERS = 1_000_000
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The beginning of a document. `bytes`: the length of its whole text."""

    doc_id: str
    source: str
    url: str
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
    """What the pass found. `profiles`: the quality scores that have a threshold.

    In a histogram of scores, `kept` means kept by the stage that scored; in `lengths`, kept by all stages.
    """

    lengths: Histogram = field(default_factory=lambda: Histogram.empty(LENGTHS))
    languages: dict[str, KeptTotals] = field(default_factory=dict)
    language_scores: Histogram = field(default_factory=lambda: Histogram.empty(UNIT))
    profiles: dict[str, Profile] = field(default_factory=dict)
    previews: dict[bytes, Preview] = field(default_factory=dict)
    texts: dict[bytes, str] = field(default_factory=dict)
    """The first COMPARED_CHARACTERS of each document that is compared with another."""


def survey(corpus: CorpusFolder, wanted: set[bytes], compared: set[bytes]) -> Survey:
    """Read every documents table once, preview the documents `wanted`, and keep the text of those `compared`, some of them.

    Raises CorruptFile, Misaligned, StaleInput.
    """
    quality = corpus.step(QUALITY.name)
    bounds = settings.thresholds(quality) if quality is not None else {}
    found = Survey(profiles={score: Profile(bounds=each) for score, each in sorted(bounds.items())})
    value_set = pa.array(sorted(wanted), pa.binary(16))
    for shard in corpus.shards:
        table = shards.read(corpus.published, shard.documents, ["doc_id", "source", "url", "text"])
        lengths = np.asarray(pc.binary_length(table["text"]).to_numpy(), dtype=np.int64)
        codes, known = fates(corpus, shard, table["doc_id"])
        found.lengths.add(lengths, codes == 0)
        for _, made in corpus.stages:
            passed = ~np.isin(codes, [code for code, fate in enumerate(known) if fate.stage == made.stage])
            if made.stage == LANGUAGE.name:
                _add_languages(corpus, shard, table["doc_id"], lengths, codes == 0, passed, found)
            elif made.stage == QUALITY.name:
                _add_profiles(corpus, shard, table["doc_id"], passed, found)
        _add_previews(table, value_set, found)
        few = table.filter(pc.is_in(table["doc_id"], value_set=pa.array(sorted(compared), pa.binary(16))))
        heads = pc.utf8_slice_codeunits(few["text"], 0, COMPARED_CHARACTERS).to_pylist()
        found.texts.update(zip(few["doc_id"].to_pylist(), heads, strict=True))
    return found


def _scores(corpus: CorpusFolder, shard: CorpusShard, stage: str, ids: pa.ChunkedArray) -> pa.Table:
    named = shard.tables.get((stage, "scores"))
    if named is None:
        raise StaleInput(f"stage {stage!r} has no scores of shard {shard.name!r}; run the build again")
    table = shards.read(corpus.published, named)
    shards.align(shard.documents, ids, named, table["doc_id"])
    return table


def _add_languages(
    corpus: CorpusFolder,
    shard: CorpusShard,
    ids: pa.ChunkedArray,
    lengths: npt.NDArray[np.int64],
    alive: Mask,
    passed: Mask,
    found: Survey,
) -> None:
    table = _scores(corpus, shard, LANGUAGE.name, ids)
    codes, names = coded(table["language"])
    for code, name in enumerate(names):
        rows = codes == code
        tally = found.languages.setdefault(name, KeptTotals())
        tally.documents += int(rows.sum())
        tally.bytes += int(lengths[rows].sum())
        tally.kept += int((rows & alive).sum())
        tally.bytes_kept += int(lengths[rows & alive].sum())
    there = _valid(table["language_score"])
    values = np.asarray(table["language_score"].drop_null().to_numpy(), dtype=np.float64)
    found.language_scores.add(values, passed[there])


def _add_profiles(corpus: CorpusFolder, shard: CorpusShard, ids: pa.ChunkedArray, passed: Mask, found: Survey) -> None:
    table = _scores(corpus, shard, QUALITY.name, ids)
    for name, profile in found.profiles.items():
        if name in table.column_names:
            profile.add(table[name].drop_null().to_numpy(), passed[_valid(table[name])])


def _add_previews(table: pa.Table, wanted: pa.Array, found: Survey) -> None:
    rows = pa.array(np.flatnonzero(pc.is_in(table["doc_id"], value_set=wanted).to_numpy(zero_copy_only=False)))
    few = table.take(rows)
    sizes = pc.binary_length(few["text"]).to_pylist()
    heads = pc.utf8_slice_codeunits(few["text"], 0, PREVIEW_CHARACTERS).to_pylist()
    for at, (doc_id, size, head) in enumerate(zip(few["doc_id"].to_pylist(), sizes, heads, strict=True)):
        found.previews[doc_id] = Preview(
            doc_id=doc_id.hex(),
            source=few["source"][at].as_py(),
            url=few["url"][at].as_py() or "",
            text=head,
            bytes=size,
            cut=len(head.encode()) < size,
        )


def _valid(column: pa.ChunkedArray) -> Mask:
    return np.asarray(column.is_valid().to_numpy(), dtype=np.bool_)
