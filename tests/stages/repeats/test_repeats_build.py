"""A whole corpus with the stage `repeats`: built, checked, reported, grown, and what cannot be asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tokenmill.flows.build import build
from tokenmill.flows.cli.draw.terminal import Terminal
from tokenmill.pipeline import config
from tokenmill.pipeline.ask import verify
from tokenmill.pipeline.ask.status import status
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.manifest import load
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.export import export
from tokenmill.pipeline.stages import settings as settings_of
from tokenmill.pipeline.stages.repeats.stage import UNITS
from tokenmill.tokenizer.encode import of_corpus

MENU = "Home | News | About <us>"


def settings(source: Path, **changes: object) -> config.Config:
    plain = {
        "stages": ["language", "repeats", "quality"],
        "collect": {"paths": [str(source)], "shard_bytes": 1000},
        "language": {"threshold": 0.0},
        "repeats": {"min_documents": 3, **changes},
        "quality": {"recipe": "docs@1", "min_words": 1, "min_stop_words": 0},
        "tokenizer": {"vocabulary": 300, "min_frequency": 1},
        "pack": {"validation_fraction": 0.2},
    }
    return settings_of.parse(plain, where="test")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The input and the corpus."""
    folder = tmp_path_factory.mktemp("repeats")
    source, root = folder / "input", folder / "corpus"
    source.mkdir()
    for number in range(8):
        (source / f"{number}.txt").write_text(f"{MENU}\n\nThis is page {number}, which says something of its own.\n")
    (source / "menu.txt").write_text(f"{MENU}\n")
    build(settings(source), root)
    return source, root


def test_what_is_taken_out_is_counted_and_shown(built: tuple[Path, Path], tmp_path: Path) -> None:
    _, root = built
    stages = {row.stage: vars(row) for row in status(open_corpus(root)).stages}
    assert list(stages) == ["collect", "language", "repeats", "quality", "pack"]
    assert stages["repeats"]["dropped"] == {"only_repeats": 1}
    assert stages["quality"]["bytes_in"] == stages["repeats"]["bytes_kept"] - 7 * len(f"{MENU}\n\n")
    page = (root / "report.html").read_text()
    assert "1 different ones, removed 8 times" in page
    assert "Home | News | About &lt;us&gt;" in page
    assert "Every line of at least 20 characters that occurs in at least 3 documents of its source" in page
    export(open_corpus(root), tmp_path / "out", "jsonl", Silent())
    assert sum(path.read_text().count("Home") for path in (tmp_path / "out").rglob("*.jsonl")) == 1


def test_verify_counts_the_evidence_anew(built: tuple[Path, Path]) -> None:
    _, root = built
    assert list(verify.problems(root, Terminal(Console(quiet=True)), of_corpus)) == []
    table = root / UNITS
    whole = table.read_bytes()
    table.write_bytes(whole[:-1])
    assert [line.partition(":")[0] for line in verify.problems(root, Silent(), of_corpus)] == [str(table)]
    table.write_bytes(whole)


def test_what_another_threshold_would_keep_is_not_guessed(built: tuple[Path, Path]) -> None:
    _, root = built
    with pytest.raises(ConfigError, match="repeats: repeated units are counted over whole sources"):
        what_if(open_corpus(root), {"repeats.min_documents": "4"}, samples=0, seed=0)
    with pytest.raises(ConfigError, match="language: the later stage `repeats` counts what it keeps"):
        what_if(open_corpus(root), {"language.threshold": "0.9"}, samples=0, seed=0)
    answer = what_if(open_corpus(root), {"quality.min_words": "1000"}, samples=0, seed=0)
    assert answer["documents"] == {"before": 8, "after": 0, "unknown": 0}


def test_a_stage_that_is_left_out_again_leaves_nothing(built: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = built
    root = tmp_path / "corpus"
    build(settings(source), root)
    rows = shards.read(root, (UNITS, load(root, "repeats").files[UNITS])).num_rows
    assert rows == 1
    without = settings(source).model_copy(update={"stages": ("language", "quality")})
    build(without, root)
    assert not [path for path in (root / "repeats").rglob("*") if path.is_file()]
    assert list(verify.problems(root, Silent(), of_corpus)) == []
