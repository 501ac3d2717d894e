"""The frozen index of evaluation sets: their n-grams by hash, and what each text of an item weighs.

Purpose: built once from the sets' files, then looked up by every worker. It holds hashes and ids of items, and no text.
Guarantee: the same items and settings give the same index. n-grams that stand in more than `MOST_ITEMS` items do not count;
others weigh the less, the more items they stand in. In a text, the first `MOST_PLACES` places of an n-gram count. Two different
n-grams share a hash with probability 2^-64.
Cost: 4 MB of items a second (188 MB of BIG-bench in 50 s, most of it for JSON and for sorting 15 million n-grams): 100 bytes
for each n-gram while it is built, 40 bytes in every worker. A later process finds it beside the machine code of the kernels.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.words import many
from tokenmill.pipeline.kernels import kept
from tokenmill.pipeline.kernels.decontamination import passages
from tokenmill.pipeline.kernels.decontamination.passages import Lookup
from tokenmill.pipeline.kernels.decontamination.words import FOLDING, WITHOUT_NUMBERS, item_ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import NormalisationTable, tables
from tokenmill.pipeline.stages.decontamination import sets
from tokenmill.pipeline.stages.decontamination.settings import LEAST_WORDS, DecontaminationConfig, EvaluationSet

MOST_ITEMS = 100
MOST_PLACES = 4
ONE = 1 << 20
"""The weight of an n-gram that stands in one item. Of one in m items: ONE // m."""
BATCH_TEXTS = 10_000
"""Texts per call of the kernel."""
BITS_PER_NGRAM = 16

