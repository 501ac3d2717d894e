"""From tokens to documents and back; and stores that are not what they say."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.folders import folder_of
from tokenmill.pipeline.ask.trace import history, text_at
from tokenmill.pipeline.base import manifest, schema, shards
from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.config import Section
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.step import Done, Estimate, Work
from tokenmill.pipeline.tokens import TokenStore, problems
from tokenmill.pipeline.tokens.encoder import Encoder
from tokenmill.pipeline.tokens.places import document_at, documents_between, exposure, find, place
from tokenmill.pipeline.tokens.samples import samples

Pack = Callable[..., Done]
MakeCorpus = Callable[..., Work]
StoreOf = Callable[..., tuple[Path, Manifest]]

TEXTS = ["first", "mail me@x.org now", "", "änderung \U0001f600", "last one " * 40]


REWRITE = StageKind(
    name="rewrite",
    section=Section,
    make=lambda _: object(),  # type: ignore[arg-type, return-value]
    estimate=Estimate(text_bytes_per_second=1, disk_per_text=0),
)


@pytest.fixture
def edited(make_corpus: MakeCorpus, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> CorpusFolder:
    """A corpus whose second document has a mask, packed."""
    monkeypatch.setattr(table, "STAGES", (*table.STAGES, REWRITE))
    texts = {"a/0": TEXTS, "b/0": ["other"]}
    work = make_corpus(texts)
    made = []
    for shard in work.before[0].shards:
        ids = [schema.doc_id(shard.source, f"0:{row}") for row in range(len(texts[shard.name]))]
        verdicts = pa.table({"doc_id": pa.array(ids, schema.DOC_ID.type), "reason": schema.reasons([""] * len(ids))})
        mask = {"doc_id": ids[1], "start": 5, "end": 13, "replacement": "@"} if shard.source == "a" else None
        tables = {"verdicts": verdicts, "edits": pa.Table.from_pylist([mask] if mask else [], schema=schema.EDITS)}
        names = {f"rewrite/{kind}/{shard.name}.parquet": one for kind, one in tables.items()}
        entries = {name: shards.write(work.root, name, one) for name, one in names.items()}
        made.append(manifest.Shard(name=shard.name, files=entries))
    rewrite = Manifest(stage="rewrite", version=1, config={}, inputs={}, shards=tuple(made))
    manifest.commit(work.root, rewrite)
    work = dataclasses.replace(work, before=(*work.before, rewrite))
    return folder_of(work, pack(work, shard_tokens=1000).manifest, stages=("rewrite",))


def test_every_token_leads_to_its_document(edited: CorpusFolder, byte_encoder: Encoder) -> None:
    store = TokenStore.open(edited.root / "tokens")
    packed = [*TEXTS, "other"]
    packed[1] = "mail @ now"
    found = 0
    for shard in store.split("train").shards:
        name = f"train/{shard.path.stem}"
        for token in range(shard.tokens):
            document = document_at(store, name, token)
            text = packed[document.row if document.source == "a" else 5].encode()
            assert (document.tokens, document.text_bytes) == (len(text) + 1, len(text))
            around = text_at(edited, store, document, token, byte_encoder)
            at = token - document.first_token
            assert around.byte == at
            assert around.token.encode() == text[at : at + 1] or not text[at : at + 1].isascii()
            stored = (TEXTS[document.row] if document.source == "a" else "other").encode()
            if text == stored:
                assert (around.stored_start, around.stored_end) == (at, min(at + 1, len(text)))
            elif text[at : at + 1] == b"@":
                assert (around.stored, around.stored_start) == ("me@x.org", 5)
            found += 1
    assert found == store.split("train").tokens
    said = history(edited, find(store, schema.doc_id("a", "0:1").hex()))
    assert said == [
        {"stage": "collect", "metadata": "{}"},
        {"stage": "rewrite", "reason": "", "evidence": {}, "edits": [{"start": 5, "end": 13, "replacement": "@"}]},
    ]


def test_samples_and_documents_lead_to_each_other(store_of: StoreOf) -> None:
    folder, _ = store_of(["x" * (9 + number) for number in range(50)], shard_tokens=1000)
    store = TokenStore.open(folder)
    split = store.split("train")
    order = samples(store, length=16, seed=5)
    consumed = 2 * order.windows + 7
    seen: dict[str, set[int]] = {}
    for number, start in enumerate(order.starts(0, consumed).tolist()):
        assert order.targets(number) == (start, min(start + 16, split.tokens))
        parts = list(documents_between(split, *order.targets(number)))
        assert sum(last - first for _, first, last in parts) == min(16, split.tokens - start)
        for document, _, _ in parts:
            seen.setdefault(document.doc_id, set()).add(number)
    for doc_id in split.documents_table()["doc_id"].to_pylist():
        found = exposure(order, find(store, doc_id.hex()), consumed)
        assert found.tolist() == sorted(seen.get(doc_id.hex(), set()))


@pytest.mark.parametrize("text", ["train/0:1", "train/00000", "test/00000:1", "train/00000:-1", "../00000:1"])
def test_a_place_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="is no place of a token"):
        place(text)


def test_what_is_not_there(store_of: StoreOf) -> None:
    store = TokenStore.open(store_of(["ab"])[0])
    assert place("train/00000:2") == ("train/00000", 2)
    with pytest.raises(InputError, match="holds 3 tokens, so there is no token 3"):
        document_at(store, "train/00000", 3)
    with pytest.raises(InputError, match="holds no token shard val/00000"):
        document_at(store, "val/00000", 0)


def test_swapped_shards_are_found(make_corpus: MakeCorpus, pack: Pack) -> None:
    """Ten swaps of files of one kind, of the same size."""
    work = make_corpus({"a/0": [f"{number:09}" * 111 for number in range(6)]})
    pack(work, shard_tokens=1000)
    folder, draw = work.root / "tokens", random.Random(0)
    for turn in range(10):
        kind = ("bin", "blocks")[turn % 2]
        first, second = (folder / f"train/{number:05d}.{kind}" for number in draw.sample(range(6), 2))
        contents = first.read_bytes(), second.read_bytes()
        assert contents[0] != contents[1]
        first.write_bytes(contents[1])
        second.write_bytes(contents[0])
        found = list(problems(folder))
        for path in (first, second):
            assert any(line.startswith(str(path)) for line in found), found
        if kind == "bin":
            assert sum("block 0 (bytes 0 to" in line for line in found) == 2
        first.write_bytes(contents[0])
        second.write_bytes(contents[1])
    assert list(problems(folder)) == []


def test_a_manifest_of_another_store_and_another_tokenizer(make_corpus: MakeCorpus, pack: Pack) -> None:
    one, two = make_corpus({"a/0": ["abcd"]}, folder="one"), make_corpus({"a/0": ["abce"]}, folder="two")
    for work in (one, two):
        pack(work)
    with pytest.raises(StaleInput, match="is wanted"):
        TokenStore.open(one.root / "tokens", tokenizer="other")
    assert ["is wanted" in line for line in problems(one.root / "tokens", tokenizer="other")] == [True]
    shutil.copy(two.root / "tokens/manifest.json", one.root / "tokens/manifest.json")
    path = one.root / "tokens/train/00000.bin"
    assert f"{path}: other bytes than its manifest names" in list(problems(one.root / "tokens"))


def test_tokens_of_another_text_than_the_stored_one(make_corpus: MakeCorpus, pack: Pack, byte_encoder: object) -> None:
    work = make_corpus({"a/0": ["abcd", "efgh"]})
    pack(work)
    decode = byte_encoder.decode_bytes  # type: ignore[attr-defined]
    texts = {view.name: view for view in views(work.root, work.before)}
    assert list(problems(work.root / "tokens", decode=decode, texts=texts)) == []
    other = make_corpus({"a/0": ["abcd", "efgx"]}, folder="other")
    found = list(
        problems(work.root / "tokens", decode=decode, texts={view.name: view for view in views(other.root, other.before)})
    )
    assert len(found) == 1
    assert "do not give back what row 1 of a/0 holds of document" in found[0]
    assert "which the corpus does not hold" in next(problems(work.root / "tokens", decode=decode, texts={}))


def test_a_document_that_is_counted_but_not_packed(store_of: StoreOf) -> None:
    folder, made = store_of(["ab", "cd"])
    (shard,) = made.shards
    counts = dataclasses.replace(shard.counts, read=3, kept=3)
    manifest.commit(folder.parent, dataclasses.replace(made, shards=(dataclasses.replace(shard, counts=counts),)))
    assert list(problems(folder)) == [f"{folder}/manifest.json: names 3 documents of a/0, the token shards hold 2"]
