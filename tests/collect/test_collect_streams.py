"""Compressed files and web archives: cut, damaged, or made to harm."""

from __future__ import annotations

import gzip
import io
import json
import random
import resource
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.collect import lines

PACK = {"gz": gzip.compress, "zst": zstandard.compress}


def jsonl(first: int, count: int) -> bytes:
    noise = random.Random(first)
    rows = [{"text": f"document {first + n} {noise.randbytes(30).hex()}"} for n in range(count)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def record(number: int, body: bytes, *, kind: str = "response", http: str = "200 OK", headers: str = "") -> bytes:
    """One WARC record that holds an HTTP response of HTML, or with `http` "" the body alone."""
    block = (f"HTTP/1.1 {http}\r\nContent-Type: text/html; charset=utf-8\r\n{headers}\r\n".encode() if http else b"") + body
    mime = "application/http; msgtype=response" if http else "text/plain"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: http://u:p@a.org/{number}\r\n"
        f"WARC-Date: 2024-01-01T00:00:00Z\r\nContent-Type: {mime}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def page(number: int) -> bytes:
    words = random.Random(number).randbytes(60).hex()
    return f"<html><body><main><p>Page {number} says {words} and ends.</p></main></body></html>".encode()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_json_lines_cut_anywhere_inside_a_frame(tmp_path, collect, suffix):
    frames = [PACK[suffix](jsonl(first, 10)) for first in (0, 10, 20)]
    data = b"".join(frames)
    ends = {0, len(frames[0]), len(frames[0]) + len(frames[1]), len(data)}
    places = sorted({*range(1, len(data), len(data) // 61), *ends, *(end - 1 for end in ends if end), len(frames[0]) + 1})
    for number, cut in enumerate(places):
        (tmp_path / f"{number:03d}.jsonl.{suffix}").write_bytes(data[:cut])
    done = collect(tmp_path)
    broken = {position.partition("#")[0]: reason for position, reason in done.broken()}
    kept = {f"{number:03d}.jsonl.{suffix}": 0 for number in range(len(places))}
    for row in done.documents():
        kept[json.loads(row["metadata"])["path"]] += 1
    for number, cut in enumerate(places):
        name = f"{number:03d}.jsonl.{suffix}"
        assert broken.get(name) == (None if cut in ends else "cut_archive"), (name, cut)
        assert kept[name] >= 10 * sum(cut >= end for end in ends if end)
    assert len(done.broken()) == len(broken)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_bombs_stop_at_the_cap_and_spare_their_neighbours(tmp_path, collect, suffix):
    zeros = bytes(1 << 20)
    if suffix == "gz":
        packer = zlib.compressobj(9, wbits=31)
        bomb = b"".join([*(packer.compress(zeros) for _ in range(300)), packer.flush()])
    else:
        stream = io.BytesIO()
        with zstandard.ZstdCompressor(level=19).stream_writer(stream, closefd=False) as out:
            for _ in range(300):
                out.write(zeros)
        bomb = stream.getvalue()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(PACK[suffix](jsonl(0, 2)) + bomb)
    (tmp_path / f"b.txt.{suffix}").write_bytes(bomb)
    (tmp_path / f"c.jsonl.{suffix}").write_bytes(PACK[suffix](jsonl(5, 2)))
    framed = [PACK[suffix](record(n, page(n))) for n in range(4)]
    (tmp_path / f"d.warc.{suffix}").write_bytes(framed[0] + framed[1] + bomb + framed[2] + framed[3])
    done = collect(tmp_path, max_document_bytes=50_000_000)
    assert done.counts.kept == 8
    where = len(framed[0] + framed[1])
    assert [pair for pair in done.broken() if not pair[0].startswith("b")] == [
        (f"a.jsonl.{suffix}#2", "bomb"),
        (f"d.warc.{suffix}#{where}", "bomb"),
    ]
    assert next(reason for position, reason in done.broken() if position.startswith("b")) in ("bomb", "too_long")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512_000


def test_a_long_line_is_skipped_in_bounded_memory(tmp_path, collect):
    with open(tmp_path / "in.jsonl", "wb") as out:
        out.write(b'{"text": "before"}\n{"text": "')
        for _ in range(200):
            out.write(b"x" * 1_000_000)
        out.write(b'"}\n{"text": "after"}\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = collect(tmp_path / "in.jsonl", max_document_bytes=1_000_000)
    assert (done.texts(), done.broken()) == (["before", "after"], [("in.jsonl#1", "too_long")])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_long_document_is_not_read_into_memory(tmp_path, collect):
    (tmp_path / "a.txt").write_bytes(b"a" * 101)
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbf" + b"b" * 100)
    done = collect(tmp_path, max_document_bytes=100)
    assert (done.texts(), done.broken()) == (["b" * 100], [("a.txt", "too_long")])


@given(
    parts=st.lists(st.text("ab\r\n", max_size=8).map(str.encode) | st.binary(max_size=8), max_size=8),
    cap=st.integers(0, 20),
)
@settings(max_examples=200, deadline=None)
def test_lines_are_those_of_splitlines(parts, cap):
    wanted = b"".join(parts).splitlines()
    found = list(lines.lines(iter(parts), cap))
    assert [line.number for line in found] == list(range(len(wanted)))
    assert [line.size for line in found] == [len(line) for line in wanted]
    assert [line.data for line in found] == [line if len(line) <= cap else None for line in wanted]
    assert all(line.data is not None or wanted[line.number].startswith(line.head) for line in found)


@pytest.mark.parametrize("suffix", ["", "gz", "zst"])
def test_warc_responses_and_conversions(tmp_path, collect, suffix):
    pack = PACK.get(suffix, bytes)
    gz = "Content-Encoding: gzip\r\n"
    records = [
        record(0, b"about", kind="warcinfo", http=""),
        record(1, page(1)),
        record(2, page(2), http="404 Not Found"),
        record(3, page(3), kind="request"),
        record(4, "Reiner Text, schön.".encode(), kind="conversion", http=""),
        record(5, b"\0\1\2\3binary"),
        record(6, gzip.compress(page(6)), headers=gz),
        record(7, gzip.compress(page(7))[:-9], headers=gz),
        record(8, b"5\r\n<p>ab\r\n4\r\nc d.\r\n0\r\n\r\n", headers="Transfer-Encoding: chunked\r\n"),
        record(9, page(9), headers="Transfer-Encoding: chunked\r\n"),
        record(10, b"{}").replace(b"text/html", b"image/png"),
        record(11, page(11)).replace(b"Content-Length: ", b"Content-Bytes: "),
        record(12, page(12)),
    ]
    name = f"in.warc.{suffix}".rstrip(".")
    (tmp_path / name).write_bytes(b"".join(map(pack, records)))
    done = collect(tmp_path / name)
    ids = [schema.doc_id("files", f"<urn:uuid:{n}>") for n in (1, 4, 6, 8, 9, 12)]
    assert [row["doc_id"] for row in done.documents()] == ids
    assert done.documents()[0]["url"] == "http://a.org/1"
    assert done.texts()[1] == "Reiner Text, schön."
    assert done.texts()[3] == "abc d."
    assert [reason for _, reason in done.dropped()] == ["http_status", "content_type", "content_type"]
    assert [reason for _, reason in done.broken()] == ["cut_http", "broken_warc"]
    assert done.counts.read == 11


@pytest.mark.parametrize("suffix", ["", "gz", "zst"])
def test_warc_cut_anywhere(tmp_path, collect, suffix):
    pack = PACK.get(suffix, bytes)
    frames = [pack(record(n, page(n))) for n in range(4)]
    data = b"".join(frames)
    ends = [sum(map(len, frames[: n + 1])) for n in range(4)]
    extra = [] if suffix == "" else [end - 1 for end in ends]
    places = sorted({*range(1, len(data), len(data) // 61), *ends, *extra, *(end - 5 for end in ends)})
    for number, cut in enumerate(places):
        (tmp_path / f"{number:03d}.warc.{suffix}".rstrip(".")).write_bytes(data[:cut])
    done = collect(tmp_path)
    # All files hold the same records, so all but the first of each are quarantined for their id.
    same = [position for position, reason in done.broken() if reason == "duplicate_id"]
    broken = {position.partition(".")[0] for position, reason in done.broken() if reason == "cut_archive"}
    assert len(done.broken()) == len(broken) + len(same)
    kept = dict.fromkeys(range(len(places)), 0)
    for path in [*same, *(json.loads(row["metadata"])["path"] for row in done.documents())]:
        kept[int(path.partition(".")[0])] += 1
    for number, cut in enumerate(places):
        # The four bytes that end a plain record hold nothing; without them its block is whole.
        whole = [cut >= end - (4 if suffix == "" else 0) for end in ends]
        inside = all(not (end - (4 if suffix == "" else 0) <= cut <= end) for end in ends)
        assert (f"{number:03d}" in broken) == inside, cut
        assert kept[number] == sum(whole), cut


def test_ranges_of_a_web_archive_hold_every_record_once(tmp_path, collect):
    data = b"".join(gzip.compress(record(n, page(n))) for n in range(200))
    (tmp_path / "in.warc.gz").write_bytes(data)
    split = collect(tmp_path / "in.warc.gz", shard_bytes=1_000, out="split")
    whole = collect(tmp_path / "in.warc.gz", out="whole")
    assert len(split.done.manifest.shards) > 20
    assert split.documents() == whole.documents()
    assert split.counts.kept == 200


def test_damage_in_a_web_archive_costs_one_member(tmp_path, collect):
    frames = [gzip.compress(record(n, page(n))) for n in range(5)]
    damaged = bytearray(frames[2])
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "in.warc.gz").write_bytes(b"".join([*frames[:2], bytes(damaged), *frames[3:]]))
    done = collect(tmp_path / "in.warc.gz")
    assert done.counts.kept == 4
    assert done.broken() == [(f"in.warc.gz#{len(frames[0] + frames[1])}", "broken_archive")]


def test_one_gzip_member_may_hold_many_records(tmp_path, collect):
    (tmp_path / "in.warc.gz").write_bytes(gzip.compress(b"".join(record(n, page(n)) for n in range(5))))
    assert collect(tmp_path / "in.warc.gz").counts.kept == 5
