"""Damaged, swapped and foreign stores: all refused before the first batch, and the file is named."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import CorruptFile, StaleInput, TokenmillError
from tokenmill.pipeline.stages.step import Done, Work
from tokenmill.pipeline.tokens import TokenStore, problems
from tokenmill.pipeline.tokens.samples import samples

CUTS, SWAPS = 50, 10


@pytest.fixture
def store(make_corpus: Callable[..., Work], pack: Callable[..., Done]) -> Path:
    """Seven token shards of two sources in two splits; the folder `tokens`."""
    texts = {f"{source}/0": [f"{source}{row}" * (60 + row % 50) for row in range(40)] for source in "ab"}
    work = make_corpus(texts)
    pack(work, shuffle=True, shard_tokens=3000, validation_fraction=0.2)
    return work.root / "tokens"


def names(folder: Path) -> list[str]:
    return [*manifest.load(folder.parent, "pack").files, "tokens/manifest.json"]


def refused(folder: Path, *names: str) -> None:
    """Something is found, first in one of the files."""
    found = list(problems(folder))
    assert found, f"{names}: not found"
    assert found[0].startswith(tuple(str(folder.parent / name) for name in names)), found


@pytest.mark.parametrize("flips", [90, pytest.param(400, marks=pytest.mark.soak)])
def test_flips(store: Path, flips: int) -> None:
    draw, every = random.Random(0), itertools.cycle(names(store))
    for name in itertools.islice(every, flips):
        path = store.parent / name
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        refused(store, name)
        path.write_bytes(whole)
    assert not list(problems(store))


def test_cuts(store: Path) -> None:
    """A byte short, at a block or an id, or anywhere: no store that is cut can be opened."""
    draw, every = random.Random(1), itertools.cycle(names(store))
    for turn, name in enumerate(itertools.islice(every, CUTS)):
        path = store.parent / name
        whole = path.read_bytes()
        path.write_bytes(whole[: [-1, -2, draw.randrange(len(whole))][turn % 3]])
        refused(store, name)
        with pytest.raises(TokenmillError, match=str(path)):
            TokenStore.open(store)
        path.write_bytes(whole)


def test_swaps(store: Path) -> None:
    draw, all_of = random.Random(2), names(store)[:-1]
    pairs = [(a, b) for a, b in itertools.combinations(all_of, 2) if Path(a).suffix == Path(b).suffix]
    for a, b in draw.sample(pairs, SWAPS):
        data = {name: (store.parent / name).read_bytes() for name in (a, b)}
        (store.parent / a).write_bytes(data[b])
        (store.parent / b).write_bytes(data[a])
        refused(store, a, b)
        for name, content in data.items():
            (store.parent / name).write_bytes(content)


def test_a_foreign_manifest(store: Path, make_corpus: Callable[..., Work], pack: Callable[..., Done]) -> None:
    other = make_corpus({"a/0": ["else"]}, folder="other")
    pack(other)
    (store / "manifest.json").write_bytes((other.root / "tokens/manifest.json").read_bytes())
    with pytest.raises(CorruptFile, match=r"train/00000.bin: \d+ bytes, its manifest names 10 bytes"):
        TokenStore.open(store)


@pytest.mark.parametrize("kinds", [("bin",), ("bin", "blocks"), ("bin", "blocks", "idx", "docs.parquet")])
def test_foreign_shards_of_the_same_size(
    make_corpus: Callable[..., Work], pack: Callable[..., Done], kinds: tuple[str, ...]
) -> None:
    """Sizes fit, so the store opens; the first read of the shard names what is not its own."""
    folders = []
    for letter in "xy":
        work = make_corpus({"a/0": [letter * 3000]}, folder=letter)
        pack(work)
        folders.append(work.root / "tokens")
    mine, theirs = folders
    sizes = [[path.stat().st_size for path in sorted((folder / "train").iterdir())] for folder in folders]
    assert sizes[0] == sizes[1]
    for kind in kinds:
        shutil.copy(theirs / f"train/00000.{kind}", mine / f"train/00000.{kind}")
    order = samples(TokenStore.open(mine), length=100)
    wrong = r"00000.bin: block 0 \(bytes 0 to 6002\)" if kinds == ("bin",) else "00000.blocks: .* manifest names"
    with pytest.raises(CorruptFile, match=wrong):
        order.read(0, 1)
    refused(mine, *(f"tokens/train/00000.{kind}" for kind in kinds))


def test_the_manifest_of_a_store_of_the_same_sizes(make_corpus: Callable[..., Work], pack: Callable[..., Done]) -> None:
    folders = []
    for letter in "xy":
        work = make_corpus({"a/0": [letter * 3000]}, folder=letter)
        pack(work)
        folders.append(work.root / "tokens")
    shutil.copy(folders[1] / "manifest.json", folders[0] / "manifest.json")
    order = samples(TokenStore.open(folders[0]), length=100)
    with pytest.raises(CorruptFile, match=r"x/tokens/train/00000\.blocks"):
        order.read(0, 1)
    refused(folders[0], "tokens/train/00000.blocks")


def test_another_tokenizer(store: Path) -> None:
    with pytest.raises(StaleInput, match="tokenizer='others' is wanted"):
        TokenStore.open(store, tokenizer="others")
    assert "tokenizer='others' is wanted" in next(iter(problems(store, tokenizer="others")))


@pytest.mark.parametrize("damage", ["cut", "replaced"])
def test_a_file_that_changes_while_it_is_read(store: Path, damage: str) -> None:
    """A cut is an error, not the end of the process; a file that takes its place is not seen, or compared anew."""
    order = samples(TokenStore.open(store), length=100)
    wanted = order.read(0, order.windows).ids
    for path in (store / "train").glob("*.bin"):
        if damage == "cut":
            with open(path, "r+b") as handle:
                handle.truncate(10)
        else:
            fresh = path.with_suffix(".new")
            shutil.copy(path, fresh)
            fresh.write_bytes(bytes(path.stat().st_size))
            fresh.rename(path)
    if damage == "cut":
        with pytest.raises(CorruptFile, match="was cut while it was read"):
            order.read(0, order.windows)
    else:
        assert (order.read(0, order.windows).ids == wanted).all()
        with pytest.raises(CorruptFile, match="block 0"):
            samples(TokenStore.open(store), length=100).read(0, order.windows)
