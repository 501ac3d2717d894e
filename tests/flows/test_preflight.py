"""What is said before any work: little room, a vocabulary that the text cannot give, an empty validation split."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.folders import smallest
from tokenmill.flows import preflight, room
from tokenmill.flows.build import building, outline
from tokenmill.pipeline.base.errors import ConfigError, DiskFull


def check(folder: Path, **sections: object) -> tuple[str, ...]:
    config = smallest(folder, **sections)
    return preflight.check(config, folder / "out", outline(config))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder with 10 texts of 1,000 bytes below `in`."""
    (tmp_path / "in").mkdir()
    for number in range(10):
        (tmp_path / "in" / f"{number}.txt").write_text("word " * 200)
    return tmp_path


def test_a_build_that_was_looked_at_is_not_looked_at_again(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []
    monkeypatch.setattr(preflight, "check", lambda _, root, __: looks.append(root) or ())
    for looked in ((), None):
        with building(smallest(texts), texts / "out", workers=1, looked=looked):
            assert len(looks) == (looked is None)


def test_a_build_that_fits_has_nothing_to_say(texts: Path) -> None:
    assert check(texts) == ()
    assert not (texts / "out").exists()


def test_a_vocabulary_that_the_text_cannot_give(texts: Path) -> None:
    with pytest.raises(ConfigError, match=r"= 50,000 is more than the text allows: about 10,000 bytes give at most 5,257"):
        check(texts, tokenizer={"vocabulary": 50_000})
    (line,) = check(texts, tokenizer={"vocabulary": 10_000})
    assert "usually give 1,000 tokens" in line
    # The default is not what somebody asked for, and a trial takes a part of the text.
    assert len(check(texts, tokenizer={})) == 1
    capped = {"paths": [str(texts / "in")], "max_documents": 2}
    assert len(check(texts, tokenizer={"vocabulary": 50_000}, collect=capped)) == 1


@pytest.mark.parametrize(("fraction", "lines"), [(0, 0), (0.01, 1), (0.2, 1), (0.3, 0)])
def test_a_validation_split_that_may_be_empty(texts: Path, fraction: float, lines: int) -> None:
    said = check(texts, pack={"validation_fraction": fraction})
    assert len(said) == lines
    assert all("the validation split may be empty; --set pack.validation_fraction=0.3 gives it some" in line for line in said)


def test_a_disk_with_little_room(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _: 10_000)
    (line,) = check(texts)
    assert line.startswith("this may not fit: it takes up to 21.0 kB")
    monkeypatch.setattr(room, "free_bytes", lambda _: 2_000)
    with pytest.raises(DiskFull, match=r"--out .*out: its disk has 2.00 kB free, and the build takes up to 21.0 kB; make room"):
        check(texts)


def test_a_place_that_cannot_be_written(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=r"cannot be written \(.*or choose another --out"):
        check(texts)
    monkeypatch.undo()
    (texts / "out").write_text("")
    config = smallest(texts)
    with pytest.raises(ConfigError, match=r"out is not a folder; choose another --out"):
        preflight.check(config, texts / "out" / "deeper", outline(config))
