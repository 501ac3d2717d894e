"""Input that would take much more memory or time than its size: stopped by what is counted, before it is decoded."""

from __future__ import annotations

import io
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.textfield import no_such
from tokenmill.pipeline.collect import pages, tables
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.html.main import main_text
from tokenmill.pipeline.collect.records import FREE_BYTES, Growth, Limits
from tokenmill.pipeline.config import FilesSource

RESILIPARSE = Extraction(extract="resiliparse")
NAMES = [f"a{number}" for number in range(200_000)]
STALLING = {
    "spaces": "<div " + " ".join(NAMES) + ">x",
    "slashes": "<div/" + "/".join(NAMES) + ">x",
    "less": "<div " + " ".join(f'{name}="<"' for name in NAMES) + ">x",
    "greater": "<div " + " ".join(f'{name}=">"' for name in NAMES) + ">x",
    "tags in values": "<div " + " ".join(f"{name}='\"<b>'" for name in NAMES) + ">x",
    "no space": "<div " + "".join(f'{name}="x"' for name in NAMES) + ">x",
    "open quote": "<div " + " ".join(NAMES) + ' b="x',
    "end tag": "<div>x</div " + " ".join(NAMES) + ">",
    "many roots": "".join(f"<hTml {name}>" for name in NAMES) + "x",
    "formatting that stays open": "".join(f"<B id={name}>x" for name in NAMES),
    "formatting in containers": "".join(f"<div><font id={name}>x</div>" for name in NAMES[:20_000]),
    "formatting before paragraphs": "".join(f"<i id={name}>" for name in NAMES[:500]) + "<p>x" * 5_000,
    "ends without a start": "<span>" * 50_000 + "</x>" * 50_000,
    "foreign ends": "<svg>" * 50_000 + "</x>" * 50_000,
    "options": "<select>" + "<option>x</option>" * 50_000,
    "more tags than memory": "<p>x" * 2_000_000,
    "more attributes than memory": "<p a=1 b=2 c=3 d=4>x" * 400_000,
}
ORDINARY = {
    "font in cells": "<table>" + "<tr><td><font size=2>x" * 5_000 + "</table>words",
    "crossed": "<b><i>x</b></i>" * 5_000 + "words",
    "bold left open": "".join(f"<p><b>{name}" for name in NAMES[:5_000]) + "words",
    "ends left out": "<ul>" + "<li>x" * 50_000 + "</ul>words",
    "many lists": ("<select>" + "<option>x" * 250 + "</select>") * 200 + "words",
    "code": "".join(f"<code id={name}>x</code> " for name in NAMES[:30_000]) + "words",
}


@pytest.mark.parametrize("how", STALLING)
def test_tags_made_to_stall_the_parser_are_refused_in_linear_time(how):
    begun = time.process_time()
    with pytest.raises(RecordError, match="attributes|elements"):
        main_text(STALLING[how], RESILIPARSE)
    # Quadratic work takes more than 40 s.
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("how", ORDINARY)
def test_ordinary_carelessness_is_not_hostile(how):
    assert "words" in main_text("<body>" + ORDINARY[how], RESILIPARSE).text


@pytest.mark.parametrize(
    "attribute",
    [
        "data-x='" + '{"a": [1, 2]} ' * 50_000 + "'",
        'd="' + "M 1 2 L 3 4 " * 50_000 + '"',
        'onclick="' + "if (a > b) {c()} " * 9_000 + '"',
    ],
)
def test_one_long_attribute_is_not_hostile(attribute):
    assert "words" in main_text(f"<body><p {attribute}>words here</p></body>", RESILIPARSE).text


def test_words_in_scripts_and_comments_are_no_attributes():
    words = "for (i = 0; i<n; i++) " + "word " * 9_000
    assert "kept" in main_text(f"<body><script>{words}</script><!-- <div {words} --><p>kept</p></body>", RESILIPARSE).text


