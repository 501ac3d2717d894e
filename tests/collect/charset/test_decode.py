"""Evidence for an encoding, in its order; detection; and what decoding spoils."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from tokenmill.pipeline.collect.charset.decode import decode, faults, is_binary
from tokenmill.pipeline.collect.charset.detect import SAMPLE_BYTES, detect
from tokenmill.pipeline.collect.charset.labels import named

RUSSIAN = "Все люди рождаются свободными и равными в своём достоинстве и правах."
TEXTS = {
    "windows-1251": ("cp1251", RUSSIAN),
    "koi8-u": ("koi8_r", RUSSIAN),
    "ibm866": ("cp866", RUSSIAN),
    "euc-kr": ("cp949", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."),
    "shift_jis": ("cp932", "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。"),
    "euc-jp": ("euc_jp", "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。"),
    "iso-2022-jp": ("iso2022_jp", "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。"),
    "gb18030": ("gb18030", "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。"),
    "big5": ("big5", "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神互相對待。"),
    "windows-1253": ("cp1253", "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα."),
    "windows-874": ("cp874", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ"),
    "windows-1252": ("cp1252", "Tous les êtres humains naissent libres et égaux en dignité et en droits."),
}


def test_evidence_has_an_order():
    meta, xml = b"<meta charset=euc-kr>", b"<?xml version='1.0' encoding='euc-jp'?>"
    both = xml + meta + "é".encode()

    def found(data, charset=None):
        read = decode(data, charset, markup=True)
        return read.encoding, read.evidence, read.declared

    assert found(b"\xef\xbb\xbf" + both, "koi8-r") == ("utf-8", "bom", "koi8-r")
    assert found(both, "KOI8-R") == ("koi8-r", "header", "koi8-r")
    assert found(both, "no-such") == ("euc-kr", "meta", "euc-kr")
    assert found(xml + "é".encode()) == ("euc-jp", "xml", "euc-jp")
    assert found("é".encode()) == ("utf-8", "utf-8", None)
    assert found(b"x" * 2_000 + meta + b"\xb0\xa1") == ("euc-kr", "meta", "euc-kr")
    assert found(b"x" * 2_000 + meta) == ("euc-kr", "meta", "euc-kr")
    assert found(b"x" * 2_000 + meta + "é".encode()) == ("utf-8", "utf-8", None)
    assert found("<?xml encoding='utf-16'?>é".encode("utf-16-le")) == ("utf-16le", "xml", None)
    assert found("<?xml encoding='utf-16'?>é".encode("utf-16")) == ("utf-16le", "bom", None)
    assert found(b"<meta charset=utf-16>" + "é".encode()) == ("utf-8", "meta", "utf-16")
    assert found(b"caf\xe9") == ("windows-1252", "default", None)
    assert found(b"") == ("utf-8", "utf-8", None)
    # Plain text declares nothing.
    assert decode(meta + "é".encode()).encoding == "utf-8"


@pytest.mark.parametrize("name", TEXTS)
def test_an_undeclared_page_is_detected(name):
    codec, text = TEXTS[name]
    page = "<html><head><title>Rights</title></head><body>" + "<div class='a'>plain</div>" * 50 + f"<p>{text}</p></body></html>"
    read = decode(page.encode(codec), markup=True)
    # Passages without the few characters in which they differ are the same text in both.
    assert read.encoding == name or (read.encoding, name) == ("iso-8859-7", "windows-1253")
    assert (read.evidence, read.about["encoding_detected"], read.text) == ("detection", read.encoding, page)


def test_text_far_into_a_page_is_found():
    data = b"<p>plain</p>\n" * 100_000 + "<p>모든 인간은 태어날 때부터 자유로우며</p>".encode("cp949") * 3
    assert detect(data) == "euc-kr"
    assert detect(data * 2 + b"\xb0" * 10 * SAMPLE_BYTES) == "euc-kr"
    assert detect(b"plain") is detect(b"") is detect(b"one \xe9") is None


@pytest.mark.parametrize("text", ["Señor, mañana", "日本語", "Привет, мир", "naïve", "the end – it is –", "😀"])
def test_a_cut_or_a_bad_byte_leaves_utf_8_what_it_is(text):
    data = text.encode()
    last = max(at for at, byte in enumerate(data) if byte > 127)
    for cut in (data[:last], data + b" more \xff", b"\xc0 " + data):
        read = decode(cut, markup=True)
        assert (read.encoding, read.text) == ("utf-8", cut.decode(errors="replace"))


def test_a_declared_encoding_stays_though_bytes_are_malformed():
    read = decode(b"<meta charset=utf-8>" + RUSSIAN.encode("cp1251"), markup=True)
    assert (read.encoding, read.evidence, read.detected) == ("utf-8", "meta", "windows-1251")
    assert faults(read.text).reason[0] == "malformed_text"
    latin = decode(("<meta charset=latin1>" + "é" * 30).encode(), markup=True)
    assert (latin.encoding, latin.detected) == ("windows-1252", "utf-8")
    assert faults(latin.text).reason[0] == "double_encoded"
    once = decode("<meta charset=utf-8>Привет".encode() + b"\xff", markup=True)
    assert (once.text[-7:], once.detected, faults(once.text).reason) == ("Привет\ufffd", None, None)


def test_hostile_labels_of_headers_are_no_evidence():
    for label in ("rot13", "zlib", "base64", "hex", "../../x", "x" * 1_000_000, '"\'"utf-7', "\0", "unicode_escape"):
        read = decode("é\\u0041".encode(), label)
        assert (read.text, read.evidence, read.declared) == ("é\\u0041", "utf-8", None)
        assert not is_binary(b"plain", label)


def test_binary_data_are_told_by_their_first_bytes():
    assert is_binary(b"\x89PNG\r\n\x1a\n\0\0")
    assert not is_binary("é".encode("utf-16"))
    assert not is_binary("é".encode("utf-16-le"), "UTF-16LE")
    assert is_binary("é a".encode("utf-16-le"), "utf-8")
    assert not is_binary(b"text \x1b$B!!\x1b(B")


@pytest.mark.parametrize("text", ["Déjà vu, à côté", "It’s “quoted” – so", RUSSIAN, "日本語", "😀"])
def test_characters_encoded_twice_are_counted(text):
    beyond = sum(character > "\x7f" for character in text)
    twice = "".join(bytes([byte]).decode("cp1252", "replace").replace("\ufffd", chr(byte)) for byte in text.encode())
    found = faults(twice)
    assert (found.doubled, found.malformed) == (beyond, 0)
    assert faults(text).doubled == faults(text).malformed == 0
    assert faults(twice * 10).reason[0] == "double_encoded"


def test_few_faults_are_counted_and_let_through():
    assert faults("x" * 100 + "\ufffd" * 8).reason is None
    assert faults("x" * 100 + "\ufffd" * 8).about == {"encoding_malformed": 8, "encoding_doubled": None}
    assert faults("x" * 100 + "\ufffd" * 10).reason[0] == "malformed_text"
    assert faults("\ufffd").reason[0] == "malformed_text"
    assert faults("x" * 10_000 + "Ã©" * 50).about == {"encoding_malformed": None, "encoding_doubled": 50}
    assert faults("x" * 10_000 + "Ã©" * 150).reason[0] == "double_encoded"
    assert faults("").reason is None


def test_texts_of_many_languages_stay_utf_8(shared_data: Path) -> None:
    with gzip.open(shared_data / "lid" / "udhr.jsonl.gz") as handle:
        texts = [json.loads(line)["text"] for line in handle]
    beyond = [text for text in texts if not text.isascii()]
    assert len(beyond) > 400
    damaged = random.Random(7)
    for text in beyond:
        last = max(at for at, character in enumerate(text) if character > "\x7f")
        assert decode(text[: last + 1].encode()[:-1]).encoding == "utf-8"
        data = bytearray(text.encode())
        data[damaged.randrange(len(data))] = 0xFF
        assert decode(bytes(data)).encoding == "utf-8" or sum(character > "\x7f" for character in text) < 3


@pytest.mark.parametrize("name", ["tests1.dat", "tests2.dat", "test-yahoo-jp.dat"])
def test_html5lib_agrees(shared_data: Path, name: str) -> None:
    suite = (shared_data / "malformed" / "html5lib" / "encoding" / name).read_bytes()
    cases = [case.partition(b"\n#encoding\n") for case in re.split(rb"(?:^|\n)#data\n", suite)[1:]]
    assert cases
    for page, _, expected in cases:
        read = decode(page, markup=True)
        # Its parser takes what declares nothing for windows-1252.
        found = "windows-1252" if read.evidence in ("utf-8", "default") else read.encoding
        assert found == named(expected.split(b"\n")[0].decode()), page[:500]
