"""The reader: what it refuses, and that windows are what was packed."""

from __future__ import annotations

import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base import manifest, schema
from tokenmill.pipeline.base.errors import CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.step import Done, Work
from tokenmill.pipeline.tokens import BLOCK_BYTES, TokenStore, forget, problems
from tokenmill.pipeline.tokens.samples import consecutive

StoreOf = Callable[..., tuple[Path, object]]


def spell(text: str) -> list[int]:
    return [byte + 1 for byte in text.encode()] + [0]


def test_what_a_store_says(store_of: StoreOf) -> None:
    folder, made = store_of(["ab", "cde"])
    store = TokenStore.open(folder, tokenizer="bytes")
    assert (store.vocabulary, store.end_of_text, store.tokenizer) == (257, 0, "bytes")
    assert store.hash == made.hash  # type: ignore[attr-defined]
    train, val = store.split("train"), store.split("val")
    assert (train.tokens, train.documents, val.tokens, val.documents) == (7, 2, 0, 0)
    assert train.read(0, 7).tolist() == [98, 99, 0, 100, 101, 102, 0]
    assert train.read(3, 3).tolist() == []
    assert train.documents_table()["token_offset"].to_pylist() == [0, 3]
    assert val.documents_table().num_rows == 0


@pytest.mark.parametrize(
    ("length", "wanted"),
    [
        (1, [[0, 98], [98, 99], [99, 0], [0, 100], [100, 101], [101, 102], [102, 0]]),
        (2, [[0, 98, 99], [99, 0, 100], [100, 101, 102], [102, 0, 0]]),
        (3, [[0, 98, 99, 0], [0, 100, 101, 102], [102, 0, 0, 0]]),
        (7, [[0, 98, 99, 0, 100, 101, 102, 0]]),
        (9, [[0, 98, 99, 0, 100, 101, 102, 0, 0, 0]]),
    ],
)
def test_windows_by_hand(store_of: StoreOf, length: int, wanted: list[list[int]]) -> None:
    train = TokenStore.open(store_of(["ab", "cde"])[0]).split("train")
    assert train.windows(length) == len(wanted)
    batch = consecutive(train, np.arange(len(wanted)), length)
    assert batch.ids.tolist() == wanted
    assert batch.kept[:, 1:].sum() == 7
    for first, last in ((-1, 2), (6, 8)):
        with pytest.raises(IndexError, match=f"tokens {first} to {last} of train, which has 7"):
            train.read(first, last)


def test_an_empty_split_has_no_windows(store_of: StoreOf) -> None:
    val = TokenStore.open(store_of(["ab"])[0]).split("val")
    assert val.windows(1) == 0
    with pytest.raises(IndexError, match="which has 0"):
        val.read(0, 1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(1, 3000))
def test_windows_cross_shards(many_shards: tuple[Path, list[int]], data: st.DataObject, length: int) -> None:
    folder, stream = many_shards
    train = TokenStore.open(folder).split("train")
    assert len(train.shards) > 3
    assert train.tokens == len(stream)
    assert train.windows(length) == math.ceil(len(stream) / length)
    index = data.draw(st.integers(0, train.windows(length) - 1))
    window = consecutive(train, np.array([index]), length).ids[0]
    assert window.dtype == np.uint16
    held = stream[index * length : index * length + length]
    assert window[1 : 1 + len(held)].tolist() == held
    assert not window[1 + len(held) :].any()
    assert window[0] == (stream[index * length - 1] if index else 0)


@pytest.fixture
def many_shards(store_of: StoreOf) -> tuple[Path, list[int]]:
    texts = ["ab" * (17 * number % 400) for number in range(20)]
    return store_of(texts, shard_tokens=1000)[0], [number for text in texts for number in spell(text)]


def test_no_manifest_is_refused(store_of: StoreOf, tmp_path: Path) -> None:
    folder, _ = store_of(["ab"])
    (folder / "manifest.json").unlink()
    with pytest.raises(NotBuilt, match="manifest.json is missing"):
        TokenStore.open(folder)
    with pytest.raises(NotBuilt, match="is no token store"):
        TokenStore.open(tmp_path / "nothing")
    manifest.commit(tmp_path, Manifest(stage="corpus", version=1, config={}, inputs={}))
    with pytest.raises(NotBuilt, match="is of the stage 'corpus'; run the build to its end"):
        TokenStore.open(tmp_path)


