"""What crawlers and servers do that standards do not foresee, as one table: each cell is a record, read by a parser."""

from __future__ import annotations

import gzip
import json
import time
import zlib

import brotli
import pytest
import zstandard

from tests.collect.conftest import collected
from tests.collect.web import page, response, warc
from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import codings, headers, http

PAGE = page("a.org")
TEXT = "The page of a.org says enough to be its own text."
NOISE = bytes(range(256)) * 4


def deflated(data: bytes, wbits: int) -> bytes:
    stream = zlib.compressobj(wbits=wbits)
    return stream.compress(data) + stream.flush()


def chunked(*parts: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + last


def zstd_stream(data: bytes) -> bytes:
    """A frame that does not state the size of its content."""
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return stream.compress(data) + stream.flush()


HALF = len(PAGE) // 2
COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}
PACKED = {name: compress(PAGE) for name, compress in COMPRESS.items()}
CHUNKED_GZIP = ["Transfer-Encoding: chunked", "Content-Encoding: gzip"]
SENT = {
    # Names that are no coding change nothing.
    **{f"coding {name}": ([f"Content-Encoding: {name}"], PAGE) for name in ("none", "identity", "utf-8", "8bit", "binary")},
    **{
        f"coding {name}": ([f"Content-Encoding: {name}"], PAGE)
        for name in ("aws-chunked", "unheard-of", "", " , ", "UTF-8;q=1")
    },
    # Codings, in any case of letters.
    **{f"coding {name}": ([f"Content-Encoding: {name}"], body) for name, body in PACKED.items()},
    **{f"coding {name.upper()}": ([f"CONTENT-ENCODING:{name.upper()}"], body) for name, body in PACKED.items()},
    "x-gzip": (["content-encoding: x-gzip"], PACKED["gzip"]),
    "gzip in quotes": (['Content-Encoding: "gzip"'], PACKED["gzip"]),
    "gzip of two members": (["Content-Encoding: gzip"], gzip.compress(PAGE[:HALF]) + gzip.compress(PAGE[HALF:])),
    "gzip and an empty member": (["Content-Encoding: gzip"], gzip.compress(b"") + PACKED["gzip"]),
    "gzip and what follows it": (["Content-Encoding: gzip"], PACKED["gzip"] + b"\r\n"),
    "gzip and padding": (["Content-Encoding: gzip"], PACKED["gzip"] + bytes(100)),
    "deflate without its header": (["Content-Encoding: deflate"], deflated(PAGE, -15)),
    "deflate that is gzip": (["Content-Encoding: deflate"], PACKED["gzip"]),
    "zstd of two frames": (["Content-Encoding: zstd"], zstandard.compress(PAGE[:HALF]) + zstd_stream(PAGE[HALF:])),
    "two codings": (["Content-Encoding: deflate, gzip"], gzip.compress(PACKED["deflate"])),
    "two codings in two fields": (["Content-Encoding: br", "Content-Encoding: gzip"], gzip.compress(PACKED["br"])),
    "a coding and no coding": (["Content-Encoding: gzip,aws-chunked"], PACKED["gzip"]),
    # Headers that were left over on a body that a crawler or a proxy decoded.
    **{f"{name} left over": ([f"Content-Encoding: {name}"], PAGE) for name in PACKED},
    **{f"{name} left over on few bytes": ([f"Content-Encoding: {name}"], b"<p>few") for name in PACKED},
    "chunked left over": (["Transfer-Encoding: chunked"], PAGE),
    "length left over": (["Content-Length: 7"], PAGE),
    # Chunks.
    "chunked": (["Transfer-Encoding: chunked"], chunked(PAGE[:HALF], PAGE[HALF:])),
    "chunked in capitals": (["TRANSFER-ENCODING:  Chunked"], chunked(PAGE)),
    "chunked without a last chunk": (["Transfer-Encoding: chunked"], chunked(PAGE[:HALF], PAGE[HALF:], last=b"")),
    "chunked without the last line end": (["Transfer-Encoding: chunked"], chunked(PAGE, last=b"")[:-2]),
    "chunked with a short last chunk": (["Transfer-Encoding: chunked"], chunked(PAGE, last=b"0\r\n")),
    "chunked with trailers": (["Transfer-Encoding: chunked"], chunked(PAGE, last=b"0\r\nExpires: 0\r\n\r\n")),
    "chunked with extensions": (["Transfer-Encoding: chunked"], b"%x ;a=b\r\n" % len(PAGE) + PAGE + b"\r\n000\r\n\r\n"),
    "chunked with bare line ends": (["Transfer-Encoding: chunked"], chunked(PAGE).replace(b"\r\n", b"\n")),
    "chunked and coded": (
        ["Transfer-Encoding: chunked", "Content-Encoding: gzip"],
        chunked(PACKED["gzip"][:9], PACKED["gzip"][9:]),
    ),
    "a coding in transfer": (["Transfer-Encoding: gzip, chunked"], chunked(PACKED["gzip"])),
}
HEADS = {
    # What the header and the type say.
    "an interim response": (b"HTTP/1.1 100 Continue\r\n\r\n" + response(body=PAGE)),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + response(body=PAGE)),
    "a proxy's answer": (b"HTTP/1.0 200 Connection established\r\nVia: proxy\r\n\r\n" + response(body=PAGE)),
    "several before": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + response(body=PAGE)),
    "HTTP/2": response(body=PAGE).replace(b"HTTP/1.1 200 OK", b"HTTP/2 200"),
    "bare line ends": response(body=PAGE).replace(b"\r\n", b"\n"),
    "names in capitals": response(mime="", body=PAGE).replace(
        b"\r\n\r\n", b"\r\nCONTENT-TYPE:TEXT/HTML;CHARSET=UTF-8\r\n\r\n", 1
    ),
    "a value over two lines": response("200 OK", "Content-Type: text/html;\r\n charset=utf-8", mime="", body=PAGE),
    "no field": response("200 OK", "no field at all", ": nor this", body=PAGE),
    "status 203": response("203 Non-Authoritative", body=PAGE),
    "xhtml": response(mime="application/xhtml+xml", body=PAGE),
    "two types": response(mime="text/html, text/html", body=PAGE),
    "two types, the last holds": response(mime="image/png, text/html", body=PAGE),
    "two fields of a type": response("200 OK", "Content-Type: text/html", "Content-Type: text/html", mime="", body=PAGE),
    "charset without a blank": response(mime="text/html;charset=utf-8", body=PAGE),
    "charset after a comma": response(mime="text/html,charset=utf-8", body=PAGE),
    "charset after a blank": response(mime="text/html charset=utf-8", body=PAGE),
    "charset in quotes": response(mime='text/html; charset = "utf-8"', body=PAGE),
    # No type: sniffed.
    "no type": response(mime="", body=PAGE),
    "no type, any": response(mime="*/*", body=PAGE),
    "no type, unknown": response(mime="unknown/unknown", body=PAGE),
    "no type, a mark": response(mime="", body=b"\xef\xbb\xbf" + PAGE),
    "no type, UTF-16": response(mime="", body=PAGE.decode().encode("utf-16")),
    "no type, a comment": response(mime="", body=b"<!-- a banner -->\n" + PAGE),
    "no type, white space": response(mime="", body=b"\r\n\t " + PAGE),
    "no type, a declaration of XML": response(mime="", body=b'<?xml version="1.0"?>\n' + PAGE),
    **{
        f"no type, {tag}": response(mime="", body=b"<%b>" % tag.encode() + PAGE[15:])
        for tag in ("p", "DIV class=a", "h1", "br/")
    },
}
KEPT = {
    **{name: response("200 OK", *fields, body=body) for name, (fields, body) in SENT.items()},
    **HEADS,
}
LOST = {
    **{
        f"{name} cut": (response("200 OK", f"Content-Encoding: {name}", body=body[:-5]), "cut_http")
        for name, body in PACKED.items()
    },
    "gzip cut in its second member": (
        response("200 OK", "Content-Encoding: gzip", body=PACKED["gzip"] + gzip.compress(NOISE)[:-3]),
        "cut_http",
    ),
    "gzip damaged": (response("200 OK", "Content-Encoding: gzip", body=PACKED["gzip"][:30] + NOISE), "broken_http"),
    "deflate damaged": (response("200 OK", "Content-Encoding: deflate", body=b"\x07" + NOISE), "broken_http"),
    "br damaged": (response("200 OK", "Content-Encoding: br", body=NOISE), "broken_http"),
    "zstd damaged": (response("200 OK", "Content-Encoding: zstd", body=PACKED["zstd"][:6] + NOISE), "broken_http"),
    "too many codings": (response("200 OK", "Content-Encoding: " + "gzip," * 9, body=PACKED["gzip"]), "broken_http"),
    "cut within a chunk": (response("200 OK", "Transfer-Encoding: chunked", body=chunked(PAGE)[:99]), "cut_http"),
    "cut within a chunk's size": (response("200 OK", "Transfer-Encoding: chunked", body=chunked(PAGE, last=b"1a")), "cut_http"),
    "a chunk that is longer": (
        response("200 OK", "Transfer-Encoding: chunked", body=chunked(PAGE).replace(b"%x" % len(PAGE), b"9", 1)),
        "broken_http",
    ),
    "a chunk without its size": (
        response("200 OK", "Transfer-Encoding: chunked", body=chunked(PAGE, last=PAGE)),
        "broken_http",
    ),
    "a bomb of gzip": (response("200 OK", "Content-Encoding: gzip", body=gzip.compress(bytes(30 << 20))), "bomb"),
    "a bomb of br": (response("200 OK", "Content-Encoding: br", body=brotli.compress(bytes(30 << 20), quality=3)), "bomb"),
    "a bomb of zstd": (response("200 OK", "Content-Encoding: zstd", body=zstandard.compress(bytes(30 << 20))), "bomb"),
    "only an interim response": (response("100 Continue"), "http_status"),
    "switched protocols": (response("101 Switching Protocols") + response(body=PAGE), "http_status"),
    "a redirect": (response("301 Moved", body=PAGE), "http_status"),
    "a proxy's answer alone": (response("200 Connection established"), "empty"),
    "no body": (response(), "empty"),
    "no status": (PAGE, "content_type"),
    "an image": (response(mime="image/png", body=NOISE), "content_type"),
    "an image called a page": (response(body=b"\x89PNG\r\n\x1a\n" + NOISE), "content_type"),
    "no type and no markup": (response(mime="", body=b"a, b, c"), "content_type"),
    "no type, a tag's beginning": (response(mime="", body=b"<path/>"), "content_type"),
    "no type, XML": (response(mime="", body=b'<?xml version="1.0"?><rss/>'), "content_type"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, str]:
    """Of each cell, the text of its document, or the reason why there is none."""
    folder = tmp_path_factory.mktemp("oddities")
    cells = {**KEPT, **{name: block for name, (block, _) in LOST.items()}}
    places: dict[str, str] = {}
    at = 0
    with open(folder / "in.warc", "wb") as out:
        for number, (name, block) in enumerate(cells.items()):
            places[f"in.warc#{at}"] = name
            at += out.write(warc(block, number=str(number)))
    done = collected(folder / "corpus", folder / "in.warc")
    assert done.done.manifest.facts["record_types"] == {"files": {"response": len(cells)}}
    found = {places[position]: reason for position, reason in [*done.dropped(), *done.broken()]}
    for row in done.documents():
        found[places["in.warc#" + str(json.loads(row["metadata"])["record"])]] = row["text"].strip()
    return found


@pytest.mark.parametrize("cell", KEPT)
def test_a_page_is_kept(cell, outcomes):
    assert outcomes[cell] == ("few" if "few bytes" in cell else TEXT)


@pytest.mark.parametrize("cell", LOST)
def test_why_a_page_is_not_kept(cell, outcomes):
    assert outcomes[cell] == LOST[cell][1]


def test_hostile_bodies_take_linear_time():
    many = gzip.compress(b"") * 100_000
    begun = time.process_time()
    assert codings.decoded(many, ["gzip"], None, 1_000) == b""
    assert http.unchunked(b"1\r\na\r\n" * 200_000) == b"a" * 200_000
    assert http.parse(b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000, 1_000).status == 100
    assert headers.sniffed(b" " * 10_000_000) == ""
    # Quadratic work takes minutes.
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("coding", PACKED)
def test_what_a_coding_produces_is_bounded(coding):
    packed = COMPRESS[coding](bytes(1 << 20))
    with pytest.raises(RecordError) as caught:
        codings.decoded(packed, [coding], None, 1_000)
    assert caught.value.reason == "too_long"


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("size", [1, 255, 65_536, 300_001])
def test_codings_undo_what_their_libraries_do(coding, size):
    data = bytes((at * at) >> 3 & 255 for at in range(size))
    packed = COMPRESS[coding](data)
    assert codings.decoded(packed, [coding], None, 1_000_000) == data
