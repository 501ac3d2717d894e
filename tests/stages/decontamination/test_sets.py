"""Items out of files of every kind, and what is wrong with files."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.stages.decontamination import sets
from tokenmill.pipeline.stages.decontamination.settings import EvaluationSet

ROWS = [
    {"id": "a", "question": "First?", "choices": ["one", "two"], "answer": 1},
    {"id": "b", "question": "Second?", "choices": ["three"], "answer": 0},
]
ITEMS = [("a", ("First?\none\ntwo", "First?")), ("b", ("Second?\nthree", "Second?"))]


def read(path: Path, **changes: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [tuple(item) for item in sets.items(EvaluationSet.model_validate({"path": str(path), **changes}))]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_items_are_the_same_in_every_format(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(ROWS))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(ROWS)))
    with pa.output_stream(str(tmp_path / "a.jsonl.zst"), compression="zstd") as out:
        out.write(lines(ROWS))
    (tmp_path / "a.json").write_text(json.dumps(ROWS, indent=1))
    pq.write_table(table, tmp_path / "a.parquet")
    for name, make in (("stream.arrow", pa.ipc.new_stream), ("file.arrow", pa.ipc.new_file)):
        with make(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
    paths = sorted(path for path in tmp_path.iterdir() if path.name != "other")
    assert len(paths) == 7
    for path in paths:
        assert read(path) == ITEMS, path.name


def test_a_folder_is_read_whole_but_for_what_describes_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test-1.jsonl").write_bytes(lines(ROWS[1:]))
    (tmp_path / "data" / "test-0.jsonl").write_bytes(lines(ROWS[:1]))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.jsonl").write_text("not JSON")
    for name in ("README.md", "state.json", "picture.png"):
        (tmp_path / name).write_text("not an item")
    assert read(tmp_path) == ITEMS
    assert read(tmp_path / "data" / "*-1.jsonl") == ITEMS[1:]
    one = EvaluationSet(path=str(tmp_path))
    before = sets.sha256(one)
    (tmp_path / "data" / "test-1.jsonl").write_bytes(lines(ROWS))
    assert sets.sha256(one) != before


def test_plain_text_has_an_item_a_line_or_between_separators(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\nmore\n\n---\n\ntwo\r\n---\n---\n")
    assert read(path) == [(str(at), (text,)) for at, text in enumerate(["one", "more", "---", "two", "---", "---"])]
    assert read(path, separator="---") == [("0", ("one\nmore",)), ("1", ("two",))]


def test_fields_within_fields_and_lists_of_objects_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = {"q": {"stem": "Why?"}, "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "turns": [{"say": "hi"}, {"say": "ho"}]}
    path.write_bytes(lines([row, {"q": None}]))
    fields = ["q.stem", "choices.text", "turns.say"]
    assert read(path, fields=fields, id_field="number") == [("0", ("Why?\nx\ny\nhi\nho", "Why?\nhi\nho")), ("1", ())]
    assert read(path, fields=["q.stem"], optional=[]) == [("0", ("Why?",)), ("1", ())]


def test_ids_that_come_twice_get_their_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines([{"id": 7, "text": "x"}, {"id": 7, "text": "y"}, {"text": "z"}]))
    assert [name for name, _ in read(path)] == ["7", "7#1", "2"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text":\n', "a.jsonl: line 2 is not JSON"),
        ("a.jsonl", b"3\n", "a.jsonl: line 1 holds a int, not an object"),
        ("a.jsonl", b'{"text": "\xff"}\n', "a.jsonl: cannot be read ('utf-8'"),
        ("a.parquet", b"PAR1", "a.parquet: cannot be read"),
        ("a.arrow", b"nothing", "a.arrow: cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 99, mtime=0)[:-20], "a.jsonl.gz: cannot be read"),
    ],
)
def test_broken_files_are_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(said)):
        read(tmp_path / name)


def test_fields_that_are_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines([{"stem": "x", "key": "y"}]))
    with pytest.raises(ConfigError, match="name the `fields` of its items; there are key, stem"):
        read(path)
    with pytest.raises(ConfigError, match="no item has text in the field 'qustion'"):
        read(path, fields=["stem", "qustion"])
    with pytest.raises(ConfigError, match="there is no such file, and no folder with items"):
        read(tmp_path / "absent")
