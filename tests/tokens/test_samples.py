"""The order of samples: a pure function of the number, the same for any number of ranks, and what windows hold."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import resource
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.step import Done, Work
from tokenmill.pipeline.tokens import TokenStore, forget
from tokenmill.pipeline.tokens.samples import Samples, read, samples, slice_of

StoreOf = Callable[..., tuple[Path, object]]
LENGTH = 16
SHARED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def made(make_corpus: Callable[..., Work], pack: Callable[..., Done]) -> TokenStore:
    """Three sources of about 4,000, 1,200 and 200 tokens in shards of 1,000, shuffled, each document of one letter."""
    documents = {"a": 40, "b": 12, "c": 3}
    texts = {f"{source}/0": [source * (20 + 97 * row % 160) for row in range(count)] for source, count in documents.items()}
    work = make_corpus(texts)
    pack(work, shard_tokens=1000, shuffle=True)
    return TokenStore.open(work.root / "tokens")


@pytest.fixture(params=["plain", "aligned", "mixed", "mixed and aligned"])
def order(request: pytest.FixtureRequest, made: TokenStore) -> Samples:
    weights = {"a": 1.0, "b": 2.0, "c": 0.5} if "mixed" in request.param else None
    return samples(made, length=LENGTH, seed=3, aligned="aligned" in request.param, weights=weights)


def test_an_epoch_has_every_window_once(made: TokenStore) -> None:
    one = samples(made, length=LENGTH, seed=5)
    windows = made.split("train").windows(LENGTH)
    assert one.windows == windows
    epochs = one.starts(0, 3 * windows).reshape(3, windows)
    assert (np.sort(epochs, axis=1) == np.arange(windows) * LENGTH).all()
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3
    assert not np.array_equal(epochs[0], samples(made, length=LENGTH, seed=6).starts(0, windows))


@SHARED
@given(first=st.integers(0, 3000), sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_the_order_does_not_depend_on_how_it_is_asked_for(order: Samples, first: int, sizes: list[int]) -> None:
    edges = first + np.cumsum([0, *sizes])
    parts = [order.starts(int(edge), size) for edge, size in zip(edges, sizes, strict=False)]
    assert np.array_equal(np.concatenate(parts), order.starts(first, sum(sizes)))


@SHARED
@given(
    first=st.integers(0, 2000),
    per_step=st.integers(1, 4).map(lambda number: 8 * number),
    worlds=st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(1, 5)), min_size=1, max_size=5),
)
def test_the_number_of_ranks_may_change_in_mid_run(
    order: Samples, first: int, per_step: int, worlds: list[tuple[int, int]]
) -> None:
    """At every step the ranks together read what one would; none is missed, none comes twice."""
    consumed, seen = first, []
    for ranks, steps in worlds:
        for _ in range(steps):
            parts = [slice_of(consumed, per_step, rank=rank, ranks=ranks) for rank in range(ranks)]
            assert len({count for _, count in parts}) == 1
            step = np.concatenate([order.read(*part).ids for part in parts])
            assert np.array_equal(step, order.read(consumed, per_step).ids)
            seen += [number for begin, count in parts for number in range(begin, begin + count)]
            consumed += per_step
    assert seen == list(range(first, first + len(seen)))


def test_a_step_that_ranks_cannot_share_is_refused() -> None:
    for rank, ranks in [(0, 3), (2, 2), (-1, 2)]:
        with pytest.raises(ConfigError, match=f"8 samples of a step .* {rank=} {ranks=}"):
            slice_of(0, 8, rank=rank, ranks=ranks)


def test_windows_hold_the_tokens_at_their_starts(order: Samples) -> None:
    batch, starts = order.read(0, 400), order.starts(0, 400)
    stream = order.split.read(0, order.split.tokens).tolist()
    ends = {run.first_token + run.tokens for run in order.split.sources} if order.mixture else {len(stream)}
    assert batch.ids.dtype == np.uint16
    for number, (ids, kept, start) in enumerate(zip(batch.ids.tolist(), batch.kept.tolist(), starts.tolist(), strict=True)):
        stop = min(start + LENGTH, min(end for end in ends if end > start))
        assert order.targets(number) == (start, stop)
        filling = LENGTH - (stop - start)
        assert ids[1:] == stream[start:stop] + [0] * filling
        assert kept[1:] == [True] * (stop - start) + [False] * filling
        assert ids[0] == (stream[start - 1] if start else 0)


def starts_of(split_tokens: Sequence[int]) -> list[int]:
    """Where documents begin, from the end-of-text ids alone."""
    return [0, *(at + 1 for at, token in enumerate(split_tokens[:-1]) if token == 0)]


@pytest.mark.parametrize("length", [1, 7, 16, 100, 500])
def test_aligned_windows_begin_where_documents_begin_or_go_on(made: TokenStore, length: int) -> None:
    """Every window of an epoch against the definition, in plain Python: one for each slot."""
    split = made.split("train")
    stream = split.read(0, split.tokens).tolist()
    begins = starts_of(stream)
    order = samples(made, length=length, seed=1, aligned=True)
    assert order.windows == len(stream) // length - 1
    found = sorted(order.starts(0, order.windows).tolist())
    offsets = []
    for offset in range(length):
        wanted = []
        for slot in range(-offset, order.windows * length - offset, length):
            inside = [begin for begin in begins if slot <= begin < slot + length]
            document = max(begin for begin in begins if begin <= max(0, slot))
            wanted.append(min(inside) if inside else document + math.ceil((slot - document) / length) * length)
        if wanted == found:
            offsets.append(offset)
        assert max(wanted) + length + 1 <= len(stream)
    assert offsets, "no offset of the slots gives these windows"


def test_aligned_windows_read_most_of_an_epoch_and_other_parts_in_others(made: TokenStore) -> None:
    split = made.split("train")
    order = samples(made, length=64, seed=0, aligned=True)
    read_in: list[set[int]] = []
    for epoch in range(12):
        starts = order.starts(epoch * order.windows, order.windows)
        read_in.append({token for start in starts.tolist() for token in range(start + 1, start + 65)})
    assert min(map(len, read_in)) > 0.75 * split.tokens
    assert len(set.union(*read_in)) > 0.97 * split.tokens


def test_a_mixture_reads_each_source_by_its_weight_and_no_window_of_two(made: TokenStore) -> None:
    weights = {"c": 1.0, "a": 3.0}
    order = samples(made, length=LENGTH, seed=2, weights=weights)
    letters = [set(row.tolist()) - {0} for row in order.read(0, 4000).ids]
    assert all(len(row) == 1 for row in letters)
    counts = Counter(row.pop() for row in letters)
    assert counts[ord("a") + 1] == pytest.approx(3000, abs=2)
    assert counts[ord("c") + 1] == pytest.approx(1000, abs=2)
    run = next(one for one in made.split("train").sources if one.source == "c")
    windows = -(-run.tokens // LENGTH)
    mine = [start for start in order.starts(0, 4000).tolist() if run.first_token <= start < run.first_token + run.tokens]
    for epoch in range(len(mine) // windows):
        assert sorted(mine[epoch * windows : (epoch + 1) * windows]) == [
            run.first_token + window * LENGTH for window in range(windows)
        ], "a source's epoch holds each of its windows once"


def test_no_source_is_read_more_often_than_allowed(made: TokenStore) -> None:
    order = samples(made, length=LENGTH, seed=2, weights={"a": 1.0, "c": 1.0}, most_epochs=2, run_samples=300)
    run = next(one for one in made.split("train").sources if one.source == "c")
    starts = Counter(order.starts(0, 300).tolist())
    mine = [count for start, count in starts.items() if run.first_token <= start < run.first_token + run.tokens]
    assert max(mine) == 2
    assert sum(mine) == pytest.approx(2 * -(-run.tokens // LENGTH), abs=1)
    assert order.mixture is not None
    assert "instead of 50.00% (2.00 epochs)" in str(order.mixture)
    with pytest.raises(InputError, match="take fewer steps, allow more epochs"):
        samples(made, length=LENGTH, weights={"c": 1.0}, most_epochs=2, run_samples=300)
    with pytest.raises(InputError, match=r"1000 samples are wanted, but most_epochs=2 times its \d+ windows"):
        samples(made, length=LENGTH, most_epochs=2, run_samples=1000)
    with pytest.raises(ConfigError, match="the number of samples of the run"):
        samples(made, length=LENGTH, most_epochs=2)


def test_a_store_without_a_window_is_refused(store_of: StoreOf) -> None:
    store = TokenStore.open(store_of(["ab"])[0])
    assert samples(store, length=99).windows == 1
    with pytest.raises(InputError, match="3 tokens to train on do not give a window of 3; pack more text"):
        samples(store, length=3, aligned=True)


def test_lengths_of_documents(store_of: StoreOf) -> None:
    split = TokenStore.open(store_of(["ab", "cde", "f" * 20])[0]).split("train")
    batch = read(split, np.array([[0, 28], [2, 28], [8, 28], [25, 28]]), 6)
    assert batch.ids[0].tolist() == [0, 98, 99, 0, 100, 101, 102]
    assert batch.ids[3].tolist() == [103, 103, 103, 0, 0, 0, 0]
    found = batch.cu_seqlens()
    assert found.dtype == np.int32
    # Each row begins one, and so does each end-of-text; those that fill a row up have no length but their own.
    assert found.tolist() == [0, 3, 6, 7, 11, 12, 18, 21, 22, 23, 24]


def test_what_is_forgotten_is_in_no_batch_and_attention_stays_out_of_it(store_of: StoreOf) -> None:
    folder, _ = store_of(["ab", "xxx", "cd", "yyyy", "z" * 3000, "e" * 2000], shard_tokens=1000)
    ids = TokenStore.open(folder).split("train").documents_table()["doc_id"].to_pylist()
    gone = [ids[row].hex() for row in (1, 3, 4)]
    with files.lock(folder.parent):
        forget.forget(folder.parent, [forget.request_ids("doc_id", one, [one]) for one in gone])
    store = TokenStore.open(folder)
    split = store.split("train")
    assert split.tokens == 3 + 4 + 3 + 5 + 3001 + 2001, "nothing is renumbered"
    letters = {ord(letter) + 1 for letter in "xyz"}
    for aligned in (False, True):
        order = samples(store, length=50, aligned=aligned)
        batch = order.read(0, 2 * order.windows)
        assert not letters & set(batch.ids.ravel().tolist())
        assert (batch.ids[~batch.kept] == 0).all()
    assert set(split.read(0, split.tokens).tolist()) >= letters, "the payload itself still has them"
    batch = read(split, np.array([[0, split.tokens]]), 16)
    assert batch.kept.astype(int).tolist() == [[0] + [1] * 3 + [0] * 4 + [1] * 3 + [0] * 6]
    assert batch.cu_seqlens().tolist() == [0, *range(3, 8), *range(10, 17)]
    whole = split.kept(0, split.tokens)
    assert int((~whole).sum()) == 4 + 5 + 3001
    for start, stop in [(2, 8), (6, 7), (3, 7), (14, 16), (1200, 1300), (3015, 3020), (5, 5)]:
        assert split.kept(start, stop).tolist() == whole[start:stop].tolist()


@pytest.fixture
def thousand(store_of: StoreOf) -> Path:
    """A store of 1,100 shards of 8,000 tokens, all of them links to one."""
    folder, made = store_of(["x" * 7_999])
    assert isinstance(made, Manifest)
    entries: dict[str, FileEntry] = {}
    for number, (name, entry) in itertools.product(range(1100), made.files.items()):
        there = name.replace("00000", f"{number:05d}")
        entries[there] = entry
        if number:
            os.link(folder.parent / name, folder.parent / there)
    sums = {key: 1100 * made.facts["splits"]["train"][key] for key in ("documents", "tokens", "text_bytes")}
    train = {**sums, "highest_id": 121, "sources": [{"source": "a", **sums}]}
    splits = {"train": train, "val": made.facts["splits"]["val"]}
    manifest.commit(folder.parent, dataclasses.replace(made, files=entries, facts={**made.facts, "splits": splits}))
    return folder


def test_a_store_of_a_thousand_shards_opens_only_the_shards_that_are_read(
    thousand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = os.open

    def count(path: str, flags: int, *arguments: Any, **options: Any) -> int:
        opened.append(path)
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", count)
    store = TokenStore.open(thousand)
    assert len(store.split("train").shards) == 1100
    assert not opened
    samples(store, length=1024).read(0, 8)
    payload = [path for path in opened if path.endswith(".bin")]
    assert 1 <= len(payload) <= 16, "eight windows, each in one shard or across two"


def test_all_of_a_thousand_shards_are_read_with_few_files_and_little_memory(thousand: Path) -> None:
    order = samples(TokenStore.open(thousand), length=1024)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 400), hard))
    order.read(0, 8)
    tracemalloc.start()
    try:
        for first in range(0, order.windows, 1000):
            order.read(first, min(1000, order.windows - first))
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert most < 12e6, "a batch of 1,000 windows is 3 MB, its starts and a block of 1 MiB are the rest"
    assert kept < 2e6
