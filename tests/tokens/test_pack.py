"""Packing: what is in the store, that nothing is lost, and that an interrupted run ends with the same bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import executor, files, manifest, schema, shards
from pipeline.config import PackConfig
from pipeline.errors import ConfigError, CorruptFile, InputError
from pipeline.files import Fault
from pipeline.pack import PackStep, encoded, step
from pipeline.shards import View
from pipeline.tokens import TokenStore, content_hash, index, problems
from pipeline.work import Done, Work, perform
from tests.tokens.conftest import ByteEncoder
from tokenizer.encode import FastEncoder

Pack = Callable[..., Done]
MakeCorpus = Callable[..., Work]


def published(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "tokens").rglob("*"))
        if path.is_file()
    }


def ids(root: Path, name: str, dtype: str = "<u2") -> list[int]:
    return np.frombuffer((root / "tokens" / name).read_bytes(), dtype=dtype).tolist()


def spell(text: str) -> list[int]:
    return [byte + 1 for byte in text.encode()] + [0]


def dropping(work: Work, reasons: dict[str, list[str | None]]) -> Work:
    """The corpus after a stage `quality` with these reasons by shard."""
    made = []
    for shard in work.before[0].shards:
        name = f"quality/verdicts/{shard.name}.parquet"
        rows = shards.read(work.root, next(iter(shard.files.items())), ["doc_id"])
        table = rows.append_column(schema.REASON, schema.reasons(reasons[shard.name]))
        made.append(manifest.Shard(name=shard.name, files={name: shards.write(work.root, name, table)}))
    judged = manifest.Manifest(stage="quality", version=1, config={}, inputs={}, shards=tuple(made))
    manifest.commit(work.root, judged)
    return dataclasses.replace(work, before=(*work.before, judged))


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


@pytest.fixture(scope="module")
def texts() -> list[str]:
    words = ["the", "token", "shard", "of", "a", "corpus", "holds", "every", "document", "once", "一", "é", "\U0001f600"]
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(words, size=draw.integers(0, 60))) for _ in range(80)]


def layout(texts: Sequence[str]) -> dict[str, Sequence[str]]:
    return {f"a/{number}": texts[20 * number : 20 * number + 20] for number in range(4)}


def test_workers_make_no_difference(make_corpus: MakeCorpus, texts: list[str], small_encoder: FastEncoder) -> None:
    step = PackStep(config=PackConfig(shard_tokens=1000, validation_fraction=0.2), encoder=small_encoder)
    one, two = make_corpus(layout(texts), folder="one"), make_corpus(layout(texts), folder="two")
    perform(step, one, downstream=())
    with executor.local(2) as pool:
        perform(step, dataclasses.replace(two, executor=pool), downstream=())
    assert len(published(one.root)) > 8
    assert published(one.root) == published(two.root)


def test_a_removed_file_is_made_again(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    work = make_corpus(layout(texts))
    settings = {"shard_tokens": 1000, "validation_fraction": 0.2}
    assert pack(work, **settings).recomputed_shards == 4
    wanted = published(work.root)
    for name in [name for name in wanted if not name.endswith("manifest.json")]:
        (work.root / name).unlink()
        assert pack(work, **settings).recomputed_shards == 0, name
        assert published(work.root) == wanted, name
    for path in sorted((work.root / ".state/pack").rglob("*1.*")):
        path.unlink()
        (work.root / "tokens/manifest.json").unlink()
        assert pack(work, **settings).recomputed_shards == 1, path
        assert published(work.root) == wanted, path


def test_a_changed_shard_is_encoded_and_no_other(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    work = make_corpus(layout(texts))
    pack(work, shard_tokens=1000)
    assert pack(work, shard_tokens=2000, validation_fraction=0.5).recomputed_shards == 0, "settings of the layout only"
    changed = {**layout(texts), "a/2": ["another", *texts[41:60]]}
    assert pack(make_corpus(changed), shard_tokens=1000).recomputed_shards == 1
    fresh = make_corpus(changed, folder="fresh")
    pack(fresh, shard_tokens=1000)
    kept = set(TokenStore.open(work.root / "tokens").manifest.files) | {"tokens/manifest.json"}
    assert {name: value for name, value in published(work.root).items() if name in kept} == published(fresh.root)


def test_what_is_gone_is_not_kept(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    pack(make_corpus(layout(texts)))
    work = make_corpus({"a/0": texts[:20]})
    pack(work)
    left = [path.relative_to(work.root).as_posix() for path in sorted((work.root / ".state").rglob("*")) if path.is_file()]
    assert left == [
        ".state/pack/a/0.bin",
        ".state/pack/a/0.docs.parquet",
        ".state/pack/a/0.json",
        ".state/tokens/train/00000.json",
    ]


@pytest.mark.parametrize("most", [10, pytest.param(None, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["eio", "short"])
def test_a_fault_somewhere(
    make_corpus: MakeCorpus, pack: Pack, texts: list[str], kind: files.FaultKind, most: int | None
) -> None:
    """At ten operations of a small run; in the soak, at every one."""
    settings = {"shard_tokens": 1000, "validation_fraction": 0.3}
    small = {"a/0": texts[:6], "a/1": texts[6:12]}
    undisturbed = make_corpus(small, folder="undisturbed")
    files.inject(None)
    pack(undisturbed, **settings)
    operations, wanted = files.operations(), published(undisturbed.root)
    for at in range(operations) if most is None else random.Random(kind).sample(range(operations), most):
        work = make_corpus(small, folder=f"at{at}")
        files.inject(Fault(at=at, kind=kind))
        try:
            with pytest.raises(OSError, match="Input/output|short write"):
                pack(work, **settings)
        finally:
            files.inject(None)
        pack(work, **settings)
        assert published(work.root) == wanted, f"another result after {kind} at operation {at}"


@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_shuffled_documents_are_in_the_order_of_a_hash_over_the_whole_source(
    make_corpus: MakeCorpus, pack: Pack, texts: list[str], fraction: float
) -> None:
    work = make_corpus({**layout(texts[:60]), "b/0": texts[60:]})
    done = pack(work, shuffle=True, shard_tokens=1000, validation_fraction=fraction)
    store = TokenStore.open(work.root / "tokens")
    assert not list(problems(store.folder, decode=ByteEncoder.decode))
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


def test_shuffling_again_encodes_nothing(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    work = make_corpus(layout(texts))
    pack(work, shuffle=True)
    before = published(work.root)
    assert pack(work, shuffle=False).recomputed_shards == 0
    assert published(work.root) != before
    assert pack(work, shuffle=True).recomputed_shards == 0
    assert published(work.root) == before


def test_a_document_that_is_gone_moves_no_other(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    whole, less = make_corpus(layout(texts), folder="whole"), make_corpus(layout(texts), folder="less")
    pack(whole, shuffle=True)
    reasons: dict[str, list[str | None]] = {name: [""] * 20 for name in layout(texts)}
    reasons["a/1"][7] = "short"
    pack(dropping(less, reasons), shuffle=True)
    gone = schema.doc_id("a", "1:7")
    rows = [
        TokenStore.open(work.root / "tokens").split("train").documents_table()["doc_id"].to_pylist() for work in (whole, less)
    ]
    assert [row for row in rows[0] if row != gone] == rows[1]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_what_was_encoded_and_changed_meanwhile_is_not_packed(
    make_corpus: MakeCorpus, pack: Pack, texts: list[str], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make_corpus(layout(texts))
    path = work.root / ".state/pack/a/2.bin"
    planned = step.plan

    def later(*arguments: object) -> object:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
        if damage == "gone":
            path.unlink()
        return planned(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "plan", later)
    with pytest.raises(CorruptFile, match="a/2.bin"):
        pack(work, shuffle=True)
    monkeypatch.undo()
    pack(work, shuffle=True)
    assert not list(problems(work.root / "tokens"))


@pytest.mark.parametrize(("length", "refused"), [(2**31 - 1, True), (2**31 - 2, False)])
def test_a_document_that_the_index_cannot_count_is_refused(length: int, refused: bool) -> None:
    """A view of one id in so many places stands for two to the 31 of them."""
    ids, counts = np.broadcast_to(np.uint32(1), length), np.array([length], dtype=np.int64)
    view = View(root=Path(), name="a/0", documents=("", files.FileEntry(bytes=0, sha256="")))
    doc_ids = pa.chunked_array([pa.array([schema.doc_id("a", "0:0")], pa.binary(16))])
    if refused:
        with pytest.raises(InputError, match=rf"a/0: document {schema.doc_id('a', '0:0').hex()} has 2147483648 tokens"):
            encoded._check(ids, counts, doc_ids, view, ByteEncoder())
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


def test_two_packers_in_one_folder(make_corpus: MakeCorpus, pack: Pack, tmp_path: Path) -> None:
    """The second, in another process, says who holds the folder, and changes nothing."""
    work = make_corpus({"a/0": ["ab"]})
    script = "import sys; from pathlib import Path; from pipeline import files\nwith files.lock(Path(sys.argv[1])): print('in')"
    with files.lock(work.root):
        pack(work)
        before = published(work.root)
        second = subprocess.run(
            [sys.executable, "-c", script, work.root], check=False, capture_output=True, text=True, timeout=60
        )
    assert second.returncode != 0
    assert f"Locked: {work.root} is locked: process {os.getpid()} on" in second.stderr
    assert published(work.root) == before
    third = subprocess.run([sys.executable, "-c", script, work.root], check=True, capture_output=True, text=True, timeout=60)
    assert third.stdout == "in\n"


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
