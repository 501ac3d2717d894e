"""A corpus with lists of URLs and keys of duplicates: counts, evidence, other settings, other numbers of workers."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tokenmill.flows.build import build
from tokenmill.pipeline.ask.status import status
from tokenmill.pipeline.ask.trace import history
from tokenmill.pipeline.ask.verify import problems
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import CorpusFolder, open_corpus
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.tokens import TokenStore, places
from tokenmill.tokenizer.encode import of_corpus

WORDS = ["river", "bridge", "town", "people", "name", "lamp", "stairs", "water", "ship", "morning", "harbour", "letter"]


def write(folder: Path) -> dict[str, Any]:
    """Pages and lists, and the settings of a corpus of them."""
    chosen = random.Random(3)
    with (folder / "pages.jsonl").open("w") as file:
        for number in range(300):
            host = chosen.choice(["bad.example", "www.bad.example", "shop.test", "fine.test", "good.bad.example"])
            path = "/".join(chosen.choice(["casino", "poker", "news", str(chosen.randrange(9))]) for _ in range(3))
            url = None if number % 20 == 0 else f"https://{host}/{path}"
            text = f"{' '.join(chosen.choices(WORDS, k=40))} {number}"
            file.write(json.dumps({"url": url, "text": text, "page": number % 250}) + "\n")
    (folder / "block").write_text("bad.example\nshop.test/news\n||broken^\n")
    (folder / "good").write_text("good.bad.example\n")
    (folder / "soft").write_text("casino\npoker\n")
    return {
        "stages": ["urls", "dedup"],
        "collect": {"paths": [str(folder / "pages.jsonl")], "shard_bytes": 10_000},
        "urls": {
            "lists": {
                "block": {"paths": [str(folder / "block")]},
                "good": {"paths": [str(folder / "good")], "use": "allow"},
                "soft": {"paths": [str(folder / "soft")], "kind": "words", "max_hits": 1},
            }
        },
        "dedup": {"keys": ["url", "metadata.page"]},
        "tokenizer": {"vocabulary": 260, "min_frequency": 1},
        "pack": {"validation_fraction": 0},
    }


def built(plain: Mapping[str, Any], root: Path, workers: int = 1, **changes: Any) -> CorpusFolder:
    return build(parse(plain, where="a test", overrides=changes), root, workers=workers)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], CorpusFolder]:
    folder = tmp_path_factory.mktemp("urls")
    plain = write(folder)
    return plain, built(plain, folder / "corpus")


def counts(corpus: CorpusFolder) -> dict[str, tuple[int, int, dict[str, int]]]:
    return {row.stage: (row.read, row.kept, dict(row.dropped)) for row in status(corpus).stages}


def test_nothing_is_lost_and_all_evidence_is_true(made: tuple[dict[str, Any], CorpusFolder]) -> None:
    _, corpus = made
    for row in status(corpus).stages:
        assert row.read == row.kept + sum(row.dropped.values())
    found = counts(corpus)
    assert {*found["urls"][2]} == {"listed_block", "listed_soft"}
    assert {*found["dedup"][2]} == {"same_url", "same_page"}
    assert list(problems(corpus.root, Silent(), of_corpus)) == []
    table = shards.read(corpus.published, corpus.shards[0].tables["dedup", "verdicts"])
    kept = next(row["doc_id"] for row in table.to_pylist() if row["reason"] == "")
    said = history(corpus, places.find(TokenStore.open(corpus.root), kept.hex()))
    assert [one["stage"] for one in said] == ["collect", "urls", "dedup"]
    assert said[1]["scores"]["host"] in ("", "fine.test", "shop.test", "good.bad.example")


def test_workers_change_nothing(made: tuple[dict[str, Any], CorpusFolder], tmp_path: Path) -> None:
    plain, corpus = made
    other = built(plain, tmp_path / "corpus", workers=2)
    assert [one.hash for one in other.steps] == [one.hash for one in corpus.steps]
    assert (other.root / "report.html").read_bytes() == (corpus.root / "report.html").read_bytes()


def test_other_settings_are_known_without_a_build(made: tuple[dict[str, Any], CorpusFolder], tmp_path: Path) -> None:
    # Documents that come alive have no signatures yet, so the stage is asked about alone.
    asked = built({**made[0], "stages": ["urls"]}, tmp_path / "corpus")
    so_far: dict[str, Any] = {}
    for changes in (
        {"urls.without_url": "drop"},
        {"urls.lists.soft.max_hits": 2},
        {"urls.only_allowed": True, "urls.lists.soft.use": "allow"},
        {"urls.only_allowed": False, "urls.lists.block.use": "off"},
    ):
        so_far |= changes
        asked = is_foreseen(made[0], asked, changes, so_far)


def test_other_keys_are_known_without_a_build(made: tuple[dict[str, Any], CorpusFolder], tmp_path: Path) -> None:
    plain, corpus = made
    shutil.copytree(corpus.root, tmp_path / "corpus")
    changes = {"dedup.keys": ["url"]}
    is_foreseen(plain, open_corpus(tmp_path / "corpus"), changes, changes)


def is_foreseen(
    plain: Mapping[str, Any], asked: CorpusFolder, changes: Mapping[str, Any], so_far: Mapping[str, Any]
) -> CorpusFolder:
    """The corpus with these settings, as `what_if` said that it would be."""
    answer = what_if(asked, changes, samples=1)
    corpus = built({**plain, "stages": asked.settings.stages}, asked.root, **so_far)
    real = counts(corpus)
    for stage in answer["stages"]:
        after = stage["after"]
        assert (after["read"], after["kept"], after["dropped"]) == real[stage["stage"]]
        assert (after["not_scored"], after["undecided"]) == (0, 0)
    assert answer["documents"]["after"] != answer["documents"]["before"]
    return corpus
