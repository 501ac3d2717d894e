"""What an export refuses, leaves out, links and replaces."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import pyarrow.parquet as pq
import pytest

from tests.export.conftest import TEXTS, Packed
from tokenmill.flows.cli import corpus as commands
from tokenmill.pipeline.base import files, schema
from tokenmill.pipeline.base.errors import CorruptFile, InputError, NotBuilt
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.collect import dataset
from tokenmill.pipeline.config import DatasetSource
from tokenmill.pipeline.export import FORMATS, Format
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.tokens.compact import compact
from tokenmill.pipeline.tokens.forget import forget, request_ids

VIEWS: tuple[Format, ...] = ("megatron", "nanotron", "olmo", "nanogpt")
TEXT: tuple[Format, ...] = ("jsonl", "parquet", "huggingface")
PackedAs = Callable[..., Packed]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def forget_one(packed: Packed) -> str:
    """Forgets the long document of c's; returns its id."""
    doc_id = schema.doc_id("a", "0:2").hex()
    forget(packed.root, [request_ids("doc_id", doc_id, [doc_id])])
    return doc_id


def test_the_command_line_offers_every_format() -> None:
    assert set(get_args(get_type_hints(commands.export)["to"])) == set(FORMATS) == set(get_args(Format)) == {*VIEWS, *TEXT}


def test_views_link_what_the_store_holds(packed_as: PackedAs) -> None:
    packed = packed_as(shard_tokens=10**6, validation_fraction=0)
    payloads = {shard.path.stat().st_ino for shard in packed.store.split("train").shards}
    indexes = {path.stat().st_ino for path in (packed.root / "tokens").rglob("*.idx")}
    for to, wanted in (("megatron", payloads | indexes), ("nanotron", payloads), ("olmo", payloads)):
        linked = {path.stat().st_ino for path in packed.export(to).rglob("*") if path.stat().st_nlink > 1 and path.is_file()}
        assert linked == wanted, to


def test_nanogpt_links_a_split_of_one_shard_and_copies_several_read_only(packed_as: PackedAs) -> None:
    packed = packed_as(validation_fraction=0.3, shard_tokens=10**6)
    train, val = (packed.store.split(name).shards for name in ("train", "val"))
    out = packed.export("nanogpt")
    for split, parts in (("train", train), ("val", val)):
        found = (out / f"{split}.bin").stat()
        if len(parts) == 1:
            assert found.st_ino == parts[0].path.stat().st_ino
        else:
            assert (found.st_nlink, found.st_mode & 0o777) == (1, 0o444)
    assert {len(train), len(val)} == {1, 2}


def test_a_split_without_tokens_has_no_file_for_nanogpt(packed_as: PackedAs) -> None:
    assert sorted(content(packed_as(validation_fraction=0).export("nanogpt"))) == [".export.json", "train.bin"]


