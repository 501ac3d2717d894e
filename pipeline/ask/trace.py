"""Traces tokens, samples and training steps back to documents, and documents to every verdict on them.

Purpose: answers the questions "what is this token?", "what did this sample or step read?" and "what became of this document?".
Guarantee: answers come from published tables, after their hashes were compared. Nothing is guessed, and nothing is written. The
order of samples is the order of the training run; a run on another store is refused.
Cost: one read of the documents table of a token shard, and of one shard of each stage's tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.edits import Edit, merge, part, project
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.manifest import COLLECT, PACK, TOKENIZER, Manifest
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder, CorpusShard
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.personal.kind import PERSONAL
from tokenmill.pipeline.stages.protocols import Limited, limits_of
from tokenmill.pipeline.tokens import Ids, TokenStore, forget, places
from tokenmill.pipeline.tokens.encoder import Encoder, EncoderOf
from tokenmill.pipeline.tokens.places import PackedDocument
from tokenmill.pipeline.tokens.samples import Samples

SHOWN_SAMPLES = 1000
"""Most samples of an exposure to list. All samples are counted."""
AROUND_TOKENS = 48
"""Tokens to show on each side of a token, in the packed text."""
AROUND_BYTES = 200
"""Bytes to show on each side of a token, in the stored text."""
LONGEST_SCORE = 64
"""Scores with more hex digits than this are signatures, and are left out."""


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A training run. `steps`: steps done; None if nothing was trained yet."""

    samples: Samples
    firsts: npt.NDArray[np.int64]
    """int64 [last + 1]: the first sample of each step whose samples are known, and of the step after them."""
    steps: int | None

    @property
    def last(self) -> int:
        """The last step whose samples are known: the last one done, or, before any training, the last one of the settings."""
        return len(self.firsts) - 1


