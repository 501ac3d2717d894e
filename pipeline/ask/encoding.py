"""Whether the encoder of a corpus still gives the ids that it gave: golden ids, and documents that are encoded anew.

Purpose: a changed encoder is found before it adds to a store; ids that it drops at the beginning or the end of documents show.
Guarantee: the sample depends on the corpus alone: of the shards of documents with the lowest hashes of their names, the first
documents that the store has.
Cost: the tables of the token shards, `SHARDS` shards of documents, and encoding `DOCUMENTS` documents of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import TOKENIZER, facts
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder
from tokenmill.pipeline.tokens import golden
from tokenmill.pipeline.tokens.encoder import EncoderOf
from tokenmill.pipeline.tokens.facts import TokenizerFacts
from tokenmill.pipeline.tokens.format import Ids
from tokenmill.pipeline.tokens.store import TokenStore

SHARDS, DOCUMENTS = 4, 64


@dataclass(frozen=True, kw_only=True)
class EncodingAudit:
    """What the encoder gives now. Of `documents` in the sample, `begin` have the first id that their text is given now, `end`
    the last one and then end-of-text, and `same` all of them."""

    golden: int
    """Golden texts with the ids that were kept when the tokenizer was made."""
    golden_changed: tuple[str, ...]
    """Those with other ids. Empty too for a tokenizer of an older version, with which none were kept."""
    documents: int
    begin: int
    end: int
    same: int

    @property
    def sound(self) -> bool:
        """Whether everything is as it was."""
        return not self.golden_changed and self.begin == self.end == self.same == self.documents


def encoding(corpus: CorpusFolder, encoder_of: EncoderOf) -> EncodingAudit:
    """Compare the encoder with golden ids and with the store. Raises NotBuilt, StaleInput, CorruptFile, InputError."""
    made = corpus.require(TOKENIZER)
    encoder = encoder_of(corpus.published, made)
    known = facts(made, TokenizerFacts).golden
    changed = golden.changed(encoder, known)
    store = TokenStore.of(corpus.published / TOKENS, tokenizer=encoder.fingerprint)
    documents = begin = end = same = 0
    for texts, packed in _sample(corpus, store):
        ids, counts = encoder.encode(texts)
        for now, then in zip(np.split(ids, np.cumsum(counts)[:-1]), packed, strict=True):
            documents += 1
            begin += np.array_equal(now[:1], then[: min(1, len(now))]) if len(now) else len(then) == 1
            end += len(then) > 0 and then[-1] == store.end_of_text and np.array_equal(now[-1:], then[:-1][-1:])
            same += np.array_equal(now, then[:-1])
    return EncodingAudit(
        golden=len(known) - len(changed),
        golden_changed=tuple(changed),
        documents=documents,
        begin=begin,
        end=int(end),
        same=same,
    )


def _sample(corpus: CorpusFolder, store: TokenStore) -> Iterator[tuple[pa.Array, list[Ids]]]:
    """Texts of a shard of documents, and the ids of each in the store, with end-of-text."""
    views = sorted(corpus.views(), key=lambda view: hashlib.blake2b(view.name.encode()).digest())[:SHARDS]
    found: dict[str, list[tuple[int, Ids]]] = {view.name: [] for view in views}
    for split in store.splits:
        for shard in split.shards:
            table = shards.read(shard.root, shard.documents, ["shard", "row", "token_offset", "tokens"])
            for name, mine in found.items():
                rows = table.filter(pc.equal(table["shard"].cast(pa.string()), name)).slice(0, DOCUMENTS - len(mine))
                spans = zip(rows["row"].to_pylist(), rows["token_offset"].to_pylist(), rows["tokens"].to_pylist(), strict=True)
                mine += [(row, shard.read(start, start + size)) for row, start, size in spans]
    for view in views:
        alive = view.read()
        places: npt.NDArray[np.int64] = np.searchsorted(alive.rows, [row for row, _ in found[view.name]])
        yield alive.table["text"].combine_chunks().take(pa.array(places, pa.int64())), [ids for _, ids in found[view.name]]