def failing(code: int) -> Callable[..., None]:
    """What the operating system may answer to a link."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_across_file_systems_views_are_read_only_copies(packed_as: PackedAs, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = packed_as()
    linked = {to: content(packed.export(to)) for to in VIEWS}
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    for to in VIEWS:
        out = packed.export(to, f"copied-{to}")
        assert content(out) == linked[to]
        payloads = [path for path in out.rglob("*") if path.suffix in (".bin", ".ds", ".npy", ".idx")]
        assert {(path.stat().st_nlink, path.stat().st_mode & 0o777) for path in payloads} == {(1, 0o444)}


def test_other_failures_to_link_are_not_taken_for_that(packed_as: PackedAs, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = packed_as()
    monkeypatch.setattr(os, "link", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        packed.export("megatron")


@pytest.mark.parametrize("links", [True, False])
def test_a_flipped_bit_is_not_exported(packed_as: PackedAs, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = packed_as()
    path = packed.root / "tokens" / "train" / "00001.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 8
    path.write_bytes(data)
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    for to in VIEWS:
        with pytest.raises(CorruptFile, match="00001.bin: holds bytes with SHA-256"):
            packed.export(to)
        assert bytes(data) not in content(packed.out / to).values()


def test_a_store_with_forgotten_documents_is_refused_until_it_is_compacted(packed_as: PackedAs) -> None:
    packed = packed_as()
    forget_one(packed)
    for to in VIEWS:
        with pytest.raises(InputError, match="run `tokenmill compact"):
            packed.export(to)
    assert not packed.out.exists()
    # Byte b is id b + 1.
    victim = bytes([ord("c") + 1, 0] * 1900)
    assert any(victim in data for data in content(packed.root / "tokens").values())
    compact(packed.root, downstream=(), progress=Silent())
    for to in VIEWS:
        assert not any(victim in data for data in content(packed.export(to)).values())


def test_forgotten_documents_are_not_in_exported_text(packed_as: PackedAs) -> None:
    packed = packed_as()
    whole = {to: rows(packed.export(to)) for to in TEXT}
    doc_id = forget_one(packed)
    for masked in (True, False):
        assert packed.store.split("val").has_forgotten == masked
        for to in TEXT:
            assert rows(packed.export(to)) == [row for row in whole[to] if row["doc_id"] != doc_id] != whole[to]
        compact(packed.root, downstream=(), progress=Silent())


def rows(folder: Path) -> list[dict[str, str]]:
    found = []
    for path in sorted(folder.rglob("*.*")):
        if path.suffix == ".jsonl":
            found += [json.loads(line) for line in path.read_text().split("\n") if line]
        elif path.suffix == ".parquet":
            found += pq.ParquetFile(path).read().to_pylist()
    return found


def test_what_text_exports_hold(packed_as: PackedAs) -> None:
    packed = packed_as()
    for to in TEXT:
        found = rows(packed.export(to))
        assert [row["text"] for row in found] == [text for texts in TEXTS.values() for text in texts]
        assert found[3] == {
            "doc_id": schema.doc_id("a", "0:3").hex(),
            "source": "a",
            "url": None,
            "text": "one document",
            "metadata": {} if to == "jsonl" else "{}",
        }


def test_load_dataset_reads_the_folder_offline(packed_as: PackedAs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import load_dataset

    def no_network(*_: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    out = packed_as().export("huggingface", licence="odc-by")
    whole = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert list(whole) == ["train"]
    assert whole["train"]["text"][:] == [text for texts in TEXTS.values() for text in texts]
    one = load_dataset(str(out), "b", split="train", cache_dir=str(tmp_path / "cache"))
    assert one["text"][:] == TEXTS["b/0"]
    assert pq.ParquetFile(out / "data" / "empty" / "train-00000-of-00001.parquet").schema_arrow.names == one.column_names
    assert [row["text"] for row in load_dataset(str(out), "a", split="train", streaming=True)][-1] == TEXTS["a/1"][-1]


def test_the_folder_is_a_source_of_ours(packed_as: PackedAs) -> None:
    out = packed_as().export("huggingface", licence="odc-by")
    for config, wanted in ((None, [text for texts in TEXTS.values() for text in texts]), ("b", TEXTS["b/0"])):
        files = dataset.listing(DatasetSource(name="again", path=str(out), config_name=config)).files
        assert [text for file in files for text in pq.read_table(file.path)["text"].to_pylist()] == wanted


def test_the_card(packed_as: PackedAs) -> None:
    from huggingface_hub import DatasetCard

    packed = packed_as()
    card = DatasetCard.load(packed.export("huggingface") / "README.md")
    assert card.data.to_dict() == {
        "pretty_name": "corpus",
        "license": "unknown",
        "size_categories": ["n<1K"],
        "task_categories": ["text-generation"],
        "configs": [
            {"config_name": "default", "data_files": "data/*/*.parquet"},
            {"config_name": "a", "data_files": "data/a/*.parquet"},
            {"config_name": "b", "data_files": "data/b/*.parquet"},
        ],
    }
    for line in (
        "27 documents, 4,477 bytes of text.",
        "| b | 2 | 1,715 |",
        "Licence: unknown.",
        "## How it was made",
        "## Funnel",
    ):
        assert line in card.text, line
    assert "forgotten" not in card.text
    forget_one(packed)
    card = DatasetCard.load(packed.export("huggingface", licence="cc-by-4.0") / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert "26 documents, 2,577 bytes" in card.text
    assert "forgotten are left out" in card.text


def test_what_a_format_cannot_hold_is_refused(packed_as: PackedAs, make_corpus: Callable[..., Work], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nanoGPT reads 16 bits"):
        packed_as(70_000).export("nanogpt")
    with pytest.raises(InputError, match="has no card"):
        packed_as().export("jsonl", licence="odc-by")
    unpacked = Packed(work=make_corpus({"a/0": ["text"]}, folder="unpacked"), out=tmp_path / "none")
    for to in VIEWS:
        with pytest.raises(NotBuilt, match="no finished stage 'pack'"):
            unpacked.export(to)
    assert not unpacked.out.exists()


def test_an_export_replaces_one_of_another_format_and_nothing_else(packed_as: PackedAs) -> None:
    packed = packed_as()
    for to in (*VIEWS, *TEXT, *VIEWS):
        packed.export(to, "same")
        assert content(packed.out / "same") == content(packed.export(to, f"fresh-{to}"))
    (packed.out / "mine").mkdir()
    (packed.out / "mine" / "notes").write_text("mine")
    for to in FORMATS:
        with pytest.raises(InputError, match="holds no export"):
            packed.export(to, "mine")
    assert content(packed.out / "mine") == {"notes": b"mine"}


@pytest.mark.parametrize("to", ["megatron", "nanogpt"])
def test_an_export_that_fails_anywhere_can_be_made_again(packed_as: PackedAs, to: Format) -> None:
    packed = packed_as(shard_tokens=10**6, validation_fraction=0)
    files.inject(None)
    wanted = content(packed.export(to, "whole"))
    for at in range(files.operations()):
        files.inject(Fault(at=at, kind="eio"))
        with pytest.raises(OSError, match="Input/output error"):
            packed.export(to, f"cut-{at}")
        files.inject(None)
        found = content(packed.out / f"cut-{at}") if (packed.out / f"cut-{at}").exists() else {}
        assert all(wanted[name] == data for name, data in found.items() if name != ".export.json")
        assert content(packed.export(to, f"cut-{at}")) == wanted
    assert not list(packed.out.rglob(f"*{files.TEMPORARY}"))
