"""What a run may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tokenmill.flows.cli import environment
from tokenmill.flows.parameters import checked
from tokenmill.pipeline.base.errors import ConfigError

GOOD: dict[str, Any] = {
    "config": "docs",
    "out": "out",
    "settings": {"dedup.threshold": "0.8"},
    "workers": 1,
    "replace": False,
    "in_place": False,
}


def test_good_parameters_give_the_config() -> None:
    config = checked(GOOD, {"tokenizer.vocabulary": "300"})
    assert config.tokenizer.vocabulary == 300
    assert checked({**GOOD, "settings": None}, {}) != config


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"config": 3}, "parameter config"),
        ({"config": ""}, "parameter config"),
        ({"config": "dosc"}, "did you mean docs"),
        ({"config": "absent.toml"}, "absent.toml"),
        ({"out": None}, "parameter out"),
        ({"workers": "2"}, "parameter workers"),
        ({"workers": True}, "parameter workers"),
        ({"workers": 0}, "parameter workers"),
        ({"replace": "yes"}, "parameter replace"),
        ({"in_place": 1}, "parameter in_place"),
        ({"settings": {"dedup.threshold": 0.8}}, "parameter settings"),
        ({"settings": {"dedup.treshold": "0.8"}}, "threshold"),
        ({"settings": ["dedup.threshold"]}, "parameter settings"),
        ({"config": "a\0.toml"}, "parameter config"),
        ({"out": "a\0"}, "parameter out"),
        ({"out": "\ud800"}, "parameter out"),
        ({"out": "o" * 300}, "parameter out"),
        ({"schedule": "nightly"}, "parameter schedule"),
        ({"schedule": {"nme": "nightly"}}, "parameter schedule.name"),
        ({"schedule": {"name": "nightly", "timezone": ""}}, "parameter schedule.timezone"),
    ],
)
def test_a_wrong_parameter_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        checked({**GOOD, **wrong}, {})


def test_a_run_of_serve_builds_in_its_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__FLOW_ENTRYPOINT", "")
    monkeypatch.setenv("TOKENMILL_BUILD_FOLDERS", "")
    environment.limit_runs("a.flow", [str(tmp_path / "corpora")])
    for out in ("corpora", "corpora/docs"):
        checked({**GOOD, "out": str(tmp_path / out)}, {})
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / "link").symlink_to(tmp_path)
    for out in ("elsewhere", "corpora2", "corpora/../elsewhere", "corpora/link/elsewhere", ""):
        with pytest.raises(ConfigError, match="parameter out"):
            checked({**GOOD, "out": str(tmp_path / out)}, {})
