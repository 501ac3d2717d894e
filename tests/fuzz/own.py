"""Files that are ours, mutated: settings, tokenizers, token stores, manifests, lists of forgotten documents, checkpoints.

What must hold: a reader gives a value or raises an error of ours. Where a hash covers the bytes, other bytes are noticed. A
mutant may also be signed again, as a hostile file would be; then the reader may accept it, and nothing else may happen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fuzz.mutate import Mutant, other_value
from tests.fuzz.seeds import Seed
from tokenmill.pipeline.base import manifest, state
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.files import canonical_json

Use = Callable[[Path], bool]
"""Reads everything in a folder. Returns whether it noticed damage."""


def seeds_of(format: str, base: Path) -> list[Seed]:
    """One seed for each file below `base`."""
    names = sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file())
    sealed = format in ("store", "state", "checkpoint")
    return [Seed(format=format, ending=name, data=(base / name).read_bytes(), sealed=sealed) for name in names]


def check(use: Use, base: Path, batch: Sequence[Mutant], folder: Path) -> list[str]:
    """Read each mutant in its place in a copy of `base`."""
    problems = []
    for number, one in enumerate(batch):
        shutil.rmtree(folder, ignore_errors=True)
        copy = folder / str(number)
        shutil.copytree(base, copy, copy_function=os.link)
        path = copy / one.seed.ending
        path.unlink()
        path.write_bytes(one.data)
        try:
            noticed = use(copy)
        except TokenmillError:
            noticed = True
        if one.seed.sealed and one.data != one.seed.data and "signed" not in one.how and not noticed:
            problems.append(f"{one.how}: other bytes were taken for whole")
    return problems


def signed_again(seed: Seed, draw: random.Random) -> Mutant | None:
    """Another value in a JSON file of ours, with the hash that belongs to it. None if the file is not such a file."""
    if not seed.ending.endswith(".json"):
        return None
    plain = json.loads(seed.data)
    if not isinstance(plain, dict):
        return None
    with contextlib.suppress(UnicodeEncodeError):
        if plain.keys() == {"value", "sha256"}:
            value = other_value(plain["value"], draw)
            signed = {"value": value, "sha256": hashlib.sha256(canonical_json(value)).hexdigest()}
        else:
            plain.pop("hash", None)
            changed = other_value(plain, draw)
            if not isinstance(changed, dict):
                return None
            signed = {**changed, "hash": hashlib.sha256(canonical_json(changed)).hexdigest()}
        return Mutant(seed=seed, data=canonical_json(signed), how="signed", damaged=False)
    return None


def use_config(folder: Path) -> bool:
    """Read the settings, and write them."""
    from tokenmill.pipeline.stages import settings

    settings.to_toml(settings.load(folder / "config.toml"))
    return False


def make_config(base: Path) -> None:
    """A file with every section."""
    from tokenmill.pipeline.stages import settings

    sources = [
        {"kind": "files", "name": "a", "paths": ["x", "y/*.txt"]},
        {"kind": "dataset", "name": "b", "path": "owner/name", "revision": "0123abcd"},
        {"kind": "installed"},
    ]
    made = settings.parse({"collect": {"paths": ["texts"], "sources": sources}}, where="a test")
    (base / "config.toml").write_text(settings.to_toml(made))


TEXT = "the token shard of a corpus: 2024's naïve 語言 😀\n\n\tx <|endoftext|> end"


def use_tokenizer(folder: Path) -> bool:
    """Load each tokenizer, and give back a text through ids."""
    from tokenmill.tokenizer.encode import load

    for name in ("tokenizer.json", "gpt2/vocab.json", "gpt2.tiktoken"):
        if (folder / name).exists():
            import pyarrow as pa

            encoder = load(folder / name)
            ids, _ = encoder.encode(pa.array([TEXT], pa.large_string()))
            if not encoder.description.nfc and encoder.decode_bytes(ids.tolist()) != TEXT.encode():
                raise AssertionError("an accepted tokenizer does not give a text back")
    return False


def make_tokenizer(base: Path) -> None:
    """A tokenizer of 260 ids in three formats."""
    import base64

    from tokenmill.tokenizer.description import END_OF_TEXT
    from tokenmill.tokenizer.files import assemble
    from tokenmill.tokenizer.formats import byte_alphabet
    from tokenmill.tokenizer.pretokenize import pattern

    spelled = {byte: character for character, byte in byte_alphabet().items()}
    vocab = {spelled[byte]: byte for byte in range(256)} | {"th": 256, "the": 257, "Ġt": 258}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "t")]
    (base / "tokenizer.json").write_bytes(assemble(vocab, merges, pattern("gpt2"), {END_OF_TEXT: 259}))
    (base / "gpt2").mkdir()
    (base / "gpt2/vocab.json").write_text(json.dumps(vocab | {END_OF_TEXT: 259}))
    (base / "gpt2/merges.txt").write_text("#version: 0.2\n" + "".join(f"{one} {two}\n" for one, two in merges))
    tokens = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" t"]
    lines = [b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens)]
    (base / "gpt2.tiktoken").write_bytes(b"".join(lines))


def use_store(folder: Path) -> bool:
    """Open the store, check it, and read every token, mask and document."""
    from tokenmill.pipeline.tokens import check as tokens_check
    from tokenmill.pipeline.tokens.store import TokenStore

    noticed = bool(list(tokens_check.problems(folder)))
    store = TokenStore.open(folder)
    for split in store.splits:
        split.kept(0, split.tokens)
        split.read(0, split.tokens)
        if split.tokens:
            split.document_at(split.tokens // 2)
        split.documents_table()
    return noticed


def make_store(base: Path) -> None:
    """A packed corpus of one source, with a forgotten document."""
    from tests.folders import write_corpus
    from tests.tokens.conftest import ByteEncoder
    from tokenmill.pipeline.config import PackConfig
    from tokenmill.pipeline.stages.step import perform
    from tokenmill.pipeline.tokens import forget
    from tokenmill.pipeline.tokens.pack import PackStep

    work = write_corpus(base, {"a/0": [f"text number {number} of the corpus" for number in range(9)]})
    config = PackConfig(validation_fraction=0.2)
    perform(PackStep(config=config, encoder=ByteEncoder()), work, downstream=())
    forget.forget(base, [forget.request_ids("doc_id", "x", [_first_id(base, work.before[0])])])
    for path in (*base.glob("documents/**/*.parquet"), *base.rglob(".state/**/*")):
        if path.is_file():
            path.unlink()
    shutil.rmtree(base / "collect")


def _first_id(base: Path, collected: manifest.Manifest) -> str:
    from tokenmill.pipeline.base import shards

    named = next(iter(collected.shards[0].files.items()))
    return str(shards.read(base, named, ["doc_id"])["doc_id"][0].as_py().hex())


def use_state(folder: Path) -> bool:
    """Read a manifest and a record of what a build has done."""
    found = state.load(folder / "record.json")
    try:
        made = manifest.read(folder / "manifest.json")
        manifest.load(folder, "corpus")
    except OSError as error:
        raise AssertionError("the file is there") from error
    return found is None or not made.stage


def make_state(base: Path) -> None:
    """One manifest and one record."""
    entry = {"documents/a/0.parquet": _entry(9)}
    counts = manifest.Counts(read=3, kept=1, dropped={"empty": 1}, quarantined=1, bytes_in=10, bytes_kept=5)
    shard = manifest.Shard(name="a/0", files=entry, counts=counts)
    made = manifest.Manifest(
        stage="corpus", version=1, config={"a": [1.5]}, inputs={"x": "y"}, shards=(shard,), facts={"f": {}}
    )
    manifest.commit(base, made)
    state.save(base / "record.json", {"identity": "x", "shard": manifest.shard_to_plain(shard), "rows": [1, 2]})


def _entry(size: int) -> manifest.FileEntry:
    return manifest.FileEntry(bytes=size, sha256="0" * 64, rows=1)


def use_checkpoint(folder: Path) -> bool:
    """Load the newest whole checkpoint. The damage is noticed if an older one is used."""
    from tokenmill.model import checkpoint, optim
    from tokenmill.pipeline.base.progress import Silent
    from tokenmill.pipeline.config import TrainConfig

    found = checkpoint.newest(folder, Silent())
    assert found is not None
    model = checkpoint.load_model(found)
    checkpoint.restore(found, model, optim.optimizers(model, TrainConfig()))
    return found.state.step < 1


def make_checkpoint(base: Path) -> None:
    """One checkpoint of a tiny model."""
    import torch

    from tokenmill.model import checkpoint, optim
    from tokenmill.model.evaluate import Evaluation
    from tokenmill.model.gpt import GPT
    from tokenmill.model.shape import Shape
    from tokenmill.model.state import State
    from tokenmill.pipeline.config import TrainConfig

    shape = Shape(layers=1, heads=2, width=8, context_tokens=8, vocabulary=20)
    model = GPT(shape)
    optimizers = optim.optimizers(model, TrainConfig())
    loss = model(torch.arange(18).reshape(2, 9)[:, :8])[..., :20].square().mean()
    loss.backward()
    optim.update(optimizers, loss.detach(), rate=1.0, clip_norm=1.0, halted=torch.zeros(()))
    begun = State(
        step=1, samples=2, store="s", tokenizer="t", seed=3, order="o", end_of_text=19, shape=shape, config={"rate": 0.1},
        evaluations=(Evaluation(step=0, tokens=8, loss=0.1),),
    )  # fmt: skip
    checkpoint.publish(base, begun, model, optimizers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """How files of one format are made and read."""

    make: Callable[[Path], None]
    use: Use
    modules: tuple[str, ...] = ()
    """Imported once, before processes are forked."""


KINDS = {
    "config": Kind(make=make_config, use=use_config, modules=("tokenmill.pipeline.stages.settings",)),
    "json": Kind(make=make_tokenizer, use=use_tokenizer, modules=("tokenmill.tokenizer.encode",)),
    "store": Kind(make=make_store, use=use_store, modules=("tokenmill.pipeline.tokens.check", "tests.tokens.conftest")),
    "state": Kind(make=make_state, use=use_state),
    "checkpoint": Kind(make=make_checkpoint, use=use_checkpoint, modules=("tokenmill.model.checkpoint",)),
}
