"""Readers of datatrove's as sources: the documents are theirs, every record is counted, and only listed readers run."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datatrove.pipeline import readers
from pydantic import ValidationError

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.errors import InputError, QuarantineCeiling
from tokenmill.pipeline.collect.datatrove import READERS
from tokenmill.pipeline.collect.parser import host
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig, datatrove

ROWS: list[dict[str, Any]] = [
    {"text": "The first document.\nIt has two lines.", "id": "one", "url": "https://user:word@example.org/1", "lang": "en"},
    {"text": "", "id": "empty"},
    {"text": None, "id": "null"},
    {"text": "Ein Text, 🦎 é.", "id": None, "url": None, "lang": "de"},
    {"text": " \n", "id": "blank"},
    {"text": "The last one.", "id": "six", "lang": "x" * 300},
]


def sources(reader: str, *paths: Path, **arguments: object) -> list[dict[str, Any]]:
    named = {"kind": "datatrove", "name": "trove", "reader": reader}
    return [{**named, "paths": list(map(str, paths)), "arguments": arguments}]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file in the format that its name ends in."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as handle:
            table = csv.DictWriter(handle, ["text", "id", "url", "lang"])
            table.writeheader()
            table.writerows(rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, (table := pa.Table.from_pylist(rows)).schema) as file:
            file.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize(
    ("reader", "name"),
    [("JsonlReader", "a.jsonl"), ("CSVReader", "a.csv"), ("ParquetReader", "a.parquet"), ("IpcReader", "a.arrow")],
)
def test_documents_are_those_of_the_reader(reader, name, tmp_path, collect):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / name, ROWS)
    theirs = [found for found in getattr(readers, reader)(str(tmp_path / "in"))() if not found.text.isspace()]
    done = collect(sources=sources(reader, tmp_path / "in"))
    assert done.texts() == [found.text for found in theirs]
    # CSV has no nulls: there, "" is the id of the fourth record.
    named = [found.id or f"{name}#3" for found in theirs]
    assert [row["doc_id"] for row in done.documents()] == [schema.doc_id("trove", one) for one in named]
    about = [json.loads(row["metadata"]) for row in done.documents()]
    assert [one["record"] for one in about] == [0, 3, 5]
    assert about[1] == {"path": name, "record": 3, "fields": {"lang": "de"}}
    assert done.documents()[0]["url"] == "https://example.org/1"
    assert Counter(done.dropped()) == {(f"{name}#{number}", "empty"): 1 for number in (1, 2, 4)}
    assert (done.counts.read, done.counts.kept, done.counts.quarantined) == (6, 3, 0)
    assert done.done.manifest.facts["columns_left_out"]["trove"] == {"lang": 1}


def test_ids_without_a_column_are_those_of_the_reader(tmp_path, collect):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    write(tmp_path / "in" / "sub" / "a.jsonl", [{"body": "one"}, {"body": "two"}])
    theirs = list(readers.JsonlReader(str(tmp_path / "in"), text_key="body")())
    done = collect(sources=sources("JsonlReader", tmp_path / "in", text_key="body"))
    assert [found.id for found in theirs] == ["sub/a.jsonl/0", "sub/a.jsonl/1"]
    assert [row["doc_id"] for row in done.documents()] == [schema.doc_id("trove", found.id) for found in theirs]


def test_arguments_reach_the_reader(tmp_path, collect):
    path = write(tmp_path / "a.jsonl", [{"body": "one", "key": 7, "lang": "en"}])
    arguments = {"text_key": "body", "id_key": "key", "default_metadata": {"lang": "xx", "part": {"of": [1, 2]}}}
    (row,) = collect(sources=sources("JsonlReader", path, **arguments)).documents()
    assert row["doc_id"] == schema.doc_id("trove", "7")
    assert json.loads(row["metadata"])["fields"] == {"lang": "en", "part": {"of": [1, 2]}}
    path = write(tmp_path / "a.parquet", [{"text": "one", "id": "k", "lang": "en"}])
    (row,) = collect(sources=sources("ParquetReader", path, read_metadata=False, batch_size=1)).documents()
    assert "fields" not in json.loads(row["metadata"])


def test_a_broken_line_costs_itself(tmp_path, collect):
    wrong = [b'{"text": 5}', b'{"body": "x"}', b'{"text": "\xff"}', b'{"text": "a", "media": [{"x": 1}]}']
    lines = [b'{"text": "first"}', b"broken {", b"[1, 2]", *wrong, b"", b'{"text": "\\ud800"}', b'{"text": "last"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    done = collect(sources=sources("JsonlReader", tmp_path))
    assert done.texts() == ["first", "last"]
    reasons = ["broken_json", "broken_record", "no_text", "no_text", "not_utf8", "broken_record"]
    assert done.broken()[:6] == [(f"a.jsonl#{number}", reason) for number, reason in enumerate(reasons, 1)]
    assert [position for position, _ in done.broken()[6:]] == ["a.jsonl#8"]
    assert (done.counts.read, done.counts.quarantined) == (9, 7)


def test_packed_files_are_read_by_their_endings_or_as_it_is_said(tmp_path, collect):
    plain = b'{"text": "one"}\n{"text": "two"}\n'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(plain))
    (tmp_path / "c.dat").write_bytes(plain)
    done = collect(sources=sources("JsonlReader", tmp_path))
    assert done.texts() == ["one", "two"] * 3
    (tmp_path / "d").write_bytes(gzip.compress(plain))
    assert collect(sources=sources("JsonlReader", tmp_path / "d", compression="gzip")).texts() == ["one", "two"]


def test_what_a_cut_file_loses_is_counted(tmp_path, collect):
    packed = gzip.compress(b"".join(b'{"text": "document %d of many"}\n' % (number * 7919) for number in range(400)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    done = collect(sources=sources("JsonlReader", tmp_path))
    ((position, reason),) = done.broken()
    assert (position, reason) == (f"a.jsonl.gz#{done.counts.kept}", "cut_archive")
    assert done.done.manifest.facts["losses"]["estimate"] == done.counts.kept > 100


def test_where_a_reader_stops_the_rest_of_the_rows_is_counted(tmp_path, collect):
    beyond_the_calendar = pa.array([*range(9), 10**8], pa.int32()).cast(pa.date32())
    rows = pa.table({"text": [f"text {number}" for number in range(10)], "at": beyond_the_calendar})
    pq.write_table(rows, tmp_path / "a.parquet")
    done = collect(sources=sources("ParquetReader", tmp_path, batch_size=4))
    assert done.texts() == [f"text {number}" for number in range(8)]
    assert done.broken() == [("a.parquet#8", "broken_record")]
    assert (done.counts.read, done.counts.quarantined) == (10, 2)
    assert done.done.manifest.facts["losses"]["rows"] == 2

    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    done = collect(sources=sources("ParquetReader", tmp_path / "b.parquet"))
    assert done.broken() == [("b.parquet#0", "broken_record")]
    assert done.done.manifest.facts["losses"]["unread_bytes"] == (tmp_path / "b.parquet").stat().st_size


def test_rows_behind_a_bomb_are_counted(tmp_path, collect):
    """A dictionary of one long text, which every row names: a small file of many megabytes."""
    table = pa.table({"text": pa.array(["x" * 100_000] * 1_000).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    done = collect(sources=sources("ParquetReader", tmp_path, batch_size=10))
    ((position, reason),) = done.broken()
    assert (position, reason) == (f"a.parquet#{done.counts.kept}", "bomb")
    assert (done.counts.read, done.counts.kept + done.counts.quarantined) == (1_000, 1_000)
    assert 50 < done.counts.kept < 200


def test_long_fields_odd_bytes_and_extra_columns_of_csv(tmp_path, collect):
    data = b"\xef\xbb\xbftext,id\n" + b"x" * 200_000 + b",long\ncaf\xe9,latin\none,a,b,c\nonly\n\n" + b'"two\r\nlines",q\n'
    (tmp_path / "a.csv").write_bytes(data)
    done = collect(sources=sources("CSVReader", tmp_path))
    assert [len(text) for text in done.texts()] == [200_000, 3, 4, 9]
    assert done.broken() == [("a.csv#1", "unpaired_surrogate")]
    (tmp_path / "a.csv").write_bytes(b"text,id\n" + b"x" * 400_000 + b"\nafter,b\n")
    done = collect(sources=sources("CSVReader", tmp_path), max_document_bytes=1_000)
    assert done.broken() == [("a.csv#0", "too_long")]
    assert done.done.manifest.facts["losses"]["at_least"]


def test_times_with_zones_are_read(tmp_path, collect):
    rows = pa.table({"text": ["one", "two"], "at": [0, 1_700_000_000]})
    zoned = rows.set_column(1, "at", rows["at"].cast(pa.timestamp("s", tz="Asia/Tokyo")))
    pq.write_table(zoned, tmp_path / "a.parquet")
    assert zoned.to_pylist()[0]["at"].utcoffset() == datetime.timedelta(hours=9)
    done = collect(sources=sources("ParquetReader", tmp_path))
    assert (done.texts(), done.broken()) == (["one", "two"], [])


def test_media_are_counted_as_left_out(tmp_path, collect):
    media = [{"id": "m", "type": 0, "url": "http://127.0.0.1:9/x", "path": "/etc/hostname", "media_bytes": None}]
    path = write(tmp_path / "a.jsonl", [{"text": "one", "media": media}])
    done = collect(sources=sources("JsonlReader", path))
    assert done.texts() == ["one"]
    assert done.done.manifest.facts["columns_left_out"]["trove"] == {"media": 1}


@pytest.fixture
def prying(monkeypatch) -> Iterator[None]:
    """In parsers, the reader of lines opens a file of the machine with each line."""
    monkeypatch.setattr(host, "ENTRY", "tests.collect.parser.stubs:pries")
    yield
    host.release()


def test_a_reader_opens_nothing_but_the_listed_file(tmp_path, collect, prying):
    path = write(tmp_path / "a.jsonl", [{"text": "one"}])
    done = collect(sources=sources("JsonlReader", path))
    assert done.broken() == [("a.jsonl#0", "broken_record")]
    assert done.messages() == ["JsonlReader stops here (PermissionError)"]


def test_the_same_bytes_when_it_is_built_again_elsewhere(tmp_path, collect):
    for folder in ("in", "elsewhere"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.jsonl", ROWS)
        write(tmp_path / folder / "b.jsonl", [{"text": "one"}])
    first, second = (collect(sources=sources("JsonlReader", tmp_path / folder)).published() for folder in ("in", "elsewhere"))
    assert first == second


def test_a_wrong_column_is_refused_before_any_work_and_reaches_the_ceiling(tmp_path, collect):
    path = write(tmp_path / "a.jsonl", [{"body": "one"}])
    step = CollectStep(config=CollectConfig.model_validate({"sources": sources("JsonlReader", path)}))
    with pytest.raises(InputError, match='there are: body; name the column with the text: text_key = "body" in the arguments'):
        step.plan()
    with pytest.raises(QuarantineCeiling, match="body"):
        collect(sources=sources("JsonlReader", path), quarantine_ceiling=0.01)


@pytest.mark.parametrize(
    ("reader", "arguments", "message"),
    [
        ("WarcReader", {}, 'kind = "files" reads web archives'),
        ("datatrove.pipeline.readers.huggingface.HuggingFaceDatasetReader", {}, 'kind = "dataset"'),
        ("os.system", {}, "JsonlReader"),
        ("BaseDiskReader", {}, "JsonlReader"),
        ("JsonlReader", {"data_folder": "s3://bucket/x"}, "names its files in `paths`"),
        ("JsonlReader", {"adapter": "os.system"}, "settings hold no code"),
        ("JsonlReader", {"limit": 3}, "collect.max_documents"),
        ("JsonlReader", {"txt_key": "x"}, "did you mean text_key"),
        ("JsonlReader", {"batch_size": 3}, "no argument 'batch_size'"),
        ("JsonlReader", {"text_key": 3}, "is a str, not 3"),
        ("JsonlReader", {"compression": "zip"}, "one of infer, gzip"),
        ("JsonlReader", {"default_metadata": {"at": datetime.date(2020, 1, 1)}}, "holds strings, numbers"),
        ("ParquetReader", {"batch_size": 0}, "from 1 to 100,000 rows"),
        ("ParquetReader", {"read_metadata": 1}, "is a bool, not 1"),
    ],
)
def test_what_is_refused_says_what_to_write(reader, arguments, message, tmp_path):
    with pytest.raises(ValidationError, match=message):
        CollectConfig.model_validate({"sources": sources(reader, tmp_path, **arguments)})


def test_every_reader_of_datatrove_is_listed_or_refused():
    theirs = {name for name in vars(readers) if name.endswith("Reader")}
    assert theirs == set(datatrove.ARGUMENTS) | set(datatrove.REFUSED_READERS)
    assert set(get_args(datatrove.Reader)) == set(datatrove.ARGUMENTS) == set(READERS)
    for name, known in datatrove.ARGUMENTS.items():
        code = getattr(readers, name).__init__.__code__
        taken = set(code.co_varnames[1 : code.co_argcount])
        assert set(known) <= taken <= set(known) | set(datatrove.REFUSED_ARGUMENTS), name