RunOf = Callable[[CorpusFolder, TokenStore], TrainingRun]
"""The training run of a corpus. Raises StaleInput if it read another store, InputError if its steps cannot be computed."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about exactly one of: a place such as `train/00000:1000`, a sample, a step, a document."""

    place: str | None = None
    sample: int | None = None
    """Counted from 0."""
    step: int | None = None
    """Counted from 1, as in the log of the run."""
    doc_id: str | None = None
    """32 hex digits."""
    steps: bool = False
    """With `doc_id`: also list the training steps that read the document."""
    reveal: bool = False
    """Show the stored text, the URL and the metadata as they came, also what the stage `personal` masks."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """The text around a token. `byte`: the byte where the token begins in the packed text, which has the edits of stages.

    `stored_*`: the bytes of the stored text, before any edit, that the token stands for, and the text around them.
    """

    id: int
    before: str
    token: str
    after: str
    byte: int
    stored_start: int
    stored_end: int
    stored_before: str
    stored: str
    stored_after: str


def trace(corpus: CorpusFolder, asked: Question, encoder_of: EncoderOf, run_of: RunOf) -> dict[str, Any]:
    """The answer as JSON values. Raises ConfigError unless exactly one thing is asked, InputError if it does not exist."""
    given = (asked.place, asked.sample, asked.step, asked.doc_id)
    if sum(one is not None for one in given) != 1 or (asked.steps and asked.doc_id is None):
        raise ConfigError("trace one thing: a place such as train/00000:1000, a sample, a step, or a doc_id (with its steps)")
    encoder = encoder_of(corpus.published, corpus.require(TOKENIZER))
    store = TokenStore.of(corpus.published / TOKENS, tokenizer=encoder.fingerprint)
    if asked.place is not None:
        return _token(corpus, store, asked.place, encoder, asked.reveal)
    if asked.doc_id is not None:
        return _by_id(corpus, store, asked.doc_id, run_of if asked.steps else None, asked.reveal)
    run = run_of(corpus, store)
    if asked.sample is not None:
        if not 0 <= asked.sample < run.firsts[-1]:
            last = run.firsts[-1] - 1
            raise InputError(f"there is no sample {asked.sample}: {_extent(run)}, which are the samples 0 to {last}")
        return {"run": _told(run), "samples": [_sample(run.samples, asked.sample)]}
    step = asked.step or 0
    if not 1 <= step <= run.last:
        raise InputError(f"there is no step {step}: {_extent(run)}, counted from 1")
    samples = [_sample(run.samples, one) for one in range(int(run.firsts[step - 1]), int(run.firsts[step]))]
    return {"run": _told(run), "step": step, "samples": samples}


def _token(corpus: CorpusFolder, store: TokenStore, place: str, encoder: Encoder, reveal: bool) -> dict[str, Any]:
    name, at = places.place(place)
    document = places.document_at(store, name, at)
    around = text_at(corpus, store, document, at, encoder, reveal=reveal)
    return {"place": place, "text": dataclasses.asdict(around), **_document(corpus, document, reveal)}


def _by_id(corpus: CorpusFolder, store: TokenStore, doc_id: str, run_of: RunOf | None, reveal: bool) -> dict[str, Any]:
    found = places.find(store, doc_id)
    answer = _document(corpus, found, reveal)
    if run_of is None:
        return answer
    run = run_of(corpus, store)
    if run.steps is None:
        raise InputError(f"{corpus.root}: nothing has been trained on this corpus yet, so no step has read a document")
    samples = places.exposure(run.samples, found, int(run.firsts[-1]))
    exposure = {
        "steps_done": run.steps,
        "samples": len(samples),
        "steps": sorted(set(np.searchsorted(run.firsts, samples, side="right").tolist())),
        "first_samples": samples[:SHOWN_SAMPLES].tolist(),
    }
    return {**answer, "exposure": exposure}


def _document(corpus: CorpusFolder, found: PackedDocument, reveal: bool) -> dict[str, Any]:
    document = dataclasses.asdict(found)
    if reveal:
        shard = next(shard for shard in corpus.shards if shard.name == found.shard)
        document["url"] = _row(corpus, shard.documents, found)["url"]
    return {"document": document, "stages": history(corpus, found, reveal=reveal)}


def text_at(
    corpus: CorpusFolder, store: TokenStore, document: PackedDocument, token: int, encoder: Encoder, *, reveal: bool = False
) -> Around:
    """The text around a token of `document`. `token` is counted in its token shard. Raises CorruptFile.

    `reveal`: show the stored text as it came; else what the stage `personal` masks is masked there too.
    """
    shard = places.shard_of(store, document.token_shard)
    ids = shard.read(document.first_token, document.first_token + document.tokens - 1)
    at = token - document.first_token
    decode = encoder.decode_bytes
    piece = _next(decode, ids[max(0, at - 1) : at], ids[at : at + 1])
    view = next(view for view in corpus.views(before=PACK) if view.name == document.shard)
    alive = view.read()
    if encoder.exact:
        start = len(decode(ids[:at].tolist()))
        end = start + len(piece)
    else:
        text = alive.table["text"][int(np.searchsorted(alive.rows, document.row))].as_py()
        start, end = encoder.spans(text)[at].tolist()
    edits: list[Edit] = alive.edits.get(document.row, [])
    ((first, last),) = project(edits, [(start, end)])
    stored = _row(corpus, view.documents, document)["text"].encode()
    masks = [] if reveal else _masks(corpus, document, stored)
    return Around(
        id=int(shard.read(token, token + 1)[0]),
        before=_text(decode(ids[max(0, at - AROUND_TOKENS) : at].tolist())),
        token=_text(piece),
        after=_text(_next(decode, ids[at : at + 1], ids[at + 1 : at + 1 + AROUND_TOKENS])),
        byte=start,
        stored_start=first,
        stored_end=last,
        stored_before=_text(part(stored, masks, max(0, first - AROUND_BYTES), first)),
        stored=_text(part(stored, masks, first, last)),
        stored_after=_text(part(stored, masks, last, last + AROUND_BYTES)),
    )


def _masks(corpus: CorpusFolder, document: PackedDocument, stored: bytes) -> list[Edit]:
    """What hides personal data in the stored text: the edits of the stage, and what it would find there besides."""
    shard = next(shard for shard in corpus.shards if shard.name == document.shard)
    rows = _edits(corpus, shard, PERSONAL.name, document) or ()
    mine = (Edit(row["start"], row["end"], row["replacement"].encode()) for row in rows)
    return merge([*corpus.censor.edits_of([stored.decode()])[0], *mine])


def _next(decode: Callable[[list[int]], bytes], before: Ids, ids: Ids) -> bytes:
    """What `ids` add to the text of those before them: WordPiece puts no space before the first word of a text."""
    return decode([*before.tolist(), *ids.tolist()])[len(decode(before.tolist())) :]


def history(corpus: CorpusFolder, document: PackedDocument, *, reveal: bool = False) -> list[dict[str, Any]]:
    """What collection and each stage, in order, published about a document, as JSON values.

    A stage gives its name as `stage`, the `reason` ("" means kept) with its `evidence`, the `scores`, the `limits` that they
    were compared with, and the `edits` of the stored text. Null columns and signatures are left out. Collection gives the
    `metadata` of the document. `reveal`: as it came. Raises CorruptFile.
    """
    censor = Censor() if reveal else corpus.censor
    shard = next(shard for shard in corpus.shards if shard.name == document.shard)
    metadata = censor.metadata(_row(corpus, shard.documents, document)["metadata"])
    found: list[dict[str, Any]] = [{"stage": COLLECT, "metadata": metadata}]
    for kind, made in corpus.stages:
        said = _said(corpus, shard, made, document, censor)
        stage = kind.make(corpus.settings)
        if "scores" in said and isinstance(stage, Limited):
            said["limits"] = _limits(limits_of(stage, made.facts), said["scores"])
        found.append(said)
    return found


def _said(corpus: CorpusFolder, shard: CorpusShard, made: Manifest, document: PackedDocument, censor: Censor) -> dict[str, Any]:
    said: dict[str, Any] = {"stage": made.stage}
    row = _present(_row(corpus, shard.tables[made.stage, "verdicts"], document), censor)
    said |= {"reason": row.pop("reason", None), "evidence": row}
    scores = shard.tables.get((made.stage, "scores"))
    if scores is not None:
        row = _present(_row(corpus, scores, document), censor)
        said["scores"] = {key: value for key, value in row.items() if not _is_signature(value)}
    edits = _edits(corpus, shard, made.stage, document)
    if edits is not None:
        said["edits"] = edits
    return said


def _edits(corpus: CorpusFolder, shard: CorpusShard, stage: str, document: PackedDocument) -> list[dict[str, Any]] | None:
    """The edits that a stage made of the stored text; None if it makes none."""
    named = shard.tables.get((stage, "edits"))
    if named is None:
        return None
    table = shards.read(corpus.published, named)
    mine = table.take(pa.array(forget.rows_of(table["doc_id"], [bytes.fromhex(document.doc_id)])))
    found: list[dict[str, Any]] = mine.drop_columns(["doc_id"]).to_pylist()
    return found


def _limits(limits: Sequence[tuple[str, Limit]], scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The limits that the scores were compared with, in the order of the rules."""
    return [
        {
            "reason": reason,
            "score": limit.column,
            "value": scores[limit.column],
            "drops": "below" if limit.is_minimum else "above",
            "threshold": limit.threshold,
            "passed": limit.passes(scores[limit.column]),
        }
        for reason, limit in limits
        if limit.concerns(scores)
    ]