def test_a_small_file_of_large_texts_costs_no_memory(tmp_path, collect):
    long = "x" * 30_000_000
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 4_096, pa.int32()), pa.array([long]))
    pq.write_table(pa.table({"text": shared}), tmp_path / "dict.parquet", compression="zstd")
    side = pa.table({"text": ["a", "b"], "huge": ["", "y" * 30_000_000]})
    pq.write_table(side, tmp_path / "side.parquet", compression="zstd", use_dictionary=False)
    done = collect(tmp_path)
    assert sorted(done.texts()) == ["a", "b"]
    assert done.broken() == [("dict.parquet#0", "bomb")]
    assert done.counts.quarantined == 4_096


def test_a_page_that_is_too_large_is_not_decoded(monkeypatch):
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["x" * 10_000], "id": ["1"]}), out, use_dictionary=False, compression="zstd")
    handle = io.BufferedReader(io.BytesIO(out.getvalue()))
    group = pq.ParquetFile(io.BytesIO(out.getvalue())).metadata.row_group(0)
    plan = pages.plan(handle, group, frozenset({"text"}), frozenset({"text", "id"}))
    assert (plan.batch_rows, plan.too_large) == (pages.MOST_ROWS, frozenset())
    monkeypatch.setattr(pages, "BATCH_BYTES", 30_000)
    assert pages.plan(handle, group, frozenset({"text"}), frozenset({"text"})).batch_rows == 2
    monkeypatch.setattr(pages, "FURTHER_PAGE_BYTES", 5_000)
    assert pages.plan(handle, group, frozenset({"id"}), frozenset({"text", "id"})).too_large == {"text"}
    monkeypatch.setattr(pages, "PAGE_BYTES", 5_000)
    with pytest.raises(RecordError, match="page"):
        pages.plan(handle, group, frozenset({"text"}), frozenset({"text"}))


def test_records_share_one_allowance_of_growth():
    growth = Growth()
    growth.read(400)
    growth.produced(FREE_BYTES)
    with pytest.raises(RecordError, match="grows"):
        growth.produced(31_000_000)
    # What was refused does not count.
    growth.produced(100_000)


def test_rows_without_text_are_not_free(monkeypatch):
    out = io.BytesIO()
    pq.write_table(pa.table({"text": pa.nulls(20_000, pa.string())}), out)
    monkeypatch.setattr(tables, "ROW_BYTES", 1_000)
    source = FilesSource(name="files", paths=("nulls.parquet",))
    handle = io.BufferedReader(io.BytesIO(out.getvalue()))
    *dropped, last = tables.read_parquet(handle, "nulls.parquet", 0, 1, 0, source, Limits(document_bytes=1_000))
    assert {record.reason for record in dropped} == {"empty"}
    assert (last.reason, len(dropped) + last.rows) == ("bomb", 20_000)
    assert 8_000 < len(dropped) < 10_000


def test_a_footer_larger_than_any_is_not_decoded(tmp_path, collect):
    large = pa.table({"text": ["x"]}).replace_schema_metadata({"note": "n" * (pages.FOOTER_BYTES // 2)})
    pq.write_table(large, tmp_path / "a.parquet")
    assert collect(tmp_path).broken() == [("a.parquet", "too_long")]


def test_tables_of_many_columns_are_read_in_linear_time(tmp_path, collect):
    numbers = {f"c{at}": [at] for at in range(10_000)}
    lists = {f"l{at}": [[at]] for at in range(2_000)}
    pq.write_table(pa.table({"text": ["wide"], **numbers, **lists}), tmp_path / "wide.parquet")
    names = [f"c{at}" for at in range(100_000)]
    (tmp_path / "wide.csv").write_text(f"text,{','.join(names)}\nalso wide,{','.join('1' for _ in names)}\n")
    begun = time.process_time()
    # Quadratic work takes the deadline of both files.
    assert sorted(collect(tmp_path).texts()) == ["also wide", "wide"]
    assert time.process_time() - begun < 10


def test_a_missing_field_is_not_compared_with_all_that_there_are():
    begun = time.process_time()
    names = ["texts", *(f"tex{at:06}" for at in range(300_000))]
    assert "did you mean 'texts'?" in str(no_such("field", "text", names, reason="no_text"))
    assert time.process_time() - begun < 2
