"""`whatif` against real builds with the same settings, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ask.judged import SETTINGS, built, texts
from tests.command import tokenmill
from tokenmill.flows.cli.draw.diff import _from_first_difference
from tokenmill.pipeline.ask import whatif
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages.limits import Limit


@pytest.fixture
def ask(corpus: Path) -> Callable[..., dict[str, Any]]:
    return lambda changes, **options: whatif.what_if(open_corpus(corpus), changes, **{"samples": 2, "seed": 0, **options})


@pytest.mark.parametrize(
    "changes",
    [
        {"quality.min_words": "80"},
        {"quality.min_words": "30"},
        {"quality.max_mean_word_characters": "4.2", "quality.min_words": "10"},
        {"language.threshold": "0.999"},
        {"language.keep": '["en"]', "quality.min_words": "75"},
        {"language.thresholds": "{ de = 1.0 }"},
    ],
    ids=lambda changes: " ".join(f"{name}={value}" for name, value in changes.items()),
)
def test_the_numbers_are_those_of_a_build(
    changes: dict[str, str], ask: Callable[..., dict[str, Any]], corpus: Path, source: Path, tmp_path: Path
) -> None:
    answer = ask(changes)
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    real = built(source, root, {**SETTINGS, **changes})
    assert answer["documents"]["unknown"] == 0
    for stage in answer["stages"]:
        theirs = real[stage["stage"]]
        assert stage["after"] == {
            "read": theirs["read"],
            "kept": theirs["kept"],
            "dropped": theirs["dropped"],
            "not_scored": 0,
            "undecided": 0,
        }
    assert answer["documents"]["after"] == real["pack"]["kept"] != answer["documents"]["before"]


def test_what_comes_alive_without_scores_is_said(
    ask: Callable[..., dict[str, Any]], corpus: Path, source: Path, tmp_path: Path
) -> None:
    answer = ask({"language.threshold": "0.3"})
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    real = built(source, root, {**SETTINGS, "language.threshold": "0.3"})
    language, dedup, quality = answer["stages"]
    assert language["after"]["kept"] == real["language"]["kept"] > language["before"]["kept"]
    assert language["after"]["dropped"] == real["language"]["dropped"]
    assert dedup["after"]["read"] == real["dedup"]["read"]
    assert (
        dedup["after"]["not_scored"] == real["language"]["kept"] - language["before"]["kept"] == answer["documents"]["unknown"]
    )
    assert quality["after"]["read"] == dedup["before"]["kept"]
    assert quality["after"]["kept"] <= real["quality"]["kept"] <= quality["after"]["kept"] + answer["documents"]["unknown"]


def test_a_duplicate_whose_document_goes_is_undecided(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    # With quality before dedup, a threshold can take the longer of two duplicates and leave the shorter: odd.txt, which
    # repeats itself, and the text that it ends with.
    stages = {"stages": '["quality", "dedup"]'}
    real = built(source, root, {**SETTINGS, **stages})
    assert real["dedup"]["dropped"] == {"near_duplicate": 2}
    answer = whatif.what_if(open_corpus(root), {"quality.max_words": "200"}, samples=1, seed=0)
    quality, dedup = answer["stages"]
    assert quality["after"]["kept"] == quality["before"]["kept"] - 1
    assert answer["documents"] == {"before": real["dedup"]["kept"], "after": real["dedup"]["kept"] - 1, "unknown": 1}
    assert dedup["after"] == {
        "read": quality["after"]["kept"],
        "kept": real["dedup"]["kept"] - 1,
        "dropped": {"near_duplicate": 1},
        "not_scored": 0,
        "undecided": 1,
    }


def test_documents_that_change_sides(ask: Callable[..., dict[str, Any]], corpus: Path) -> None:
    answer = ask({"quality.min_words": "80"}, samples=4)
    (change,) = answer["changes"]
    assert (change["stage"], change["now"], change["reason"]) == ("quality", "dropped", "too_few_words")
    assert change["documents"] == answer["documents"]["before"] - answer["documents"]["after"]
    assert len(answer["samples"]) == 4 < change["documents"]
    for sample in answer["samples"]:
        assert 60 <= sample["value"] < 80
        assert (sample["column"], sample["threshold"], sample["distance"]) == ("words", 80, sample["value"] - 80)
        assert len(sample["doc_id"]) == 32
        assert sample["source"] == "files"
        assert "\n" not in sample["preview"]
    assert ask({"quality.min_words": "80"}, samples=4) == answer
    assert ask({"quality.min_words": "80"}, samples=4, seed=1)["samples"] != answer["samples"]
    back = ask({"quality.min_words": "30"}, samples=100)
    assert {sample["now"] for sample in back["samples"]} == {"kept"}
    assert len(back["samples"]) == back["changes"][0]["documents"] > 0
    assert all(30 <= sample["value"] < 60 for sample in back["samples"])


def test_margins_name_the_nearest_on_both_sides(ask: Callable[..., dict[str, Any]]) -> None:
    (margin,) = ask({"quality.min_words": "80"})["margins"]
    assert (margin["setting"], margin["column"], margin["threshold"]) == ("quality.min_words", "words", 80)
    assert margin["fails"]["nearest"]["1"] < 80 <= margin["passes"]["nearest"]["1"]
    assert margin["fails"]["nearest"]["10"] <= margin["fails"]["nearest"]["1"]
    assert "1000" not in margin["passes"]["nearest"]
    settings = {margin["setting"] for margin in ask({"language.thresholds": "{ de = 0.95 }"})["margins"]}
    assert settings == {"language.thresholds.de"}
    values = np.arange(2_000.0)
    limit = Limit(column="words", setting="max_words", threshold=999.0)
    assert whatif.nearest(values[values > 999], limit) == {"1": 1000.0, "10": 1009.0, "100": 1099.0, "1000": 1999.0}


def test_nothing_is_written(ask: Callable[..., dict[str, Any]], corpus: Path) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in corpus.rglob("*")
        }

    before = state()
    ask({"quality.min_words": "80", "language.threshold": "0.5"})
    assert state() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": '["quality", "language", "dedup"]'}, "order"),
        ({"collect.seed": "1"}, "collect"),
        ({"tokenizer.vocabulary": "500"}, "tokenizer"),
        ({"language.sample_characters": "200"}, "another sample_characters (now 0)"),
        ({"quality.recipe": "gopher@1"}, "scores that are not stored: duplicate_10gram"),
        ({"quality.min_line_words": "3"}, "other lines"),
        ({"dedup.threshold": "0.5"}, "another bands (now 16); another rows (now 7); `tokenmill build` can make them, or keep"),
        ({"dedup.threshold": "0.5"}, "what is stored: --set dedup.bands=16 --set dedup.rows=7"),
        ({"dedup.ngram": "3"}, "another ngram (now 5); `tokenmill build` can make them"),
        ({"dedup.loses": "0", "language.threshold": "0.5"}, "which documents it compares depends on language"),
        ({"quality.max_words": "10"}, "no document could pass"),
        ({"quality.min_wordz": "10"}, "did you mean min_words?"),
    ],
)
def test_what_scores_cannot_answer_is_refused(
    changes: dict[str, str], message: str, ask: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError) as caught:
        ask(changes)
    assert message in str(caught.value)


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt):
        whatif.what_if(open_corpus(tmp_path), {"quality.min_words": "80"}, samples=1, seed=0)


def test_previews_cannot_steer_a_terminal() -> None:
    assert whatif.preview("a\x1b[31m\u202e\x7f\n\U0001f600é") == "a\\x1b[31m\\u202e\\x7f\\n\U0001f600é"
    assert len(whatif.preview("x" * 1_000)) == whatif.PREVIEW_CHARACTERS


def test_the_command(corpus: Path) -> None:
    done = tokenmill("whatif", corpus, "--set", "quality.min_words=80", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["settings"] == {"quality.min_words": {"before": 60, "after": 80}}
    done = tokenmill("whatif", corpus, "--set", "quality.min_words=20", "--set", "language.threshold=0", "--samples", "50")
    assert done.returncode == 0, done.stderr
    assert "quality.min_words: 60 -> 20" in done.stdout
    assert "kept, was" in done.stdout
    assert "not known" in done.stdout
    assert "\x1b" not in done.stdout
    assert tokenmill("whatif", "--help").stdout.count("tokenmill whatif corpora/docs --set") == 4
    for arguments, code, message in (
        ([corpus, "--set", "dedup.threshold=0.5"], 1, "tokenmill build"),
        (["nowhere", "--set", "quality.min_words=80"], 1, "nowhere"),
        ([corpus], 2, "--set"),
        ([corpus, "--set", "quality.min_words=80", "--samples", "-1"], 2, "--samples"),
    ):
        done = tokenmill("whatif", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert message in done.stderr


def test_a_share_is_chosen_again(source: Path, tmp_path: Path) -> None:
    """A model that keeps a share of what passes everything else decides over all shards, and so does whatif."""
    pytest.importorskip("fasttext", reason="fastText has no package for this Python")
    from tokenmill.pipeline.stages.quality.train import Training, train

    path = tmp_path / "short.bin"
    made = texts()
    train(made[:60], made[60:], path, Training(buckets=100_000, epochs=5))
    model = f'{{ path = "{path}", label = "positive", keep_fraction = 0.5 }}'
    settings = {**SETTINGS, "quality.models": f"{{ short = {model} }}"}
    root = tmp_path / "corpus"
    built(source, root, settings)
    for changes in (
        {"quality.models": settings["quality.models"].replace("0.5", "0.25")},
        {"quality.min_words": "80", "language.threshold": "0.999"},
    ):
        answer = whatif.what_if(open_corpus(root), changes, samples=2, seed=0)
        shutil.copytree(root, tmp_path / "again")
        real = built(source, tmp_path / "again", {**settings, **changes})
        shutil.rmtree(tmp_path / "again")
        assert answer["documents"]["unknown"] == 0
        assert [stage["after"]["dropped"] for stage in answer["stages"]] == [
            real[stage["stage"]]["dropped"] for stage in answer["stages"]
        ]
        assert any(change["reason"] == "model_short" for change in answer["changes"])
        assert {margin["setting"] for margin in answer["margins"]} >= {"quality.models.short.keep_fraction"}


def test_sources_are_compared_by_name() -> None:
    def tree(*sources: tuple[str, str], **more: object) -> dict[str, object]:
        return {"collect": {"sources": [{"name": name, "paths": [path]} for name, path in sources], **more}}

    old, same = tree(("a", "x"), ("b", "y"), seed=0), tree(("a", "x"), ("b", "y"), seed=0)
    assert list(whatif.differing(old, same)) == []
    new = tree(("b", "z"), ("a", "x"), ("c", "w"), seed=None)
    assert list(whatif.differing(old, new)) == [
        ("collect.sources", ["a", "b"], ["b", "a", "c"]),
        ("collect.sources.b.paths", ["y"], ["z"]),
        ("collect.seed", 0, None),
    ]
    assert list(whatif.differing({"stages": ["a"], "quality": {"x": 1}}, {"stages": [], "quality": None})) == [
        ("stages", ["a"], []),
        ("quality.x", 1, None),
    ]


def test_a_clipped_line_begins_where_lists_differ() -> None:
    assert _from_first_difference([1, 2, 3], [1, 2, 4]) == (["...", 3], ["...", 4])
    assert _from_first_difference([1], [2]) == ([1], [2])
    assert _from_first_difference("ab", [1]) == ("ab", [1])
