"""The preset `stories`, from files and from a data set in the shape of TinyStories, with a WordPiece tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tokenmill as tm
from tests.flows.test_tokenizer_commands import run
from tokenmill.flows import build, presets
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages.step import Work, perform
from tokenmill.pipeline.tokens.facts import PackFacts

STORIES = [
    f"Once upon a time there was a little {animal} named {name}. One day {name} went to the park with a red ball.\n\n"
    f'"I want to play," said {name}. The other animals were happy, and they played the whole day. Then they went home{end}'
    for name, animal, end in (
        ("Lily", "cat", "."),
        ("Tom", "dog", " and slept!"),
        ("Mia", "bird", " to eat a big cake."),
        ("Zoë", "fox", ". The end \u2603"),
    )
]


def test_stories_come_from_text_from_records_and_from_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "TinyStories-train.txt").write_text("\n<|endoftext|>\n\n".join(STORIES) + "\n<|endoftext|>\n")
    (tmp_path / "set" / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": STORIES}), tmp_path / "set" / "data" / "train-00000-of-00001-abc.parquet")
    data_set = f'[{{kind = "dataset", name = "stories", path = "{tmp_path / "set"}"}}]'
    for number, settings in enumerate(
        ({"collect.paths": str(tmp_path / "text")}, {"collect.paths": str(tmp_path / "set")}, {"collect.sources": data_set})
    ):
        config = presets.resolve("stories", settings)
        work = Work(root=tmp_path / f"corpus{number}", before=(), executor=InProcess())
        done = perform(CollectStep(config=config.collect), work, downstream=())
        names = [name for shard in done.manifest.shards for name in shard.files if name.startswith("documents/")]
        assert [text for name in names for text in pq.read_table(work.root / name)["text"].to_pylist()] == STORIES


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories")
    (folder / "stories.txt").write_text("<|endoftext|>".join(STORIES))
    settings = {
        "collect.paths": str(folder / "stories.txt"),
        "tokenizer.kind": "wordpiece",
        "tokenizer.vocabulary": "300",
        "tokenizer.alphabet": "30",
        "pack.validation_fraction": "0",
        "stages": "[]",
    }
    build.build(presets.resolve("stories", settings), folder / "corpus", workers=1, progress=Silent(), made_by="stories")
    return folder / "corpus"


def test_a_corpus_of_stories_is_whole_and_says_what_its_tokenizer_loses(corpus: Path) -> None:
    found = tm.open(corpus)
    assert found.verify() == ()
    assert "WordPiece with a vocabulary of" in (corpus / "report.html").read_text()
    folder = open_corpus(corpus)
    unknown = folder.require(TOKENIZER).facts["unknown"]
    assert unknown["unknown_words"] > 0
    page = (corpus / "report.html").read_text()
    assert "This tokenizer loses text" in page
    assert '<th scope="col" class="n">Unknown</th>' in page
    packed = PackFacts.of(folder.require("pack"))
    assert packed.text_bytes == sum(len(story.encode()) for story in STORIES)


def test_a_token_leads_back_to_its_bytes(corpus: Path) -> None:
    stored = [story.encode() for story in STORIES]
    decoded = run("decode", corpus).splitlines()
    for token in range(3, 120, 13):
        around = tm.open(corpus).trace(f"train/00000:{token}")["text"]
        piece = around["stored"]
        assert piece.strip() == piece != ""
        assert any(text[around["stored_start"] : around["stored_end"]] == piece.encode() for text in stored)
        if around["token"].strip() != "[UNK]":
            assert around["token"].strip() == piece
        # Spaces stand where decoding the whole document puts them.
        assert any(around["before"] + around["token"] + around["after"] in text for text in decoded)


def test_commands_know_wordpiece(corpus: Path, tmp_path: Path) -> None:
    text = corpus.parent / "stories.txt"
    said = run("train", text, "--out", tmp_path / "a.json", "--kind", "wordpiece", "--vocabulary", "300", "--alphabet", "30")
    assert "are unknown and become [UNK]" in said.replace("\n", " ")
    lines = run("encode", text, "--tokenizer", tmp_path / "a.json")
    decoded = run("decode", "-", "--tokenizer", tmp_path / "a.json", given=lines.encode())
    assert decoded.startswith("Once upon a time there was a little cat named [UNK]. One day")
    assert decoded.count("\n") == 1
    assert run("decode", corpus).count("\n") == len(STORIES)
    measured = json.loads(run("evaluate", tmp_path / "a.json", text, "--json"))
    assert measured["total"]["unknown"] == lines.split().count("1") > 0
