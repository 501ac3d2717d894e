"""What markup declares: the prescan of the HTML standard, later declarations, and hostile ones."""

from __future__ import annotations

import time

import pytest

from tokenmill.pipeline.collect.charset.declared import PRESCAN_BYTES, later, meant, prescan

PRAGMA = '<meta http-equiv="Content-Type" content="text/html; charset=%s">'


@pytest.mark.parametrize(
    ("page", "label"),
    [
        ('<meta charset="iso-8859-2">', "iso-8859-2"),
        ("<META CHARSET=ISO-8859-2>", "iso-8859-2"),
        ("<meta/charset=iso-8859-2/>", None),
        ("<meta/charset='iso-8859-2'/>", "iso-8859-2"),
        ("<meta\ncharset = ' iso-8859-2 '>", "iso-8859-2"),
        ('<meta a=1 b c="x>y" charset=iso-8859-2 >', "iso-8859-2"),
        ("<meta charset=koi8-r charset=iso-8859-2>", "koi8-r"),
        ("<meta charset=nonsense><meta charset=koi8-r>", "koi8-r"),
        (PRAGMA % "koi8-r", "koi8-r"),
        (PRAGMA % "'koi8-r'", "koi8-r"),
        (PRAGMA % "koi8-r; x=y", "koi8-r"),
        ("<meta content='text/html;charset = koi8-r' http-equiv=content-type>", "koi8-r"),
        ("<meta content='charset; charset=koi8-r' http-equiv=content-type>", "koi8-r"),
        ("<meta content='text/html; charset=koi8-r'>", None),
        ("<meta content='text/html; charset=koi8-r' charset=euc-kr>", "euc-kr"),
        ("<metacharset=koi8-r>", None),
        ("<!-- <meta charset=koi8-r> --><meta charset=euc-kr>", "euc-kr"),
        ("<!--><meta charset=koi8-r>", "koi8-r"),
        ("<!doctype html><p title='<meta charset=koi8-r>'><meta charset=euc-kr>", "euc-kr"),
        ("</p title='<meta charset=koi8-r>'><meta charset=euc-kr>", "euc-kr"),
        ("<?php <meta charset=koi8-r>?><meta charset=euc-kr>", "euc-kr"),
        ("<meta charset=koi8-r", None),
        ("<meta charset='koi8-r", None),
        ("<!-- never closed <meta charset=koi8-r>", None),
        ('<?xml version="1.0" encoding="euc-jp"?><html>', "euc-jp"),
        ("<?xml version='1.0' encoding = 'euc-jp' ?><html><meta charset=koi8-r>", "koi8-r"),
        (" <?xml version='1.0' encoding='euc-jp'?>", None),
        ("<?xml version='1.0'?><p encoding='euc-jp'>", None),
        ("", None),
        ("<", None),
    ],
)
def test_the_first_bytes_are_scanned_as_the_standard_says(page, label):
    found = prescan(page.encode())
    assert (found[0] if found else None) == label


@pytest.mark.parametrize(
    ("label", "place", "name"),
    [
        ("utf-16", "meta", "utf-8"),
        ("utf-16be", "xml", "utf-8"),
        ("x-user-defined", "meta", "windows-1252"),
        ("x-user-defined", "xml", "x-user-defined"),
        ("latin1", "meta", "windows-1252"),
    ],
)
def test_what_can_be_read_is_not_utf_16(label, place, name):
    assert meant(label, place) == name


def test_only_the_first_bytes_are_scanned_at_first():
    page = b"<p>" + b"x" * PRESCAN_BYTES + b"<meta charset=koi8-r>"
    assert prescan(page) is None
    assert later(page) == "koi8-r"


@pytest.mark.parametrize("element", ["script", "style", "TITLE", "textarea"])
def test_text_of_scripts_declares_nothing(element):
    page = f"<{element} a=b>'<meta charset=koi8-r>'</{element.lower()}><meta charset=euc-kr>"
    assert later(page.encode()) == "euc-kr"
    assert later(f"<{element}><meta charset=koi8-r>".encode()) is None


@pytest.mark.parametrize(
    "page",
    [
        b"<meta charset='" + b"x" * 1_000_000 + b"'>",
        b"<meta charset=../../../etc/passwd>",
        b"<meta charset=rot13><meta charset=zlib><meta charset=\"'utf-8'\">",
        b"<meta charset=\xff\xfe>",
        b'<meta http-equiv=content-type content="charset=' + b'"' * 100_000 + b">",
        b"<meta " + b"charset " * 200_000,
        b"<meta charset='" * 100_000,
        b"<!--" * 300_000,
        b"<script>" * 200_000,
        b"</" * 500_000,
        b"<?xml " + b"encoding" * 100_000,
    ],
)
def test_hostile_declarations_declare_nothing_in_little_time(page):
    begin = time.process_time()
    assert prescan(page) is None
    assert later(page) is None
    assert time.process_time() - begin < 5