def _row(corpus: CorpusFolder, named: Named, document: PackedDocument) -> dict[str, Any]:
    """The row of `document` in a table whose rows align with the documents. Raises CorruptFile, Misaligned."""
    row = shards.read(corpus.published, named).slice(document.row, 1)
    wanted = pa.chunked_array([[bytes.fromhex(document.doc_id)]], schema.DOC_ID.type)
    shards.align(named, row["doc_id"], (f"the documents of {document.token_shard}", named[1]), wanted)
    found: dict[str, Any] = row.drop_columns(["doc_id"]).to_pylist()[0]
    return found


def _present(row: Mapping[str, Any], censor: Censor) -> dict[str, Any]:
    shown = {key: censor.value(value) if isinstance(value, str) else value for key, value in row.items() if value is not None}
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in shown.items()}


def _is_signature(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and len(value) > LONGEST_SCORE)


def _text(data: bytes) -> str:
    """Decode bytes. Bytes that begin or end inside a character become U+FFFD."""
    return data.decode("utf-8", errors="replace")


def _extent(run: TrainingRun) -> str:
    if run.steps is None:
        return f"nothing was trained yet, and the settings make {run.last} steps"
    return f"the run has done {run.steps} steps so far"


def _told(run: TrainingRun) -> dict[str, Any]:
    samples = run.samples
    return {
        "steps_done": run.steps,
        "samples_per_step": int(run.firsts[-1] - run.firsts[-2]),
        "tokens_per_sample": samples.length,
        "windows": samples.windows,
        "seed": samples.seed,
    }


def _sample(samples: Samples, number: int) -> dict[str, Any]:
    start, stop = samples.targets(number)
    documents = [
        {**dataclasses.asdict(found), "from_token": first, "to_token": last}
        for found, first, last in places.documents_between(samples.split, start, stop)
    ]
    return {"sample": number, "first_token": start, "documents": documents}
