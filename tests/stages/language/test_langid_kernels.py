"""The language kernels against their plain twins, on hostile text."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.stages.language import lid_oracle as oracle
from tokenmill.pipeline.kernels.language import langid, langtext
from tokenmill.pipeline.kernels.language.langtext import NO_LETTER, PLAIN, REWRITE, characters
from tokenmill.pipeline.stages.language import models
from tokenmill.pipeline.stages.language.stage import scripts_of

Bytes = npt.NDArray[np.uint8]

HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            "aZé ßİǅΣσς漢語ไทยก้\0\n\t\u0301\u0323\u0345\u1100\u1161\u11a8가각\u0bc6\u0bbe\u09c7\u09be\u0958\u212b😀\ufeff"
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=300,
)


@pytest.fixture(scope="module")
def identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def joined(texts: list[str]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    parts = [text.encode() for text in texts]
    return np.frombuffer(b"".join(parts), np.uint8), np.cumsum([0, *map(len, parts)], dtype=np.int64)


def identified(*texts: str) -> list[tuple[str | None, float]]:
    model = models.load(None)
    data, offsets = joined(list(texts))
    labels, scores, _ = model.identify(data, offsets[:-1], offsets[1:])
    return [(model.labels[label] if label >= 0 else None, score) for label, score in zip(labels, scores, strict=True)]


def inspected(text: str) -> int:
    data, offsets = joined([text])
    return int(langtext.inspect(data, 0, offsets[1], characters()))


def test_the_flags_of_every_code_point() -> None:
    pages, cells = characters()
    for code in range(sys.maxunicode + 1):
        character, cell = chr(code), int(cells[pages[code >> 8] + (code & 0xFF)])
        if cell or unicodedata.category(character) not in ("Cn", "Co", "Cs"):
            assert bool(cell & langtext.ALPHA) == character.isalpha()
            assert bool(cell & langtext.SPACE) == character.isspace()
            assert cell >> langtext.CLASS_SHIFT == unicodedata.combining(character)
            assert bool(cell & langtext.FOREIGN) == (unicodedata.normalize("NFC", character) != character)


@settings(max_examples=500, deadline=None)
@given(HOSTILE)
@example("ÀÉ")
@example("e\u0323\u0301")
@example("\u1100\u1161\u11a8")
def test_plain_text_may_be_read_as_it_is(text: str) -> None:
    state = inspected(text)
    assert (state == NO_LETTER) == (not any(map(str.isalpha, text)))
    if state == PLAIN:
        assert oracle.as_read(text) == text.encode()


@pytest.mark.parametrize("text", ["தமிழ் மா", "മലയാളം മാ", "සිංහල මා", "বাংলা মা", "ภาษาไทยที่", "tiếng Việt", "한국어", "Ελλάδα"])
def test_usual_text_needs_no_rewriting(text: str) -> None:
    assert inspected(unicodedata.normalize("NFC", text)) == PLAIN


@pytest.mark.parametrize("text", ["tie\u0302\u0301ng", "ANNO DOMINI", "ΕΛΛΆΔΑ", "\u1100\u1161", "\u0958", "q\u0301\u0323"])
def test_what_has_to_be_rewritten(text: str) -> None:
    assert inspected(text) == REWRITE
    assert oracle.as_read(text) != text.encode()


@settings(max_examples=300, deadline=None)
@given(HOSTILE, st.integers(50, 120))
def test_samples(text: str, size: int) -> None:
    data, offsets = joined(["x" * 999, text, "é" * 60, ""])
    taken, bounds = langtext.take_samples(data, offsets, size, characters())
    for row, whole in enumerate(["x" * 999, text, "é" * 60, ""]):
        assert bytes(taken[bounds[row] : bounds[row + 1]]).decode() == oracle.sample(whole.encode(), size)


@settings(max_examples=300, deadline=None)
@given(HOSTILE, st.integers(20, 900), st.integers(4, 20), st.integers(0, 40))
def test_lines(text: str, budget: int, least: int, more: int) -> None:
    texts = ["a\nbc\n" * 30, text, "漢" * 90, ""]
    data, offsets = joined(texts)
    most = least + 4 + more
    rows, starts, ends = langtext.take_lines(data, offsets, max(budget, most), least, most)
    for row, whole in enumerate(texts):
        taken = [bytes(data[starts[i] : ends[i]]) for i in np.flatnonzero(rows == row)]
        assert taken == oracle.lines(whole.encode(), max(budget, most), least, most)
        for line in taken:
            assert line.decode() in whole
            assert least <= len(line) <= most + 3
        assert sum(map(len, taken)) <= max(budget, most) + 3 * len(taken)


@settings(max_examples=25, deadline=None)
@given(HOSTILE)
@example("")
@example("q")
@example("THE RIVER RUNS THROUGH THE OLD TOWN")
@example("Der Fluss fließt durch die alte Stadt. " * 12)
@example("Đây là tiếng Việt " + unicodedata.normalize("NFD", "Đây là tiếng Việt"))
def test_probabilities_are_those_of_exact_sums(identifier: Any, text: str) -> None:
    ((label, score),) = identified(text)
    if not any(map(str.isalpha, text)):
        assert (label, score) == (None, 0.0)
        return
    expected = oracle.probabilities(identifier, text)
    best = max(expected.values())
    assert abs(expected[label] - best) < 1e-12
    assert abs(score - best) < 1e-12
    theirs, probability = identifier.classify(text)
    assert abs(probability - score) < 1e-4
    assert theirs == label or abs(expected[theirs] - best) < 1e-4


FITTING = [
    *["", "q", "the river runs through the old town", "Der Fluss fließt durch die alte Stadt. " * 12, "zzgr qwrt plmk " * 30],
    *["Svaki čovjek ima pravo na život, slobodu i osobnu sigurnost.", "漢字とかな交じりの文章です。", "a" * 500, "ދިވެހި"],
]


def test_fits_are_those_of_plain_sums(identifier: Any) -> None:
    model = models.load(None)
    data, offsets = joined(FITTING)
    labels, _, fits = model.identify(data, offsets[:-1], offsets[1:])
    for text, label, fit in zip(FITTING, labels, fits, strict=True):
        expected = None if label < 0 else oracle.fit(identifier, text, model.labels[label])
        assert np.isnan(fit) if expected is None else abs(fit - expected) < 0.005, text  # P of an n-gram is kept to 2^-9


@settings(max_examples=300, deadline=None)
@given(st.lists(HOSTILE, max_size=4))
@example(
    ["", "漢字とかな", "漢" * 11 + "か", "漢" * 10 + "か", "ｈａｌｆ ﾊﾝｶｸ", "ދިވެހި", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "ʼʼʼ a", "𝒜𝒷", "𓀀𓀁", "aб", "ᠮᠣᠩ"]
)
def test_scripts(texts: list[str]) -> None:
    data, offsets = joined(texts)
    assert scripts_of(data, offsets[:-1], offsets[1:]).to_pylist() == list(map(oracle.script, texts))


def test_a_text_does_not_see_its_neighbours() -> None:
    texts = [
        "The old town has bridges.",
        "",
        "Die alte Stadt hat Brücken. " * 40,
        "ANNO DOMINI",
        "e\u0301te\u0301",
        "漢字とかな",
    ]
    alone = [identified(text)[0] for text in texts]
    assert identified(*texts) == alone
    assert identified(*reversed(texts)) == alone[::-1]


def test_four_lanes_see_what_one_sees() -> None:
    model = models.load(None)
    text = "Der Fluss fließt durch die alte Stadt, река течёт через старый город, 川は流れる。\n" * 30
    data, offsets = joined([text[cut:] for cut in range(0, 300, 7)])
    assert model.tables.context > 0
    slow = models.Py3langid(labels=model.labels, tables=model.tables._replace(context=0))
    spans = offsets[:-1], offsets[1:]
    for fast, plain in zip(model.identify(data, *spans), slow.identify(data, *spans), strict=True):
        np.testing.assert_array_equal(fast, plain)


def test_an_automaton_that_remembers_more_than_its_last_bytes_is_walked_in_one_lane() -> None:
    moves = np.zeros(512, dtype=np.uint32)
    rows = np.array([0, 1], dtype=np.uint16)
    moves[ord("a")], moves[256:] = 1, 1
    assert langid.context_bytes(moves, rows) == 0
    moves[256:] = 0
    moves[256 + ord("a")] = 1
    assert langid.context_bytes(moves, rows) == 1


def test_one_line_of_a_megabyte(identifier: Any) -> None:
    text = "the river runs through the old town " * 30_000
    assert identified(text)[0][0] == identifier.classify(text)[0]
