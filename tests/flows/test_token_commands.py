"""`tokenmill trace`, `forget`, `compact` and `audit`, on a small corpus, as they are typed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tokenmill.flows.build import build
from tokenmill.flows.cli.application import app
from tokenmill.pipeline.base.errors import InputError, NotBuilt, TokenmillError
from tokenmill.pipeline.stages.settings import parse

Run = Any


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("river", "bridge", "market", "garden", "tower"):
        (source / f"{name}.txt").write_text(f"Document of the {name}, which the {name} keeper wrote beside the {name}. " * 5)
    settings = {
        "stages": ["dedup"],
        "collect": {"paths": [str(source)]},
        "tokenizer": {"vocabulary": 300},
        "pack": {"validation_fraction": 0},
    }
    build(parse(settings, where="a test"), tmp_path / "corpus", workers=1)
    return tmp_path / "corpus"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def typed(*arguments: object) -> str:
        app([str(argument) for argument in arguments], result_action="return_value")
        return capsys.readouterr().out

    return typed


def test_a_document_is_traced_forgotten_and_gone(corpus: Path, run: Run) -> None:
    found = json.loads(run("trace", corpus, "train/00000:5", "--json"))
    (doc_id,) = _values(found, "doc_id")
    assert "Document" in json.dumps(found)
    assert {"collect", "dedup"} <= set(_values(found, "stage"))

    store = (corpus / "tokens" / "manifest.json").read_bytes()
    assert "Nothing was written" in run("forget", corpus, "--doc-id", doc_id, "--dry-run")
    assert not (corpus / "tokens" / "forgotten.json").exists()
    run("forget", corpus, "--doc-id", doc_id)
    assert (corpus / "tokens" / "forgotten.json").exists()
    assert (corpus / "tokens" / "manifest.json").read_bytes() == store
    assert "Every published byte" in run("verify", corpus)

    run("compact", corpus)
    assert (corpus / "tokens" / "manifest.json").read_bytes() != store
    assert "Every published byte" in run("verify", corpus)
    assert doc_id not in _values(json.loads(run("trace", corpus, "train/00000:5", "--json")), "doc_id")

    with pytest.raises(TokenmillError):
        run("forget", corpus, "--url-prefix", "https://nowhere.example/")


def test_commands_take_the_store_of_a_corpus_for_the_corpus(corpus: Path, run: Run, tmp_path: Path) -> None:
    for command in (("trace", "train/00000:5"), ("tokenizer decode",), ("status",)):
        name, *rest = command
        assert run(*name.split(), corpus / "tokens", *rest) == run(*name.split(), corpus, *rest)
    alone = tmp_path / "a copy"
    shutil.copytree(corpus / "tokens", alone)
    assert "Every published byte" in run("verify", alone)
    assert run("tokenizer", "decode", alone, "--tokenizer", corpus) == run("tokenizer", "decode", corpus)
    for command in ("trace", "audit", "train", "compact", "status"):
        with pytest.raises(NotBuilt, match="is a token store without its corpus"):
            run(command, alone)
    (alone / "train" / "00000.bin").write_bytes(bytes((alone / "train" / "00000.bin").stat().st_size))
    with pytest.raises(TokenmillError, match="1 problem|2 problem"):
        run("verify", alone)


def test_a_folder_without_a_corpus_is_not_made(tmp_path: Path, run: Run) -> None:
    for command in (("forget", "--source", "a"), ("compact",), ("train",)):
        with pytest.raises(NotBuilt, match="is no folder|holds no corpus"):
            run(command[0], tmp_path / "nothing", *command[1:])
    assert not (tmp_path / "nothing").exists()


def test_a_reader_that_leaves_ends_the_command_without_a_word(corpus: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [Path(sys.executable).with_name("tokenmill"), "tokenizer", "decode", corpus],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_what_is_forgotten_is_not_decoded(corpus: Path, run: Run) -> None:
    before = run("tokenizer", "decode", corpus)
    (doc_id,) = _values(json.loads(run("trace", corpus, "train/00000:5", "--json")), "doc_id")
    run("forget", corpus, "--doc-id", doc_id)
    masked = run("tokenizer", "decode", corpus)
    assert 0 < len(masked) < len(before)
    assert "forgotten: readers mask it" in run("trace", corpus, "train/00000:5")
    run("compact", corpus)
    assert run("tokenizer", "decode", corpus) == masked
    assert not (corpus / ".state" / "compact").exists()


def test_a_build_removes_what_a_compaction_that_was_cut_short_left(corpus: Path, run: Run) -> None:
    (doc_id,) = _values(json.loads(run("trace", corpus, "train/00000:5", "--json")), "doc_id")
    run("forget", corpus, "--doc-id", doc_id)
    left = corpus / ".state" / "compact" / "tokens" / "train" / "00000.bin"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"written anew")
    run("build", corpus / "config.toml", "--out", corpus, "--no-prefect", "--workers", "1")
    assert not left.exists()
    assert "Every published byte" in run("verify", corpus)


def test_samples_and_steps_beyond_the_run_are_refused(corpus: Path, run: Run) -> None:
    settings = (
        "--set",
        "train.context_tokens=16",
        "--set",
        "train.steps=2",
        "--set",
        "train.width=16",
        "--set",
        "train.layers=1",
    )
    with pytest.raises(InputError, match="nothing was trained yet, and the settings make 300 steps"):
        run("trace", corpus, "--step", 301)
    run("train", corpus, *settings)
    assert "2 steps done" in run("trace", corpus, "--step", 2)
    for question, told in (
        (("--step", 3), "there is no step 3: the run has done 2 steps so far, counted from 1"),
        (("--step", 0), "there is no step 0: the run has done 2 steps so far, counted from 1"),
        (("--sample", 16), "there is no sample 16: the run has done 2 steps so far, which are the samples 0 to 15"),
        (("--sample", 10**30), "so far, which are the samples 0 to 15"),
    ):
        with pytest.raises(InputError, match=told):
            run("trace", corpus, *question)


def test_an_audit_names_splits_and_shards(corpus: Path, run: Run) -> None:
    audit = json.loads(run("audit", corpus, "--json"))
    assert audit["splits"]
    assert run("audit", corpus)


def _values(plain: object, key: str) -> list[Any]:
    """All values of a key, wherever it stands, each once."""
    if isinstance(plain, list):
        found = [value for item in plain for value in _values(item, key)]
    elif isinstance(plain, dict):
        found = [plain[key]] if isinstance(plain.get(key), str) else []
        found += [value for item in plain.values() for value in _values(item, key)]
    else:
        found = []
    return list(dict.fromkeys(found))
