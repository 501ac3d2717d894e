"""Measure the tokenizer of a corpus on the corpus' own tokens, for the corpus report.

Guarantee: it reads only what is published: the token store, the documents and the language labels. Every token of the store
except end-of-text is counted under the document it came from. Raises CorruptFile, Misaligned, StaleInput, NotBuilt.
Cost: one read of the store and one of the surviving text, which is split into words (160 MB/s), both by workers, in a fixed
number of tasks. Memory: one shard of text or a batch of tokens per worker, and about 20 bytes per document.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.executor import Executor, InProcess
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder
from tokenmill.pipeline.report.fates import coded
from tokenmill.pipeline.report.vocabulary import VocabularyStatistics
from tokenmill.pipeline.stages.language.kind import LANGUAGE, labels_in
from tokenmill.pipeline.tokens import SPLITS, TokenShard, TokenStore
from tokenmill.tokenizer.encode import of_corpus
from tokenmill.tokenizer.evaluate import IdCounter, Integers, TokenCounts, Usage, words_of

Item = TypeVar("Item")
IN_PROCESS = InProcess()
BATCH_TOKENS = 4_000_000
"""Tokens counted per batch (approximate)."""
TASKS_PER_WORKER = 4


@dataclass(frozen=True, kw_only=True)
class WordsTask:
    """Shards of documents. For each, its view, and the table of its languages, if it has one."""

    root: Path
    shards: tuple[tuple[View, Named | None], ...]


@dataclass(frozen=True, kw_only=True)
class IdsTask:
    """Shards of tokens."""

    shards: tuple[TokenShard, ...]
    counter: IdCounter


def measure(corpus: CorpusFolder, executor: Executor = IN_PROCESS) -> VocabularyStatistics:
    """Measure the vocabulary of the corpus at `root` on the packed text, by source and (if identified) by language.

    `executor`: its workers read text and tokens.
    """
    encoder = of_corpus(corpus.published, corpus.require(TOKENIZER))
    store = TokenStore.of(corpus.published / TOKENS, tokenizer=encoder.fingerprint)
    usage = Usage.of(encoder.description)
    packed = [shard for split in SPLITS for shard in store.split(split).shards]
    parts = TASKS_PER_WORKER * executor.workers
    counting = [IdsTask(shards=tuple(some), counter=usage.counter) for some in _runs(packed, parts)]
    counted = executor.map(_count, counting)
    usage.frequencies += sum((one.frequencies for some in counted for one in some[:1]), np.zeros_like(usage.frequencies))
    made = corpus.step(LANGUAGE.name)
    kind = "scores" if made is None else labels_in(made)
    tables = {shard.name: shard.tables.get((LANGUAGE.name, kind)) for shard in corpus.shards}
    views = corpus.views()
    reading = [
        WordsTask(root=corpus.published, shards=tuple((view, tables[view.name]) for view in some))
        for some in _runs(views, parts)
    ]
    about = dict(zip((view.name for view in views), itertools.chain(*executor.map(_about, reading)), strict=True))
    for shard, found in zip(packed, itertools.chain(*counted), strict=True):
        _add(usage, shard, found, about)
    return usage.summary()


def _runs(items: Sequence[Item], parts: int) -> Iterator[Sequence[Item]]:
    """The items in at most so many runs."""
    size = max(1, -(-len(items) // parts))
    return (items[at : at + size] for at in range(0, len(items), size))


def _about(task: WordsTask) -> list[dict[str, pa.Array]]:
    """For each shard, columns with one value per row: `words` and, if languages were identified, `language`."""
    answers = []
    for view, scored in task.shards:
        alive = view.read()
        words = np.zeros(alive.total, dtype=np.int32)
        words[alive.rows] = words_of(alive.table["text"].combine_chunks())
        found = {"words": pa.array(words)}
        if scored is not None:
            labels = shards.read(task.root, scored, ["language"])["language"].combine_chunks()
            found["language"] = labels.cast(pa.string()).dictionary_encode()
        answers.append(found)
    return answers


def _count(task: IdsTask) -> list[TokenCounts]:
    """What the ids of each shard are. Each answer has the frequencies of all these shards together, in one array."""
    none = task.counter(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    total = none.frequencies.copy()
    answers = []
    for shard in task.shards:
        table = shards.read(shard.root, shard.documents, ["token_offset", "tokens"])
        starts, counts = table["token_offset"].to_numpy(), table["tokens"].to_numpy().astype(np.int64) - 1
        cuts = np.unique([0, *np.searchsorted(starts, np.arange(0, shard.tokens, BATCH_TOKENS)), len(starts)])
        parts = [none]
        for first, last in itertools.pairwise(cuts.tolist()):
            here = slice(first, last)
            begin, end = int(starts[first]), int(starts[last - 1] + counts[last - 1] + 1)
            ids = np.delete(shard.read(begin, end), starts[here] + counts[here] - begin)
            parts.append(task.counter(ids, counts[here]))
            total += parts[-1].frequencies
        single, unknown = (np.concatenate([getattr(part, name) for part in parts]) for name in ("single", "unknown"))
        answers.append(TokenCounts(frequencies=total, single=single, unknown=unknown))
    return answers


def _add(usage: Usage, shard: TokenShard, found: TokenCounts, about: Mapping[str, dict[str, pa.Array]]) -> None:
    table = shards.read(shard.root, shard.documents, ["source", "shard", "row", "tokens", "text_bytes"])
    codes, names = coded(table["shard"])
    rows = table["row"].to_numpy()
    labels = {"source": np.array(table["source"].cast(pa.string()).to_pylist(), dtype=object)}
    words = np.zeros(len(rows), dtype=np.int64)
    # Documents are shuffled, so rows from many shards of documents are interleaved.
    for code in np.unique(codes).tolist():
        mine = np.flatnonzero(codes == code)
        columns, place = about[names[code]], pa.array(rows[mine])
        words[mine] = columns["words"].take(place).to_numpy()
        if "language" in columns:
            named = labels.setdefault("language", np.full(len(rows), None, dtype=object))
            named[mine] = columns["language"].take(place).to_pylist()
    counts: Integers = table["tokens"].to_numpy().astype(np.int64) - 1
    sizes = table["text_bytes"].to_numpy()
    usage.add_counted(found, counts, sizes, words, {heading: column.tolist() for heading, column in labels.items()})
