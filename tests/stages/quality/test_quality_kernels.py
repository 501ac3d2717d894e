"""The kernels of the quality rules against their plain Python twins: hostile text, real documents, very long ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.stages.quality import quality_oracle as oracle
from tests.stages.quality.lines_oracle import leave
from tokenmill.pipeline.base.edits import Edit, apply
from tokenmill.pipeline.kernels.text.masks import BLOCK
from tokenmill.pipeline.stages.quality import statistics
from tokenmill.pipeline.stages.quality.lines import LineRules, removed
from tokenmill.pipeline.stages.quality.statistics import STATISTICS, measure

C4 = LineRules(
    max_line_word_characters=20,
    min_line_words=2,
    terminal_punctuation=True,
    no_javascript=True,
    no_policy=True,
    no_citations=True,
)
LOOSE = dataclasses.replace(C4, terminal_punctuation=False, min_line_words=None)
ALL_RULES = [None, LineRules(), LineRules(no_citations=True), C4, LOOSE]

PIECES = st.one_of(
    st.sampled_from(
        list(" \n\r\t\x00\x0b\x0c\x1c\x1d\x1e\x1f\x7f\x85\xa0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000")
    ),
    st.sampled_from(list(".,:;!?'\"’-–/#{}[]()%$+@…•·0123aAzZsSéß‼。！٪")),
    st.sampled_from(list("한漢ไทย\u0301\u200d😀\ud7ff\ue000\U0010ffff\u212a\u0130\u0661")),
    st.sampled_from(["[1]", "[]", "[edit]", "[٣]", "[citation needed]", "...", "....", "\n\n", "\n\n\n", "\r\n", "•", "- "]),
    st.sampled_from(
        ["javascript", "JavaScript", "use cookies", "Use Of CooKies", "uses cookies", "lorem ipsum", "LOREM İpsum"]
    ),
    st.sampled_from(["terms of use", "privacy policy", "Cooİie policy", "java[2]script", "use\x00cookies", "the", "and of"]),
    st.sampled_from(
        ["a b c d e.", "a b c d e f g h i j k ", "a bc de f g h i j k l", "line of its own\n", "Lines end here.\n"]
    ),
    st.characters(exclude_categories=["Cs"]),
)
HOSTILE = st.lists(PIECES, max_size=60).map("".join)


def check(texts: list[str], rules: LineRules | None) -> None:
    columns, edits = measure(pa.array(texts, pa.large_string()), list(STATISTICS), rules)
    spans = removed(edits)
    for row, text in enumerate(texts):
        found = {name: column[row].as_py() for name, column in zip(STATISTICS, columns, strict=True)}
        assert found == oracle.statistics_of(text, rules)
        assert spans[row] == (leave(text, rules).edits if rules else [])


@settings(max_examples=250, deadline=None)
@given(st.lists(HOSTILE, max_size=3), st.sampled_from(ALL_RULES))
@example([""], C4)
@example(["\n", " \n ", "\n\n"], LOOSE)
@example(["a b c.\n[1] [2] [3]\na b c."], LineRules(no_citations=True))
@example(["[1] a b.\u2028b c. [1]"], C4)
@example(["ab c d e f a bc d e f"], None)
@example(["terms of use terms of use\x00"], None)
@example(["a b c d e f g h i j k \x00a b c d e f g h i j k "], None)
def test_every_statistic_and_edit_is_the_twins(texts: list[str], rules: LineRules | None) -> None:
    check(texts, rules)


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.soak)])
@pytest.mark.parametrize("rules", [None, C4, LOOSE], ids=["no_lines", "c4", "loose"])
def test_on_real_documents(shared_data: Path, rules: LineRules | None, count: int) -> None:
    table = pq.read_table(shared_data / "text" / "bench_text.parquet", columns=["text"])
    texts = table["text"].take(list(range(11, table.num_rows, table.num_rows // count))).to_pylist()
    check([text[:30_000] for text in texts], rules)


def test_only_what_is_asked_for_is_given() -> None:
    texts = pa.array(["One two. One two.\n- a", "", "漢字"], pa.large_string())
    whole, _ = measure(texts, list(STATISTICS), C4)
    for name, column in zip(STATISTICS, whole, strict=True):
        (alone,), _ = measure(texts, [name], C4)
        assert alone.equals(column), name


def test_a_slice_and_groups_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array([f"{n}. Menu\nIt is number {n}.\n{'again ' * n}." for n in range(40)], pa.large_string())
    whole, edits = measure(texts, list(STATISTICS), C4)
    monkeypatch.setattr(statistics, "GROUP_BYTES", 100)
    sliced, edits_of_slice = measure(texts.slice(7, 30), list(STATISTICS), C4)
    assert all(a.slice(7, 30).equals(b) for a, b in zip(whole, sliced, strict=True))
    assert removed(edits)[7:37] == removed(edits_of_slice)


def test_scratch_that_is_kept_has_room_for_what_comes_next() -> None:
    for size in (0, 1, 2, 60, 64, 65, 128, 129, 3, 4096, 4097):
        work = statistics._scratch(size)
        assert len(work.text) >= size + BLOCK
        assert min(map(len, (work.places, work.keys, work.pieces.starts, work.words.starts, work.line_words.ends))) > size
    assert statistics._scratch(5) is statistics._scratch(6)
    assert statistics._scratch(statistics.GROUP_BYTES + 1) is not statistics._scratch(statistics.GROUP_BYTES + 1)


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ("word ", {"words": 4_000_000, "top_2gram": 1.8, "duplicate_10gram": 0.8}),
        ("a", {"words": 1, "mean_word_characters": 20_000_000.0}),
        ("\n", {"words": 0, "duplicate_lines": 0.5, "newlines_per_word": 0.0}),
        ("!", {"words": 0}),
        ("It is. [1]\n", {"duplicate_lines": 1_818_180 / 1_818_182, "sentences": 0}),
    ],
)
def test_a_text_of_20_mb(chunk: str, expected: dict[str, float]) -> None:
    texts = pa.array([chunk * (20_000_000 // len(chunk))], pa.large_string())
    columns, edits = measure(texts, list(expected), LineRules(min_line_words=4, no_citations=True))
    assert {name: column[0].as_py() for name, column in zip(expected, columns, strict=True)} == pytest.approx(
        expected, rel=1e-5
    )
    text = texts[0].as_py()
    left = apply(text.encode(), [Edit(start, end, new.encode()) for start, end, new in removed(edits)[0]])
    assert len(left) == (len(text.strip()) if chunk == "word " else 0)
