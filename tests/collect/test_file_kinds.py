"""Names that files have: each kind with a good file, a cut one and a hostile one, all through parsers."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard
from pydantic import ValidationError

from tokenmill.pipeline.base.errors import InputError

ROWS = [{"text": f"text number {number}", "n": number} for number in range(400)]
TEXTS = [row["text"] for row in ROWS]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = pa.Table.from_pylist(ROWS)


def arrow(table: pa.Table, *, stream: bool = False, **options) -> bytes:
    out = io.BytesIO()
    made = pa.ipc.new_stream(out, table.schema) if stream else pa.ipc.new_file(out, table.schema, **options)
    with made as writer:
        writer.write_table(table, max_chunksize=100)
    return out.getvalue()


def feather(table: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    pyarrow.feather.write_feather(table, out, **options)
    return out.getvalue()


def separated(by: str) -> bytes:
    return "".join(
        f"{by.join(fields)}\n" for fields in [("text", "n"), *((row["text"], str(row["n"])) for row in ROWS)]
    ).encode()


PACK = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".zstd": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
FILES = {
    "in.json": LINES,
    "in.ndjson": LINES,
    "IN.JSONL": LINES,
    **{f"in.{kind}{suffix}": pack(LINES) for kind in ("json", "jsonl") for suffix, pack in PACK.items()},
    "in.csv": separated(","),
    "in.tsv": separated("\t"),
    "in.tsv.gz": gzip.compress(separated("\t")),
    "in.arrow": arrow(TABLE),
    "stream.arrow": arrow(TABLE, stream=True),
    "packed.arrow": arrow(TABLE, options=pa.ipc.IpcWriteOptions(compression="zstd")),
    "in.feather": feather(TABLE),
    "zstd.feather": feather(TABLE, compression="zstd"),
}


@pytest.mark.parametrize("name", FILES)
def test_good_files(tmp_path, collect, name):
    (tmp_path / name).write_bytes(FILES[name])
    done = collect(tmp_path / name)
    assert done.texts() == TEXTS
    assert done.counts.read == len(TEXTS)
    assert json.loads(done.documents()[7]["metadata"])["fields"]["n"] in (7, "7")


def test_cut_files_are_told_and_counted(tmp_path, collect):
    for name, data in FILES.items():
        (tmp_path / f"{name.partition('.')[0]}-{name}").write_bytes(data[: len(data) * 2 // 3 + 1])
    done = collect(tmp_path)
    broken = {position.partition("#")[0].partition("-")[2] for position, _ in done.broken()}
    # What is cut within a line of CSV may be a whole row.
    assert set(FILES) - broken <= {"in.csv", "in.tsv"}
    reasons = {reason for _, reason in done.broken()}
    assert reasons <= {"cut_archive", "broken_json", "broken_arrow", "no_text", "duplicate_id"}
    assert done.done.manifest.facts["losses"]["estimate"] > 1_000


HOSTILE = {
    "value.json": (b"[\n" + b'{"text": "a"},\n' * 500 + b"]\n", "broken_json"),
    "object.json": (b'{\n  "text": "a"\n}\n', "broken_json"),
    "array.json": (json.dumps(ROWS).encode(), "no_text"),
    "bomb.jsonl.bz2": (bz2.compress(bytes(40 << 20)), "bomb"),
    "bomb.jsonl.xz": (lzma.compress(bytes(40 << 20)), "bomb"),
    "memory.jsonl.xz": (lzma.compress(LINES, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]), "broken_archive"),
    "noise.jsonl.bz2": (b"BZh9" + bytes(range(256)) * 30, "broken_archive"),
    "noise.jsonl.xz": (b"\xfd7zXZ\0" + bytes(range(256)) * 30, "broken_archive"),
    "plain.jsonl.gz": (LINES, "broken_archive"),
    "quote.tsv": (b'text\tn\n"open\t1\n' + b"a\t1\n" * 50, "broken_csv"),
    "noise.arrow": (b"ARROW1\0\0" + bytes(range(256)) * 30 + b"ARROW1", "broken_arrow"),
    "noise.feather": (bytes(range(256)) * 30, "broken_arrow"),
    "old.feather": (b"FEA1" + bytes(200) + b"FEA1", "broken_arrow"),
    "void.arrow": (b"", "broken_arrow"),
    "column.arrow": (arrow(TABLE.rename_columns(["txt", "n"])), "missing_column"),
    "list.arrow": (arrow(pa.table({"text": [["a", "b"]] * 5})), "missing_column"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_themselves(tmp_path, collect, name):
    data, reason = HOSTILE[name]
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.ndjson").write_bytes(b'{"text": "good"}\n')
    done = collect(tmp_path)
    assert done.texts() == ["good"] or (name == "quote.tsv" and done.texts()[0] == "good")
    assert [reason for _, reason in done.broken()] == [reason]


def test_offsets_out_of_bounds_are_not_followed(tmp_path, collect):
    data = arrow(pa.table({"text": TEXTS}))
    at = data.index((len(TEXTS[0])).to_bytes(4, "little") + (2 * len(TEXTS[0])).to_bytes(4, "little"))
    (tmp_path / "in.arrow").write_bytes(data[:at] + (1 << 30).to_bytes(4, "little") + data[at + 4 :])
    done = collect(tmp_path / "in.arrow")
    assert [reason for _, reason in done.broken()] == ["broken_arrow"]
    assert done.texts() == []


def test_damage_in_the_middle_of_an_arrow_file_costs_what_follows(tmp_path, collect):
    data = bytearray(arrow(TABLE, options=pa.ipc.IpcWriteOptions(compression="zstd")))
    at = data.index(zstandard.FRAME_HEADER, len(data) // 2)
    data[at : at + 20] = bytes(20)
    (tmp_path / "in.arrow").write_bytes(bytes(data))
    done = collect(tmp_path / "in.arrow")
    assert [reason for _, reason in done.broken()] == ["broken_arrow"]
    assert done.texts() == TEXTS[: len(done.texts())]
    assert 100 <= len(done.texts()) < 400
    assert done.done.manifest.facts["losses"]["estimate"] > 50


def long_window(window: int) -> bytes:
    """A frame that states a window of 2^window bytes."""
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    data = bytearray(packer.compress(LINES) + packer.flush())
    # The descriptor of the frame says that the window's follows.
    assert data[4] == 0
    data[5] = (window - 10) << 3
    return bytes(data)


@pytest.mark.parametrize("window", [28, 31])
def test_a_long_window_is_read_if_the_source_says_so(tmp_path, collect, window):
    (tmp_path / "in.jsonl.zst").write_bytes(long_window(window))
    done = collect(tmp_path / "in.jsonl.zst")
    assert done.broken() == [("in.jsonl.zst#0", "long_window")]
    assert f"--long={window}" in done.messages()[0]
    assert f"zstd_window = {window}" in done.messages()[0]
    source = {"name": "long", "paths": [str(tmp_path / "in.jsonl.zst")], "zstd_window": window}
    assert collect(sources=[source], out="long").texts() == TEXTS


def test_xhtml_is_a_page(tmp_path, collect):
    head = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
    page = f"{head}<body><p>Grüße an alle.</p></body></html>"
    (tmp_path / "a.xhtml").write_text(page)
    (tmp_path / "b.xhtml.xz").write_bytes(lzma.compress(page.encode()))
    assert [text.strip() for text in collect(tmp_path).texts()] == ["Grüße an alle."] * 2


@pytest.mark.parametrize(
    ("name", "format", "data"),
    [
        ("notes.org", "text", b"any ending"),
        ("README", "text", b"any ending"),
        ("a.tex.gz", "text", gzip.compress(b"any ending", mtime=0)),
        ("page.php", "html", b"<p>any ending</p>"),
        ("rows.dat", "jsonl", b'{"text": "any ending"}\n'),
        ("rows.dump.xz", "tsv", lzma.compress(b"n\ttext\n1\tany ending\n")),
        ("table.pq", "parquet", None),
        ("part.ipc", "arrow", arrow(pa.table({"text": ["any ending"]}))),
    ],
)
def test_any_ending_can_be_declared(tmp_path, collect, name, format, data):
    folder = tmp_path / "in"
    folder.mkdir()
    if data is None:
        pq.write_table(pa.table({"text": ["any ending"]}), folder / name)
    else:
        (folder / name).write_bytes(data)
    with pytest.raises(InputError, match="known kinds"):
        collect(folder)
    done = collect(sources=[{"name": "own", "paths": [str(folder)], "format": format}])
    assert [text.strip() for text in done.texts()] == ["any ending"]


def test_a_declared_kind_holds_for_known_endings_too(tmp_path, collect):
    (tmp_path / "a.jsonl").write_text('{"text": "as it is"}\n')
    (tmp_path / "b.txt").write_text("two\nlines")
    done = collect(sources=[{"name": "own", "paths": [str(tmp_path)], "format": "text", "sample_by": "line"}], out="../corpus")
    assert done.texts() == ['{"text": "as it is"}', "two", "lines"]


NESTED = [
    {"doc": {"body": "one", "head": {"title": "first"}}, "lang": "en"},
    {"doc": {"body": "two", "head": None}, "lang": "en"},
    {"doc": None, "lang": "en"},
    {"doc": {"body": None, "head": {"title": "last"}}, "lang": "en"},
]


@pytest.mark.parametrize("name", ["in.jsonl", "in.parquet", "in.arrow"])
def test_nested_and_joined_columns(tmp_path, collect, name):
    table = pa.Table.from_pylist(NESTED)
    if name == "in.parquet":
        pq.write_table(table, tmp_path / name)
    elif name == "in.arrow":
        (tmp_path / name).write_bytes(arrow(table))
    else:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in NESTED))
    source = {"name": "own", "paths": [str(tmp_path / name)]}
    nested = collect(sources=[source | {"text_field": "doc.body"}], out="nested")
    assert nested.texts() == ["one", "two"]
    assert [position for position, reason in nested.dropped()] == [f"{name}#2", f"{name}#3"]
    assert json.loads(nested.documents()[1]["metadata"])["fields"]["lang"] == "en"
    joined = collect(sources=[source | {"text_field": 'doc.head.title + "\\n\\n" + doc.body'}], out="joined")
    assert joined.texts() == ["first\n\none", "two", "last"]
    wrong = collect(sources=[source | {"text_field": "doc.bodi"}], out="wrong")
    assert wrong.counts.kept == 0
    assert "did you mean 'doc.body'?" in wrong.messages()[0]
    above = collect(sources=[source | {"text_field": "doc"}], out="above")
    assert above.counts.kept == 0
    assert "'doc' holds" in above.messages()[0]


@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
def test_joined_columns_of_rows(tmp_path, collect, name):
    rows = [("title", "n", "body"), ("a", "1", "b"), ("", "2", "c"), ("d", "3")]
    by = "," if name == "in.csv" else "\t"
    (tmp_path / name).write_text("\n".join(map(by.join, rows)))
    source = {"name": "own", "paths": [str(tmp_path / name)], "text_field": 'title + ": " + body'}
    done = collect(sources=[source])
    assert done.texts() == ["a: b", "c"]
    assert json.loads(done.documents()[0]["metadata"])["fields"] == {"n": "1"}
    assert done.broken() == [(f"{name}#2", "no_text")]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())])
@pytest.mark.parametrize("name", ["in.parquet", "in.arrow"])
def test_binary_columns_of_utf8(tmp_path, collect, name, kind):
    values = pa.array(["schön".encode(), b"caf\xe9", None, b"last"], pa.binary())
    values = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
    table = pa.table({"text": values})
    if name == "in.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(arrow(table))
    done = collect(tmp_path / name)
    assert done.texts() == ["schön", "last"]
    assert done.broken() == [(f"{name}#1", "not_utf8")]


def test_a_list_column_is_named_with_its_type(tmp_path, collect):
    pq.write_table(pa.table({"text": [["a", "b"]], "doc": [{"parts": ["a"]}]}), tmp_path / "in.parquet")
    wanted = {
        "text": "the column 'text' holds list<",
        "doc": "name one in it, such as doc.parts",
        "doc.parts": "the column 'doc.parts' holds list<",
    }
    for column, said in wanted.items():
        source = {"name": "own", "paths": [str(tmp_path / "in.parquet")], "text_field": column}
        assert said in collect(sources=[source], out=column).messages()[0]
    (tmp_path / "in.jsonl").write_text('{"text": ["a", "b"]}\n')
    assert "holds a list, not text" in collect(tmp_path / "in.jsonl", out="lines").messages()[0]


def test_a_text_field_that_is_no_expression_is_refused_with_an_example(collect):
    with pytest.raises(ValidationError, match="write columns and strings, as in title"):
        collect(sources=[{"name": "own", "paths": ["a"], "text_field": 'title + "open'}])
