"""The scanners against the regular expressions that they stand for, in the engine of `tokenizers`."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import PreTokenizedString, Regex, pre_tokenizers

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.kernels.bpe import pretoken_classes as classes
from tokenmill.tokenizer import pretokenize
from tokenmill.tokenizer.pretokenize import NAMES, Pattern, blocks, pattern, split

CHOICES = [*((name, None) for name in NAMES), ("cl100k", 1), ("cl100k", 2), ("o200k", 1), ("o200k", 2)]
ALL = [pattern(name, digits) for name, digits in CHOICES]
ATOMS = [
    *"aAzZbB019'!/.,-_sStTmMdDrReEvVlL \t\n\r",
    *("'s", "'S", "'ſ", "'ll", "'LL", "'Re", "'vE", "'ré", "  ", "\r\n", "\n ", " \n", "\u0301", "\u0903", "\u20dd"),
    *("中", "ǅ", "ʰ", "é", "É", "ſ", "İ", "ß", "½", "٣", "Ⅷ", "\xa0", "\u3000", "\u2028", "\x85", "\x1c", "\u200b"),
    *("👍", "\U0001d2c0", "\u1c89", "\u1c8a", "\ua7cb", "\u0897", "\U00011f5a", "\U000e0100", "\uffff", "\U0010ffff"),
]
HOSTILE = st.lists(st.sampled_from(ATOMS) | st.characters(exclude_categories=["Cs"]), max_size=30).map("".join)


@cache
def judge(regex: str) -> pre_tokenizers.Split:
    return pre_tokenizers.Split(Regex(regex), behavior="isolated")


def wanted(text: str, choice: Pattern) -> list[str]:
    return [piece for piece, _ in judge(choice.regex).pre_tokenize_str(text)]


@pytest.fixture(scope="module")
def every_code_point() -> tuple[np.ndarray[Any, Any], str, np.ndarray[Any, Any]]:
    """All but surrogates: the code points, their text, and where each begins in its UTF-8."""
    codes = np.array([code for code in range(0x110000) if not 0xD800 <= code < 0xE000])
    starts = np.cumsum(1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000))
    return codes, "".join(map(chr, codes)), np.concatenate([[0], starts])


@pytest.mark.parametrize(
    ("bits", "regex"),
    [
        (classes.LETTER, r"\p{L}"),
        (classes.NUMBER, r"\p{N}"),
        (classes.SPACE, r"\s"),
        (classes.NEWLINE, r"[\r\n]"),
        (classes.UPPER, r"[\p{Lu}\p{Lt}]"),
        (classes.LOWER, r"\p{Ll}"),
        (classes.EITHER, r"[\p{Lm}\p{Lo}\p{M}]"),
        (classes.OTHER, r"[^\s\p{L}\p{N}]"),
        (classes.SLASH, "/"),
    ],
)
def test_classes_of_every_code_point(bits: int, regex: str, every_code_point: tuple[Any, ...]) -> None:
    table = classes.tables()
    codes, text, starts = every_code_point
    ours = table[table[codes >> 8] + (codes & 255)] & bits != 0
    theirs = np.ones(len(codes), dtype=np.bool_)
    cut = PreTokenizedString(text)
    cut.split(lambda _, piece: piece.split(Regex(regex), "removed"))
    # Places in bytes: `pre_tokenize_str` counts characters, which takes 5 times as long.
    for _, places, _ in cut.get_splits(offset_referential="original", offset_type="byte"):
        start, stop = np.searchsorted(starts, places)
        theirs[start:stop] = False
    assert codes[ours != theirs].tolist() == []
    of_ascii = table[classes.ASCII + np.arange(256)] & bits != 0
    assert of_ascii[:128].tolist() == ours[:128].tolist()
    assert not of_ascii[128:].any()


@settings(max_examples=400, deadline=None)
@given(HOSTILE)
def test_hostile_text_is_cut_as_the_pattern_says(text: str) -> None:
    for choice in ALL:
        assert split(text, choice) == wanted(text, choice), choice


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("gpt2", "it's IT'S  don't", ["it", "'s", " IT", "'", "S", " ", " don", "'t"]),
        ("gpt2", "a  \n b \t", ["a", "  \n", " b", " \t"]),
        ("llama3", "IT'S x'ſ \tx 12345", ["IT", "'S", " x", "'ſ", " ", "\tx", " ", "123", "45"]),
        ("llama3", "a!\n\nb \n\n  c\n ", ["a", "!\n\n", "b", " \n\n", " ", " c", "\n", " "]),
        ("qwen2", "123 4", ["1", "2", "3", " ", "4"]),
        ("o200k", "HTMLParser camelCase isn't a/b//\n", ["HTMLParser", " camel", "Case", " isn't", " a", "/b", "//\n"]),
        ("o200k", "中ABC \u0301ABC! \u0301", ["中", "ABC", " \u0301", "ABC", "!", " \u0301"]),
        ("o200k", "XY'LLz", ["XY'LL", "z"]),
    ],
)
def test_by_example(name: str, text: str, pieces: list[str]) -> None:
    assert split(text, pattern(name)) == pieces


@pytest.mark.parametrize("name", NAMES)
def test_real_text(name: str, shared_data: Path) -> None:
    for path in ("text/tinyshakespeare.txt", "text/wikitext2_test.txt"):
        text = (shared_data / path).read_text(encoding="utf-8")[:300_000]
        assert split(text, pattern(name)) == wanted(text, pattern(name))


@pytest.mark.parametrize("name", NAMES)
def test_long_runs_and_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " " * 5_000 + "x" + "\n" * 5_000 + " " * 5_000 + "中A" * 5_000 + "'" * 5_000 + "9" * 5_000 + "\u0301" * 5_000
    whole = split(text, pattern(name))
    assert whole == wanted(text, pattern(name))
    monkeypatch.setattr(pretokenize, "BLOCK", 7)
    assert split(text, pattern(name)) == whole


@pytest.mark.parametrize("choice", [pattern("gpt2"), pattern("o200k"), pattern(r"\w+|\s")])
def test_columns_of_texts(choice: Pattern) -> None:
    texts = pa.array(["one two", "", "中文 3", "", " x"], pa.large_string())
    for column in (texts, texts[1:], texts[2:3], texts[:0]):
        found, last = [], None
        for data, begin, ends in blocks(column, choice):
            assert last is None or begin == last
            edges = [begin, *ends.tolist()]
            found += [bytes(data[start:stop]).decode() for start, stop in pairwise(edges)]
            last = edges[-1]
        assert found == [piece for text in column.to_pylist() for piece in wanted(text, choice)]


def test_any_other_pattern() -> None:
    assert split("ab,cd é", pattern(r"\p{L}+")) == ["ab", ",", "cd", " ", "é"]
    with pytest.raises(ConfigError, match="no regular expression"):
        pattern("(")
    with pytest.raises(ConfigError, match="gpt2 does not limit digits"):
        pattern("gpt2", 2)
    with pytest.raises(ConfigError, match="not with a pattern of your own"):
        pattern("a+", 2)


def test_names_of_expressions() -> None:
    assert pretokenize.PATTERNS[pattern("llama3").regex] == "cl100k"
    assert pretokenize.PATTERNS[pattern("qwen2").regex] == "qwen2"
    assert pattern("cl100k", 1) == pattern("qwen2")
