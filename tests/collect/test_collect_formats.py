"""Each format: what becomes a document, and what a broken record costs (itself, never a neighbour)."""

from __future__ import annotations

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.errors import ConfigError, InputError, QuarantineCeiling
from tokenmill.pipeline.collect import lines


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_plain_text_loses_its_mark_and_carriage_returns(tmp_path, collect):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    (folder / "sub" / "a.md").write_text("# ünï\n")
    (folder / "c.rst.gz").write_bytes(gzip.compress(b"packed"))
    (folder / "d.txt.zst").write_bytes(zstandard.compress(b"packed more"))
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "void.txt").write_bytes(b"")
    (folder / "blank.txt").write_bytes(b" \n\t")
    (folder / "other.pdf").write_bytes(b"%PDF")
    (folder / ".hidden.txt").write_bytes(b"not offered")
    done = collect(folder)
    assert done.texts() == ["one\ntwo\n", "packed", "packed more", "# ünï\n"]
    assert done.documents()[3]["doc_id"] == schema.doc_id("files", "sub/a.md")
    assert json.loads(done.documents()[3]["metadata"]) == {"path": "sub/a.md"}
    assert done.dropped() == [("blank.txt", "empty"), ("void.txt", "empty")]
    assert done.broken() == [("latin.txt", "not_utf8")]
    facts = done.done.manifest.facts
    assert (facts["files"], facts["ignored_files"], facts["left_out"]) == (7, 2, {"hidden": 1, "unknown_kind": 1})
    assert facts["columns_left_out"] == {}
    assert facts["losses"] == {"rows": 0, "estimate": 0, "unread_bytes": 0, "at_least": False}
    assert (done.counts.read, done.counts.kept, done.counts.quarantined) == (7, 4, 1)


def by_line(*paths):
    return [{"kind": "files", "name": "lines", "paths": list(map(str, paths)), "sample_by": "line"}]


def test_each_line_of_plain_text_can_be_a_document(tmp_path, collect):
    data = b"\xef\xbb\xbfone\r\n\n  two \n \t\ncaf\xe9\n" + b"x" * 60 + b"\nlast"
    (tmp_path / "a.txt").write_bytes(data)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(data))
    (tmp_path / "b.jsonl").write_bytes(jsonl({"text": "a record\nof two lines"}))
    (tmp_path / "c.txt").write_bytes(b"\n\n")
    done = collect(sources=by_line(tmp_path), max_document_bytes=50)
    assert done.texts() == ["one", "  two ", "last"] * 2 + ["a record\nof two lines"]
    assert done.documents()[1]["doc_id"] == schema.doc_id("lines", "a.txt#2")
    assert json.loads(done.documents()[1]["metadata"]) == {"path": "a.txt", "record": 2}
    assert done.broken() == [
        (f"{name}#{line}", reason) for name in ("a.txt", "a.txt.gz") for line, reason in ((4, "not_utf8"), (5, "too_long"))
    ]
    assert done.dropped() == [("c.txt", "empty")]


def by_separator(*paths, separator="<|endoftext|>"):
    return [{"kind": "files", "name": "stories", "paths": list(map(str, paths)), "separator": separator}]


def test_what_stands_between_separators_is_a_document(tmp_path, collect):
    data = b"\xef\xbb\xbfone\r\nmore\n<|endoftext|>\n\n two <|endof \n<|endoftext|><|endoftext|>\n caf\xe9<|endoftext|>"
    data += b"x" * 60 + b"<|endoftext|>last\n"
    (tmp_path / "a.txt").write_bytes(data)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(data))
    (tmp_path / "b.jsonl").write_bytes(jsonl({"text": "a record <|endoftext|> whole"}))
    (tmp_path / "c.txt").write_bytes(b"\n<|endoftext|>\n")
    done = collect(sources=by_separator(tmp_path), max_document_bytes=50)
    assert done.texts() == ["one\nmore", "two <|endof", "last"] * 2 + ["a record <|endoftext|> whole"]
    assert done.documents()[1]["doc_id"] == schema.doc_id("stories", "a.txt#1")
    assert done.broken() == [
        (f"{name}#{number}", reason) for name in ("a.txt", "a.txt.gz") for number, reason in ((3, "not_utf8"), (4, "too_long"))
    ]
    assert done.dropped() == [("c.txt", "empty")]
    short = collect(tmp_path / "a.txt", separator="<|endoftext|>", max_document_bytes=50, out="short")
    assert short.texts() == done.texts()[:3]