@pytest.mark.parametrize("forgets", [False, True])
def test_a_store_is_opened_by_its_corpus_and_under_any_name(
    store_of: StoreOf, tmp_path: Path, byte_encoder: object, forgets: bool
) -> None:
    folder, _ = store_of(["ab", "cde", "f" * 2000], shard_tokens=1000, validation_fraction=0.3)
    if forgets:
        forget.forget(folder.parent, [forget.request_ids("doc_id", "x", [schema.doc_id("a", "0:1").hex()])])
    wanted = TokenStore.open(folder)
    elsewhere = tmp_path / "elsewhere" / "my store"
    shutil.copytree(folder, elsewhere)
    shutil.copytree(folder, tmp_path / "tokens" / "tokens")
    for path in (folder.parent, elsewhere, tmp_path / "tokens", tmp_path / "tokens" / "tokens"):
        store = TokenStore.open(path)
        assert store.hash == wanted.hash
        for name in ("train", "val"):
            mine, theirs = store.split(name), wanted.split(name)
            assert mine.read(0, mine.tokens).tolist() == theirs.read(0, theirs.tokens).tolist()
            assert mine.kept(0, mine.tokens).tolist() == theirs.kept(0, theirs.tokens).tolist()
            assert mine.documents_table().equals(theirs.documents_table())
            assert mine.has_forgotten == theirs.has_forgotten
        assert any(split.has_forgotten for split in store.splits) == forgets
        assert list(problems(path, decode=byte_encoder.decode_bytes)) == []  # type: ignore[attr-defined]
    renamed = folder.rename(folder.with_name("packed"))
    assert TokenStore.open(renamed).hash == wanted.hash
    data = bytearray((elsewhere / "train/00000.bin").read_bytes())
    data[0] ^= 1
    (elsewhere / "train/00000.bin").write_bytes(data)
    assert [line for line in problems(elsewhere) if line.startswith(f"{elsewhere / 'train/00000.bin'}: block 0")]


def test_another_tokenizer_is_refused(store_of: StoreOf) -> None:
    with pytest.raises(StaleInput, match="with the tokenizer bytes, but tokenizer='others' is wanted"):
        TokenStore.open(store_of(["ab"])[0], tokenizer="others")


@pytest.mark.parametrize("kind", ["bin", "idx", "docs.parquet", "blocks"])
def test_cut_grown_and_missing_files_are_refused(store_of: StoreOf, kind: str) -> None:
    folder, _ = store_of(["ab"])
    path = folder / f"train/00000.{kind}"
    whole = path.read_bytes()
    for data in (whole[:-1], whole + b"\0", b""):
        path.write_bytes(data)
        with pytest.raises(CorruptFile, match=f"{path}: {len(data)} bytes, its manifest names {len(whole)} bytes"):
            TokenStore.open(folder)
    path.unlink()
    with pytest.raises(CorruptFile, match=f"{path}: missing"):
        TokenStore.open(folder)


def test_a_flipped_bit_is_found_when_its_block_is_read(store_of: StoreOf) -> None:
    folder, _ = store_of(["a" * 700_000, "b" * 700_000])
    path = folder / "train/00000.bin"
    data = bytearray(path.read_bytes())
    assert 2 * BLOCK_BYTES < len(data) < 3 * BLOCK_BYTES
    data[BLOCK_BYTES] ^= 4
    path.write_bytes(data)
    train = TokenStore.open(folder).split("train")
    edge = BLOCK_BYTES // 2
    assert set(train.read(0, edge).tolist()) == {98}
    assert set(train.read(2 * edge, train.tokens).tolist()) == {99, 0}
    for _ in range(2):
        with pytest.raises(CorruptFile, match=rf"00000.bin: block 1 \(bytes {BLOCK_BYTES} to {2 * BLOCK_BYTES}\)"):
            train.read(edge - 1, edge + 1)


def test_flipped_hashes_are_found(store_of: StoreOf) -> None:
    folder, _ = store_of(["ab"])
    path = folder / "train/00000.blocks"
    path.write_bytes(bytes(32))
    with pytest.raises(CorruptFile, match="00000.blocks"):
        TokenStore.open(folder).split("train").read(0, 1)


def test_a_split_travels_without_its_payload(store_of: StoreOf) -> None:
    train = TokenStore.open(store_of(["a" * 100_000])[0]).split("train")
    train.read(0, train.tokens)
    sent = pickle.dumps(train)
    assert len(sent) < 5_000
    assert pickle.loads(sent).read(5, 9).tolist() == [98, 98, 98, 98]  # noqa: S301 -- made two lines above


def test_a_window_is_a_copy(store_of: StoreOf) -> None:
    train = TokenStore.open(store_of(["ab"])[0]).split("train")
    train.read(0, 3)[:] = 7
    assert train.read(0, 3).tolist() == [98, 99, 0]


def test_the_store_of_another_run_is_another(make_corpus: Callable[..., Work], pack: Callable[..., Done]) -> None:
    hashes = {pack(make_corpus({"a/0": [text]}, folder=text)).manifest.hash for text in ("a", "b")}
    assert len(hashes) == 2
