"""Relative paths of a config start at its own file; those of the command line start where it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenmill.flows import housekeeping
from tokenmill.flows.presets import resolve
from tokenmill.pipeline.config.places import beside, override_beside
from tokenmill.pipeline.stages.settings import plain

CONFIG = """
stages = ["language", "quality"]
tokenizer.path = "tokenizers/mine.json"
language.model = "lid.176.bin"
[collect]
paths = ["texts", "/elsewhere/*.txt", "~/home"]
[[collect.sources]]
kind = "dataset"
name = "here"
path = "folder"
[[collect.sources]]
kind = "dataset"
name = "hub"
path = "owner/name"
revision = "abc"
[quality.models.good]
path = "good.bin"
min = 0.5
"""


def test_paths_of_a_file_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf").mkdir()
    Path("conf/my.toml").write_text(CONFIG)
    found = plain(resolve("conf/my.toml", {"collect.paths": "typed"}))
    assert found["collect"]["paths"] == ["typed"]
    found = plain(resolve("conf/my.toml", {}))
    assert found["collect"]["paths"] == ["conf/texts", "/elsewhere/*.txt", "~/home"]
    assert [one["path"] for one in found["collect"]["sources"]] == ["conf/folder", "owner/name"]
    assert found["tokenizer"]["path"] == "conf/tokenizers/mine.json"
    assert found["language"]["model"] == "conf/lid.176.bin"
    assert found["quality"]["models"]["good"]["path"] == "conf/good.bin"


def test_a_file_in_the_current_folder_means_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text('collect.paths = ["texts", "../more"]\n')
    assert resolve("my.toml", {}).collect.paths == ("texts", "../more")


def test_the_record_inside_a_corpus_means_what_its_build_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with housekeeping.at_work(Path("corpus")):
        Path("corpus/config.toml").write_text('collect.paths = ["texts"]\n')
    assert resolve("corpus/config.toml", {}).collect.paths == ("texts",)


@pytest.mark.parametrize(
    "wrong", [{"collect": 1}, {"collect": {"paths": [1], "sources": [2, {"paths": None}]}}, {"quality": {"models": []}}]
)
def test_what_is_no_setting_is_left_to_the_checks(wrong: dict[str, object]) -> None:
    assert beside(Path("/a"), wrong) == wrong


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("collect.paths", "in", "/a/in"),
        ("collect.paths", ["in", "/b"], ["/a/in", "/b"]),
        ("collect", {"paths": ["in"]}, {"paths": ["/a/in"]}),
        ("dedup.threshold", 0.7, 0.7),
        ("tokenizer.pattern", "gpt2", "gpt2"),
    ],
)
def test_a_setting_by_its_dotted_name(key: str, value: object, found: object) -> None:
    assert override_beside(Path("/a"), key, value) == found