INDEX = "decontamination/index.parquet"
TEXTS = pa.schema(
    [
        pa.field("item", pa.int64(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("words", pa.int32(), nullable=False),
        pa.field("positions", pa.large_list(pa.int32()), nullable=False),
        pa.field("ngrams", pa.large_list(pa.uint64()), nullable=False),
    ]
)
"""One row per text: its item, as a row of `items.parquet`; how many words it has, and how many count; and its n-grams that
count: the words at which they begin, and their hashes."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Index:
    """All items in order, set by set, and the look-up of their texts."""

    sets: tuple[str, ...]
    set_of: Numbers
    """[items]: the number of its set."""
    ids: tuple[str, ...]
    """[items]: its id in its set."""
    item_of: Numbers
    """[texts]: the item."""
    words: Numbers
    """[texts]: how many words count. 0: the text is not sought."""
    lookup: Lookup

    def sought(self) -> npt.NDArray[np.bool_]:
        """Which items have a text that is sought. bool [items]"""
        return np.bincount(self.item_of, self.words > 0, minlength=len(self.ids)) > 0


def folding(numbers: str) -> NormalisationTable:
    """The table by which items and texts are read."""
    return tables(FOLDING if numbers == "kept" else WITHOUT_NUMBERS)


def identities(config: DecontaminationConfig) -> Mapping[str, Mapping[str, object]]:
    """What distinguishes the sets from others: the SHA-256 of their files, and how items are read. Raises ConfigError."""
    return {
        name: {"sha256": sets.sha256(one), **one.model_dump(mode="json", exclude={"path"})} for name, one in config.sets.items()
    }


def load(config: DecontaminationConfig) -> Index:
    """The index of the sets. Made or read once per process. Raises ConfigError, InputError."""
    digests = tuple(sets.sha256(one) for one in config.sets.values())
    return _load(tuple(config.sets.items()), config.ngram_words, config.numbers, digests)


@functools.lru_cache(maxsize=2)
def _load(named: tuple[tuple[str, EvaluationSet], ...], n: int, numbers: str, digests: tuple[str, ...]) -> Index:
    ids, set_of, item_of, words, *lookup = kept.arrays(_made, named, n, numbers, digests)
    return Index(
        sets=tuple(name for name, _ in named),
        ids=tuple(json.loads(ids.tobytes())),
        set_of=set_of,
        item_of=item_of,
        words=words,
        lookup=Lookup._make(map(_read_only, lookup)),
    )


def _read_only(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Numba compiles a kernel once for arrays that can be written, and once for others."""
    array.flags.writeable = False
    return array


def _made(named: Sequence[tuple[str, EvaluationSet]], n: int, numbers: str, *_: object) -> tuple[npt.ArrayLike, ...]:
    ids: list[str] = []
    set_of: list[int] = []
    item_of: list[int] = []
    parts: list[tuple[npt.NDArray[np.generic], ...]] = []
    table = folding(numbers)

    def texts() -> Iterator[str]:
        for number, (_, one) in enumerate(named):
            for item in sets.items(one):
                for text in item.texts:
                    item_of.append(len(ids))
                    yield text
                ids.append(item.id)
                set_of.append(number)

    stream = texts()
    while batch := list(itertools.islice(stream, BATCH_TEXTS)):
        grams, bounds, counts, weights = item_ngrams(*utf8(pa.array(batch, pa.large_string())), table, n, LEAST_WORDS)
        # The kernel's array has room for the largest possible number; the copy frees the rest.
        parts.append((grams.copy(), np.diff(bounds), counts, weights))
    empty = (np.zeros(0, np.uint64), *(np.zeros(0, np.int64) for _ in range(3)))
    hashes, *others = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    sizes, lengths, weighed = (column.astype(np.int64) for column in others)
    items = np.array(item_of, dtype=np.int64)
    lookup = _lookup(hashes.astype(np.uint64), sizes, _positions(sizes), lengths, items, n)
    words = _counted(lookup, lengths, weighed)
    numbers_of_sets = np.array(set_of, dtype=np.int64)
    _require_sought(named, numbers_of_sets, items[words > 0])
    return np.frombuffer(json.dumps(ids).encode(), np.uint8), numbers_of_sets, items, words, *lookup


def _require_sought(named: Sequence[tuple[str, EvaluationSet]], set_of: Numbers, sought: Numbers) -> None:
    """Raise ConfigError for a set in which nothing is sought. `set_of`: of each item; `sought`: the items of texts that are."""
    held, left = (np.bincount(numbers, minlength=len(named)).tolist() for numbers in (set_of, set_of[sought]))
    for (name, one), items, some in zip(named, held, left, strict=True):
        if not some:
            raise ConfigError(
                f"decontamination.sets.{name}: {one.path} has {many(items, 'item')}, and none can be sought: that takes a text "
                f"of at least {LEAST_WORDS} words, not all of them in more than {MOST_ITEMS} items"
            )


def frozen(index: Index) -> pa.Table:
    """The index as it is published: TEXTS."""
    lookup = index.lookup
    order = np.lexsort((lookup.positions, lookup.texts))
    hashes = np.repeat(lookup.hashes, np.diff(lookup.firsts))[order]
    bounds = pa.array(np.searchsorted(lookup.texts[order], np.arange(len(index.item_of) + 1)))
    columns = [
        pa.array(index.item_of),
        pa.array(np.diff(lookup.bounds).astype(np.int32)),
        pa.array(index.words.astype(np.int32)),
        pa.LargeListArray.from_arrays(bounds, pa.array(lookup.positions[order])),
        pa.LargeListArray.from_arrays(bounds, pa.array(hashes)),
    ]
    return pa.Table.from_arrays(columns, schema=TEXTS)


def thawed(table: pa.Table, items: pa.Table, sets_in_order: Sequence[str], n: int) -> Index:
    """The index out of the table TEXTS and the columns `set` and `item` of its items."""
    texts, names = table.combine_chunks(), tuple(sets_in_order)
    counts = texts["length"].to_numpy().astype(np.int64)
    sizes = pc.list_value_length(texts["ngrams"]).to_numpy().astype(np.int64)
    grams, positions = (pc.list_flatten(texts[name]).to_numpy() for name in ("ngrams", "positions"))
    item_of = texts["item"].to_numpy()
    return Index(
        sets=names,
        set_of=pc.index_in(items["set"].cast(pa.string()), value_set=pa.array(names, pa.string())).to_numpy().astype(np.int64),
        ids=tuple(items["item"].to_pylist()),
        item_of=item_of,
        words=texts["words"].to_numpy().astype(np.int64),
        lookup=_lookup(grams, sizes, positions.astype(np.int64), counts, item_of, n),
    )


def _positions(sizes: Numbers) -> Numbers:
    """0, 1, 2, ... for each text."""
    return np.asarray(np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes), dtype=np.int64)


def _lookup(
    grams: npt.NDArray[np.uint64], sizes: Numbers, positions: Numbers, counts: Numbers, items: Numbers, n: int
) -> Lookup:
    """The look-up of n-grams, given text after text. `sizes`: n-grams of each text; `counts`: its words; `items`: its item."""
    if len(grams) >= 1 << 31:
        raise InputError(f"decontamination: the sets have {len(grams):,} n-grams, at most {1 << 31:,} are held; use fewer sets")
    texts = np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(grams, kind="stable")
    grams, texts, positions = grams[order], texts[order], positions[order]
    begins = np.diff(grams, prepend=~grams[:1]) != 0
    # Within an n-gram, texts and so items ascend, and within a text positions.
    starts = np.flatnonzero(begins | (np.diff(texts, prepend=-1) != 0))
    few = np.arange(len(grams)) - np.repeat(starts, np.diff(starts, append=len(grams))) < MOST_PLACES
    grams, texts, positions, begins = grams[few], texts[few], positions[few], begins[few]
    another = begins | (np.diff(items[texts], prepend=-1) != 0)
    group = np.cumsum(begins) - 1
    frequency = np.bincount(group, another, minlength=int(begins.sum())).astype(np.int64)[group]
    stays = frequency <= MOST_ITEMS
    grams, texts, positions, begins = grams[stays], texts[stays], positions[stays], begins[stays]
    frequency = frequency[stays]
    bounds = np.concatenate([[0], np.cumsum(counts)])
    weights = np.zeros(bounds[-1], dtype=np.int32)
    lengths = np.minimum(counts, n)
    for word in range(n):
        inside = word < lengths[texts]
        places = (bounds[texts] + positions + word)[inside]
        np.maximum.at(weights, places, (ONE // frequency[inside]).astype(np.int32))
    sums = np.concatenate([[0], np.cumsum(weights, dtype=np.int64)])
    firsts = np.flatnonzero(begins)
    hashes = grams[firsts]
    filter = np.zeros(_power(len(hashes) * BITS_PER_NGRAM // 64), dtype=np.uint64)
    passages.fill(hashes, filter)
    buckets = _power(len(hashes))
    edges = np.arange(buckets, dtype=np.uint64) << np.uint64(64 - buckets.bit_length() + 1)
    return Lookup(
        filter=filter,
        buckets=np.append(np.searchsorted(hashes, edges), len(hashes)).astype(np.int32),
        hashes=hashes,
        firsts=np.append(firsts, len(grams)).astype(np.int32),
        texts=texts.astype(np.int32),
        positions=positions.astype(np.int32),
        bounds=bounds.astype(np.int64),
        weights=weights,
        totals=sums[bounds[1:]] - sums[bounds[:-1]],
        lengths=np.unique(lengths[texts]).astype(np.int64),
    )


def _counted(lookup: Lookup, counts: Numbers, weights: Numbers) -> Numbers:
    """How many words count in each text. `weights`: how many it has. Words that stand in many items do not make a text long."""
    greatest = np.ones(len(counts), dtype=np.int64)
    np.maximum.at(greatest, np.repeat(np.arange(len(counts)), counts), lookup.weights)
    return weights * lookup.totals // (greatest * np.maximum(counts, 1))


def _power(least: int) -> int:
    """The smallest power of 2 that is at least 2 and at least this."""
    return 1 << max(1, (least - 1).bit_length())