@given(st.lists(st.sampled_from([b"a", b"b", b"ab", b"\n", b"x"]), max_size=40), st.sampled_from([b"aab", b"ab", b"a"]))
def test_separators_are_found_wherever_a_stream_is_cut(parts, separator):
    found = [line.data for line in lines.separated(iter(parts), separator, 100)]
    wanted = b"".join(parts).split(separator)
    assert found == (wanted if wanted[-1] else wanted[:-1])


def test_a_separator_is_part_of_what_a_source_is(tmp_path, collect):
    (tmp_path / "a.txt").write_bytes(b"one\r\n---\r\ntwo")
    assert collect(sources=by_separator(tmp_path, separator="\n---\n")).texts() == ["one", "two"]
    again = collect(tmp_path)
    assert again.texts() == ["one\n---\ntwo"]
    assert "separator" not in again.done.manifest.config["sources"][0]
    with pytest.raises(ValueError, match='separator and sample_by = "line" exclude one another'):
        collect(sources=[{**by_separator(tmp_path)[0], "sample_by": "line"}])
    with pytest.raises(ValueError, match="at least 1 character"):
        collect(sources=by_separator(tmp_path, separator=""))
    # A line is a document where a source says so, whatever the others are divided by.
    assert collect(sources=by_line(tmp_path), separator="o", out="lines").texts() == ["one", "---", "two"]


def test_large_plain_text_is_read_by_ranges_as_one_file(tmp_path, collect):
    lines = [f"line {number} " + "word " * (number % 40) for number in range(900)]
    (tmp_path / "large.txt").write_text("\n".join(lines))
    whole = collect(sources=by_line(tmp_path / "large.txt"), out="whole")
    cut = collect(sources=by_line(tmp_path / "large.txt"), out="cut", shard_bytes=3_000)
    assert len(cut.done.manifest.shards) > 10
    assert [row["doc_id"] for row in cut.documents()] == [row["doc_id"] for row in whole.documents()]
    assert cut.texts() == whole.texts() == lines


def test_html_becomes_main_text_in_its_own_encoding(tmp_path, collect):
    page = "<html><head><meta charset=windows-1251><title>x</title></head><body><p>Привет, мир</p><script>no()</script></body>"
    (tmp_path / "a.html").write_bytes(page.encode("cp1251"))
    (tmp_path / "b.htm").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    (tmp_path / "c.html").write_bytes(b"no tags at all")
    done = collect(tmp_path / "a.html", tmp_path / "b.htm", tmp_path / "c.html")
    assert [text.strip() for text in done.texts()] == ["Привет, мир", "no tags at all"]
    assert done.broken() == [("b.htm", "not_html")]


@pytest.mark.parametrize(
    ("tag", "refused_by"),
    [("<div>" * 400_000, ""), ("<article>" * 100_000, ""), ("<p " + "a b " * 200_000 + ">", "resiliparse")],
)
def test_pages_made_to_stall_the_parser_do_not(tmp_path, collect, tag, refused_by):
    (tmp_path / "a.html").write_text(f"<body>{tag}words that stay")
    for extract in ("blocks", "resiliparse"):
        done = collect(tmp_path / "a.html", out=extract, extract=extract)
        assert done.broken() == ([("a.html", "hostile_html")] if extract == refused_by else [])
        assert done.texts() == ([] if extract == refused_by else ["words that stay"])


