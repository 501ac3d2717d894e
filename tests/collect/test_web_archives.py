"""Web archives: types of records, ARC and WACZ, members that are not records, and lengths that are not true."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import pytest
import zstandard

from tests.collect.web import page, response, warc

ORIGIN = "http://a.org/"


def good(number: int) -> bytes:
    return warc(response(body=page(f"site {number}")), number=str(number))


def text(number: int) -> str:
    return f"The page of site {number} says enough to be its own text."


def texts(done) -> list[str]:
    return [one.strip() for one in done.texts()]


def test_every_type_of_record_is_counted(tmp_path, collect):
    records = [
        warc(b"software: x", number="info", kind="warcinfo", mime="application/warc-fields"),
        warc(b"GET / HTTP/1.1\r\n\r\n", number="request", kind="request", mime="application/http; msgtype=request"),
        good(1),
        warc(b"fetchTimeMs: 3", number="meta", kind="metadata", mime="application/warc-fields"),
        warc(response(), number="again", kind="revisit"),
        warc(b"more of it", number="more", kind="continuation", mime=""),
        warc(b"?", number="own", kind="of-our-own", mime="text/plain"),
        warc(page("a resource"), number="page", kind="resource", mime="text/html; charset=utf-8"),
        warc("Ein Text, schön.".encode(), number="text", kind="resource", mime="text/plain"),
        warc(b"\x89PNG\0\0", number="image", kind="resource", mime="image/png"),
        warc(b"--quiet\n", number="log", kind="resource", mime="text/plain", target="metadata://gnu.org/software/wget/args"),
        warc(b"Form\x0cfeed, escape \x1b[1m and null \0.", number="wet", kind="conversion", mime="text/plain"),
        warc(page("a conversion"), number="html", kind="conversion", mime="text/html"),
        warc(b"a host's address", number="dns", kind="response", mime="text/dns", target="dns:a.org"),
        good(2),
    ]
    (tmp_path / "in.warc.gz").write_bytes(b"".join(map(gzip.compress, records)))
    (tmp_path / "note.txt").write_text("no archive")
    done = collect(tmp_path)
    assert texts(done) == [
        text(1),
        "The page of a resource says enough to be its own text.",
        "Ein Text, schön.",
        "Form\x0cfeed, escape \x1b[1m and null \0.",
        "The page of a conversion says enough to be its own text.",
        text(2),
        "no archive",
    ]
    assert [reason for _, reason in done.dropped()] == ["content_type"] * 3
    assert done.counts.read == 10
    types = {"conversion": 2, "resource": 4, "response": 3, "warcinfo": 1, "request": 1, "metadata": 1, "revisit": 1}
    assert done.done.manifest.facts["record_types"] == {"files": {**types, "continuation": 1, "other": 1}}


def test_types_are_counted_once_whatever_the_splits(tmp_path, collect):
    parts = [good(1)[:0]]
    for number in range(120):
        parts += [good(number), warc(b"", number=f"r{number}", kind="request")]
    (tmp_path / "in.warc.gz").write_bytes(b"".join(gzip.compress(part) for part in parts if part))
    whole = collect(tmp_path / "in.warc.gz", out="whole")
    split = collect(tmp_path / "in.warc.gz", out="split", shard_bytes=1_000)
    again = collect(tmp_path / "in.warc.gz", out="split", shard_bytes=1_000)
    assert len(split.done.manifest.shards) > 5
    for done in (whole, split, again):
        assert done.done.manifest.facts["record_types"] == {"files": {"request": 120, "response": 120}}
    assert again.done.recomputed_shards == 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gz", "zst"])
def test_names_of_fields_in_any_case(tmp_path, collect, pack):
    def respelled(record: bytes, spell) -> bytes:
        head, end, block = record.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        fields = [spell(name) + b":" + value for name, _, value in (line.partition(b":") for line in lines)]
        return b"\r\n".join([first, *fields]) + end + block

    spells = [bytes.lower, bytes.upper, bytes.title, lambda name: name + b" "]
    folded = good(9).replace(b"WARC-Type: response", b"WARC-Type:\r\n  response")
    records = [*(respelled(good(number), spell) for number, spell in enumerate(spells)), folded]
    name = {bytes: "in.warc", gzip.compress: "in.warc.gz"}.get(pack, "in.warc.zst")
    (tmp_path / name).write_bytes(b"".join(map(pack, records)))
    done = collect(tmp_path / name)
    assert texts(done) == [text(number) for number in (0, 1, 2, 3, 9)]
    assert [row["url"] for row in done.documents()] == [f"{ORIGIN}{number}" for number in (0, 1, 2, 3, 9)]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
@pytest.mark.parametrize("piece", [97, 400, 5_000])
def test_members_that_are_not_records_go_on_with_each_other(tmp_path, collect, pack, piece):
    data = b"".join(map(good, range(40)))
    members = [pack(data[at : at + piece]) for at in range(0, len(data), piece)]
    name = "in.warc.gz" if pack is gzip.compress else "in.warc.zst"
    (tmp_path / name).write_bytes(b"".join(members))
    whole = collect(tmp_path / name, out="whole")
    assert texts(whole) == [text(number) for number in range(40)]
    split = collect(tmp_path / name, out="split", shard_bytes=1_000)
    assert split.documents() == whole.documents()


def test_a_member_of_something_else_costs_itself(tmp_path, collect):
    members = [good(0), b"no record\n" * 9, good(1), b"", good(2)]
    (tmp_path / "in.warc.gz").write_bytes(b"".join(map(gzip.compress, members)))
    for shard_bytes in (16_000_000, 1_000):
        done = collect(tmp_path / "in.warc.gz", shard_bytes=shard_bytes, out=str(shard_bytes))
        assert texts(done) == [text(0), text(1), text(2)]
        assert [reason for _, reason in done.broken()] == ["broken_warc"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize("off", [-100, -30, -1, 1, 3, 60])
def test_a_record_of_a_wrong_length_is_quarantined_once(tmp_path, collect, pack, off):
    block = response(body=page("nobody"))
    records = [good(0), warc(block, number="1", length=len(block) + off), good(2), good(3)]
    name = "in.warc" if pack is bytes else "in.warc.gz"
    (tmp_path / name).write_bytes(b"".join(map(pack, records)))
    done = collect(tmp_path / name)
    if 0 < off <= 4:
        # The empty lines after a block are no loss.
        assert len(texts(done)) == 4
        return
    assert [reason for _, reason in done.broken()] == ["broken_warc"]
    # A length that is too large takes the record after it in a file without frames.
    assert texts(done) == [text(0), *([text(2)] if off < 0 or pack is not bytes else []), text(3)]


def test_damage_in_the_first_bytes_of_a_member_is_told_whatever_the_splits(tmp_path, collect):
    members = [gzip.compress(good(number)) for number in range(60)]
    members[30] = members[30][:10] + b"\xff" * 20 + members[30][30:]
    (tmp_path / "in.warc.gz").write_bytes(b"".join(members))
    for shard_bytes in (16_000_000, 1_000, 1_100, 1_300):
        done = collect(tmp_path / "in.warc.gz", shard_bytes=shard_bytes, out=str(shard_bytes))
        assert [reason for _, reason in done.broken()] == ["broken_archive"]
        assert done.counts.kept == 59


def arc(number: int, *, more: str = "", address: str = "", length: int | None = None) -> bytes:
    block = response(body=page(f"site {number}"))
    size = len(block) if length is None else length
    return f"http://a.org/{address}{number} 127.0.0.1 20140216050221 text/html{more} {size}\n".encode() + block + b"\n"


ABOUT = b"1 0 tests\nURL IP-address Archive-date Content-type Archive-length\n\n"
DESCRIPTION = f"filedesc://in.arc 0.0.0.0 20140216050221 text/plain {len(ABOUT)}\n".encode() + ABOUT
VERSION_2 = " 200 checksum - 4096 in.arc"


@pytest.mark.parametrize("suffix", ["arc", "arc.gz"])
def test_arc(tmp_path, collect, suffix):
    pack = gzip.compress if suffix == "arc.gz" else bytes
    records = [DESCRIPTION, arc(1), arc(2, address="a b?c=d e&f="), arc(3, more=VERSION_2), b"no record\n", arc(4)]
    (tmp_path / f"in.{suffix}").write_bytes(b"".join(map(pack, records)))
    done = collect(tmp_path / f"in.{suffix}")
    assert texts(done) == [text(1), text(2), text(3), text(4)]
    assert [row["url"] for row in done.documents()][:2] == ["http://a.org/1", "http://a.org/a b?c=d e&f=2"]
    assert json.loads(done.documents()[0]["metadata"])["date"] == "2014-02-16T05:02:21Z"
    assert [reason for _, reason in done.broken()] == ["broken_arc"]
    assert done.done.manifest.facts["record_types"] == {"files": {"response": 4, "warcinfo": 1}}


@pytest.mark.parametrize("suffix", ["arc", "arc.gz"])
def test_arc_cut_and_hostile(tmp_path, collect, suffix):
    pack = gzip.compress if suffix == "arc.gz" else bytes
    whole = pack(DESCRIPTION + arc(1)) + pack(arc(2))
    (tmp_path / f"cut.{suffix}").write_bytes(whole[:-60])
    (tmp_path / f"length.{suffix}").write_bytes(pack(arc(1, length=10**17)))
    (tmp_path / f"line.{suffix}").write_bytes(pack(b"http://a.org/ " * 50_000 + arc(1)))
    (tmp_path / f"short.{suffix}").write_bytes(pack(arc(1, length=30) + arc(2)))
    (tmp_path / f"nothing.{suffix}").write_bytes(b"")
    (tmp_path / f"other.{suffix}").write_bytes(bytes(range(256)) * 40)
    done = collect(tmp_path)
    broken = sorted({(position.partition(".")[0], reason) for position, reason in done.broken()})
    other = "broken_arc" if pack is bytes else "broken_archive"
    assert broken == [
        ("cut", "cut_archive"),
        ("length", "cut_archive"),
        ("line", "broken_arc"),
        ("other", other),
        ("short", "broken_arc"),
    ]
    assert set(texts(done)) <= {text(1), text(2)}
    assert ("nothing." + suffix, "empty") in done.dropped()


def wacz(entries: dict[str, bytes], *, how: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return out.getvalue()


WACZ = {
    "datapackage.json": b"{}",
    "archive/b.warc": good(3),
    "archive/a.warc.gz": gzip.compress(good(1)) + gzip.compress(good(2)),
    "indexes/index.cdx.gz": gzip.compress(b"org,a)/"),
    "pages/pages.jsonl": b'{"text": "no document"}',
}


def test_wacz(tmp_path, collect):
    (tmp_path / "in.wacz").write_bytes(wacz(WACZ))
    done = collect(tmp_path / "in.wacz")
    assert texts(done) == [text(1), text(2), text(3)]
    places = [json.loads(row["metadata"])["record"] for row in done.documents()]
    assert places == ["archive/a.warc.gz:0", f"archive/a.warc.gz:{len(gzip.compress(good(1)))}", "archive/b.warc:0"]
    assert done.done.manifest.facts["record_types"] == {"files": {"response": 3}}


def test_wacz_cut_and_hostile(tmp_path, collect):
    whole = wacz(WACZ)
    (tmp_path / "cut.wacz").write_bytes(whole[:-30])
    (tmp_path / "deflated.wacz").write_bytes(wacz(WACZ, how=zipfile.ZIP_DEFLATED))
    (tmp_path / "none.wacz").write_bytes(wacz({"datapackage.json": b"{}"}))
    (tmp_path / "other.wacz").write_bytes(b"PK" + bytes(500))
    (tmp_path / "void.wacz").write_bytes(b"")
    # Many entries that are all the same bytes.
    shared = bytearray(wacz({f"archive/{number}.warc": good(number) for number in range(3)}))
    with zipfile.ZipFile(io.BytesIO(shared)) as packed:
        offsets = [info.header_offset for info in packed.infolist()]
    at = shared.index(b"PK\x01\x02")
    for _ in range(3):
        shared[at + 42 : at + 46] = offsets[0].to_bytes(4, "little")
        at = shared.find(b"PK\x01\x02", at + 1)
    (tmp_path / "shared.wacz").write_bytes(bytes(shared))
    inner = dict(WACZ, **{"archive/a.warc.gz": gzip.compress(good(1)) + gzip.compress(good(2))[:-40]})
    (tmp_path / "within.wacz").write_bytes(wacz(inner))
    done = collect(tmp_path)
    assert {(position.partition("#")[0], reason) for position, reason in done.broken()} == {
        ("cut.wacz", "broken_archive"),
        ("deflated.wacz", "broken_archive"),
        ("other.wacz", "broken_archive"),
        ("shared.wacz", "broken_archive"),
        ("void.wacz", "broken_archive"),
        ("within.wacz", "cut_archive"),
    }
    assert done.dropped() == [("none.wacz", "empty")]
    assert texts(done) == [text(1), text(3)]


def test_no_damage_to_a_wacz_ends_the_build(tmp_path, collect):
    whole = wacz({"archive/a.warc": good(1)})
    begin = whole.index(b"PK\x01\x02")
    for at in range(begin, len(whole)):
        (tmp_path / f"{at}.wacz").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    done = collect(tmp_path)
    assert done.counts.read >= len(whole) - begin
    assert {reason for _, reason in done.broken()} <= {"broken_archive", "cut_archive", "duplicate_id", "broken_warc"}
