"""The normaliser against plain Python, on hostile text, under every folding."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.kernels.hashing import PADDING_BYTES
from tokenmill.pipeline.kernels.text import buffers, normalise, unicode
from tokenmill.pipeline.kernels.text.unicode import KEPT, Folding
from tokenmill.pipeline.stages.dedup.normalisation import NORMALISATIONS


def run_bytes(data: bytes, behind: bytes, folding: Folding = KEPT) -> tuple[bytes, list[int]]:
    """Normalise one document that stands between others; text and hashes of words. The scratch is dirty, as in a batch."""
    source = np.frombuffer(b"x \xc3\xa9" + data + behind, dtype=np.uint8)
    text = np.full(normalise.GROWTH * len(data) + PADDING_BYTES, 0xAA, dtype=np.uint8)
    words = np.zeros(len(data), dtype=np.uint64)
    size, count = normalise.normalise(source, 4, 4 + len(data), unicode.tables(folding), text, words)
    assert size <= normalise.GROWTH * len(data)
    assert count <= len(words)
    return text[:size].tobytes(), words[:count].tolist()


def run(data: str, folding: Folding = KEPT) -> tuple[str, list[int]]:
    text, words = run_bytes(data.encode(), b"9.9 \xe6\x97\xa5", folding)
    return text.decode(), words


FINEWEB = NORMALISATIONS["fineweb@1"]
FOLDINGS = [*NORMALISATIONS.values(), Folding(case=False, punctuation=False), Folding(digits=True), Folding(marks=True)]
FOLDINGS += [Folding(digits=True, punctuation=False), Folding(punctuation=False, operators=True), Folding(case=True)]
CODE = st.lists(
    st.sampled_from([*"+-*/%=<>&|^~!@()[]{'.,$\"`_", "==", "||", "://", "|-", "a", "a1", "bc", "X", "This", "7", "10"])
    | st.sampled_from(["\u00e9", "\u0416a", " ", "\t", "\n", "  "]),
    max_size=14,
).map("".join)


@given(st.one_of(oracle.HOSTILE, CODE), st.sampled_from(FOLDINGS))
@settings(max_examples=1_000, deadline=None)
@example("://<0/0", FOLDINGS[0])
@example("http://<a>/0/0 ://", FOLDINGS[0])
def test_text_and_words_are_those_of_plain_python(text: str, folding: Folding) -> None:
    hashes = [oracle.hash_word(word.encode()) for word in oracle.words(text, folding)]
    assert run(text, folding) == (oracle.normalised(text, folding), hashes)


@given(oracle.HOSTILE)
@settings(max_examples=300, deadline=None)
def test_whole_strings_differ_only_by_the_order_of_rare_marks(text: str) -> None:
    """Lowering and decomposing the whole string, as datatrove does, gives the same but for those marks."""
    rare = [c for c in text if unicodedata.combining(c) and not oracle.is_mark(c)]
    decomposed = "".join(c for c in unicodedata.normalize("NFD", text) if not oracle.is_mark(c))
    if not rare and not any(unicodedata.combining(c) for c in decomposed):
        assert run(text, FINEWEB)[0] == oracle.whole(text)


def test_fineweb_folds_as_datatrove_does() -> None:
    datatrove = pytest.importorskip("datatrove.utils.text")
    assert set(datatrove.PUNCTUATION) == unicode.DATATROVE
    for text in (
        "Hello,  WORLD! 3,5 and 1.2.3",
        "\u201eStra\u00dfe\u201c \u2014 na\u00efve caf\u00e9",
        "x = a+b; \u00bfqu\u00e9?",
    ):
        assert run(text, FINEWEB)[0] == datatrove.simplify_text(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n\u3000", ""),
        ("\x00\x00", ""),
        ("!!! ... ---", ""),
        ("Hello,  WORLD!", "hello world"),
        ("1,234.56", "0 0"),
        ("1.2.3.4", "0 0"),
        ("v1.2-rc3", "v0 rc0"),
        ("1,", "0"),
        (".5", "0"),
        ("1..2", "0 0"),
        ("1.a", "0 a"),
        ("\u0661\u066b\u0662", "0"),
        ("\u0130stanbul", "istanbul"),
        ("\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03bf\u03c2", "\u03bf\u03b4\u03bf\u03c3 \u03bf\u03b4\u03bf\u03c3"),
        ("caf\u00e9 cafe\u0301", "cafe cafe"),
        ("a \u0301 b", "a  b"),
        ("\u0301 a", "a"),
        ("\ud55c", "\u1112\u1161\u11ab"),
        ("\u304c", "\u304b"),
        ("e\u200bf", "e\u200bf"),
    ],
)
def test_examples_of_fineweb(text: str, expected: str) -> None:
    assert run(text, FINEWEB)[0] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("This is THE x, not X.", "this is THE x not X"),
        ("139 + 584 = 723", "139 + 584 = 723"),
        ("return a-b", "return a - b"),
        ("return a**b", "return a ** b"),
        ("x[i]-=-1", "x i -=- 1"),
        ("if (!done)", "if ! done"),
        ("x = -y", "x = - y"),
        ("| -3.5 | 2,7 |", "- 3 5 | 2 7"),
        ("1.10.2-rc1", "1 10 2 rc1"),
        ("- a well-known and/or `--flag`\n----\n* yes|no", "a well known and or flag yes no"),
        ("x1-y2 x1/y2 10-n 2/count 10-day k6/mode", "x1 - y2 x1 / y2 10 - n 2 / count 10 day k6 mode"),
        ("kill [-1|-HUP] {9|KILL} -[8|--8bits] x|y 1|2", "kill 1 HUP 9 KILL 8 8bits x | y 1 | 2"),
        ("x[-1]-1 |-1| [-1,-2]", "x - 1 - 1 |- 1 - 1 - 2"),
        ("see https://a.b/x-1/y=2&z=3, a=2 <http://c/1>=3 c://", "see https a b x 1 y 2 z 3 a = 2 http c 1 >= 3 c"),
        ("a://b//c+1\u3002d+1 //x+1", "a b c 1 d + 1 x + 1"),
        ("\u00c9cole \u00e9cole", "e\u0301cole e\u0301cole"),
        ("E\u0301cole caf\u00e9 cafe\u0301", "e\u0301cole cafe\u0301 cafe\u0301"),
        ("\u304c \u304b\u3099", "\u304b \u3099 \u304b \u3099"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd, \u0645\u064e\u0631", "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd \u0645\u064e\u0631"),
    ],
)
def test_words_of_the_default_keep_digits_operators_marks_and_case(text: str, words: str) -> None:
    assert oracle.words(text) == words.split()
    assert run(text)[1] == [oracle.hash_word(word.encode()) for word in words.split()]


def test_words_of_scripts_without_spaces_are_characters() -> None:
    assert len(run("\u65e5\u672c\u8a9e")[1]) == 3
    assert len(run("abc\u65e5x")[1]) == 3
    assert len(run("\ud55c\uad6d\uc5b4 \ub9d0")[1]) == 2


@given(st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_utf8_never_reach_beyond_the_document(data: bytes) -> None:
    assert run_bytes(data, b"\x80\xbf\x80\xbf") == run_bytes(data, b"9.9 ") == run_bytes(data, b"")


@given(st.lists(oracle.HOSTILE, max_size=6), st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_buffers_honour_slices(texts: list[str], start: int, stop: int) -> None:
    column = pa.array(texts, pa.large_string())[start:stop]
    data, offsets = buffers.utf8(column)
    assert [bytes(data[a:b]).decode() for a, b in itertools.pairwise(offsets)] == texts[start:stop]
    longest = max((len(text.encode()) for text in texts[start:stop]), default=0)
    assert normalise.longest(offsets) == longest
