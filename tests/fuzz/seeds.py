"""Whole, ordinary files of every format that collection reads, made by code: what mutation starts from.

Guarantee: the same files in every run. They are small, at most some kilobytes, so that most mutations hit something.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Codec = Literal["", "gzip", "zstd"]
WORDS = (
    "the",
    "of",
    "and",
    "corpus",
    "token",
    "shard",
    "text",
    "model",
    "data",
    "Straße",
    "café",
    "語言",
    "мова",
    "😀",
    "\u0301a",
)
ROWS = 12


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A file. `ending`: how its name ends, by which a reader is chosen. `data`: its bytes, inside `codec`."""

    format: str
    ending: str
    data: bytes
    codec: Codec = ""
    sealed: bool = False
    """Whether a checksum covers every byte of content, so that no damage may change a document silently."""

    @property
    def file(self) -> bytes:
        """The bytes of the file."""
        return packed(self.data, self.codec)


def packed(data: bytes, codec: Codec) -> bytes:
    """`data` as one gzip member, as one zstd frame with a checksum, or as it is."""
    if codec == "gzip":
        return gzip.compress(data, 6, mtime=0)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data) if codec == "zstd" else data


def _texts(count: int = ROWS, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [f"{number}: " + " ".join(draw.choices(WORDS, k=draw.randint(3, 30))) for number in range(count)]


def _jsonl(**more: Any) -> bytes:
    return "".join(json.dumps({"text": text, **more}, ensure_ascii=False) + "\n" for text in _texts()).encode()


def _records() -> Iterator[Seed]:
    plain = _jsonl(year=2024, score=0.5, tags=["a", {"b": None}])
    named = "".join(json.dumps({"id": f"n{n}", "url": f"https://a.org/{n}", "text": t}) + "\n" for n, t in enumerate(_texts()))
    yield Seed(format="jsonl", ending=".jsonl", data=plain)
    yield Seed(format="jsonl", ending=".jsonl", data=named.encode())
    yield Seed(format="jsonl.gz", ending=".jsonl.gz", data=plain, codec="gzip", sealed=True)
    yield Seed(format="jsonl.zst", ending=".jsonl.zst", data=plain, codec="zstd", sealed=True)
    yield Seed(format="text", ending=".txt", data="\n\n".join(_texts(4)).encode())
    yield Seed(format="text", ending=".md", data=b"\xef\xbb\xbf# Title\r\n\r\nOne *line*.\r\n\r\n\tcode\r\n")
    yield Seed(format="text.gz", ending=".txt.gz", data="\n".join(_texts(6)).encode(), codec="gzip", sealed=True)
    yield Seed(format="text.zst", ending=".rst.zst", data="\n".join(_texts(6)).encode(), codec="zstd", sealed=True)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "text", "note"])
    writer.writerows([f"c{n}", text, 'says "so",\nand more'] for n, text in enumerate(_texts()))
    yield Seed(format="csv", ending=".csv", data=out.getvalue().encode())
    yield Seed(format="csv.gz", ending=".csv.gz", data=out.getvalue().encode(), codec="gzip", sealed=True)


