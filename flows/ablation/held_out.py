"""Held-out texts, and what of them the variants train on.

Purpose: a model that has read a text predicts it too well. So a document is left out of a held-out set, for all variants alike,
if a variant trains on the same text, or on lines and sentences that make up half of it. What is shared below that is measured
and said, by variant (GPT-3 and PaLM looked for shared word sequences: Brown et al. 2020, appendix C; Chowdhery et al. 2022,
section 8).
Guarantee: all variants are measured on the same documents, and none trains on one of them word by word.
Cost: one reading of the text of each variant, at about 50 MB/s; memory for the text of one shard and of the held-out sets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.format import places

LEAST_BYTES = 40
"""Of a line or a sentence that is looked for; shorter ones are common to many texts."""
MOST_SEEN = 0.5
"""Share of the bytes of a document's lines and sentences from which on it is left out if a variant trains on them."""
LEAST_DOCUMENTS = 10
"""With fewer, an interval says nothing."""
BOUNDARY = r"\n|[.!?]\s"
"""Where a line or a sentence ends."""


@dataclass(frozen=True, kw_only=True)
class HeldOutTexts:
    """A held-out set as it is measured."""

    texts: pa.LargeStringArray
    left_out: int
    """Documents that a variant trains on."""
    shared: Mapping[str, float]
    """By variant: the share of the bytes of lines and sentences of `texts` that it trains on too."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex of the texts in their order."""
        digest = hashlib.sha256()
        for text in self.texts.to_pylist():
            digest.update(hashlib.sha256(text.encode()).digest())
        return digest.hexdigest()

    @property
    def text_bytes(self) -> npt.NDArray[np.int64]:
        """int64 [documents]"""
        return np.asarray(pc.binary_length(self.texts).to_numpy(), dtype=np.int64)


def validation_texts(corpus: CorpusFolder, most_bytes: int) -> pa.LargeStringArray:
    """Texts of the validation split of a corpus, at most `most_bytes` of them but for one. Raises CorruptFile."""
    table = TokenStore.of(corpus.published / TOKENS).split("val").documents_table()
    ids, sizes = table["doc_id"], table["text_bytes"].to_numpy()
    order = np.argsort(places(ids), kind="stable") if len(ids) else np.zeros(0, dtype=np.int64)
    chosen = order[np.cumsum(sizes[order]) - sizes[order] < most_bytes]
    wanted = ids.take(pa.array(np.sort(chosen))).combine_chunks()
    return _joined(alive["text"].filter(pc.is_in(alive["doc_id"], value_set=wanted)) for alive in _read(corpus.views()))


def collected_texts(views: Sequence[View]) -> pa.LargeStringArray:
    """All texts of a collection. Raises CorruptFile."""
    return _joined(alive["text"] for alive in _read(views))


def without_trained(sets: Mapping[str, pa.LargeStringArray], corpora: Mapping[str, CorpusFolder]) -> dict[str, HeldOutTexts]:
    """The sets without the documents that a variant trains on.

    Raises InputError where too few are left, CorruptFile.
    """
    whole = pa.concat_arrays([*sets.values()])
    sentences, parents = split(whole)
    sizes = pc.binary_length(sentences).to_numpy()
    seen = {name: _seen(whole, sentences, corpus) for name, corpus in corpora.items()}

    def bytes_of(wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        found = np.bincount(parents[wanted], weights=sizes[wanted], minlength=len(whole))
        return found.astype(np.float64)

    total = bytes_of(np.ones(len(sizes), dtype=np.bool_))
    of = {name: bytes_of(found) for name, (_, found) in seen.items()}
    trained = np.zeros(len(whole), dtype=np.bool_)
    for name, (exactly, _) in seen.items():
        trained |= exactly | ((total > 0) & (of[name] >= MOST_SEEN * total))
    found, first = {}, 0
    for name, texts in sets.items():
        mine = np.arange(first, first + len(texts))
        first += len(texts)
        kept = mine[~trained[mine]]
        if len(kept) < LEAST_DOCUMENTS:
            why = f" of {len(texts)}, since the variants train on the others" if len(kept) < len(texts) else ""
            raise InputError(
                f"held_out.{name}: has {len(kept)} documents{why}; at least {LEAST_DOCUMENTS} are needed. Give it texts that "
                "no variant reads; for the validation split of a variant, raise pack.validation_fraction in the base"
            )
        bytes_kept = max(1.0, float(total[kept].sum()))
        found[name] = HeldOutTexts(
            texts=whole.take(pa.array(kept)),
            left_out=len(texts) - len(kept),
            shared={variant: float(some[kept].sum()) / bytes_kept for variant, some in of.items()},
        )
    return found


def split(texts: pa.LargeStringArray) -> tuple[pa.LargeStringArray, npt.NDArray[np.int64]]:
    """The lines and sentences of at least `LEAST_BYTES`, and for each the number of its text, int64."""
    parts = pc.split_pattern_regex(texts, pattern=BOUNDARY)
    # The last sentence of a line still has its full stop, the others have not.
    flat = pc.utf8_rtrim(pc.utf8_trim_whitespace(pc.list_flatten(parts)), ".!?")
    long = pc.greater_equal(pc.binary_length(flat), LEAST_BYTES)
    parents = np.asarray(pc.list_parent_indices(parts).to_numpy(), dtype=np.int64)
    return flat.filter(long), parents[long.to_numpy(zero_copy_only=False)]


def _seen(
    texts: pa.LargeStringArray, sentences: pa.LargeStringArray, corpus: CorpusFolder
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which texts and which sentences stand in the training split of a corpus: bool [texts], bool [sentences]."""
    validation = TokenStore.of(corpus.published / TOKENS).split("val").documents_table()["doc_id"].combine_chunks()
    exactly, found = np.zeros(len(texts), dtype=np.bool_), np.zeros(len(sentences), dtype=np.bool_)
    for alive in _read(corpus.views()):
        trained = _joined([alive["text"].filter(pc.invert(pc.is_in(alive["doc_id"], value_set=validation)))])
        exactly |= pc.is_in(texts, value_set=trained).to_numpy(zero_copy_only=False)
        found |= pc.is_in(sentences, value_set=split(trained)[0]).to_numpy(zero_copy_only=False)
    return exactly, found


def _read(views: Sequence[View]) -> Iterator[pa.Table]:
    for view in views:
        yield view.read().table


def _joined(parts: Iterator[pa.ChunkedArray] | Sequence[pa.ChunkedArray]) -> pa.LargeStringArray:
    chunks = [chunk.cast(pa.large_string()) for part in parts for chunk in part.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())
