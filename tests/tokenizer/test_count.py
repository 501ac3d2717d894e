"""Counting: every pre-token as often as it occurs, whatever the budget and the shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.kernels.bpe import tally
from tokenmill.pipeline.stages.step import Work
from tokenmill.tokenizer import count as counting
from tokenmill.tokenizer import sums
from tokenmill.tokenizer.count import CountTask, count, count_shard, merge
from tokenmill.tokenizer.merges import Words
from tokenmill.tokenizer.pretokenize import pattern, split

CL100K = pattern("cl100k")


def counts_of(words: Words) -> Counter[bytes]:
    edges = words.offsets.tolist()
    pieces = [words.data[start:stop].tobytes() for start, stop in pairwise(edges)]
    assert len(set(pieces)) == len(pieces)
    return Counter(dict(zip(pieces, words.counts.tolist(), strict=True)))


def wanted(texts: list[str]) -> Counter[bytes]:
    return Counter(piece.encode() for text in texts for piece in split(text, CL100K))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20) | st.sampled_from([b"a", b"a\0", b"\0", b"\0\0", b"12345678", b"123456789"]))
)
def test_pieces_are_equal_when_their_bytes_are(pieces: list[bytes]) -> None:
    table = tally.make(4, 16)
    data = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    weights = np.arange(1, len(pieces) + 1, dtype=np.int64)
    done, begin = 0, 0
    while (done := tally.add(table, data, begin, ends, done, len(ends), weights)) < len(ends):
        begin = int(ends[done - 1]) if done else 0
        table = tally.grown(table, 2 * len(table.entries), 2 * len(table.arena) + 20)
    expected: Counter[bytes] = Counter()
    for weight, piece in enumerate(pieces, start=1):
        expected[piece] += weight
    assert counts_of(sums.ranked(table)) == expected
    words, hashes = sums.by_hash(table)
    assert counts_of(words) == expected
    assert [key % sums.RANGES for key in hashes.tolist()] == sorted(key % sums.RANGES for key in hashes.tolist())


def test_equal_hashes_are_not_equal_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pieces with one hash: what stands in the table is given the hash of the piece that is sought."""
    first, second = b"twelve bytes", b"other twelve"
    table = tally.make(8, 64)
    once = np.zeros(0, dtype=np.int64)
    for piece in (first, second):
        tally.add(table, np.frombuffer(piece, dtype=np.uint8), 0, np.array([12]), 0, 1, once)
    key = table.entries[1, tally.HASH]
    forged = tally.make(8, 64)
    tally.add(forged, np.frombuffer(first, dtype=np.uint8), 0, np.array([12]), 0, 1, once)
    forged.entries[0, tally.HASH] = key
    forged = tally.grown(forged, 8, 64)
    tally.add(forged, np.frombuffer(second, dtype=np.uint8), 0, np.array([12]), 0, 1, once)
    assert counts_of(sums.ranked(forged)) == {first: 1, second: 1}


TEXTS = [f"word{number} wörd {number % 7} {'long' * (number % 50)}\n" for number in range(3_000)] + ["", "x" * 500_000]


@pytest.mark.parametrize("budget_bytes", [1, 4_000_000, counting.BUDGET_BYTES])
def test_the_budget_makes_more_tables_of_the_same_counts(budget_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "FIRST_ENTRIES", 64)
    monkeypatch.setattr(counting, "FIRST_BYTES", 64)
    tables = list(count(pa.array(TEXTS, pa.large_string()), CL100K, budget_bytes))
    assert (len(tables) > 1) == (budget_bytes == 1)
    total: Counter[bytes] = Counter()
    for table in tables:
        total += counts_of(sums.ranked(table))
    assert total == wanted(TEXTS)


