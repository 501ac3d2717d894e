"""Rows without a test, and tests that do not exist, are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.rows import problems


def test_every_row_has_its_tests() -> None:
    assert list(problems()) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = ["test_a.py::test_there"]', None),
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = ["test_a.py::test_there"]\n[[open]]\nwhat = "b"\nwhy = "c"', None),
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = []', "none of them empty"),
        ('[[row]]\nwhat = "a"\nholds = "b"', "needs holds, tests, what"),
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = ["test_a.py::test_gone"]', "no test test_a.py::test_gone"),
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = ["test_a.py::test_inside"]', "no test test_a.py::test_inside"),
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = ["test_b.py::test_there"]', "no test test_b.py::test_there"),
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = ["test_a.py"]', "no test test_a.py"),
        ('[[row]]\nwhat = "a"\nholds = "b"\ntests = ["test_a.py::helper"]', "no test test_a.py::helper"),
        ('[[open]]\nwhat = "a"\nwhy = "b"', "holds tables ['open']"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, wrong: str | None) -> None:
    (tmp_path / "test_a.py").write_text("def helper():\n    def test_inside(): ...\n\ndef test_there(): ...\n")
    (tmp_path / "ROWS.toml").write_text(text)
    found = list(problems(tmp_path / "ROWS.toml", tmp_path))
    assert len(found) == (wrong is not None), found
    assert wrong is None or wrong in found[0]
