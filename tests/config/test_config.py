"""Settings: refused when misspelt, with the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenmill.flows import presets
from tokenmill.pipeline import config
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config.read import from_python
from tokenmill.pipeline.stages import settings as settings_of


def parse(**sections: object) -> config.Config:
    return settings_of.parse({"collect": {"paths": ["x"]}, **sections}, where="my.toml")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"dedup": {"treshold": 1}}, "my.toml: unknown setting dedup.treshold; did you mean threshold?"),
        ({"langage": {}}, "my.toml: unknown setting langage; did you mean language?"),
        ({"dedup": {"threshold": 2}}, "dedup.threshold"),
        ({"stages": ["dedup", "dedup"]}, "only once"),
        ({"collect": {}}, "nothing to collect"),
        ({"collect": {"sources": [{"kind": "files", "name": "../x", "paths": ["a"]}]}}, "is not a source name"),
        ({"collect": {"sources": [{"kind": "installed"}, {"kind": "installed"}]}}, "must differ"),
        (
            {"collect": {"sources": [{"kind": "files", "name": "a", "paths": ["x"], "text_feild": "t"}]}},
            "did you mean text_field",
        ),
    ],
)
def test_what_is_wrong_is_named(sections: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(**sections)
    assert message in str(raised.value)


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parse(dedup={"treshold": 1}, pack={"shard_tokens": 0})
    assert len(str(raised.value).splitlines()) == 2


def test_overrides_are_toml_else_text_and_a_scalar_makes_a_list(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[collect]\npaths = ['a']\n")
    settings = {"collect.paths": "data/my.warc.gz", "dedup.threshold": "0.7", "language.keep": "en", "quality.recipe": "c4@1"}
    made = settings_of.load(path, settings)
    assert made.collect.paths == ("data/my.warc.gz",)
    assert made.dedup.threshold == 0.7
    assert made.language.keep == ("en",)
    assert made.quality.recipe == "c4@1"
    assert settings_of.load(path, {"collect.paths": '["b", "c"]'}).collect.paths == ("b", "c")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("dedup.threshold", "2", "--set dedup.threshold=2: dedup.threshold: must be a number (Jaccard similarity), above 0"),
        ("dedup.treshold", "1", "--set dedup.treshold=1: unknown setting dedup.treshold; did you mean threshold?"),
        ("dedup", "{ threshold = 2 }", "--set dedup={ threshold = 2 }: dedup.threshold: must be a number"),
        ("quality.min_words", "9", "my.toml with --set quality.min_words: quality: min_words = 9 is above max_words = 5"),
        ("quality.models.edu.min", "0.5", "my.toml with --set quality.models.edu.min: quality.models.edu.path is missing; for"),
        ("collect.pathz", "ftp://me:s3cret@x", "--set collect.pathz: unknown setting"),
        ("dedup.rows", "ftp://me:s3cret@x", "--set dedup.rows: dedup.rows: must be a whole number of rows"),
        ("collect.paths", "ftp://me:s3cret@x", "my.toml with --set collect.paths: collect: a path"),
        ("collect.seed", "1", "my.toml: pack.shard_tokens"),
        ("collect.seed", "\ud800", "--set collect.seed: "),
    ],
)
def test_a_fault_names_the_override_that_made_it(key: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    broken = "[pack]\nshard_tokens = 0\n" if key == "collect.seed" else ""
    path.write_text(f"[collect]\npaths = ['a']\n[quality]\nmax_words = 5\n{broken}")
    with pytest.raises(ConfigError) as raised:
        settings_of.load(path, {"language.threshold": "0.25", key: text})
    assert str(raised.value).removeprefix(f"{tmp_path}/").startswith(message)
    assert "s3cret" not in str(raised.value)


def test_overrides_leave_the_plain_values_alone() -> None:
    plain = {"collect": {"paths": ["a"]}}
    assert settings_of.parse(plain, where="x", overrides={"collect.paths": "b"}).collect.paths == ("b",)
    assert plain == {"collect": {"paths": ["a"]}}
    sources = [{"name": "web", "paths": ["a"]}]
    settings_of.parse({}, where="x", overrides={"collect.sources": sources, "collect.sources.web.format": "html"})
    assert sources == [{"name": "web", "paths": ["a"]}]


def test_an_override_names_a_source_by_its_name() -> None:
    plain = {"collect": {"sources": [{"name": "a", "paths": ["a"]}, {"name": "b", "paths": ["b"]}]}}
    made = settings_of.parse(plain, where="x", overrides={"collect.sources.b.extract_bias": "1"}).collect
    assert [source.extract_bias for source in made.all_sources] == [0, 1]
    for key, message in (
        ("collect.sources.c.extract_bias", "sources has none with the name 'c'; there: a, b"),
        ("collect.sources.b", "sources is not a section"),
        ("collect.sources.b.paths.c", "paths is not a section"),
    ):
        with pytest.raises(ConfigError, match=message):
            settings_of.parse(plain, where="x", overrides={key: "1"})


@pytest.mark.parametrize("text", ["[collect\n", "a = " + "[" * 5_000, "a = " + "9" * 5_000, "a = '\xff'"])
def test_broken_toml_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="my.toml: is not TOML"):
        settings_of.load(path)
    overrides = {"tokenizer.pattern": text}
    assert settings_of.parse({"collect": {"paths": ["x"]}}, where="x", overrides=overrides).tokenizer.pattern == text


def test_settings_that_are_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(f"[a{'.a' * 800}]\n")
    with pytest.raises(ConfigError, match="my.toml: its settings are nested too deeply"):
        settings_of.load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        settings_of.load(tmp_path / "none.toml")


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_valid(name: str) -> None:
    presets.resolve(name, {"collect.paths": "x"})


def test_a_misspelt_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean docs"):
        presets.resolve("dosc", {})


@pytest.mark.parametrize("text", ["2024", "true", '["a"]', 'a "b" \\ c\n\t\x01\x7f', "é😀", " a "])
def test_a_string_from_python_stays_a_string(text: str) -> None:
    plain = {"collect": {"paths": ["a"]}}
    made = settings_of.parse(plain, where="x", overrides=from_python({"collect.paths": text, "dedup.threshold": 0.5}))
    assert (made.collect.paths, made.dedup.threshold) == ((text,), 0.5)
