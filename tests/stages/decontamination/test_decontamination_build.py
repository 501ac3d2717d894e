"""A whole corpus with the stage `decontamination`: built, verified, traced, reported, and searched when it is finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command import tokenmill
from tests.stages.decontamination import planted
from tokenmill.flows.build import build
from tokenmill.pipeline import config
from tokenmill.pipeline.ask import verify
from tokenmill.pipeline.ask.contaminated import of_corpus as texts_of
from tokenmill.pipeline.ask.contaminated import of_store, search
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import CorpusFolder, open_corpus
from tokenmill.pipeline.stages import settings as settings_of
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.tokenizer.encode import load, of_corpus

QUESTIONS = [item["question"] for item in planted.ITEMS]
SENTENCE = "the men went down to the harbour and looked for a long time at the grey water without a word"


def settings(folder: Path) -> config.Config:
    quiz = {"quiz": {"path": str(folder / "planted.jsonl")}}
    plain = {
        "stages": ["decontamination", "quality"],
        "collect": {"paths": [str(folder / "input")], "shard_bytes": 3000},
        "decontamination": {"sets": quiz, "common_documents": 2, "action": "cut"},
        "quality": {"recipe": "docs@1", "min_words": 30, "min_stop_words": 0},
        "tokenizer": {"vocabulary": 300, "min_frequency": 1},
        "pack": {"validation_fraction": 0},
    }
    return settings_of.parse(plain, where="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input: whole items, most of some, a common phrase, and clean texts, of different lengths."""
    folder = tmp_path_factory.mktemp("decontamination")
    planted.write(folder)
    (folder / "input").mkdir()
    words = SENTENCE.split(" ")
    for number in range(24):
        own = " ".join(words[(number + at) % len(words)] for at in range(20 + 3 * number))
        asked = QUESTIONS[number % len(QUESTIONS)].split(" ")
        parts = {0: " ".join(asked), 1: " ".join(asked[: max(4, len(asked) * 7 // 10)]), 2: QUESTIONS[1], 3: ""}
        (folder / "input" / f"{number:02}.txt").write_text(f"{own}.\n\n{parts[number % 4]}\n\nNumber {number}, {own}.\n")
    return folder


@pytest.fixture(scope="module")
def corpus(folder: Path) -> CorpusFolder:
    build(settings(folder), folder / "corpus")
    return open_corpus(folder / "corpus")


def test_what_was_found_is_verified_traced_and_shown(corpus: CorpusFolder) -> None:
    assert list(verify.problems(corpus.root, Silent(), of_corpus)) == []
    facts = corpus.require("decontamination").facts["quiz"]
    assert facts == {"items": 11, "sought": 11, "common": 1, "found": 5, "documents": 6}
    answer = what_if(corpus, {"decontamination.ignored_sets": ["quiz"]})
    assert answer["stages"][0]["after"]["kept"] == 24
    assert answer["documents"]["unknown"] == answer["stages"][1]["after"]["not_scored"] == 6
    page = (corpus.root / "report.html").read_text()
    assert "quiz: items in most documents" in page
    assert '<section id="contamination">' in page
    assert "<mark>The ferry leaves the island every 45 minutes" in page
    doc_id = next(row["doc_id"] for row in _verdicts(corpus) if row["cut"]).hex()
    told = json.loads(tokenmill("trace", corpus.root, "--doc-id", doc_id, "--json").stdout)
    stage = next(one for one in told["stages"] if one["stage"] == "decontamination")
    assert stage["evidence"]["set"] == "quiz"
    assert stage["evidence"]["share"] >= 0.8
    assert stage["edits"]


def test_a_finished_corpus_and_its_store_alone_hold_the_same_items(corpus: CorpusFolder, folder: Path, tmp_path: Path) -> None:
    section = getattr(settings(folder), "decontamination")  # noqa: B009
    assert search(texts_of(corpus), section, Silent()).documents == ()
    looser = section.model_copy(update={"common_documents": 10, "threshold": 0.6})
    whole = search(texts_of(corpus), looser, Silent())
    assert whole.searched == corpus.steps[-1].counts.kept == 24
    assert "short" in [row["item"] for row in whole.items]
    assert len(whole.items) > 3
    shutil.copytree(corpus.root / "tokens", tmp_path / "store")
    encoder = load(corpus.root / "tokenizer")
    alone = search(of_store(TokenStore.open(tmp_path / "store", tokenizer=encoder.fingerprint), encoder), looser, Silent())
    assert alone.sets == whole.sets
    assert sorted(row["doc_id"] for row in alone.documents) == sorted(row["doc_id"] for row in whole.documents)


def test_the_command_says_what_is_contaminated_by_its_exit_code(corpus: CorpusFolder, folder: Path) -> None:
    quiz = folder / "planted.jsonl"
    clean = tokenmill("decontaminate", "--check", corpus.root, "--json")
    assert clean.returncode == 0
    assert json.loads(clean.stdout)["sets"]["quiz"]["documents"] == 0
    found = tokenmill("decontaminate", quiz, "--check", corpus.root)
    assert found.returncode == 1
    assert "planted     11          11      1               0          7" in found.stdout
    assert "7  1.00  planted short" in found.stdout
    assert "error: 7 of 24 documents hold items of evaluation sets" in found.stderr
    more = tokenmill("decontaminate", f"quiz={quiz}", "--check", corpus.root, "--json")
    assert more.returncode == 1
    assert [row["item"] for row in json.loads(more.stdout)["items"]] == ["short"]
    twice = tokenmill("decontaminate", quiz, quiz, "--check", corpus.root)
    assert "two sets are called 'planted'" in twice.stderr


def _verdicts(corpus: CorpusFolder) -> list[dict[str, Any]]:
    shards_of = corpus.require("decontamination").shards
    named = [item for shard in shards_of for item in shard.files.items() if "/verdicts/" in item[0]]
    return [row for one in named for row in shards.read(corpus.published, one).to_pylist()]
