"""Looks for evaluation items in a finished corpus, or in a token store alone.

Purpose: whoever gets a corpus, or makes an evaluation after it, learns which items the corpus holds.
Guarantee: what is searched is the text that is packed, with all edits and without forgotten documents: in a store without its
corpus, its tokens decoded. Passages are found and judged as the stage `decontamination` does. Nothing is written.
Cost: one pass over the text at 100 MB/s, or at the speed of decoding; memory of one shard, the index and the passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder
from tokenmill.pipeline.stages.decontamination import index
from tokenmill.pipeline.stages.decontamination.decide import judge
from tokenmill.pipeline.stages.decontamination.evidence import evidence, facts
from tokenmill.pipeline.stages.decontamination.hits import found
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig
from tokenmill.pipeline.stages.stage import one_batch
from tokenmill.pipeline.tokens import TokenStore, forget
from tokenmill.pipeline.tokens.encoder import Encoder

TEXTS = pa.schema([schema.DOC_ID, pa.field("text", pa.large_string())])
DECODED_BYTES = 16_000_000
"""Text of a store that is searched at a time (approximate)."""
SHOWN = ("set", "item", "words", "documents", "share")
STORED = ("set", "item", "share", "start", "end")


@dataclass(frozen=True, kw_only=True)
class Contaminated:
    """What was found. `sets`: by set, the facts of the stage. `items`: the items that were found, in the order of their sets.

    `documents`: those that hold an item: `doc_id`, and the `set`, `item`, `share` and bytes [`start`, `end`) of the passage
    with most of one.
    """

    searched: int
    sets: Mapping[str, Mapping[str, int]]
    items: tuple[Mapping[str, Any], ...]
    documents: tuple[Mapping[str, Any], ...]


def of_corpus(corpus: CorpusFolder) -> Iterator[pa.Table]:
    """The text of a corpus, shard by shard, as TEXTS. Raises CorruptFile, Misaligned."""
    known = forget.load(corpus.root / TOKENS)
    gone = known.documents if known is not None else ()
    for view in corpus.views():
        table = view.read().table.select(["doc_id", "text"])
        yield table.take(pa.array(np.setdiff1d(np.arange(table.num_rows), forget.rows_of(table["doc_id"], gone))))


def of_store(store: TokenStore, encoder: Encoder) -> Iterator[pa.Table]:
    """The text of a token store, some documents at a time. Raises CorruptFile."""
    ids: list[bytes] = []
    texts: list[str] = []
    held = 0
    for split in store.splits:
        for shard in split.shards:
            table = shards.read(shard.root, shard.documents, ["doc_id", "token_offset", "tokens"])
            for doc_id, first, tokens in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
                if ((shard.forgotten[:, 0] <= first) & (first < shard.forgotten[:, 1])).any():
                    continue
                data = encoder.decode_bytes(shard.read(first, first + tokens - 1).tolist())
                ids.append(doc_id)
                texts.append(data.decode(errors="replace"))
                held += len(data)
                if held >= DECODED_BYTES:
                    yield pa.table([ids, texts], schema=TEXTS)
                    ids, texts, held = [], [], 0
    yield pa.table([ids, texts], schema=TEXTS)


def search(texts: Iterable[pa.Table], config: DecontaminationConfig, progress: Progress) -> Contaminated:
    """Look for the items of the sets in texts, given as TEXTS. Raises what reading raises, ConfigError, InputError."""
    known = index.load(config)
    scored = []
    progress.begin("search", 0, "documents")
    for table in texts:
        batch = one_batch(table)
        scores = found(batch["text"], known, config)
        scored.append(scores.append_column("doc_id", batch["doc_id"]))
        progress.advance(table.num_rows)
    judged = judge(scored, config)
    items = evidence(known, judged, config)
    documents = []
    for one in judged:
        best = pa.Table.from_batches([one.verdict()]).select(list(STORED)).add_column(0, schema.DOC_ID, one.doc_ids)
        documents += best.filter(best["set"].is_valid()).to_pylist()
    searched = sum(batch.num_rows for batch in scored)
    progress.end(f"{searched:,} documents")
    return Contaminated(
        searched=searched,
        sets=facts(known, judged, items),
        items=tuple(
            row for row in items.select(["set", "item", "words", "documents", "share"]).to_pylist() if row["documents"]
        ),
        documents=tuple({**row, "doc_id": row["doc_id"].hex()} for row in documents),
    )
