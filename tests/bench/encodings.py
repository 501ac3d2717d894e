"""How often undeclared bytes become the right text: `python -m tests.bench.encodings [FOLDER]`, ours beside two libraries.

Purpose: texts of the Declaration of Human Rights, encoded in what their language was written in on the web, are decoded without
a declaration: whole; three passages of 200 characters and five of 40; a half that ends within a character; and all texts
beyond ASCII in UTF-8, cut within their last character beyond ASCII, or with one byte in a thousand (at least one) made FF.
Guarantee: only the same text counts, not the name of the encoding. FOLDER (default: the shared data) has lid/udhr.jsonl.gz.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from charset_normalizer import from_bytes
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from tokenmill.pipeline.collect.charset.decode import decode

LANGUAGES = {
    "cp1250": "pol ces hun slk slv hrv ron bos",
    "iso8859_2": "pol ces hun slk slv hrv",
    "cp1251": "rus ukr bul bel mkd srp",
    "koi8_r": "rus bul",
    "koi8_u": "ukr",
    "iso8859_5": "rus bul mkd",
    "cp866": "rus bel",
    "mac_cyrillic": "rus",
    "cp1252": "fra deu spa por ita swe dan nob fin isl nld eng cat",
    "cp1253": "ell",
    "iso8859_7": "ell",
    "cp1254": "tur",
    "cp1255": "heb",
    "cp1256": "arb pes urd",
    "cp1257": "lit lav est",
    "cp1258": "vie",
    "cp874": "tha",
    "cp932": "jpn",
    "euc_jp": "jpn",
    "iso2022_jp": "jpn",
    "cp949": "kor",
    "gb18030": "cmn",
    "big5hkscs": "cmn",
}
Passage = tuple[str, str, str, bytes, str]
"""Encoding, language, form, bytes, and the text that they are."""


def passages(path: Path) -> Iterator[Passage]:
    """Every text in every encoding of its language that lacks at most one in a hundred of its characters."""
    with gzip.open(path) as handle:
        rows = [json.loads(line) for line in handle]
    for codec, languages in LANGUAGES.items():
        for row in rows:
            language = row["code"].split("_")[0]
            whole = row["text"].replace("\u2019", "'")
            text = whole.encode(codec, "ignore").decode(codec)
            if language not in languages.split() or text.isascii() or len(text) < 0.99 * len(whole):
                continue
            parts = [("whole", text)]
            parts += [("200", text[at : at + 200]) for at in (len(text) * part // 4 for part in range(3))]
            parts += [("40", text[at : at + 40]) for at in (len(text) * part // 7 for part in range(5))]
            for form, part in parts:
                if not part.isascii():
                    yield codec, language, form, part.encode(codec), part
            half = text[: len(text) // 2]
            if codec != "iso2022_jp" and not half.isascii():
                cut = _to_last(half).encode(codec)[:-1]
                yield codec, language, "cut", cut, cut.decode(codec, "replace")
    seed = random.Random(7)
    for row in rows:
        if row["text"].isascii():
            continue
        cut = _to_last(row["text"]).encode()[:-1]
        yield "utf_8", row["code"], "cut", cut, cut.decode(errors="replace")
        damaged = bytearray(row["text"].encode())
        for _ in range(max(1, len(damaged) // 1_000)):
            damaged[seed.randrange(len(damaged))] = 0xFF
        yield "utf_8", row["code"], "damaged", bytes(damaged), damaged.decode(errors="replace")


def _to_last(text: str) -> str:
    return text[: 1 + max(at for at, character in enumerate(text) if character > "\x7f")]


def _resiliparse(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return str(bytes_to_str(data, detect_encoding(data) or "utf-8", errors="replace"))


def _charset_normalizer(data: bytes) -> str:
    best = from_bytes(data).best()
    return data.decode(best.encoding if best else "utf-8", "replace")


WAYS: dict[str, Callable[[bytes], str]] = {
    "ours": lambda data: decode(data).text,
    "resiliparse": _resiliparse,
    "charset-normalizer": _charset_normalizer,
}


def main(folder: Path) -> None:
    cases = list(passages(folder / "lid" / "udhr.jsonl.gz"))
    size = sum(len(data) for *_, data, _ in cases)
    right: dict[str, Counter[str]] = {}
    for way, read in WAYS.items():
        right[way] = Counter()
        begin = time.process_time()
        for codec, _, form, data, text in cases:
            right[way].update([codec, f"utf-8 {form}" if codec == "utf_8" else form] if read(data) == text else [])
        print(f"{way}: {size / 1e6 / (time.process_time() - begin):.1f} MB/s")
    all_of = Counter(name for codec, _, form, *_ in cases for name in (codec, f"utf-8 {form}" if codec == "utf_8" else form))
    print("| | of |", " | ".join(WAYS), "|")
    for name, number in all_of.items():
        print(f"| {name} | {number} |", " | ".join(str(right[way][name]) for way in WAYS), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / "shared" / "data")
