"""What is not read of cut and damaged input is counted in records and bytes, in every format; and what metadata lack."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import random
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.base.test_shards import flipped_pages
from tests.collect.test_collect_streams import page, record
from tokenmill.pipeline.ask.status import status
from tokenmill.pipeline.base.errors import QuarantineCeiling, RecordError
from tokenmill.pipeline.base.executor import local
from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.collect import jsonl as jsonl_of
from tokenmill.pipeline.collect import tables as tables_of
from tokenmill.pipeline.collect import warc
from tokenmill.pipeline.collect.lines import line_ends, line_start
from tokenmill.pipeline.collect.records import Document, Limits, Place, Rejected, quarantined
from tokenmill.pipeline.config import FilesSource
from tokenmill.pipeline.corpus import so_far
from tokenmill.pipeline.report import funnel

PACK = {"gz": gzip.compress, "zst": zstandard.compress}
UNSIZED = zstandard.ZstdCompressor(write_content_size=False).compress


def texts(first: int, count: int) -> list[str]:
    noise = random.Random(first)
    return [f"document {first + n} {noise.randbytes(30).hex()}" for n in range(count)]


def jsonl(first: int, count: int) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts(first, count))


def csv_of(count: int) -> bytes:
    return b"number,text\n" + b"".join(f"{n},{text}\n".encode() for n, text in enumerate(texts(0, count)))


def warc_of(count: int, pack) -> bytes:
    return b"".join(pack(record(n, page(n))) for n in range(count))


def rows_of(done) -> list[dict]:
    return pq.read_table(done.root / "quarantine/files.parquet").to_pylist()


def losses(done) -> Losses:
    """What the manifest says, after comparing it with the published table."""
    found = Losses.of(done.done.manifest)
    rows = [row for row in rows_of(done) if row["unread_bytes"] or row["at_least"] or row["rows"] > 1]
    assert found.rows == sum(row["rows"] for row in rows)
    assert found.unread_bytes == sum(row["unread_bytes"] for row in rows)
    assert found.at_least == any(row["at_least"] for row in rows)
    return found


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(jsonl(0, 500), mtime=0)),
        ("a.jsonl.zst", b"".join(UNSIZED(jsonl(first, 50)) for first in range(0, 500, 50))),
        ("a.jsonl", jsonl(0, 500)[:-3]),
        ("a.csv.gz", gzip.compress(csv_of(500), mtime=0)),
        ("a.warc.gz", warc_of(500, partial(gzip.compress, mtime=0))),
        ("a.warc.zst", warc_of(500, zstandard.compress)),
        ("a.warc.gz", gzip.compress(b"".join(record(n, page(n)) for n in range(500)), mtime=0)),
        ("a.warc", b"".join(record(n, page(n)) for n in range(500))),
    ],
)
def test_half_a_file_stops_the_build_or_is_said(tmp_path, collect, name, data):
    (tmp_path / name).write_bytes(data[: len(data) // 2 + 7])
    (tmp_path / "b.jsonl").write_bytes(jsonl(1_000, 2_000))
    said = r"at least 1 of \d+ records are quarantined, about \d+ of \d+ by estimate"
    with pytest.raises(QuarantineCeiling, match=said) as caught:
        collect(tmp_path, quarantine_ceiling=0.01)
    assert "at least 1 record (about" in str(caught.value)
    done = collect(tmp_path, quarantine_ceiling=1.0)
    found = losses(done)
    assert found.at_least
    assert found.rows == done.counts.quarantined == 1
    read = done.counts.kept - 2_000
    assert 100 < read < 350
    assert read * 0.9 <= found.estimate <= read * 1.1
    assert {row["text"] for row in done.documents()} >= set(texts(1_000, 2_000))


def test_a_cut_frame_of_which_nothing_can_be_read_is_weighed_by_its_bytes(tmp_path, collect):
    data = UNSIZED(jsonl(0, 500))
    (tmp_path / "a.jsonl.zst").write_bytes(data[: len(data) // 2])
    (tmp_path / "b.jsonl").write_bytes(jsonl(1_000, 2_000))
    found = losses(collect(tmp_path))
    assert (found.rows, found.unread_bytes) == (1, len(data) // 2)
    assert 20 < found.estimate < 100


def test_the_header_of_a_zstd_frame_says_how_much_is_missing(tmp_path, collect):
    data = zstandard.compress(jsonl(0, 4_000))
    (tmp_path / "a.jsonl.zst").write_bytes(data[: len(data) * 3 // 4])
    done = collect(tmp_path, quarantine_ceiling=1.0)
    assert 0.9 * 4_000 < done.counts.kept + losses(done).estimate < 1.1 * 4_000
    assert "bytes of content" in rows_of(done)[0]["message"]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_damage_is_weighed_by_the_bytes_behind_it(tmp_path, collect, suffix):
    data = bytearray(b"".join(PACK[suffix](jsonl(first, 500)) for first in range(0, 4_000, 500)))
    at = len(data) // 4
    data[at : at + 64] = bytes(64)
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(data)
    done = collect(tmp_path)
    found = losses(done)
    assert len(data) * 0.6 < found.unread_bytes < len(data)
    assert 0.6 * 4_000 < done.counts.kept + found.estimate < 1.4 * 4_000
    with pytest.raises(QuarantineCeiling, match="broken_archive"):
        collect(tmp_path, quarantine_ceiling=0.2, out="other")


@pytest.mark.parametrize(
    ("at", "zeros", "lost"),
    [
        (3, 1 << 16, 0),
        (3, (1 << 16) + 1, (1 << 16) + 1),
        (3, 1_000_000, 1_000_000),
        (2, 1_000_000, 1_000_000),
        (2, 512, 512),
        (0, 3_000, 3_000),
    ],
)
def test_zeros_are_padding_only_at_the_end_and_only_a_few(tmp_path, collect, at, zeros, lost):
    members = [gzip.compress(record(n, page(n))) for n in range(3)]
    (tmp_path / "in.warc.gz").write_bytes(b"".join([*members[:at], bytes(zeros), *members[at:]]))
    (tmp_path / "zeros.jsonl.gz").write_bytes(bytes(9_999))
    done = collect(tmp_path)
    assert done.counts.kept == 3
    losses = {row["position"].partition("#")[0]: row["unread_bytes"] for row in rows_of(done)}
    assert losses == {"zeros.jsonl.gz": 9_999, **({"in.warc.gz": lost} if lost else {})}


@pytest.mark.parametrize("shard_bytes", [16_000_000, 5_000])
def test_a_web_archive_with_a_hole(tmp_path, collect, shard_bytes):
    """The hole costs what is in it, in whatever parts the file is read."""
    members = [gzip.compress(record(n, page(n))) for n in range(300)]
    size = [len(member) for member in members]
    data = bytearray(b"".join(members))
    begin, end = sum(size[:100]), sum(size[:200])
    data[begin:end] = bytes(end - begin)
    (tmp_path / "a.warc.gz").write_bytes(data)
    done = collect(tmp_path, shard_bytes=shard_bytes)
    found = losses(done)
    assert done.counts.kept == 200
    assert found.unread_bytes == end - begin
    assert 50 <= found.estimate <= 150
    with pytest.raises(QuarantineCeiling):
        collect(tmp_path, shard_bytes=shard_bytes, quarantine_ceiling=0.1, out="other")


def tables(count: int, rows: int = 300) -> pa.Table:
    return pa.table({"text": texts(0, count * rows), "number": list(range(count * rows))})


@pytest.mark.parametrize("shard_bytes", [16_000_000, 10_000])
def test_broken_row_groups_count_by_the_footer(tmp_path, collect, shard_bytes):
    path = tmp_path / "a.parquet"
    pq.write_table(tables(10), path, row_group_size=300, write_page_checksum=True)
    footer = pq.read_metadata(path)
    data = bytearray(path.read_bytes())
    for number in range(1, 9):
        column = footer.row_group(number).column(0)
        at = column.dictionary_page_offset + column.total_compressed_size // 2
        data[at : at + 4] = bytes(byte ^ 255 for byte in data[at : at + 4])
    path.write_bytes(data)
    (tmp_path / "b.jsonl").write_bytes(jsonl(90_000, 100))
    done = collect(tmp_path, shard_bytes=shard_bytes)
    assert (done.counts.read, done.counts.kept, done.counts.quarantined) == (3_100, 700, 2_400)
    assert [row["rows"] for row in rows_of(done)] == [300] * 8
    found = losses(done)
    assert (found.rows, found.estimate, found.at_least) == (2_400, 2_400, False)
    assert found.unread_bytes > 0.7 * path.stat().st_size
    with pytest.raises(QuarantineCeiling, match=r"2400 of 3100 records are quarantined \(77\.42%\)[\s\S]*2,400 records and"):
        collect(tmp_path, quarantine_ceiling=0.5, out="other")


def test_checksums_of_parquet_pages_are_compared(tmp_path, collect):
    pq.write_table(tables(1), tmp_path / "a.parquet", write_page_checksum=True, compression="none")
    whole = (tmp_path / "a.parquet").read_bytes()
    assert collect(tmp_path / "a.parquet").counts.kept == 300
    changed = list(flipped_pages(whole))
    assert changed
    for number, data in enumerate(changed):
        (tmp_path / "a.parquet").write_bytes(data)
        done = collect(tmp_path / "a.parquet", out=f"flipped-{number}")
        assert done.counts.quarantined > 0
        assert done.counts.read == 300
        (message,) = pq.read_table(done.root / "quarantine" / "files.parquet")["message"].to_pylist()
        assert message.startswith("row group 0 cannot be read from here on (the bytes of a page do not match its checksum)")


def test_a_table_without_its_footer_or_its_text_counts_as_its_rows_and_bytes(tmp_path, collect):
    pq.write_table(tables(2), tmp_path / "a.parquet")
    size = (tmp_path / "a.parquet").stat().st_size
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-100])
    pq.write_table(tables(1).rename_columns(["body", "number"]), tmp_path / "other.parquet")
    (tmp_path / "other.csv").write_bytes(csv_of(50).replace(b"number,text", b"number,body"))
    done = collect(tmp_path)
    rows = {row["position"]: row for row in rows_of(done)}
    assert (rows["cut.parquet"]["rows"], rows["cut.parquet"]["at_least"]) == (1, True)
    assert rows["cut.parquet"]["unread_bytes"] == size - 100
    assert (rows["other.parquet"]["rows"], rows["other.parquet"]["at_least"]) == (300, False)
    assert (rows["other.csv"]["rows"], rows["other.csv"]["unread_bytes"]) == (50, (tmp_path / "other.csv").stat().st_size)
    assert (done.counts.kept, done.counts.quarantined) == (600, 351)


def test_a_column_name_that_is_not_utf8_costs_its_file(tmp_path, collect):
    pq.write_table(pa.table({"text": ["a", "b"], "caf\u00e9": ["c", "d"]}), tmp_path / "a.parquet")
    whole, name = (tmp_path / "a.parquet").read_bytes(), "caf\u00e9".encode()
    # The name stands in the schema, and once more for its column of each row group.
    places = [at for at in range(len(whole)) if whole.startswith(name, at)]
    assert len(places) == 2
    damaged = [whole[:at] + b"caf\xff\xfe"[: len(name)] + whole[at + len(name) :] for at in places]
    for number, data in enumerate(damaged):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.parquet").write_bytes(data)
        (folder / "b.txt").write_text("good")
        done = collect(folder, out=f"corpus-{number}")
        assert (done.texts(), done.broken()) == (["good"], [("a.parquet", "broken_parquet")])
        # The library does not even give the number of rows if the name in the schema is damaged.
        assert losses(done).rows == done.counts.quarantined == 1 + number


def test_the_type_of_a_column_that_is_not_text_is_named(tmp_path, collect):
    columns = {
        "list": pa.array([["a", "b"]]),
        "struct": pa.array([{"body": "a"}]),
        "number": pa.array([1.5]),
        "binary": pa.array(["h\u00e9".encode(), b"\xff", None], pa.binary()),
    }
    for name, column in columns.items():
        pq.write_table(pa.table({"text": column}), tmp_path / f"{name}.parquet")
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), tmp_path / "two.parquet")
    done = collect(tmp_path)
    assert done.texts() == ["h\u00e9"]
    assert done.dropped() == [("binary.parquet#2", "empty")]
    messages = {row["position"]: row["message"] for row in rows_of(done)}
    assert "byte 0 is not UTF-8" in messages["binary.parquet#1"]
    assert "'text' holds list<element: string>, not text; join its parts to one string" in messages["list.parquet"]
    assert "holds struct<body: string>, not text" in messages["struct.parquet"]
    assert "holds double, not text; convert it to strings" in messages["number.parquet"]
    assert "2 columns are called 'text'" in messages["two.parquet"]


def test_a_quote_that_does_not_end_counts_the_lines_it_takes(tmp_path, collect):
    lines = csv_of(40).splitlines(keepends=True)
    lines[21] = b'20,"' + lines[21][3:]
    (tmp_path / "a.csv").write_bytes(b"".join(lines))
    done = collect(tmp_path)
    [row] = rows_of(done)
    assert (done.counts.kept, row["rows"], row["at_least"]) == (20, 1, True)
    assert losses(done).estimate == 20
    assert row["unread_bytes"] == sum(len(line) - 1 for line in lines[21:])


def test_a_csv_row_over_the_cap_ends_there(tmp_path, collect):
    data = b'number,text\n1,one\n2,"open\n' + b"".join(b"%d,%s\n" % (n, b"x" * 10_000) for n in range(40)) + b"9,last\n"
    (tmp_path / "a.csv").write_bytes(data)
    done = collect(tmp_path, max_document_bytes=11_000)
    assert done.texts()[0] == "one"
    assert done.texts()[-1] == "last"
    [row] = rows_of(done)
    assert (row["reason"], row["at_least"]) == ("too_long", True)
    assert done.counts.kept - 2 + losses(done).estimate in (40, 41)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.html.gz"])
def test_a_file_that_is_one_document_is_one_loss(tmp_path, collect, name):
    (tmp_path / name).write_bytes(gzip.compress(jsonl(0, 100))[:-20])
    found = losses(collect(tmp_path))
    assert (found.rows, found.at_least) in ((0, False), (1, False))


def test_every_cut_and_every_flip_is_counted(tmp_path):
    """Rows are conserved, and no record is missing without a quarantined one, at 12 cuts and 12 flips of each format."""
    noise = random.Random(1)
    pq.write_table(tables(4, 25), tmp_path / "a.parquet", row_group_size=25, write_page_checksum=True)
    source = FilesSource(name="files", paths=(".",))
    limits = Limits(document_bytes=1_000_000)
    forms = {
        "parquet": (tmp_path / "a.parquet").read_bytes(),
        "jsonl.gz": gzip.compress(jsonl(0, 100)),
        "jsonl.zst": zstandard.ZstdCompressor(write_checksum=True).compress(jsonl(0, 100)),
        "warc.gz": warc_of(100, gzip.compress),
        "warc.zst": warc_of(100, zstandard.ZstdCompressor(write_checksum=True).compress),
    }
    for name, data in forms.items():
        codec = {"gz": "gzip", "zst": "zstd"}.get(name.partition(".")[2], "")
        for _ in range(12):
            cut = data[: noise.randrange(1, len(data))]
            flipped = bytearray(data)
            flipped[noise.randrange(len(data))] ^= 1 << noise.randrange(8)
            for changed in (cut, bytes(flipped)):
                handle = io.BufferedReader(io.BytesIO(changed))
                if name == "parquet":
                    found = list(tables_of.read_parquet(handle, name, 0, 99, 0, source, limits))
                elif name.startswith("jsonl"):
                    found = list(jsonl_of.read(handle, codec, name, 0, len(changed), 0, source, limits))
                else:
                    found = list(warc.read(handle, codec, name, 0, len(changed), limits))
                kept = sum(isinstance(one, Document) for one in found)
                lost = [one for one in found if isinstance(one, Rejected)]
                assert kept <= 100
                assert kept == 100 or lost, (name, changed == cut)
                assert all(one.quarantined and one.rows >= 1 and one.unread_bytes <= len(changed) for one in lost)
                if name == "parquet" and not any(one.at_least for one in lost):
                    assert kept + sum(one.rows for one in lost) == 100


def test_nested_columns_stay_in_the_metadata(tmp_path, collect):
    about = {"where": {"city": "Z\u00fcrich", "at": [47.4, 8.5]}, "tags": ["a", "b"]}
    table = pa.table(
        {
            "text": ["one"],
            "where": pa.array([about["where"]]),
            "tags": pa.array([about["tags"]]),
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "day": pa.array([datetime.date(2024, 5, 6)]),
            "noted": pa.array([1_700_000_000], pa.timestamp("s", "Europe/Berlin")),
            "image": pa.array([b"\x89PNG"]),
            "vector": pa.array([[0.25] * 2_000]),
            "nothing": pa.nulls(1),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    long = {"long": "x" * 201, "deep": ["x" * 2_000], "nothing": None, "half": ["\ud800"]}
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "two", **about, **long}))
    done = collect(tmp_path)
    first, second = (json.loads(row["metadata"])["fields"] for row in done.documents())
    assert first == {**about, "map": {"k": 1}, "day": "2024-05-06", "noted": "2023-11-14 22:13:20.000Z"}
    assert second == about
    left_out = done.done.manifest.facts["columns_left_out"]
    assert left_out == {"files": {"deep": 1, "half": 1, "image": 1, "long": 1, "vector": 1}}


def test_columns_that_are_left_out_are_counted_by_few_names_for_any_number_of_workers(tmp_path, collect):
    """One that some rows have, and ten thousand that one row has each."""
    (tmp_path / "in").mkdir()
    for file in range(4):
        rows = [{"text": f"{file} {row}", **{f"k{file} {row} {at}": "x" * 201 for at in range(50)}} for row in range(50)]
        rows[:0] = [{"text": f"{file} a", "often": "x" * 201}, {"text": f"{file} b", "often": "x" * 201}]
        (tmp_path / "in" / f"{file}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = collect(tmp_path / "in", shard_bytes=500_000)
    found = done.done.manifest.facts["columns_left_out"]["files"]
    assert len(done.done.manifest.shards) > 1
    assert len(found) == 101
    assert found["often"] == 8
    assert found["(further columns)"] == 4 * 50 * 50 - 99
    assert sum(found.values()) == 4 * 50 * 50 + 8
    with local(2) as pool:
        assert collect(tmp_path / "in", out="two", executor=pool, shard_bytes=500_000).published() == done.published()


def test_ids_that_start_anew_in_each_file(tmp_path, collect):
    for name in "abc":
        rows = [json.dumps({"id": n, "text": f"{name} {n}"}) for n in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    with pytest.raises(QuarantineCeiling, match='id_scope = "file"[\\s\\S]*id_field = ""'):
        collect(tmp_path, quarantine_ceiling=0.01)
    source = {"kind": "files", "name": "files", "paths": [str(tmp_path / "*.jsonl")]}
    assert collect(sources=[source]).counts.kept == 3
    done = collect(sources=[{**source, "id_scope": "file"}])
    assert (done.counts.kept, done.counts.quarantined) == (9, 0)
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": 1, "text": "x"}) + "\n" + json.dumps({"id": 1, "text": "y"}))
    assert collect(sources=[{**source, "id_scope": "file"}]).broken() == [("c.jsonl#1", "duplicate_id")]


def test_a_bare_carriage_return_ends_a_line(tmp_path, collect):
    (tmp_path / "mac.txt").write_bytes(b"one\rtwo\r\nthree\r\r\nfour\r")
    (tmp_path / "mac.csv").write_bytes(b'text\rfive\r"six\rseven"\r')
    (tmp_path / "mac.jsonl").write_bytes(b'{"text": "eight"}\r{"text": "ni\\rne"}\r')
    assert collect(tmp_path).texts() == ["five", "six\nseven", "eight", "ni\nne", "one\ntwo\nthree\n\nfour\n"]
    source = {"kind": "files", "name": "lines", "paths": [str(tmp_path / "mac.txt")], "sample_by": "line"}
    done = collect(sources=[source])
    assert done.texts() == ["one", "two", "three", "four"]
    assert [json.loads(row["metadata"])["record"] for row in done.documents()] == [0, 1, 2, 4]


def test_line_ends_across_parts_of_a_file_and_chunks(tmp_path, collect, monkeypatch):
    noise = random.Random(5)
    data = b"".join(b"x" * noise.randrange(9) + noise.choice([b"\r", b"\n", b"\r\n"]) for _ in range(600))
    (tmp_path / "a.txt").write_bytes(data)
    for chunk_bytes in (1, 2, 7, 1 << 18):
        monkeypatch.setattr("tokenmill.pipeline.collect.framing.CHUNK_BYTES", chunk_bytes)
        monkeypatch.setattr("tokenmill.pipeline.collect.inputs.CHUNK_BYTES", chunk_bytes)
        source = {"kind": "files", "name": "lines", "paths": [str(tmp_path / "a.txt")], "sample_by": "line"}
        done = collect(sources=[source], shard_bytes=1_000, out=f"corpus-{chunk_bytes}")
        assert len(done.done.manifest.shards) > 2
        numbered = [(json.loads(row["metadata"])["record"], row["text"]) for row in done.documents()]
        wanted = [(number, line.decode()) for number, line in enumerate(data.splitlines()) if line]
        assert sorted(numbered) == wanted
    with open(tmp_path / "a.txt", "rb") as handle:
        starts = {0, len(data)} | {len(data) - len(data[at:]) for at in range(1, len(data)) if _is_start(data, at)}
        assert [line_start(handle, at) for at in range(0, len(data), 7)] == [
            min(start for start in starts if start >= at) for at in range(0, len(data), 7)
        ]
    for at in range(0, len(data), 11):
        assert line_ends(data[:at], data[at : at + 1]) == sum(_is_start(data, end) for end in range(1, at + 1))


def _is_start(data: bytes, at: int) -> bool:
    """Whether a line end is right before byte `at`."""
    return data[at - 1 : at] == b"\n" or (data[at - 1 : at] == b"\r" and data[at : at + 1] != b"\n")


def test_status_and_the_funnel_say_what_was_not_read(tmp_path, collect):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(jsonl(0, 500))[:-3_000])
    corpus = so_far(collect(tmp_path).root)
    state = status(corpus)
    assert state.losses.rows == 1
    assert state.losses.estimate > 100
    [alarm] = state.alarms
    assert alarm == f"{state.losses}; quarantine/ says where"
    assert funnel.markdown(corpus).endswith(f"\n\n{state.losses}.\n")


def test_losses_add_up_and_have_words():
    assert str(Losses(rows=1, estimate=5, at_least=True)) == "at least 1 record (about 5 by estimate) of the input was not read"
    assert str(Losses(rows=2_400, estimate=2_400, unread_bytes=99)) == "2,400 records and 99 bytes of the input were not read"
    total = Losses.total([Losses(rows=1, estimate=5, at_least=True), Losses(rows=2, estimate=2, unread_bytes=9)])
    assert total == Losses(rows=3, estimate=7, unread_bytes=9, at_least=True)
    assert not Losses()


def test_a_footer_that_claims_too_much_does_not_end_the_build():
    error = RecordError("broken_parquet", "claims")
    lost = quarantined(Place(path="a"), error, rows=1 << 70, unread_bytes=-1, estimate=0)
    assert (lost.rows, lost.unread_bytes, lost.at_least) == (1 << 53, 0, False)