def test_each_broken_json_line_is_one_quarantined_record(tmp_path, collect):
    lines = [
        json.dumps(
            {"text": "first", "id": "x1", "url": "https://me:secret@a.org/p?q=1", "lang": "en", "big": "b" * 999}
        ).encode(),
        b"{broken",
        b"",
        b'{"text": "caf\xe9"}',
        b"[1]",
        b'{"txt": "no"}',
        b'{"text": 5}',
        b'{"text": NaN}',
        b'{"text": "\\ud800 half"}',
        b"[" * 100_000,
        b'{"text": ""}',
        b'{"text": "' + b"x" * 5_000 + b'"}',
        b'{"text": "' + b"y" * 90_000 + b'"}',
        b'{"text": "last"}',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    done = collect(tmp_path / "in.jsonl", max_document_bytes=1_000)
    assert done.texts() == ["first", "last"]
    first, last = done.documents()
    assert first["doc_id"] == schema.doc_id("files", "x1")
    assert first["url"] == "https://a.org/p?q=1"
    assert json.loads(first["metadata"]) == {"fields": {"lang": "en"}, "path": "in.jsonl", "record": 0}
    assert last["doc_id"] == schema.doc_id("files", "in.jsonl#13")
    assert done.broken() == [
        ("in.jsonl#1", "broken_json"),
        ("in.jsonl#3", "not_utf8"),
        ("in.jsonl#4", "no_text"),
        ("in.jsonl#5", "no_text"),
        ("in.jsonl#6", "no_text"),
        ("in.jsonl#7", "broken_json"),
        ("in.jsonl#8", "unpaired_surrogate"),
        ("in.jsonl#9", "too_long"),
        ("in.jsonl#11", "too_long"),
        ("in.jsonl#12", "too_long"),
    ]
    assert done.dropped() == [("in.jsonl#10", "empty")]


def test_a_deeply_nested_line_is_broken_json(tmp_path, collect):
    (tmp_path / "in.jsonl").write_bytes(b"[" * 100_000 + b"\n" + jsonl({"text": "here"}))
    done = collect(tmp_path / "in.jsonl")
    assert (done.texts(), done.broken()) == (["here"], [("in.jsonl#0", "broken_json")])


def test_the_missing_field_is_named_with_the_nearest(tmp_path, collect):
    (tmp_path / "in.jsonl").write_bytes(jsonl({"texts": "a", "name": "b"}))
    done = collect(tmp_path / "in.jsonl")
    message = pq.read_table(done.root / "quarantine/files.parquet")["message"][0].as_py()
    assert "no field 'text'" in message
    assert "did you mean 'texts'?" in message


def test_large_json_lines_are_read_by_ranges_as_one_file(tmp_path, collect):
    rows = [{"text": f"line {n} " + "x" * (n * 37 % 400)} for n in range(300)]
    (tmp_path / "in.jsonl").write_bytes(b"\n\n".join(jsonl(row).rstrip() for row in rows))
    (tmp_path / "long.jsonl").write_bytes(jsonl({"text": "a" * 9_000}, {"text": "b"}))
    split = collect(tmp_path / "in.jsonl", tmp_path / "long.jsonl", shard_bytes=1_000, out="split")
    whole = collect(tmp_path / "in.jsonl", tmp_path / "long.jsonl", out="whole")
    assert len(split.done.manifest.shards) > 40
    assert len(whole.done.manifest.shards) == 1
    assert split.documents() == whole.documents()
    assert split.texts() == [row["text"] for row in rows] + ["a" * 9_000, "b"]


def test_parquet_by_row_groups(tmp_path, collect):
    texts = [f"row {n}" * 50 for n in range(40)]
    table = pa.table({"text": [*texts, None], "id": range(100, 141), "n": [0.5] * 41})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=7)
    done = collect(tmp_path / "in.parquet", shard_bytes=1_000)
    assert done.texts() == texts
    assert len(done.done.manifest.shards) > 3
    assert done.documents()[8]["doc_id"] == schema.doc_id("files", "108")
    assert json.loads(done.documents()[8]["metadata"]) == {"fields": {"n": 0.5}, "path": "in.parquet", "record": 8}
    assert done.dropped() == [("in.parquet#40", "empty")]


