"""Decoders of the web: rows that Python's lack, and malformed bytes. What is expected here is what Chromium decodes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.pipeline.collect.charset.decoders import decoded
from tokenmill.pipeline.collect.charset.labels import LABELS

BAD = "\ufffd"


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("shift_jis", "8740 fbfc eee0 8160 5c7e b1", "①髙髙～\\~ｱ"),
        ("shift_jis", "f040 f9fc 80", "\ue000\ue757\x80"),
        ("euc-jp", "ada1 fcf1 a1c1 a1dd a2cc 8eb1 8fb0a1", "①ⅰ～－￢ｱ丂"),
        ("euc-kr", "b0a1 8141 c7a1", "가갂퐈"),
        ("big5", "9def a4 48 c7df f9fe 877a 8862 a3e1 a145 8e69", "嘅人ャ￭㡵Ê̄€‧箸"),
        ("gbk", "8139ee39 95328236 80 a8bc a2e3 a6d9", "㐀𠀀€ḿ€︐"),
        ("windows-1252", "80 81 8d 9f a0 ff", "€\x81\x8dŸ\xa0ÿ"),
        ("windows-1255", "ca e0 d9", "\u05baא" + BAD),
        ("windows-1253", "aa c1 d2 81", BAD + "Α" + BAD + "\x81"),
        ("windows-874", "a1 db 81 80", "ก" + BAD + "\x81€"),
        ("koi8-u", "a4 ae be c1", "єўЎа"),
        ("x-mac-cyrillic", "a2 ff 80", "Ґ€А"),
        ("macintosh", "db f0", "€\uf8ff"),
        ("ibm866", "80 f2 fc", "АЄ№"),
        ("iso-8859-8-i", "e0 fd", "א\u200e"),
        ("x-user-defined", "41 80 ff", "A\uf780\uf7ff"),
        ("utf-16le", "fffe 3042 00d8 4100 d8", "䈰" + BAD + "A" + BAD),
        ("utf-16be", "3042 d83d de00 dc00", "あ😀" + BAD),
        ("iso-2022-jp", "41 1b2442 2422 2d21 1b284a 5c7e 1b2849 31 1b2842 42", "Aあ①¥‾ｱB"),
        ("replacement", "41 42", BAD),
    ],
)
def test_tables_are_those_of_the_web(name, data, text):
    assert decoded(bytes.fromhex(data), name) == text


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        # One for each maximal part of a sequence.
        ("utf-8", "41 e2 82 42 f0 9f 98 c0 af ed a0 80 c3", f"A{BAD}B{BAD}{BAD}{BAD}{BAD}{BAD}{BAD}{BAD}"),
        ("utf-8", "efbbbf efbbbf 41", "\ufeffA"),
        # An ASCII byte after a lead stays; another byte does not.
        ("shift_jis", "81 22 81 ff 85 40 a0 fd 81", f'{BAD}"{BAD}{BAD}@{BAD}{BAD}{BAD}'),
        ("euc-kr", "fe 41 80 fe ff ff b0", f"{BAD}A{BAD}{BAD}{BAD}{BAD}"),
        ("euc-jp", "a1 41 a1 ff 8f a1 41 8f 8e e0 8f a1", f"{BAD}A{BAD}{BAD}A{BAD}{BAD}{BAD}"),
        ("big5", "80 ff 81 40 81 fe a1", f"{BAD}{BAD}{BAD}@{BAD}{BAD}"),
        ("gb18030", "ff 81 22 81 ff 81 30 41 81 30 81 41", f'{BAD}{BAD}"{BAD}{BAD}0A{BAD}0丄'),
        ("gb18030", "fe39 fe39 81 30 81", BAD + BAD),
        ("iso-2022-jp", "80 1b 41 1b2442 24 1b2842 1b2842", f"{BAD}{BAD}A{BAD}{BAD}"),
    ],
)
def test_malformed_bytes_become_replacement_characters(name, data, text):
    assert decoded(bytes.fromhex(data), name) == text


@given(st.binary(max_size=40), st.sampled_from(sorted(LABELS)))
def test_any_bytes_are_text_in_any_encoding(data, name):
    text = decoded(data, name)
    assert text.encode().decode() == text
    # ASCII bytes between others are never lost, so no markup is.
    if not name.startswith("utf-16") and name != "replacement":
        assert decoded(data + b"  <p>", name).endswith("<p>") or name == "iso-2022-jp"


@pytest.mark.parametrize("name", ["utf-8", "gb18030", "big5", "euc-jp", "shift_jis", "euc-kr", "iso-2022-jp", "windows-1255"])
@pytest.mark.parametrize("bad", [b"\xff", b"\x81", b"\x1b", b"\x8f\xa1"])
def test_malformed_bytes_take_linear_time(name, bad):
    def seconds(count: int) -> float:
        begin = time.process_time()
        decoded(bad * count, name)
        return time.process_time() - begin

    small = min(seconds(5_000) for _ in range(3))
    assert seconds(50_000) < 100 * small + 0.1


def test_a_text_that_is_malformed_throughout_is_decoded_at_once():
    begin = time.process_time()
    assert set(decoded(b"\xff" * 3_000_000, "gb18030")) == {BAD}
    assert time.process_time() - begin < 2
