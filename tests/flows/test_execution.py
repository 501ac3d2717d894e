"""Who does the work of a build: settings, what is missing, and an executor of somebody's own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import tokenmill as tm
from tests.flows.docs.tutorial import PAGES
from tokenmill.flows import execution
from tokenmill.flows.cli.options import Execution
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.executor.protocol import NodeSize
from tokenmill.pipeline.config.execution import ExecutionConfig, bytes_of
from tokenmill.pipeline.external.means import default_memory
from tokenmill.pipeline.stages import settings

GB = 10**9


class Counting:
    """An executor of somebody's own, who has read the protocol."""

    workers = 3

    def __init__(self) -> None:
        self.done = 0

    def map(
        self, function: Callable[[Any], Any], tasks: Iterable[Any], *, done: Callable[[int], None] = lambda _: None
    ) -> list[Any]:
        answers = []
        for number, task in enumerate(tasks):
            answers.append(function(task))
            done(number)
            self.done += 1
        return answers


def test_any_executor_makes_the_same_bytes_and_none_is_published(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(4):
        (texts / f"{number}.txt").write_text(f"The text with the number {number} is short, and it is about {number} things.")
    changes = {"stages": [], "collect.paths": str(texts), "tokenizer.vocabulary": 260, "execution.memory": "1 GB"}
    mine = Counting()
    tm.build("text", tmp_path / "one", changes, executor=mine, progress=False)
    tm.build("text", tmp_path / "other", changes, workers=1, progress=False)
    assert mine.done >= 3
    hashes = [(tmp_path / name / "manifest.json").read_bytes() for name in ("one", "other")]
    assert hashes[0] == hashes[1]
    assert "execution" not in (tmp_path / "other" / "config.toml").read_text()


def test_an_engine_that_is_not_installed_is_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("ray", "distributed") else there(name))
    for name in ("ray", "dask"):
        with pytest.raises(ConfigError, match=rf"pip install 'tokenmill\[{name}\]'"):
            tm.build("docs", tmp_path / "corpus", executor=name, progress=False)
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("given", "wanted"), [("24 GB", 24 * GB), ("16GiB", 16 << 30), ("0.5 tb", GB * 500), (" 100000000 ", 10**8)]
)
def test_an_amount_of_memory(given: str, wanted: int) -> None:
    assert bytes_of(given) == wanted


@pytest.mark.parametrize("given", ["", "GB", "-1 GB", "1 XB", "1 MB", "1e9", "24 GB of it", "９ GB" * 40])
def test_what_is_no_amount_of_memory(given: str) -> None:
    with pytest.raises(ValueError, match="write an amount of memory from 64 MiB on"):
        bytes_of(given)


def test_what_is_wrong_with_the_section_is_said(tmp_path: Path) -> None:
    plain = {"collect": {"paths": ["x"]}}
    for changes, message in (
        ({"execution.address": "a:1"}, "address is that of a cluster"),
        ({"execution.executor": "spark"}, "executor"),
        ({"execution.workers": "0"}, "workers"),
        ({"execution.memory": "much"}, "24 GB"),
    ):
        with pytest.raises(ConfigError, match=message):
            settings.parse(plain, where="a test", overrides=changes)


def test_options_are_settings() -> None:
    assert Execution().changes() == {}
    given = Execution(executor="ray", address="10.0.0.1:6379", workers=4, memory="24 GB")
    plain = {"collect": {"paths": ["x"]}}
    made = settings.parse(plain, where="a test", overrides=given.changes()).execution
    assert made == ExecutionConfig(executor="ray", address="10.0.0.1:6379", workers=4, memory="24 GB")


def test_a_task_gets_what_the_smallest_node_has_for_it(tmp_path: Path) -> None:
    nodes = [NodeSize(name="a", workers=4, memory_bytes=80 * GB), NodeSize(name="b", workers=16, memory_bytes=64 * GB)]
    assert execution._of_each(None, nodes) == 2 * GB
    assert execution._of_each(32 * GB, nodes) == 2 * GB
    assert execution._of_each(None, [NodeSize(name="c", workers=2, memory_bytes=0)]) == default_memory(2)
    with execution.opened(ExecutionConfig(memory="3 GB"), tmp_path, workers=1) as hands:
        assert (hands.memory_bytes, hands.executor.workers) == (3 * GB, 1)


def test_the_page_names_every_setting() -> None:
    page = (PAGES / "guide" / "cluster.md").read_text()
    assert all(f"{name} = " in page for name in ExecutionConfig.model_fields)
