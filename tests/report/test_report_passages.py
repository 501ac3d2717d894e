"""The passages that are marked in documents, and the parts of documents that are shown."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.report.excerpts import BEFORE, HEAD, excerpt
from tokenmill.pipeline.stages.quality.measures import MEASURES
from tokenmill.pipeline.stages.quality.rules import RULES

TEXT = st.lists(
    st.sampled_from(
        ["the", " ", "\n", "\n\n", "a line of words\n", "- x", "…", "...", "#", "{}", "12", "é", "日本", "\0", "lorem ipsum"]
    ),
    max_size=60,
).map("".join)


def marked(column: str, text: str) -> list[str]:
    find = MEASURES[column].find
    assert find is not None
    return [text[start:end] for start, end in find(text)]


@pytest.mark.parametrize(
    ("column", "text", "passages"),
    [
        ("duplicate_lines", "one\ntwo\n  one \n\ntwo\none", ["  one ", "two", "one"]),
        ("duplicate_characters", "one\ntwo\none", ["one"]),
        ("duplicate_paragraphs", "a\nb\n\nc\n\na\nb\n\n\na", ["a\nb"]),
        ("top_2gram", "a b c a b d a b", ["a b", "a b", "a b"]),
        ("top_3gram", "a b c d", []),
        ("duplicate_5gram", "1 2 3 4 5 6 1 2 3 4 5 6", ["1 2 3 4 5"]),
        ("hashes_per_word", "## a # b", ["##", "#"]),
        ("ellipses_per_word", "a... b….", ["...", "…"]),
        ("bullet_lines", "- one\n • two\nthree", ["- one", " • two"]),
        ("ellipsis_lines", "one...\ntwo…  \nthree", ["one...", "two…  "]),
        ("alphabetic_words", "one 12 t3 -- é", ["12", "--"]),
        ("stop_words", "the cat and then to", ["the", "and", "to"]),
        ("lorem_ipsum_lines", "Lorem Ipsum dolor", ["Lorem Ipsum"]),
        ("curly_bracket_lines", "{a}", ["{", "}"]),
        ("punctuated_lines", "One.\nTwo\nThree!", ["Two"]),
        ("short_lines", "short\n" + "x" * 31, ["short"]),
        ("newlines_per_word", "a b c\na b c d", ["a b c"]),
        ("mean_word_characters", "short extraordinarily", ["extraordinarily"]),
    ],
)
def test_passages_by_hand(column: str, text: str, passages: list[str]) -> None:
    assert marked(column, text) == passages


@given(TEXT)
@settings(max_examples=60, deadline=None)
def test_passages_are_in_order_and_apart(text: str) -> None:
    for measure in MEASURES.values():
        spans = measure.find(text) if measure.find is not None else []
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
        assert bool(measure.marked) == (measure.find is not None)


def test_every_rule_says_what_it_measures() -> None:
    assert set(MEASURES) == {rule.column for rule in RULES}
    assert all(measure.sentence.endswith(".") for measure in MEASURES.values())


@given(TEXT, st.integers(0, 200), st.data())
@settings(max_examples=100, deadline=None)
def test_an_excerpt_is_cut_from_the_text_in_order(text: str, characters: int, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = list(zip(ends[::2], ends[1::2], strict=False))
    found = excerpt(text, spans, characters=characters)
    assert sum(len(piece.text) for piece in found.pieces) <= characters
    at = 0
    for piece in found.pieces:
        at = text.index(piece.text, at) + len(piece.text) if piece.gap else at + len(piece.text)
        assert piece.gap or text[at - len(piece.text) : at] == piece.text
    assert all(piece.text in text for piece in found.pieces)
    assert found.cut == (at < len(text)) or any(piece.gap for piece in found.pieces)


def test_passages_far_from_the_beginning_are_shown_with_what_is_around_them() -> None:
    text = "".join(f"<{number:06}>" for number in range(2_000))
    spans = [(8_000, 8_010), (12_000, 12_008)]
    found = excerpt(text, spans)
    assert found.pieces[0].text == text[:HEAD]
    assert [piece.text for piece in found.pieces if piece.marked] == [text[8_000:8_010], text[12_000:12_008]]
    assert [piece.text for piece in found.pieces if piece.gap] == [text[8_000 - BEFORE : 8_000], text[12_000 - BEFORE : 12_000]]
    assert (found.cut, found.passages) == (True, 2)
    near = excerpt(text, [(10, 20), *spans])
    assert [piece.marked for piece in near.pieces] == [False, True, False]
    assert sum(len(piece.text) for piece in near.pieces) == 2_000
