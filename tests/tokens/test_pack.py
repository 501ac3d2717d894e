"""Packing: what is in the store, in which order, and that nothing is lost."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tokens.conftest import ByteEncoder
from tests.tokens.packing import MakeCorpus, Pack, dropping, ids, layout, spell
from tokenmill.pipeline.base import files, manifest, schema, shards
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.stages.step import Work, perform
from tokenmill.pipeline.tokens import TokenStore, content_hash, index, problems
from tokenmill.pipeline.tokens.pack import PackStep, encoded
from tokenmill.tokenizer.encode import FastEncoder


def test_a_store_by_hand(make_corpus: MakeCorpus, pack: Pack) -> None:
    texts = ["ab", "", "<|endoftext|>", "ä\x00"]
    work = make_corpus({"a/0": texts[:3], "b/7": texts[3:]})
    done = pack(work)
    assert ids(work.root, "train/00000.bin") == [98, 99, 0, 0, *spell("<|endoftext|>")]
    assert ids(work.root, "train/00001.bin") == spell("ä\x00"), "a shard holds documents of one source"
    assert (work.root / "tokens/train/00000.idx").read_bytes() == index(np.array([3, 1, 14]), np.dtype("<u2"))
    rows = [
        row for number in (0, 1) for row in pq.read_table(work.root / f"tokens/train/0000{number}.docs.parquet").to_pylist()
    ]
    assert rows == [
        {
            "doc_id": schema.doc_id(source, identity),
            "source": source,
            "url": None,
            "shard": shard,
            "row": row,
            "token_offset": offset,
            "tokens": len(text.encode()) + 1,
            "text_bytes": len(text.encode()),
            "content_hash": content_hash(text.encode()),
        }
        for text, (source, identity, shard, row, offset) in zip(
            texts,
            [("a", "0:0", "a/0", 0, 0), ("a", "0:1", "a/0", 1, 3), ("a", "0:2", "a/0", 2, 4), ("b", "7:0", "b/7", 0, 0)],
            strict=True,
        )
    ]
    blocks = (work.root / "tokens/train/00000.blocks").read_bytes()
    assert blocks == hashlib.sha256((work.root / "tokens/train/00000.bin").read_bytes()).digest()
    assert not (work.root / "tokens/val").exists()
    assert done.manifest.facts == {
        "dtype": "uint16",
        "vocabulary": 257,
        "tokenizer": "bytes",
        "end_of_text": 0,
        "block_bytes": 2**20,
        "splits": {
            "train": {
                "documents": 4,
                "tokens": 22,
                "text_bytes": 18,
                "highest_id": 0xC3 + 1,
                "sources": [
                    {"source": "a", "documents": 3, "tokens": 18, "text_bytes": 15},
                    {"source": "b", "documents": 1, "tokens": 4, "text_bytes": 3},
                ],
            },
            "val": {"documents": 0, "tokens": 0, "text_bytes": 0, "highest_id": None, "sources": []},
        },
    }
    assert [(shard.name, shard.counts.read, shard.counts.kept) for shard in done.manifest.shards] == [
        ("a/0", 3, 3),
        ("b/7", 1, 1),
    ]
    assert done.manifest.counts.bytes_kept == 18


def test_only_survivors_are_packed_and_rows_are_those_of_the_documents(make_corpus: MakeCorpus, pack: Pack) -> None:
    work = dropping(make_corpus({"a/0": ["a", "b", "c"], "a/1": ["d"]}), {"a/0": ["", "short", ""], "a/1": [None]})
    done = pack(work)
    assert ids(work.root, "train/00000.bin") == [*spell("a"), *spell("c")]
    assert pq.read_table(work.root / "tokens/train/00000.docs.parquet")["row"].to_pylist() == [0, 2]
    assert [shard.counts.read for shard in done.manifest.shards] == [2, 0]


def test_nothing_survives(make_corpus: MakeCorpus, pack: Pack) -> None:
    work = dropping(make_corpus({"a/0": ["a"]}), {"a/0": ["short"]})
    done = pack(work)
    assert done.manifest.files == {}
    assert TokenStore.open(work.root / "tokens").split("train").tokens == 0


def test_large_vocabularies_take_four_bytes(make_corpus: MakeCorpus, pack: Pack, byte_encoder: object) -> None:
    work = make_corpus({"a/0": ["ab"]})
    wide = dataclasses.replace(byte_encoder, vocabulary=65_537, end_of_text=65_536)  # type: ignore[type-var]
    pack(work, encoder=wide)
    assert ids(work.root, "train/00000.bin", "<u4") == [98, 99, 65_536]
    assert (work.root / "tokens/train/00000.idx").read_bytes()[17] == 4


def test_each_document_is_in_one_split(make_corpus: MakeCorpus, pack: Pack) -> None:
    texts = [f"text {number}" for number in range(60)]
    work = make_corpus({"a/0": texts[:25], "a/1": texts[25:]})
    done = pack(work, validation_fraction=0.3)
    store = TokenStore.open(work.root / "tokens")
    sides = [set(store.split(name).documents_table()["doc_id"].to_pylist()) for name in ("train", "val")]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 60
    assert 5 < len(sides[1]) < 35
    totals = done.manifest.facts["splits"]
    assert totals["train"]["documents"] + totals["val"]["documents"] == 60
    again = make_corpus({"a/0": texts[:5]}, folder="smaller")
    pack(again, validation_fraction=0.3)
    val = TokenStore.open(again.root / "tokens").split("val")
    assert set(val.documents_table()["doc_id"].to_pylist()) <= sides[1]


def test_token_shards_begin_where_documents_begin(make_corpus: MakeCorpus, pack: Pack) -> None:
    """999 and a half shard of text each: with their ends 1,000 and 501 tokens; the long one spans two whole shards."""
    texts = ["a" * 999, "b" * 500, "c" * 500, "d" * 2600, "e" * 10]
    work = make_corpus({"a/0": texts[:2], "a/1": texts[2:]})
    done = pack(work, shard_tokens=1000)
    names = [name for name in done.manifest.files if name.endswith(".bin")]
    assert names == ["tokens/train/00000.bin", "tokens/train/00001.bin", "tokens/train/00002.bin", "tokens/train/00004.bin"]
    assert [ids(work.root, name.removeprefix("tokens/")) for name in names] == [
        spell(texts[0]),
        [*spell(texts[1]), *spell(texts[2])],
        spell(texts[3]),
        spell(texts[4]),
    ]


@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_shuffled_documents_are_in_the_order_of_a_hash_over_the_whole_source(
    make_corpus: MakeCorpus, pack: Pack, texts: list[str], fraction: float
) -> None:
    work = make_corpus({**layout(texts[:60]), "b/0": texts[60:]})
    done = pack(work, shuffle=True, shard_tokens=1000, validation_fraction=fraction)
    store = TokenStore.open(work.root / "tokens")
    assert not list(problems(store.folder, decode=ByteEncoder.decode_bytes))
    for split in store.splits:
        tables = [shards.read(shard.root, shard.documents) for shard in split.shards]
        assert all(len(set(table["source"].to_pylist())) == 1 for table in tables), "a shard holds documents of one source"
        rows = split.documents_table().to_pylist()
        assert [run.source for run in split.sources] == list(dict.fromkeys(row["source"] for row in rows))
        for run in split.sources:
            mine = [row for row in rows if row["source"] == run.source]
            keys = [hashlib.blake2b(row["doc_id"], digest_size=8, person=b"tokenmill.split").digest()[::-1] for row in mine]
            assert keys == sorted(keys)
            assert (run.documents, run.tokens) == (len(mine), sum(row["tokens"] for row in mine))
            assert run.text_bytes == sum(row["text_bytes"] for row in mine)
        for shard, table in zip(split.shards, tables, strict=True):
            for row in table.to_pylist():
                text = texts[20 * int(row["shard"][2:]) + row["row"]] if row["source"] == "a" else texts[60:][row["row"]]
                assert shard.read(row["token_offset"], row["token_offset"] + row["tokens"]).tolist() == spell(text)
    places = [(row["shard"], row["row"]) for row in store.split("train").documents_table().to_pylist()]
    assert places != sorted(places)
    lengths = [shard.tokens for shard in store.split("train").shards if shard.tokens]
    assert len(lengths) > 8
    assert max(lengths) < 4000
    assert done.manifest.facts["splits"]["train"]["tokens"] == sum(lengths)


@pytest.mark.parametrize(("length", "refused"), [(2**31 - 1, True), (2**31 - 2, False)])
def test_a_document_that_the_index_cannot_count_is_refused(length: int, refused: bool) -> None:
    counts = np.array([length], dtype=np.int64)
    view = View(root=Path(), name="a/0", documents=("", files.FileEntry(bytes=0, sha256="")))
    doc_ids = pa.chunked_array([pa.array([schema.doc_id("a", "0:0")], pa.binary(16))])
    if refused:
        with pytest.raises(InputError, match=rf"a/0: document {schema.doc_id('a', '0:0').hex()} has 2147483648 tokens"):
            encoded._check_length(counts, doc_ids, view)
    else:
        encoded._check_length(counts, doc_ids, view)


def test_a_document_without_text_is_its_end_of_text(make_corpus: MakeCorpus, pack: Pack) -> None:
    work = make_corpus({"a/0": ["", ""]})
    pack(work, shuffle=True)
    assert ids(work.root, "train/00000.bin") == [0, 0]
    assert not list(problems(work.root / "tokens"))


def test_side_files_are_small(make_corpus: MakeCorpus, pack: Pack) -> None:
    """At 500 tokens a document; the documents table apart."""
    draw = random.Random(0)
    work = make_corpus({"a/0": ["x" * draw.randrange(1, 998) for _ in range(2000)]})
    made = pack(work).manifest
    sizes = {
        kind: sum(entry.bytes for name, entry in made.files.items() if name.endswith(kind))
        for kind in (".bin", ".idx", ".blocks")
    }
    assert 480 < sizes[".bin"] / 2 / 2000 < 520
    assert (sizes[".idx"] + sizes[".blocks"]) / sizes[".bin"] < 0.025


def test_end_of_text_out_of_text_is_refused(make_corpus: MakeCorpus, pack: Pack, byte_encoder: object) -> None:
    work = make_corpus({"a/0": ["b", "", "xay"]})
    forging = dataclasses.replace(byte_encoder, end_of_text=98)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match=f"a/0: .* of document {schema.doc_id('a', '0:2').hex()} into its end-of-text id 98"):
        pack(work, encoder=forging)


def test_special_tokens_in_text_are_text(make_corpus: MakeCorpus, small_encoder: FastEncoder) -> None:
    texts = ["<|endoftext|>", "a<|endoftext|><|endoftext|>b", "<|endoftext|", "plain"]
    work = make_corpus({"a/0": texts})
    perform(PackStep(config=PackConfig(validation_fraction=0, shuffle=False), encoder=small_encoder), work, downstream=())
    found = TokenStore.open(work.root / "tokens").split("train").read(0, _tokens(work))
    assert int((found == small_encoder.end_of_text).sum()) == len(texts)
    pieces = np.split(found, np.flatnonzero(found == small_encoder.end_of_text) + 1)[:-1]
    assert [small_encoder.decode(piece[:-1].tolist()) for piece in pieces] == texts


def _tokens(work: Work) -> int:
    return TokenStore.open(work.root / "tokens").split("train").tokens


def test_text_with_edits_is_what_is_packed(make_corpus: MakeCorpus, pack: Pack) -> None:
    work = make_corpus({"a/0": ["mail me@x.org now"]})
    name = "rewrite/edits/a/0.parquet"
    edits = [{"doc_id": schema.doc_id("a", "0:0"), "start": 5, "end": 13, "replacement": "@"}]
    entry = shards.write(work.root, name, pa.Table.from_pylist(edits, schema=schema.EDITS))
    shard = manifest.Shard(name="a/0", files={name: entry})
    edited = manifest.Manifest(stage="rewrite", version=1, config={}, inputs={}, shards=(shard,))
    pack(dataclasses.replace(work, before=(*work.before, edited)))
    assert ids(work.root, "train/00000.bin") == spell("mail @ now")
    row = pq.read_table(work.root / "tokens/train/00000.docs.parquet").to_pylist()[0]
    assert (row["text_bytes"], row["content_hash"]) == (10, content_hash(b"mail @ now"))
