"""What `text_field` may name, and the texts that come of it."""

from __future__ import annotations

import pytest

from tokenmill.pipeline.base import textfield
from tokenmill.pipeline.base.errors import RecordError

ROW = {
    "text": "t",
    "doc": {"body": "b", "head": {"title": "h"}, "n": 1},
    "a.b": "dots",
    "a": {"b": "path"},
    "none": None,
    "empty": "",
}


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("text", "t"),
        ("doc.body", "b"),
        ("doc.head.title", "h"),
        ("a.b", "dots"),
        ("none", None),
        ("none.below", None),
        ('text + "\\n\\n" + doc.body', "t\n\nb"),
        ('text + "\n\n" + doc.body', "t\n\nb"),
        ("text + doc.body", "tb"),
        ('  text  +  "+"  +  text ', "t+t"),
        ('"Q: " + text + "\\nA: " + doc.body + "."', "Q: t\nA: b."),
        ('"say \\"x\\" " + text', 'say "x" t'),
        ('text + "-" + none', "t"),
        ('none + "-" + text', "t"),
        ('text + "-" + none + "-" + text', "tt"),
        ('text + "-" + empty + "!"', "t"),
        ('none + "-" + none', None),
        ('empty + "-" + none', ""),
    ],
)
def test_texts(named, text):
    assert textfield.parse(named).text(ROW) == text


def test_a_record_without_its_text_keeps_what_stands_beside_it():
    row = {"doc": {"body": "b", "n": 1}, "only": {"body": "c"}, "m": 2}
    assert textfield.parse("doc.body + only.body").without(row) == {"doc": {"n": 1}, "m": 2}
    assert row["doc"] == {"body": "b", "n": 1}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("doc.bdy", "no field 'doc.bdy'; did you mean 'doc.body'"),
        ("dok.body", "no field 'dok.body'"),
        ("doc", "'doc' holds a dict, not text"),
        ("doc.n", "'doc.n' holds a int"),
        ("text.more", "'text' holds a str, no object with a field 'more'"),
        ('text + " " + txt', "no field 'txt'; did you mean 'text'"),
    ],
)
def test_what_is_not_there_is_named(named, message):
    with pytest.raises(RecordError) as caught:
        textfield.parse(named).text(ROW)
    assert caught.value.reason == "no_text"
    assert message in str(caught.value)


@pytest.mark.parametrize("named", ['"only a string"', 'a + "open', 'a "b" c', '"a" "b" +', 'a + "\\x" + b', 'a + " " +'])
def test_what_is_no_expression_is_refused(named):
    with pytest.raises(ValueError, match="text_field"):
        textfield.parse(named)


@pytest.mark.parametrize("named", ["C++", "a+b", "my column", "a.b.c", "+"])
def test_plain_names_stay_names(named):
    assert textfield.parse(named).columns == (named,)
