"""`problems`: every change is found and the file is named."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tokenmill.pipeline.base import files, manifest, shards
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.tokens import problems

StoreOf = Callable[..., tuple[Path, Manifest]]


def recommit(folder: Path, made: Manifest, name: str | None = None, data: bytes = b"", **facts: object) -> None:
    """Publish the store as if it had been packed with another file or other facts."""
    entries = dict(made.files)
    if name is not None:
        entries[name] = dataclasses.replace(files.write_bytes(folder.parent / name, data), rows=entries[name].rows)
    manifest.commit(folder.parent, dataclasses.replace(made, files=entries, facts={**made.facts, **facts}))


def test_a_whole_store_has_none(store_of: StoreOf, byte_encoder: object) -> None:
    folder, _ = store_of(["ab", "", "ä" * 2000, "<|endoftext|>"] * 5, shard_tokens=1000, validation_fraction=0.3)
    assert list(problems(folder, decode=byte_encoder.decode_bytes, tokenizer="bytes")) == []  # type: ignore[attr-defined]


def test_every_flip_and_every_cut_is_found(store_of: StoreOf) -> None:
    folder, made = store_of(["ab" * 300, "", "ä" * 500], shard_tokens=1000)
    draw = random.Random(0)
    names = [*made.files, "tokens/manifest.json"]
    for turn in range(200):
        path = folder.parent / names[turn % len(names)]
        whole = path.read_bytes()
        changed = bytearray(whole)
        if turn % 3:
            changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        else:
            del changed[draw.randrange(len(whole)) :]
        path.write_bytes(changed)
        found = list(problems(folder))
        assert found, f"{path.name}: not found"
        assert any(line.startswith(str(path)) for line in found), found
        path.write_bytes(whole)
    assert list(problems(folder)) == []


def test_the_block_is_named(store_of: StoreOf) -> None:
    folder, _ = store_of(["a" * 600_000])
    path = folder / "train/00000.bin"
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)
    assert list(problems(folder)) == [f"{path}: block 1 (bytes 1048576 to 1200002) holds other bytes than were packed"]


def test_ids_beyond_the_vocabulary(store_of: StoreOf) -> None:
    folder, made = store_of(["abc"])
    recommit(folder, made, vocabulary=100)
    assert list(problems(folder)) == [f"{folder}/train/00000.bin: block 0 (bytes 0 to 8) holds id 100, the vocabulary is 100"]


def test_documents_without_an_end(store_of: StoreOf) -> None:
    folder, made = store_of(["ab", "aa"])
    recommit(folder, made, end_of_text=98)
    assert list(problems(folder)) == [
        f"{folder}/train/00000.bin: token 2 (byte 4) is not the end-of-text of the document in row 0",
        f"{folder}/train/00000.bin: 3 end-of-text ids for 2 documents",
    ]


def test_an_index_that_says_something_else(store_of: StoreOf) -> None:
    folder, made = store_of(["ab", "cd"])
    data = bytearray((folder / "train/00000.idx").read_bytes())
    data[34] += 1
    recommit(folder, made, "tokens/train/00000.idx", bytes(data))
    assert list(problems(folder)) == [
        f"{folder}/train/00000.idx: differs at byte 34 from the index of the documents in train/00000.docs.parquet"
    ]


def test_a_table_that_says_something_else(store_of: StoreOf) -> None:
    folder, made = store_of(["ab", "cd"])
    name = "tokens/train/00000.docs.parquet"
    table = shards.read(folder.parent, (name, made.files[name]))
    place = table.schema.get_field_index("token_offset")
    moved = table.set_column(place, table.schema.field(place), [np.array([0, 2])])
    entry = shards.write(folder.parent, name, moved)
    manifest.commit(folder.parent, dataclasses.replace(made, files={**made.files, name: entry}))
    assert list(problems(folder)) == [f"{folder.parent / name}: row 1 begins at token 2, not where the document before it ends"]


def test_totals_that_do_not_fit(store_of: StoreOf) -> None:
    folder, made = store_of(["ab"])
    splits = {**made.facts["splits"], "train": {**made.facts["splits"]["train"], "tokens": 4}}
    recommit(folder, made, splits=splits)
    found = list(problems(folder))
    assert len(found) == 1
    assert found[0].startswith(f"{folder}/manifest.json: names 4 tokens in 1 documents of train, its files hold 3 in 1")


def test_tokens_that_are_another_text(store_of: StoreOf) -> None:
    folder, _ = store_of(["ab", "cd"])
    found = list(problems(folder, decode=lambda ids: b"ab"))
    assert len(found) == 1
    assert found[0].startswith(f"{folder}/train/00000.bin: the tokens 3 to 5 do not give back the text of document ")


@pytest.mark.parametrize("name", ["manifest.json", "train/00000.bin"])
def test_a_missing_file(store_of: StoreOf, name: str) -> None:
    folder, _ = store_of(["ab"])
    (folder / name).unlink()
    assert any(str(folder / name) in line and "missing" in line for line in problems(folder))
