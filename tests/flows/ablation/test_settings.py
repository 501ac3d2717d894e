"""What an ABLATION.toml may say, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenmill.flows.ablation.settings import read
from tokenmill.pipeline.base.errors import ConfigError

BASE = '[collect]\npaths = ["in"]\n'
TWO = "[variants.a]\n[variants.b]\ndedup.threshold = 0.7\n"


def write(folder: Path, text: str) -> Path:
    (folder / "base.toml").write_text(BASE)
    (folder / "filters.toml").write_text(text)
    return folder / "filters.toml"


def test_a_whole_file(tmp_path: Path) -> None:
    found = read(
        write(
            tmp_path,
            'base = "base.toml"\nseeds = [3, 5]\n'
            "[variants.a]\n"
            '[variants.b]\nquality.recipe = "gopher@1"\n"dedup.threshold" = 0.7\ntokenizer.path = "t.json"\n'
            '[variants.c]\ncorpus = "corpora/old"\ntrain.weights = { x = 1.0 }\n'
            "[train]\nsteps = 7\n"
            '[held_out.news]\npaths = ["news.jsonl"]\ntext_field = "body"\n[held_out.b]\nvariant = "b"\n',
        )
    )
    a, b, c = found.variants.values()
    assert (found.name, found.base, found.seeds, list(found.variants)) == ("filters", "base.toml", (3, 5), ["a", "b", "c"])
    assert a.config is not None
    assert b.config is not None
    assert a.config.collect.paths == b.config.collect.paths == (str(tmp_path / "in"),)
    assert b.config.tokenizer.path == str(tmp_path / "t.json")
    assert b.settings == {"quality.recipe": "gopher@1", "dedup.threshold": 0.7, "tokenizer.path": "t.json"}
    assert (a.keeps_tokenizer, b.keeps_tokenizer, c.keeps_tokenizer) == (False, True, True)
    assert (c.config, c.corpus, dict(c.train.weights)) == (None, tmp_path / "corpora/old", {"x": 1.0})
    assert {one.train.steps for one in (a, b, c)} == {7}
    assert found.held_out["news"].paths == (str(tmp_path / "news.jsonl"),)
    assert found.held_out["b"].variant == "b"


def test_without_held_out_sets_each_variant_gives_its_validation_split(tmp_path: Path) -> None:
    found = read(write(tmp_path, 'base = "base.toml"\n' + TWO))
    assert {name: one.variant for name, one in found.held_out.items()} == {"a": "a", "b": "b"}
    assert found.seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=", "is not TOML"),
        ("base = 1\n" + TWO, "base: Input should be a valid string"),
        ('base = "base.toml"', "has no variants; write for example"),
        ('base = "base.toml"\n[variants.a]', "1 variants leave nothing to compare"),
        ('base = "base.toml"\nseeds = [1]\n' + TWO, "at least two different numbers"),
        ('base = "base.toml"\nseeds = [1, 1]\n' + TWO, "at least two different numbers"),
        ('base = "base.toml"\nseeds = [-1, 1]\n' + TWO, "at least two different numbers"),
        ('base = "base.toml"\nseeds = [0.5, 1]\n' + TWO, "seeds.0: Input should be a valid integer"),
        ('base = "base.toml"\nsede = [1, 2]\n' + TWO, "unknown setting sede; did you mean seeds?"),
        ('base = "nowhere.toml"\n' + TWO, "there is no such file"),
        (TWO, "has neither a corpus nor a base"),
        ('base = "base.toml"\n[variants.a]\n[variants."../b"]', "'../b' is no name"),
        ('base = "base.toml"\n[variants.a]\n[variants.b]\ndedup.treshold = 1', "variants.b: --set dedup.treshold=1: unknown"),
        ('base = "base.toml"\n[variants.a]\n[variants.b]\ntrain.steps = 1', "train.steps would train another model"),
        ('base = "base.toml"\n[variants.a]\n[variants.b]\ncorpus = "x"\ndedup.threshold = 0.7', "cannot change a corpus"),
        ('base = "base.toml"\n[variants.a]\n[variants.b]\ncorpus = 1', "corpus must be the path of a folder"),
        ('base = "base.toml"\n' + TWO + "[train]\nsteps = 0", "--set train.steps=0: train.steps: must be"),
        ('base = "base.toml"\n' + TWO + "[held_out.x]", "either variant = "),
        ('base = "base.toml"\n' + TWO + '[held_out.x]\nvariant = "c"', "held_out.x: "),
        ('base = "base.toml"\n' + TWO + '[held_out.x]\npath = "y"', "unknown setting held_out.x.path; did you mean paths?"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(write(tmp_path, text))
    assert message in str(caught.value)
    assert str(tmp_path / "filters.toml") in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read"):
        read(tmp_path / "gone.toml")