def test_parquet_that_is_broken_or_lacks_the_column(tmp_path, collect):
    pq.write_table(pa.table({"txt": ["a"]}), tmp_path / "column.parquet")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "number.parquet")
    bad = pa.array([b"ok", b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": bad}), tmp_path / "encoding.parquet")
    whole = pa.table({"text": ["word " * 2_000 + str(n) for n in range(20)]})
    pq.write_table(whole, tmp_path / "whole.parquet", compression="none", use_dictionary=False)
    data = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[:-1])
    (tmp_path / "void.parquet").write_bytes(b"")
    done = collect(tmp_path)
    assert done.counts.kept == 21
    assert sorted(done.broken()) == [
        ("column.parquet", "missing_column"),
        ("cut.parquet", "broken_parquet"),
        ("encoding.parquet#1", "not_utf8"),
        ("number.parquet", "missing_column"),
        ("void.parquet", "broken_parquet"),
    ]


def test_csv_rows_with_quotes_newlines_nul_and_faults(tmp_path, collect):
    with open(tmp_path / "in.csv", "w", newline="") as out:
        rows = csv.writer(out)
        rows.writerows([["id", "text", "lang"], ["1", 'two\nlines, "quoted"', "en"], ["2", "", "en"], ["3"]])
    with open(tmp_path / "in.csv", "ab") as out:
        out.write(b"4,nul\0here,en\n\n5,caf\xe9,fr\n6," + b"z" * 70_000 + b",de\n7,end,en\n")
    (tmp_path / "column.csv").write_text("id,body\n1,x\n")
    done = collect(tmp_path / "in.csv", tmp_path / "column.csv", max_document_bytes=1_000)
    assert done.texts() == ['two\nlines, "quoted"', "nul\0here", "end"]
    assert done.dropped() == [("in.csv#1", "empty")]
    assert done.broken() == [
        ("column.csv", "missing_column"),
        ("in.csv#2", "no_text"),
        ("in.csv#4", "not_utf8"),
        ("in.csv#5", "too_long"),
    ]


def test_a_local_data_set(tmp_path, collect):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(
        jsonl({"text": "one", "id": "a"}, {"text": None, "id": "b"}, {"text": "two", "id": "c"})
    )
    settings = {"sources": ({"kind": "dataset", "name": "set", "path": str(folder)},)}
    done = collect(**settings)
    assert done.texts() == ["one", "two"]
    assert done.documents()[1]["doc_id"] == schema.doc_id("set", "c")
    assert done.dropped() == [("train/0#1", "empty")]
    assert collect(**settings).done.recomputed_shards == 0


def test_a_data_set_on_a_hub_needs_a_revision(collect):
    with pytest.raises(ConfigError, match="set its revision"):
        collect(sources=({"kind": "dataset", "name": "set", "path": "someone/something"},))


@pytest.mark.parametrize(
    ("given", "message"), [("nothing.txt", "does not exist"), ("*.txt", "matches no file"), ("x.pdf", "unknown kind")]
)
def test_paths_that_give_nothing_are_refused(tmp_path, collect, given, message):
    (tmp_path / "x.pdf").write_bytes(b"%PDF")
    with pytest.raises(InputError, match=message):
        collect(tmp_path / given)


def test_the_ceiling_stops_the_run_and_leaves_the_evidence(tmp_path, collect):
    (tmp_path / "in.jsonl").write_bytes(b"{broken\n" + jsonl({"text": "fine"}))
    with pytest.raises(QuarantineCeiling, match=r"1 of 2 records .* 1 broken_json") as caught:
        collect(tmp_path / "in.jsonl", quarantine_ceiling=0.1)
    assert "in.jsonl#0" in str(caught.value)
    assert pq.read_table(tmp_path / "corpus/quarantine/files.parquet")["reason"].to_pylist() == ["broken_json"]
    assert not (tmp_path / "corpus/collect/manifest.json").exists()
    assert collect(tmp_path / "in.jsonl", quarantine_ceiling=0.5).done.recomputed_shards == 0
