"""A column with the text that records do not have is found before any work; whatever else is wrong is left to collection."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig


def plan(folder: Path, **settings: object) -> int:
    return CollectStep(CollectConfig.model_validate({"paths": [str(folder)], **settings})).plan()["files"]


def jsonl(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_kind_of_record_file_is_looked_at(tmp_path: Path) -> None:
    for kind, said in {"jsonl": "no field", "csv": "no column", "parquet": "no column"}.items():
        folder = tmp_path / kind
        folder.mkdir()
        path = folder / f"a.{kind}"
        if kind == "jsonl":
            jsonl(path, [{"content": "x"}] * 3)
        elif kind == "csv":
            path.write_text("content,id\nx,1\n")
        else:
            pq.write_table(pa.table({"content": ["x"] * 3}), path)
        with pytest.raises(InputError, match=rf"a\.{kind}: {said} 'text'; did you mean 'content'.*: --text-field content, or"):
            plan(folder)
        # Whoever lets everything be quarantined has seen it.
        assert plan(folder, quarantine_ceiling=1) == 1


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"text": "x"}],
        [{"content": "x"}] * 3 + [{"text": "x"}],
        [{"text": None}],
        [3, "x"],
    ],
)
def test_what_may_be_right_is_left_to_collection(tmp_path: Path, rows: list[object]) -> None:
    jsonl(tmp_path / "a.jsonl", rows)
    assert plan(tmp_path) == 1


def test_one_file_of_several_may_lack_the_column(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"content": "x"}])
    jsonl(tmp_path / "b.jsonl", [{"text": "x"}])
    assert plan(tmp_path) == 2
    jsonl(tmp_path / "b.jsonl", [{"content": "x"}])
    with pytest.raises(InputError, match="--text-field content"):
        plan(tmp_path)
    (tmp_path / "notes.txt").write_text("a text beside records")
    assert plan(tmp_path) == 3


@pytest.mark.parametrize(
    ("columns", "argument"),
    [
        (["the text; rm"], "'the text; rm'"),
        (["body, or so", "zeal"], "'body, or so'"),
        (["it's text"], "'it'\"'\"'s text'"),
        ([], "NAME"),
    ],
)
def test_the_column_to_name_is_ready_for_a_shell(tmp_path: Path, columns: list[str], argument: str) -> None:
    jsonl(tmp_path / "a.jsonl", [dict.fromkeys(columns, "x")])
    with pytest.raises(InputError, match=re.escape(f"--text-field {argument}, or")):
        plan(tmp_path)


def test_a_last_line_that_may_be_cut_lacks_the_column_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"content": "x"}')
    with pytest.raises(InputError, match="so it may be cut; name the column with the text: --text-field content, or"):
        plan(tmp_path)
