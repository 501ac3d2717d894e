"""Labels of the Encoding Standard name its encodings, and nothing else names anything."""

from __future__ import annotations

import codecs

import pytest

from tokenmill.pipeline.collect.charset import decoders
from tokenmill.pipeline.collect.charset.labels import LABELS, MOST_LABEL_CHARACTERS, NAMES, named


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ISO-8859-1", "windows-1252"),
        ("us-ascii", "windows-1252"),
        (" \t'Latin1'\n", "windows-1252"),
        ("Shift_JIS", "shift_jis"),
        ("windows-31j", "shift_jis"),
        ("gb2312", "gbk"),
        ("ks_c_5601-1987", "euc-kr"),
        ("big5-hkscs", "big5"),
        ("iso-8859-9", "windows-1254"),
        ("tis-620", "windows-874"),
        ("x-mac-ukrainian", "x-mac-cyrillic"),
        ("utf-16", "utf-16le"),
        ("unicodefffe", "utf-16be"),
        ("hz-gb-2312", "replacement"),
        ("UTF8", "utf-8"),
    ],
)
def test_labels_name_what_browsers_take_them_for(label, name):
    assert named(label) == name


NOT_LABELS = [
    *("", "rot13", "zlib", "base64", "hex", "idna", "punycode", "unicode_escape", "utf-7", "utf_8_sig", "cp037", "mbcs"),
    *("../../x", "utf-8;", "ut\u0131f-8", "utf-8\0", "\ud800", "utf-8" + " " * 1_000_000, "x" * 1_000_000),
]


def test_nothing_else_is_a_label():
    assert [label for label in NOT_LABELS if named(label) is not None] == []


def test_each_encoding_has_its_own_name_and_a_decoder():
    assert len(NAMES) == sum(len(labels.split()) for labels in LABELS.values()) == 228
    assert max(map(len, NAMES)) <= MOST_LABEL_CHARACTERS
    for name in LABELS:
        assert named(name) == name
        assert decoders.decoded(b"", name) == ""
        assert isinstance(decoders.decoded(bytes(range(256)), name), str)
        wide = name.startswith("utf-16") or name == "replacement"
        assert wide or decoders.decoded(b"ASCII\n<>&", name) == "ASCII\n<>&"


def test_python_knows_the_codecs():
    for name in {*decoders.SINGLE.values(), *decoders.MULTI.values()}:
        assert codecs.lookup(name)
