"""A build whose tasks may read four files, and hold next to nothing, gives the bytes of any other build."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.bench.growth_shards import config_of, write_input
from tokenmill.flows.build import build
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.manifest import CORPUS
from tokenmill.pipeline.stages.step import Work


def test_fan_in_and_memory_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_input(tmp_path / "input", 10)
    config = config_of(tmp_path / "input")
    build(config, tmp_path / "usual")
    monkeypatch.setattr("tokenmill.flows.build.Work", functools.partial(Work, fan_in=4, memory_bytes=10_000))
    build(config, tmp_path / "forced")
    usual, forced = (manifest.load(tmp_path / name, CORPUS) for name in ("usual", "forced"))
    assert usual.inputs == forced.inputs, "the hash of every step's manifest, which names the hash of every file"
    assert len(manifest.load(tmp_path / "forced", "collect").shards) == 10
    assert sum(name.endswith(".bin") for name in manifest.load(tmp_path / "forced", "pack").files) > 1
