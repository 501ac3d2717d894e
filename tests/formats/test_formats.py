"""Corpora of every released format are read, checked, handed on and brought up to date; those of newer ones are refused."""

from __future__ import annotations

import json
import lzma
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

import tokenmill as tm
from tests.command import tokenmill
from tests.formats.make import NAME, SETTINGS
from tokenmill.model import checkpoint
from tokenmill.pipeline.ask.verify import problems
from tokenmill.pipeline.base import files, formats, manifest, state
from tokenmill.pipeline.base.errors import CorruptFile, NewerFormat
from tokenmill.pipeline.base.manifest import CORPUS, PACK, Manifest
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.tokens import TokenStore, forget
from tokenmill.tokenizer.encode import of_corpus

RELEASED = sorted(path.name for path in Path(__file__).parent.iterdir() if (path / NAME).is_file())


def unpacked(number: str, folder: Path) -> Path:
    """The kept corpus of a format, in `folder` beside its texts."""
    with lzma.open(Path(__file__).parent / number / NAME) as data, tarfile.open(fileobj=data) as archive:
        archive.extractall(folder, filter="data")
    return folder / "corpus"


def test_a_corpus_of_every_released_format_is_kept() -> None:
    assert [str(number) for number in range(1, len(RELEASED) + 1)] == RELEASED
    assert len(RELEASED) >= formats.MANIFEST.oldest


