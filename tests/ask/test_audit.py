"""The audit: its kernels beside plain Python, and what it finds in stores made for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokens.test_token_check import recommit
from tokenmill.pipeline.ask import audit as audit_module
from tokenmill.pipeline.ask.audit import WIDTH, audit_store, robust_z
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.kernels.bpe.token_ids import count_ids, window_fingerprints
from tokenmill.pipeline.tokens import TokenStore

StoreOf = Callable[..., tuple[Path, Manifest]]


@given(st.lists(st.integers(0, 40), max_size=200), st.sampled_from(["<u2", "<u4"]))
@settings(max_examples=50, deadline=None)
def test_ids_are_counted(ids: list[int], dtype: str) -> None:
    counts = np.zeros(30, dtype=np.int64)
    beyond = count_ids(np.array(ids, dtype=dtype), counts)
    wanted = Counter(ids)
    assert counts.tolist() == [wanted[number] for number in range(30)]
    assert beyond == sum(wanted[number] for number in range(30, 41))


@given(st.lists(st.integers(0, 3), max_size=120), st.sampled_from(["<u2", "<u4"]), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_equal_windows_have_equal_fingerprints(ids: list[int], dtype: str, width: int) -> None:
    """0 is end-of-text."""
    windows = {at: tuple(ids[at : at + width]) for at in range(len(ids) - width + 1) if 0 not in ids[at : at + width]}
    for level in (0, 2):
        fingerprints, places = np.zeros(len(ids), np.uint64), np.zeros(len(ids), np.int64)
        found = window_fingerprints(np.array(ids, dtype=dtype), 0, width, level, fingerprints, places)
        by_place = dict(zip(places[:found].tolist(), fingerprints[:found].tolist(), strict=True))
        assert all(value % 2**level == 0 for value in by_place.values())
        if level == 0:
            assert by_place.keys() == windows.keys()
            assert len(set(by_place.values())) == len(set(windows.values()))
            every = {windows[at]: value for at, value in by_place.items()}
        else:
            assert by_place == {at: every[window] for at, window in windows.items() if every[window] % 2**level == 0}


def look(folder: Path, vocabulary: int = 257) -> list[audit_module.SplitAudit]:
    return audit_store(TokenStore.open(folder), np.arange(vocabulary) > 0, Silent())


def test_figures_by_hand(store_of: StoreOf) -> None:
    folder, _ = store_of(["abab", "cc"])
    (split,) = look(folder)
    (shard,) = split.shards
    shares = np.array([2, 2, 2, 2]) / 8
    assert shard.entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum()) == 2
    assert (shard.distance_bits, shard.single_byte, shard.rare, shard.repeated) == (0, 6 / 8, 1, 0)
    assert (shard.tokens_per_document, shard.bytes_per_token, split.unused_ids) == (4, 6 / 8, 253)


def test_repeated_windows_are_counted_in_every_chunk(store_of: StoreOf, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    passage = "".join(map(chr, draw.integers(97, 123, size=80)))
    texts = ["".join(map(chr, draw.integers(97, 123, size=600))) for _ in range(30)]
    texts = [text[:100] + passage + text[100:] if row % 10 == 0 else text for row, text in enumerate(texts)]
    folder, _ = store_of(texts, shard_tokens=4000)
    (whole,) = look(folder)
    windows = sum(len(text) - WIDTH + 1 for text in texts)
    assert whole.repeated == pytest.approx(3 * (80 - WIDTH + 1) / windows)
    assert whole.most_repeated[0].times == 3
    place, at = whole.most_repeated[0].place.split(":")
    store = TokenStore.open(folder)
    shard = next(shard for shard in store.split("train").shards if shard.path.stem == place.removeprefix("train/"))
    assert bytes((shard.read(int(at), int(at) + WIDTH) - 1).astype(np.uint8)).decode() in passage
    monkeypatch.setattr(audit_module, "CHUNK_TOKENS", 333)
    assert look(folder) == [whole]
    monkeypatch.setattr(audit_module, "WINDOWS", 4000)
    (thinned,) = look(folder)
    assert thinned.sampled == 1 / 8
    assert thinned.repeated == pytest.approx(whole.repeated, rel=0.9)


def test_a_shard_unlike_the_rest_is_told(store_of: StoreOf) -> None:
    draw = np.random.default_rng(1)
    texts = ["".join(map(chr, draw.choice(26, size=999, p=np.arange(1, 27) / 351) + 97)) for _ in range(12)]
    texts[7] = "ab" * 499 + "a"
    folder, _ = store_of(texts, shard_tokens=1000)
    (split,) = look(folder)
    odd = [shard.shard for shard in split.shards if {"entropy_bits", "distance_bits", "repeated"} <= shard.unlike.keys()]
    assert odd == ["train/00007"]
    assert split.shards[7].unlike["entropy_bits"] < -3.5
    few, _ = store_of(texts[5:8], shard_tokens=1000)
    assert all(not shard.unlike for shard in look(few)[0].shards), "three shards have no rest"


def test_robust_scores() -> None:
    assert robust_z(np.array([1.0, 1.0, 1.0])).tolist() == [0, 0, 0]
    assert robust_z(np.array([1.0, 2, 3, 4, 100])).tolist() == pytest.approx([-1.349, -0.6745, 0, 0.6745, 65.4265], rel=1e-4)
    assert robust_z(np.array([1.0, 1, 1, 1, 1, 9]))[-1] == pytest.approx(8 / (8 / 6 * 1.253314))


def test_ids_beyond_the_vocabulary_are_refused(store_of: StoreOf) -> None:
    folder, made = store_of(["abc"])
    recommit(folder, made, vocabulary=100)
    with pytest.raises(CorruptFile, match="train/00000.bin: holds id 100, the vocabulary is 100"):
        look(folder, 100)


def test_documents_that_do_not_end_as_they_should(store_of: StoreOf) -> None:
    folder, _ = store_of(["abab", "cc", "d"])
    (split,) = look(folder)
    assert (split.ended, split.shards[0].ended) == (1, 1)
    store = TokenStore.open(folder)
    (shard,) = store.split("train").shards
    ids = shard.read(0, shard.tokens)
    (ends,) = np.nonzero(ids == store.end_of_text)
    first = np.append(0, ends[:-1] + 1)
    for behind, share in ((ends, 1), (ends[1:], 2 / 3), (np.append(first[1], ends), 2 / 3), (ends[:0], 0)):
        counts = np.bincount(ids, minlength=257).astype(np.int64)
        found = audit_module._shard(shard, counts, np.sort(behind), counts, np.arange(257) > 0, counts > 0, 0.0)
        assert found.ended == pytest.approx(share)