def table() -> pa.Table:
    """A table with columns of many types."""
    texts = _texts()
    return pa.table(
        {
            "id": pa.array([f"p{number}" for number in range(ROWS)]),
            "text": pa.array([*texts[:-1], None], pa.string()),
            "lang": pa.array(["en", "de", None] * (ROWS // 3)).dictionary_encode(),
            "year": pa.array(range(ROWS), pa.int64()),
            "score": pa.array([number / 7 for number in range(ROWS)]),
            "when": pa.array(range(ROWS), pa.timestamp("us", "UTC")),
            "price": pa.array(range(ROWS), pa.int64()).cast(pa.decimal128(25, 2)),
            "good": pa.array([True, False, None] * (ROWS // 3)),
            "raw": pa.array([text.encode()[:9] for text in texts]),
            "links": pa.array([["a", "b"], [], None] * (ROWS // 3)),
            "about": pa.array([{"a": 1, "b": "x"}, {"a": None, "b": "y"}, None] * (ROWS // 3)),
            "map": pa.array([[("k", 1)], [], None] * (ROWS // 3), pa.map_(pa.string(), pa.int64())),
        }
    )


def parquet(made: pa.Table, **settings: Any) -> bytes:
    """The bytes of a Parquet file."""
    out = io.BytesIO()
    pq.write_table(made, out, **settings)
    return out.getvalue()


def _parquet() -> Iterator[Seed]:
    small = table().select(["id", "text", "year"])
    large = small.set_column(1, "text", small["text"].cast(pa.large_string()))
    for made, settings in (
        (table(), {"compression": "snappy"}),
        (table(), {"compression": "zstd", "row_group_size": 4, "write_page_checksum": True}),
        (small, {"compression": "none", "use_dictionary": False, "row_group_size": 5}),
        (small, {"compression": "gzip", "data_page_version": "2.0"}),
        (small, {"compression": "brotli", "write_page_index": True}),
        (small, {"compression": "lz4", "use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}),
        (large, {"compression": "none", "use_dictionary": ["text"], "store_schema": True, "write_statistics": False}),
    ):
        yield Seed(format="parquet", ending=".parquet", data=parquet(made, **settings))


HTML = (
    "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>A page</title><style>p{color:red}</style></head><body>"
    "<nav><ul><li><a href='/a?b=1&amp;c'>Home</a></ul></nav><main><article><h1>Words &amp; signs</h1>"
    + "".join(f"<p class='c{n}' data-n={n}>{text}&nbsp;&#x1F600;&#8364;</p>" for n, text in enumerate(_texts(6)))
    + "<table><tr><td>1<td>2</table><pre>a  b\n c</pre><script>var a='</p>'</script><!-- note --></article></main></html>"
)


def _html() -> Iterator[Seed]:
    yield Seed(format="html", ending=".html", data=HTML.encode())
    yield Seed(format="html", ending=".htm", data=HTML.replace("utf-8", "windows-1252").encode("cp1252", "xmlcharrefreplace"))
    yield Seed(format="html", ending=".html", data=HTML.encode("utf-16"))
    yield Seed(format="html.gz", ending=".html.gz", data=HTML.encode(), codec="gzip", sealed=True)


def record(kind: str, block: bytes, mime: str, number: int) -> bytes:
    """A record of a web archive."""
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012d}>\r\n"
        f"WARC-Date: 2024-01-02T03:04:05Z\r\nWARC-Target-URI: https://a.org/{number}\r\nContent-Type: {mime}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def response(body: bytes, *headers: str, mime: str = "text/html; charset=utf-8") -> bytes:
    """A response of HTTP."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {mime}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _chunked(body: bytes) -> bytes:
    parts = [body[at : at + 700] for at in range(0, len(body), 700)]
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


def _web_records() -> list[bytes]:
    page, raw = HTML.encode(), zlib.compressobj(wbits=-15)
    bodies = (
        response(page, f"Content-Length: {len(page)}"),
        response(_chunked(page), "Transfer-Encoding: chunked"),
        response(gzip.compress(page, mtime=0), "Content-Encoding: gzip"),
        response(zlib.compress(page), "Content-Encoding: deflate"),
        response(raw.compress(page) + raw.flush(), "Content-Encoding: deflate"),
        response(_chunked(gzip.compress(page, mtime=0)), "Content-Encoding: gzip", "Transfer-Encoding: chunked"),
        # Brotli in its shortest form: one block that is stored as it is.
        response(b"\x0b\x02\x80hello\x03", "Content-Encoding: br"),
        response(zstandard.compress(page), "Content-Encoding: zstd"),
        response("plain wörds\n".encode() * 9, mime="text/plain"),
        response(b"\x89PNG\r\n\x1a\n", mime="image/png"),
    )
    records = [record("warcinfo", b"software: x\r\n", "application/warc-fields", 0)]
    records += [record("request", b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n", "application/http; msgtype=request", 1)]
    mime = "application/http; msgtype=response"
    return records + [record("response", body, mime, number) for number, body in enumerate(bodies, 2)]


def _web() -> Iterator[Seed]:
    records = _web_records()
    texts = [record("conversion", text.encode(), "text/plain", n) for n, text in enumerate(_texts())]
    for made, ending in ((records, "warc"), (texts, "wet")):
        yield Seed(format=ending, ending=f".{ending}", data=b"".join(made))
        yield Seed(format=f"{ending}.gz", ending=f".{ending}.gz", data=b"".join(gzip.compress(one, mtime=0) for one in made))
    yield Seed(format="warc.zst", ending=".warc.zst", data=b"".join(packed(one, "zstd") for one in records))
    # One member around all records, as tools make it that know nothing of WARC.
    yield Seed(format="warc.gz", ending=".warc.gz", data=b"".join(records), codec="gzip", sealed=True)


CARD = b"""---
license: mit
configs:
- config_name: default
  data_files:
  - split: train
    path: data-*.jsonl
dataset_info:
  features:
  - name: text
    dtype: string
---
# A data set
"""


def _dataset() -> Iterator[Seed]:
    small = table().select(["id", "text", "year", "links", "about"])
    yield Seed(format="dataset", ending="data-0.parquet", data=parquet(small, row_group_size=4))
    yield Seed(format="dataset", ending="data-0.jsonl", data=_jsonl(year=2024))
    yield Seed(format="dataset", ending="data-0.csv", data=b"id,text\n" + b"".join(b"%d,words %d\n" % (n, n) for n in range(9)))
    yield Seed(format="dataset", ending="README.md", data=CARD)


MODULE = '''"""About the module: naïve words."""
import os
from a import (b,
               c)


@decorated(x=1, *y, **z)
class Shape(Base, metaclass=M):
    """A shape.

        With detail.
    """

    def area(self, *, scale: float = 1e3) -> "float":
        r"""Its \\area."""
        return f"{self.x!r:>{scale}} {'nested'}" + b"\\x00".decode()

if True:
    async def later():
        """Later."""
        return [x async for x in y if (z := x)] or {**a, 1: 0x_ff} or lambda *a: ...
'''
DESCRIPTION = b"""Metadata-Version: 2.1
Name: a-package
Version: 1.0
Description-Content-Type: text/markdown; charset=UTF-8
Description: in a header
        on two lines

# A package

Words about it.
"""
RECORD = b"""a/__init__.py,sha256=abc,9
"a/na,me.py",,
a_package-1.0.dist-info/METADATA,,
a_package-1.0.dist-info/RECORD,,
../../bin/tool,,
a/page.html,,
"""


def _installed() -> Iterator[Seed]:
    yield Seed(format="python", ending="lib/m{}.py", data=MODULE.encode())
    yield Seed(format="python", ending="lib/m{}.py", data=("# -*- coding: latin-1 -*-\n" + MODULE).encode("latin-1"))
    yield Seed(format="python", ending="site/p{}-1.0.dist-info/METADATA", data=DESCRIPTION)
    yield Seed(format="python", ending="site/p{}-1.0.dist-info/RECORD", data=RECORD)


def input_seeds() -> Mapping[str, list[Seed]]:
    """The seeds by format."""
    found: dict[str, list[Seed]] = {}
    for seed in (*_records(), *_parquet(), *_html(), *_web(), *_installed(), *_dataset()):
        found.setdefault(seed.format, []).append(seed)
    return found