@pytest.mark.parametrize("number", RELEASED)
def test_an_older_corpus_is_read_and_brought_up_to_date(number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = unpacked(number, tmp_path)
    monkeypatch.chdir(tmp_path)

    corpus = tm.open(root)
    assert corpus.status().documents == 24
    assert [row.stage for row in corpus.funnel()] == ["collect", "language", "dedup", "repeats", "quality", "pack"]
    assert len({row["doc_id"] for row in corpus.texts().read_all().to_pylist()}) == 23, "one of 24 was forgotten"
    assert list(problems(root, Silent(), of_corpus)) == []
    assert corpus.trace("train/00000:10")["document"]["source"] == "files"
    assert corpus.tokens.samples(length=16, seed=0).read(0, 2).ids.shape == (2, 17)
    corpus.export("jsonl", tmp_path / "export")
    assert sum(len(path.read_bytes().splitlines()) for path in (tmp_path / "export").rglob("*.jsonl")) == 23
    known = checkpoint.newest(root / "model" / checkpoint.FOLDER, Silent())
    assert known is not None
    assert known.state.step == 4
    checkpoint.load_model(known)
    assert TokenStore.open(root).splits[1].has_forgotten

    tm.build("text", root, SETTINGS, workers=1, progress=False)
    assert not any(made.is_older for made in manifests(root))
    assert list(problems(root, Silent(), of_corpus)) == []
    tm.build("text", "fresh", SETTINGS, workers=1, progress=False)
    fresh, now = published(Path("fresh")), published(root)
    # The store of the older corpus lacks the forgotten document, and so its report and the manifest of the whole differ.
    assert fresh.keys() == now.keys()
    differing = {name for name in now if now[name] != fresh[name]}
    assert {name.partition("/")[0] for name in differing} == {"tokens", "report.html", "manifest.json"}


def manifests(root: Path) -> list[Manifest]:
    """Those of a corpus and its steps."""
    whole = manifest.load(root, CORPUS)
    return [whole, *(manifest.load(root, name) for name in whole.facts["steps"])]


def published(root: Path) -> dict[str, bytes]:
    """The bytes of every file that the manifests of a corpus name, and of the manifests."""
    made = manifests(root)
    names = {name for one in made for name, _ in one.entries()} | {f"{one.stage}/{manifest.NAME}" for one in made[1:-1]}
    names |= {f"tokens/{manifest.NAME}", manifest.NAME}
    return {name: (root / name).read_bytes() for name in sorted(names)}


def reseal(path: Path, **changes: Any) -> None:
    """Change fields of a file with a header, and give it the hash that belongs to them."""
    plain = json.loads(path.read_bytes())
    del plain["hash"]
    files.write_json(path, formats.sealed({**plain, **changes}))


LATER = {"format": 8, "reader": 7, "writer": 8, "release": "9.1"}
INSTALL = "pip install -U 'tokenmill>=9.1'"
COMMANDS: dict[str, tuple[str, ...]] = {
    "status": (),
    "report": (),
    "verify": (),
    "trace": ("train/00000:10",),
    "audit": (),
    "whatif": ("--set", "quality.min_words=1"),
    "near": ("texts/00.txt",),
    "export": ("--to", "jsonl", "--out", "export"),
    "forget": ("--source", "files"),
    "compact": (),
    "train": (),
    "sample": (),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(RELEASED[-1], tmp_path_factory.mktemp("corpora"))


@pytest.mark.parametrize("stage", [CORPUS, "dedup", PACK])
@pytest.mark.parametrize("command", [*COMMANDS, "build"])
def test_every_command_refuses_a_newer_manifest(
    command: str, stage: str, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.parent)
    path = manifest.path_of(corpus, stage)
    before = path.read_bytes()
    reseal(path, **LATER)
    changed = path.read_bytes()
    build = ("build", "text", "--out", "corpus", "--no-prefect", "--set", "collect.paths=texts")
    done = tokenmill(*(build if command == "build" else (command, "corpus", *COMMANDS[command])))
    assert path.read_bytes() == changed
    path.write_bytes(before)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert INSTALL in done.stderr
    assert "made by tokenmill 9.1 or later, which writes format 8 of a manifest" in done.stderr
    assert f"reads formats up to {formats.MANIFEST.number}" in done.stderr


def test_python_refuses_a_newer_corpus_and_a_newer_store_alone(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "tokens", tmp_path / "tokens")
    reseal(tmp_path / "tokens" / manifest.NAME, **LATER)
    for call in (tm.open, TokenStore.open, lambda folder: list(problems(folder, Silent(), of_corpus))):
        with pytest.raises(NewerFormat, match="tokenmill>=9.1"):
            call(tmp_path / "tokens")


def test_a_newer_list_of_forgotten_documents_is_refused(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    reseal(tmp_path / "corpus" / forget.LIST, **LATER)
    for command in ("status", "export", "forget", "train"):
        done = tokenmill(command, tmp_path / "corpus", *COMMANDS[command])
        assert done.returncode == 1
        assert INSTALL in done.stderr


def test_a_newer_checkpoint_is_refused_and_not_passed_over(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "model", tmp_path / "model")
    (path,) = (tmp_path / "model").rglob("step-*.json")
    reseal(path, **LATER)
    with pytest.raises(NewerFormat, match="tokenmill>=9.1"):
        checkpoint.newest(path.parent, Silent())


def test_what_may_be_read_and_not_changed_is_read_and_not_changed(corpus: Path, tmp_path: Path) -> None:
    """A later format that adds fields: old readers pass over them, old writers would lose them."""
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    path = root / manifest.NAME
    reseal(path, format=8, reader=formats.MANIFEST.number, writer=8, release="9.1", mood="good")
    whole = manifest.load(root, CORPUS)
    assert whole.header["mood"] == "good"
    assert whole.hash == json.loads(path.read_bytes())["hash"]
    assert tokenmill("status", root).returncode == 0
    assert tokenmill("whatif", root, "--set", "quality.min_words=1").returncode == 0
    for command in ("forget", "compact", "train"):
        done = tokenmill(command, root, *COMMANDS[command])
        assert done.returncode == 1
        assert "may change formats up to" in done.stderr
        assert INSTALL in done.stderr


def test_a_damaged_file_is_not_taken_for_a_newer_one(corpus: Path, tmp_path: Path) -> None:
    """Without the hash that belongs to it, a number is only a doubt."""
    shutil.copy(corpus / manifest.NAME, tmp_path / manifest.NAME)
    path = tmp_path / manifest.NAME
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":9'))
    with pytest.raises(CorruptFile, match=r"or, if a newer tokenmill wrote it.*pip install -U 'tokenmill'"):
        manifest.read(path)


def test_evidence_of_another_version_of_a_stage_is_not_recomputed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dedup, "version", 99)
    done = tokenmill("verify", corpus)
    assert done.returncode == 0
    assert "dedup: another version of the stage made it" in done.stdout


@pytest.mark.parametrize("header", [{"format": 0}, {"format": True}, {"reader": "1"}, {"release": "1'; rm -rf ~ #"}])
def test_a_header_of_other_values_is_refused(header: dict[str, Any], tmp_path: Path) -> None:
    made = manifest.Manifest(stage="stage", version=1, config={}, inputs={})
    path = manifest.path_of(tmp_path, manifest.commit(tmp_path, made).stage)
    reseal(path, **header)
    with pytest.raises(CorruptFile) as refused:
        manifest.read(path)
    assert "rm -rf" not in str(refused.value)


def test_records_of_another_format_count_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    state.save(path, {"a": 1})
    plain = json.loads(path.read_bytes())
    for changed, oldest, found in ((1, 1, {"a": 1}), (1, 2, None), (state.RECORD + 1, 1, None)):
        files.write_json(path, {**plain, "format": changed})
        assert state.load(path, oldest=oldest) == found
    del plain["format"]
    files.write_json(path, plain)
    assert state.load(path) is None
    assert state.load(path, oldest=1) == {"a": 1}
