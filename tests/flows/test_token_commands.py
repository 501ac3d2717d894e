"""`tokenmill trace`, `forget`, `compact` and `audit`, on a small corpus, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.building import build
from flows.cli import app
from pipeline.config import Config
from pipeline.errors import TokenmillError

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
    build(Config.model_validate(settings), tmp_path / "corpus")
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