def test_shards_are_merged(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": TEXTS[:1_000], "a/1": TEXTS[1_000:], "b/0": TEXTS[500:700], "b/1": []})
    seen = views(work.root, work.before)
    counted = [count_shard(CountTask(view=view, pattern=CL100K, budget_bytes=1 + number)) for number, view in enumerate(seen)]
    words = merge(work, [made.shard for made in counted])
    assert counts_of(words) == wanted(TEXTS + TEXTS[500:700])
    assert (np.diff(words.counts) <= 0).all()
    assert words.bytes == sum(len(text.encode()) for text in TEXTS + TEXTS[500:700])
    again = [count_shard(CountTask(view=view, pattern=CL100K)) for view in seen]
    assert [made.shard for made in again] == [made.shard for made in counted]
    assert not any(made.recomputed for made in again)
    spilled = counted[0].shard.files
    next(iter((work.root / name) for name in spilled)).write_bytes(b"")
    with pytest.raises(CorruptFile):
        merge(work, [made.shard for made in counted])
    assert [count_shard(CountTask(view=view, pattern=CL100K)).recomputed for view in seen] == [True, False, False, False]


@pytest.mark.parametrize(
    ("sizes", "share", "limit"),
    [
        ([100, 100], 1.0, 200),
        ([90, 10], 0.5, 10),
        ([80, 10, 10], 0.5, 20),
        ([500, 400, 60, 40], 0.3, 75),
        ([100, 100, 100], 1 / 3, 100),
    ],
)
def test_what_a_source_may_have(sizes: list[int], share: float, limit: float) -> None:
    found = counting._most_bytes(sizes, share)
    assert found == pytest.approx(limit)
    kept = [min(size, found) for size in sizes]
    assert max(kept) <= share * sum(kept) * (1 + 1e-9)


def test_a_capped_source_loses_its_rarest_pretokens(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": ["aa"] * 90 + ["bb"] * 2, "b/0": ["aa"] * 10})
    counted = [count_shard(CountTask(view=view, pattern=CL100K)).shard for view in views(work.root, work.before)]
    assert counts_of(merge(work, counted, 0.5)) == {b"aa": 20}
    assert counts_of(merge(work, counted, 0.9)) == {b"aa": 98, b"bb": 2}


def test_rounds_of_any_fan_in_give_one_sum(make_corpus: Callable[..., Work], monkeypatch: pytest.MonkeyPatch) -> None:
    work = make_corpus({f"{source}/{number}": TEXTS[number * 40 : 2_000] for source in "ab" for number in range(20)})
    counted = [count_shard(CountTask(view=view, pattern=CL100K)).shard for view in views(work.root, work.before)]
    at_once, scaled = merge(work, counted), merge(work, counted, 0.5)
    opened: Counter[str] = Counter()
    plain = sums._opened

    def noted(root: Path, run: sums.CountsRun) -> AbstractContextManager[sums.OpenedRun]:
        opened[run.name] += 1
        return plain(root, run)

    monkeypatch.setattr(sums, "FAN_IN", 3)
    monkeypatch.setattr(sums, "FEW_ROWS", 0)
    monkeypatch.setattr(sums, "GROUP_ROWS", 100)
    monkeypatch.setattr(sums, "_opened", noted)
    in_rounds = merge(work, counted)
    assert max(opened.values()) <= sums.PARTS
    assert {opened[name] for shard in counted for name in shard.files} == {1}
    assert counts_of(in_rounds) == counts_of(at_once)
    assert (np.diff(in_rounds.counts) <= 0).all()
    assert counts_of(merge(work, counted, 0.5)) == counts_of(scaled)
    assert not list((work.root / sums.SUMS).glob("*"))


def test_a_sum_that_is_damaged_is_found(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": TEXTS[:500]})
    (shard,) = [count_shard(CountTask(view=view, pattern=CL100K)).shard for view in views(work.root, work.before)]
    ((name, _),) = shard.files.items()
    data = bytearray((work.root / name).read_bytes())
    data[len(data) // 3] ^= 1
    (work.root / name).write_bytes(data)
    with pytest.raises(CorruptFile, match="run the build again"):
        merge(work, [shard])


def test_a_larger_sample_holds_every_smaller_one(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": [f"{number}word" for number in range(2_000)]})
    (view,) = views(work.root, work.before)
    samples = [
        counts_of(merge(work, [count_shard(CountTask(view=view, pattern=CL100K, share=share)).shard]))
        for share in (0.02, 0.1, 0.5, 1.0)
    ]
    assert all(small <= large for small, large in pairwise(samples))
    assert 120 < samples[1][b"word"] < 280
    assert 800 < samples[2][b"word"] < 1_200
    assert samples[3][b"word"] == 2_000
