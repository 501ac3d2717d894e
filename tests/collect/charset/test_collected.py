"""Encodings from files and web archives to documents, through the confined parser."""

from __future__ import annotations

import json

import pytest

KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. "
PAGE = "<html><head>{}<title>t</title></head><body><main><p>{}</p></main></body></html>"


def about(done):
    kept = ("encoding", "encoding_from", "encoding_declared", "encoding_detected", "encoding_malformed", "encoding_doubled")
    rows = {(plain := json.loads(row["metadata"]))["path"]: plain for row in done.documents()}
    return {path: {key: plain[key] for key in kept if key in plain} for path, plain in rows.items()}


def response(body: bytes, content_type: str) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: " + content_type.encode() + b"\r\n\r\n" + body
    head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/\r\nContent-Type: application/http\r\n"
    return f"{head}Content-Length: {len(http)}\r\n\r\n".encode() + http + b"\r\n\r\n"


def test_pages_say_how_they_were_decoded(tmp_path, collect):
    pages = {
        "declared.html": PAGE.format("<meta charset=ks_c_5601-1987>", KOREAN).encode("cp949"),
        "silent.html": PAGE.format("", KOREAN).encode("cp949"),
        "utf.html": PAGE.format("", KOREAN).encode(),
        "marked.html": PAGE.format("<meta charset=euc-kr>", KOREAN).encode("utf-8-sig"),
        "wrong.html": PAGE.format("<meta charset=utf-8>", KOREAN).encode("cp949"),
        "twice.html": PAGE.format("", KOREAN.encode().decode("latin-1")).encode(),
        "once.html": PAGE.format("<meta charset=utf-8>", KOREAN * 3).encode().replace("등".encode(), b"\xff"),
        "codec.html": PAGE.format("<meta charset=rot13>", "<b>Uryyb</b> there").encode(),
    }
    for name, data in pages.items():
        (tmp_path / name).write_bytes(data)
    done = collect(tmp_path)
    assert about(done) == {
        "codec.html": {"encoding": "utf-8", "encoding_from": "utf-8"},
        "declared.html": {"encoding": "euc-kr", "encoding_from": "meta", "encoding_declared": "ks_c_5601-1987"},
        "marked.html": {"encoding": "utf-8", "encoding_from": "bom", "encoding_declared": "euc-kr"},
        "once.html": {
            "encoding": "utf-8",
            "encoding_from": "meta",
            "encoding_declared": "utf-8",
            "encoding_malformed": 3,
        },
        "silent.html": {"encoding": "euc-kr", "encoding_from": "detection", "encoding_detected": "euc-kr"},
        "utf.html": {"encoding": "utf-8", "encoding_from": "utf-8"},
    }
    assert done.dropped() == [("twice.html", "double_encoded"), ("wrong.html", "malformed_text")]
    assert sum(KOREAN.strip() in text for text in done.texts()) == 4


@pytest.mark.parametrize(
    ("content_type", "meta", "codec", "found"),
    [
        ("text/html; charset=EUC-KR", "", "cp949", ("euc-kr", "header")),
        ("text/html; charset=nonsense", "<meta charset=euc-kr>", "cp949", ("euc-kr", "meta")),
        ("text/html", "", "cp949", ("euc-kr", "detection")),
        ("text/html; charset=utf-8", "", "utf-8-sig", ("utf-8", "bom")),
        ("text/html; charset=utf-16", "", "utf-16-le", ("utf-16le", "header")),
        ("text/plain", "<meta charset=koi8-r>", "cp949", ("euc-kr", "detection")),
    ],
)
def test_records_of_archives_too(tmp_path, collect, content_type, meta, codec, found):
    (tmp_path / "a.warc").write_bytes(response(PAGE.format(meta, KOREAN).encode(codec), content_type))
    done = collect(tmp_path)
    [(_, known)] = about(done).items()
    assert (known["encoding"], known["encoding_from"]) == found
    assert KOREAN.strip() in done.texts()[0]


def test_plain_text_in_other_encodings(tmp_path, collect):
    files = {
        "korean.txt": KOREAN.encode("cp949"),
        "wide.txt": KOREAN.encode("utf-16"),
        "cut.txt": KOREAN.strip().encode()[:-1] + b"\xeb\x8b",
        "short.txt": b"caf\xe9",
        "bytes.txt": b"\x7fELF\1\2\0\0" + bytes(range(128, 256)) * 9,
        "plain.txt": KOREAN.encode(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = collect(tmp_path)
    known = about(done)
    assert known["plain.txt"] == {}
    assert known["korean.txt"] == {"encoding": "euc-kr", "encoding_from": "detection", "encoding_detected": "euc-kr"}
    assert known["wide.txt"] == {"encoding": "utf-16le", "encoding_from": "bom"}
    assert known["cut.txt"]["encoding"] == "utf-8"
    assert [text == KOREAN for text in done.texts()] == [False, True, True, True]
    assert done.broken() == [("bytes.txt", "not_utf8"), ("short.txt", "not_utf8")]
