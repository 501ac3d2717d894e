"""Splitting into words, and C4's line rules, on text small enough to check by hand and on hostile text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.edits import Edit, apply
from pipeline.quality.lines import LineRules, leave
from pipeline.quality.words import sentences, words

PIECES = st.one_of(
    st.sampled_from(list(" \n\r\t\x00\x0b\x0c\x1c\x85\u2028\u00a0.,:;!?'\"’-–/#{}[]()<>%$+@…•0123aAzZsSéß")),
    st.sampled_from(list("한漢ไทย\u0301\u200d😀\ud7ff\ue000\U0010ffff")),
    st.sampled_from(["[1]", "[edit]", "...", "javascript", "use cookies", "lorem ipsum", "n't", "U.S.", "http://", "a b c."]),
    st.characters(exclude_categories=["Cs"]),
)
HOSTILE = st.lists(PIECES, max_size=60).map("".join)
C4 = LineRules(
    max_line_word_characters=20,
    min_line_words=2,
    terminal_punctuation=True,
    no_javascript=True,
    no_policy=True,
    no_citations=True,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t", []),
        ("Hello, world!", ["Hello", ",", "world", "!"]),
        ("I don't know.", ["I", "do", "n't", "know", "."]),
        ("Dr. Who (e.g. 3.14%)", ["Dr.", "Who", "(", "e.g.", "3.14", "%", ")"]),
        ("well-known and/or TCP/IP", ["well", "-", "known", "and/or", "TCP", "/", "IP"]),
        ("see https://example.org/a-b/c.", ["see", "https://example.org/a-b/c", "."]),
        ("os.path.join --flag x=1", ["os.path.join", "--flag", "x=1"]),
        ("end.Next the U.S. wait...", ["end", ".", "Next", "the", "U.S.", "wait", "..."]),
        ("John's 10km $5 😀!", ["John", "'s", "10", "km", "$", "5", "😀", "!"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
@example("." * 300)
@example("'s" * 200)
def test_words_are_the_text_without_its_white_space(text: str) -> None:
    assert "".join(words(text)) == "".join(text.split())


def test_splitting_takes_linear_time() -> None:
    # A chunk of a million characters; anything quadratic would run into the time limit of the suite.
    for chunk in ("!", ".", "a.", "A.b", "'s", "@", "a@", "1+", "a/", "\0", "a-", "://", "😀"):
        text = chunk * (1_000_000 // len(chunk))
        assert "".join(words(text)) == text


@pytest.mark.parametrize(
    ("line", "count"),
    [("", 1), ("one", 1), ("One. Two! Three", 3), ('He said "No." Then he went.', 2), ("Wait... what", 1), ("Really?!", 1)],
)
def test_sentences(line: str, count: int) -> None:
    assert sentences(words(line)) == count


def test_lines_that_go_and_lines_that_stay() -> None:
    page = "  Menu\r\n\tWater is wet. \r\n\r\nEnable JavaScript now.\nSo é[1] is air.\n"
    left = leave(page, C4)
    assert left.text == "Water is wet.\nSo é is air."
    assert edited(page, left.edits) == left.text
    assert left.sentences == 2


@settings(max_examples=300, deadline=None)
@given(st.lists(HOSTILE, max_size=6).map("\n".join), st.sampled_from([C4, LineRules(), LineRules(no_citations=True)]))
@example("a b c.\n[1] [2] [3]\na b c.", LineRules(no_citations=True))
@example("[1] a b.\u2028b c. [1]", C4)
def test_the_edits_give_the_text_that_is_judged(text: str, rules: LineRules) -> None:
    left = leave(text, rules)
    assert edited(text, left.edits) == left.text
    assert left.text == plainly_left(text, rules)
    starts = [start for start, _, _ in left.edits]
    ends = [end for _, end, _ in left.edits]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def plainly_left(text: str, rules: LineRules) -> str:
    """The line rules as one would write them without edits."""
    kept = []
    for line in text.splitlines():
        bare = line.strip()
        found = bare.split()
        if rules.no_citations:
            bare = without_citations(bare)
        long = rules.max_line_word_characters is not None and max(map(len, found), default=0) > rules.max_line_word_characters
        open_ended = rules.terminal_punctuation and (bare[-1:] not in tuple(".?!\"'") or bare[-3:] == "..." or not bare)
        few = rules.min_line_words is not None and len(found) < rules.min_line_words
        script = rules.no_javascript and "javascript" in bare.lower()
        policy = rules.no_policy and "use cookies" in bare.lower()
        if not (long or open_ended or few or script or policy):
            kept.append(bare)
    return "\n".join(kept).strip()


def without_citations(line: str) -> str:
    left, position = "", 0
    while position < len(line):
        close = line.find("]", position)
        inside = line[position + 1 : close]
        if line[position] == "[" and close > 0 and (inside in ("", "edit", "citation needed") or inside.isdecimal()):
            position = close + 1
        else:
            left, position = left + line[position], position + 1
    return left


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    return apply(text.encode(), [Edit(start, end, new.encode()) for start, end, new in edits]).decode()
