"""C4's line rules on text small enough to check by hand, and against the plainest way to write them."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles
from tokenmill.pipeline.base.edits import Edit, apply
from tokenmill.pipeline.stages.quality.lines import LineRules, removed
from tokenmill.pipeline.stages.quality.statistics import measure

PIECES = st.one_of(
    st.sampled_from(list(" \n\r\t\x00\x0b\x0c\x1c\x85\u2028\u00a0.,:;!?'\"’-[]{}…•0123aAzZé漢😀\u0301")),
    st.sampled_from(["[1]", "[edit]", "...", "javascript", "use cookies", "lorem ipsum", "a b c."]),
)
HOSTILE = st.one_of(st.lists(PIECES, max_size=60).map("".join), dedup_oracles.HOSTILE)
C4 = LineRules(
    max_line_word_characters=20,
    min_line_words=2,
    terminal_punctuation=True,
    no_javascript=True,
    no_policy=True,
    no_citations=True,
)


def test_lines_that_go_and_lines_that_stay() -> None:
    page = "  Menu\r\n\tWater is wet. \r\n\r\nEnable JavaScript now.\nSo é[1] is air.\n"
    (sentences,), edits = measure(pa.array([page], pa.large_string()), ["sentences"], C4)
    assert edited(page, removed(edits)[0]) == "Water is wet.\nSo é is air."
    assert sentences.to_pylist() == [2]


@settings(max_examples=300, deadline=None)
@given(st.lists(HOSTILE, max_size=6).map("\n".join), st.sampled_from([C4, LineRules(), LineRules(no_citations=True)]))
@example("a b c.\n[1] [2] [3]\na b c.", LineRules(no_citations=True))
@example("[1] a b.\u2028b c. [1]", C4)
def test_the_edits_give_the_lines_that_stay(text: str, rules: LineRules) -> None:
    _, column = measure(pa.array([text], pa.large_string()), [], rules)
    edits = removed(column)[0]
    assert edited(text, edits) == plainly_left(text, rules)
    starts = [start for start, _, _ in edits]
    ends = [end for _, end, _ in edits]
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
