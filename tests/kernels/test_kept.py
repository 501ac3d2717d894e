"""Tables come back from the disk as they were made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tokenmill.pipeline.kernels import kept, machine_code

made: list[tuple[object, ...]] = []


def _make(*arguments: object) -> tuple[object, ...]:
    made.append(arguments)
    return np.arange(3, dtype=np.uint16), 7, ("a", "bc")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine_code, "FOLDERS", (tmp_path / "kernels",))
    made.clear()
    return tmp_path / "kernels"


def test_they_are_made_once_for_each_argument() -> None:
    for _ in range(2):
        numbers, one, names = kept.arrays(_make, "x")
        assert numbers.dtype == np.uint16
        assert numbers.tolist() == [0, 1, 2]
        assert numbers.flags.writeable
        assert int(one) == 7
        assert names.tolist() == ["a", "bc"]
    kept.arrays(_make, "y")
    assert made == [("x",), ("y",)]


def test_a_file_that_was_cut_or_changed_is_made_again(folder: Path) -> None:
    kept.arrays(_make)
    (path,) = folder.iterdir()
    for damage in (lambda data: data[:-9], lambda data: bytes([data[0] ^ 1]) + data[1:], lambda _: b""):
        path.write_bytes(damage(path.read_bytes()))
        assert kept.arrays(_make)[0].tolist() == [0, 1, 2]
    assert len(made) == 4


def test_a_folder_that_cannot_be_written_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code, "FOLDERS", (Path("/proc/nowhere"),))
    assert kept.arrays(_make)[0].tolist() == kept.arrays(_make)[0].tolist()
    assert len(made) == 2
