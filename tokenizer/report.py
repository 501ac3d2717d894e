"""Measure the tokenizer of a corpus on the corpus' own tokens, for the corpus report.

Guarantee: it reads only what is published: the token store, the documents and the language labels. Every token of the store
except end-of-text is counted under the document it came from. Raises CorruptFile, Misaligned, StaleInput, NotBuilt.
Cost: one read of the store and one of the surviving text, which is split into words (160 MB/s). Memory: one shard of text, a
batch of tokens, and about 20 bytes per document.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder, CorpusShard
from tokenmill.pipeline.report.fates import coded
from tokenmill.pipeline.report.vocabulary import VocabularyStatistics
from tokenmill.pipeline.stages.language.kind import LANGUAGE
from tokenmill.pipeline.tokens import SPLITS, TokenShard, TokenStore
from tokenmill.tokenizer.encode import of_corpus
from tokenmill.tokenizer.evaluate import Integers, Usage, words_of

BATCH_TOKENS = 4_000_000
"""Tokens counted per batch (approximate)."""


def measure(corpus: CorpusFolder) -> VocabularyStatistics:
    """Measure the vocabulary of the corpus at `root` on the packed text, by source and (if identified) by language."""
    encoder = of_corpus(corpus.published, corpus.require(TOKENIZER))
    store = TokenStore.of(corpus.published / TOKENS, tokenizer=encoder.fingerprint)
    usage = Usage.of(encoder.description)
    about = _reader(corpus)
    for split in SPLITS:
        for shard in store.split(split).shards:
            _add(usage, shard, about)
    return usage.summary()


def _reader(corpus: CorpusFolder) -> Callable[[str], dict[str, pa.Array]]:
    """A function that returns columns for the documents in a shard, one value per row.

    The columns are `words` and, if languages were identified, `language`.
    """
    tables = {shard.name: shard for shard in corpus.shards}
    seen = {view.name: view for view in corpus.views()}

    @functools.cache
    def about(name: str) -> dict[str, pa.Array]:
        return _about(corpus, tables[name], seen[name])

    return about


def _about(corpus: CorpusFolder, tables: CorpusShard, view: View) -> dict[str, pa.Array]:
    alive = view.read()
    words = np.zeros(alive.total, dtype=np.int64)
    words[alive.rows] = words_of(alive.table["text"].combine_chunks())
    found = {"words": pa.array(words)}
    scored = tables.tables.get((LANGUAGE.name, "scores"))
    if scored is not None:
        found["language"] = shards.read(corpus.published, scored, ["language"])["language"].combine_chunks().cast(pa.string())
    return found


def _add(usage: Usage, shard: TokenShard, about: Callable[[str], dict[str, pa.Array]]) -> None:
    table = shards.read(shard.root, shard.documents, ["source", "shard", "row", "token_offset", "tokens", "text_bytes"])
    codes, names = coded(table["shard"])
    rows = table["row"].to_numpy()
    labels = {"source": np.array(table["source"].cast(pa.string()).to_pylist(), dtype=object)}
    words = np.zeros(len(rows), dtype=np.int64)
    # Documents are shuffled, so rows from many shards of documents are interleaved.
    for code in np.unique(codes).tolist():
        mine = np.flatnonzero(codes == code)
        columns, place = about(names[code]), pa.array(rows[mine])
        words[mine] = columns["words"].take(place).to_numpy()
        if "language" in columns:
            found = labels.setdefault("language", np.full(len(rows), None, dtype=object))
            found[mine] = columns["language"].take(place).to_pylist()
    starts = table["token_offset"].to_numpy()
    counts: Integers = table["tokens"].to_numpy().astype(np.int64) - 1
    sizes = table["text_bytes"].to_numpy()
    cuts = np.unique([0, *np.searchsorted(starts, np.arange(0, shard.tokens, BATCH_TOKENS)), len(rows)])
    for first, last in itertools.pairwise(cuts.tolist()):
        here = slice(first, last)
        begin, end = int(starts[first]), int(starts[last - 1] + counts[last - 1] + 1)
        ids = np.delete(shard.read(begin, end), starts[here] + counts[here] - begin)
        mine_labels = {heading: column[here].tolist() for heading, column in labels.items()}
        usage.add(ids, counts[here], sizes[here], words[here], mine_labels)
