"""What a user types about settings: `config show`, `config explain`, misspelt configs, and the column with the text."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import tokenmill as tm
from tests.command import tokenmill
from tokenmill.flows import presets
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.stages.settings import parse

POSTS = ["text", "--set=collect.paths=posts.jsonl", "--text-field=content"]
SMALL = ["--set=stages=[]", "--set=tokenizer.vocabulary=260", "--set=pack.validation_fraction=0", "--no-prefect", "--workers=1"]


@pytest.fixture
def posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records whose text is in `content`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps({"content": f"to be or not to be, number {n}"}) + "\n" for n in range(20)))
    return path


@pytest.mark.parametrize("name", presets.names())
def test_settings_are_shown_without_paths(name: str) -> None:
    done = tokenmill("config", "show", name)
    assert (done.returncode, done.stderr) == (0, "")
    made = parse(tomllib.loads(done.stdout), where="x", overrides={"collect.paths": "a"})
    assert made == presets.resolve(name, {"collect.paths": "a"})


def test_what_is_shown_can_be_built(posts: Path) -> None:
    made = posts.with_name("my.toml")
    made.write_text(tokenmill("config", "show", "text", "--set", "stages=[]", "--set", "tokenizer.vocabulary=260").stdout)
    done = tokenmill("build", "my.toml", "--out", "corpus", *POSTS[1:], *SMALL)
    assert done.returncode == 0, done.stderr
    refused = tokenmill("build", "my.toml", "--out", "other", *SMALL)
    assert (refused.returncode, "collect: nothing to collect: give paths" in refused.stderr) == (1, True)
    assert not Path("other").exists()


def test_a_setting_is_explained() -> None:
    done = tokenmill("config", "explain", "quality.min_words")
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[:3] == [
        "quality.min_words",
        "Fewest words. Words that are all symbols do not count.",
        "A whole number of words, at least 0; default: that of the recipe.",
    ]
    assert "recipe gopher@1 50" in done.stdout
    assert "--set quality.min_words=50" in lines
    assert lines[-2:] == ["[quality]", "min_words = 50"]
    assert "preset docs 4096" in tokenmill("config", "explain", "tokenizer.vocabulary").stdout


def test_a_section_lists_its_settings_and_a_wrong_name_the_nearest() -> None:
    listed = tokenmill("config", "explain", "language").stdout
    assert all(f"\n  {name}\n" in listed for name in ("model", "keep", "threshold", "max_other_share"))
    assert "dedup\n" in tokenmill("config", "explain").stdout
    done = tokenmill("config", "explain", "quality.min_wrods")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean quality.min_words" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dosc"], "did you mean docs? Write: tokenmill build docs"),
        (["docs.toml"], "there is no such file; did you mean docs?"),
        (["mi.toml"], "did you mean my.toml? Write: tokenmill build my.toml"),
        (["posts.jsonl"], "to read it as input: tokenmill build text --set collect.paths=posts.jsonl"),
        (["."], "to read it as input: tokenmill build text --set 'collect.paths=\".\"'"),
        (["text", "--set", "collect.text_field=content"], "`--text-field content` of `build`"),
        (["text", "--set", "collect.paths=posts.jsonl"], "did you mean 'content'? There are: content; name the"),
        (["text", "--set", "collect.paths=nowhere"], "'nowhere' does not exist"),
        ([*POSTS, "--set=train.weights.web=1"], "no source 'web'"),
        ([*POSTS, "--set=tokenizer.pattern=gpt3"], "mean gpt2?"),
        ([*POSTS, "--set=language.model=no.bin"], "no.bin"),
        ([*POSTS, "--set=tokenizer.vocabulary=99999"], "the text allows"),
    ],
)
@pytest.mark.parametrize("how", [["--no-prefect"], ["--dry-run"], []])
def test_a_refused_build_says_what_to_write_and_leaves_no_folder(
    arguments: list[str], message: str, how: list[str], posts: Path
) -> None:
    posts.with_name("my.toml").write_text("")
    done = tokenmill("build", *arguments, "--out", "made/here", *how)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert sorted(path.name for path in posts.parent.iterdir()) == ["my.toml", "posts.jsonl"]


def test_the_column_with_the_text_is_that_of_every_source_that_names_none(posts: Path) -> None:
    named = posts.with_name("named.jsonl")
    named.write_text('{"body": "a text of its own"}\n')
    sources = f'[{{ name = "named", paths = ["{named}"], text_field = "body" }}]'
    out = posts.with_name("corpus")
    changes = [f"--set=collect.sources={sources}", f"--set=collect.paths={posts}"]
    done = tokenmill("build", "text", "--out", out, "--text-field", "content", *SMALL, *changes)
    assert done.returncode == 0, done.stderr
    corpus = tm.open(out)
    assert [(one["name"], one["text_field"]) for one in corpus.settings["collect"]["sources"]] == [
        ("files", "content"),
        ("named", "body"),
    ]
    assert corpus.texts().read_all().num_rows == 21


def test_the_column_with_the_text_from_python(posts: Path) -> None:
    small = {"stages": [], "tokenizer.vocabulary": 260, "collect.paths": str(posts), "pack.validation_fraction": 0}
    with pytest.raises(InputError, match="--text-field content"):
        tm.build("text", "refused", small, progress=False)
    assert not Path("refused").exists()
    made = tm.build("text", "corpus", small, text_field="content", workers=1, progress=False)
    assert made.texts().read_all().num_rows == 20


def test_a_pattern_that_is_a_misspelt_name() -> None:
    done = tokenmill("tokenizer", "train", "nothing", "--out", "x.json", "--pattern", "gpt3")
    assert (done.returncode, "there is no pattern 'gpt3'; did you mean gpt2?" in done.stderr) == (1, True)


def test_training_takes_only_its_own_settings(posts: Path) -> None:
    assert tokenmill("build", *POSTS, "--out", "c", *SMALL).returncode == 0
    done = tokenmill("train", "c", "--set", "stpes=5")
    assert (done.returncode, "did you mean --set train.steps=5?" in done.stderr) == (1, True)
    done = tokenmill("train", "c", "--set", "train.weights.web=5")
    assert (done.returncode, "no source 'web'; sources: files" in done.stderr) == (1, True)
