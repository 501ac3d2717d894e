"""The parts that the quality kernels are built of: fingerprints, the table of slots, white space, phrases."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles
from tokenmill.pipeline.kernels.rules import fingerprints, phrases, slots, web_lines
from tokenmill.pipeline.kernels.rules.repetition import most_frequent
from tokenmill.pipeline.kernels.text import spaces
from tokenmill.pipeline.kernels.words import classes

POWERS = np.empty(fingerprints.POWERS, dtype=np.uint64)
fingerprints.fill_powers(POWERS)


def padded(content: bytes) -> np.ndarray:
    return np.frombuffer(content + b"\xe2\x80\xa8 \n]jz" * 8, dtype=np.uint8).copy()


def fingerprint(content: bytes) -> int:
    return int(fingerprints.fingerprint(padded(content), 0, len(content), POWERS))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=700).map(lambda content: bytes(byte % 0xF5 for byte in content)), st.integers(0, 700))
@example(b"\xf4" * 700, 3)
@example(b"", 0)
@example(b"\0", 0)
def test_fingerprints_are_polynomials_and_compose(content: bytes, cut: int) -> None:
    value = 0
    for byte in content:
        value = (value * fingerprints.BASE + byte + 1) % fingerprints.PRIME
    whole, front, back = fingerprint(content), fingerprint(content[:cut]), fingerprint(content[cut:])
    assert whole == value
    assert fingerprint(b"\0" + content) != whole

    @fingerprints.leaf
    def both(front: np.uint64, back: np.uint64, size: int, powers: np.ndarray) -> tuple[np.uint64, np.uint64]:
        whole = fingerprints.joined(front, back, size, powers)
        return whole, fingerprints.without(whole, front, size, powers)

    assert both(np.uint64(front), np.uint64(back), len(content[cut:]), POWERS) == (whole, back)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=40), max_size=5))
def test_the_most_frequent_key_use_after_use(uses: list[list[int]]) -> None:
    table, counts = slots.make(40), np.zeros(40, dtype=np.int32)
    for use in uses:
        keys = np.array(use, dtype=np.uint64) << np.uint64(60)
        best = max(set(use), key=lambda key: (use.count(key), -use.index(key)), default=None)
        expected = (use.index(best), use.count(best)) if best is not None else (0, 0)
        assert most_frequent(keys, len(use), counts, table) == expected


def test_numbers_of_items_begin_again_before_they_run_out() -> None:
    table, counts = slots.make(8), np.zeros(4, dtype=np.int32)
    table.next[0] = 2**31 - 10
    for _ in range(5):
        assert most_frequent(np.array([5, 7, 5, 5], dtype=np.uint64), 4, counts, table) == (0, 3)
    assert table.next[0] < 100


def test_white_space_and_line_breaks_of_all_of_unicode() -> None:
    @spaces.leaf
    def sizes(data: np.ndarray, stop: int) -> tuple[int, int]:
        space = spaces.space_bytes(data, 0)
        return space, spaces.break_bytes(data, 0, stop) if space else 0

    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code <= 0xDFFF:
            character = chr(code)
            content = character.encode()
            expected = len(content) if character.isspace() else 0, len(content) if len(f"a{character}a".splitlines()) > 1 else 0
            assert sizes(padded(content), len(content)) == expected, hex(code)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 255), st.integers(0, 40))
def test_finding_a_byte(content: bytes, byte: int, start: int) -> None:
    found = content.find(bytes([byte]), start)
    expected = found if found >= 0 else max(len(content), start)
    assert max(start, spaces.find(padded(content), start, len(content), byte)) == expected


@settings(max_examples=300, deadline=None)
@given(dedup_oracles.HOSTILE)
@example(" a\r\n\r b\x85\u2028c d \x1c")
def test_lines(text: str) -> None:
    content = text.encode()
    at, found = 0, []
    while at < len(content):
        start, end, chunks, long, at = spaces.read_line(padded(content), at, len(content), 5)
        found.append((content[start:end].decode(), chunks, long))
    lines = [line.strip() for line in text.splitlines()]
    assert found == [(line, len(line.split()), any(len(chunk) > 5 for chunk in line.split())) for line in lines]


PHRASES = {
    phrases.JAVASCRIPT: ["javascript"],
    phrases.CURLY: ["{"],
    phrases.LOREM_IPSUM: ["lorem ipsum"],
    phrases.POLICY: ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"],
}


def found_in(text: str) -> int:
    content = b"java" + text.encode()  # what stands before is no part
    return int(phrases.find(padded(content), 4, len(content)))


def plainly_found(text: str) -> int:
    return sum(bit for bit, wanted in PHRASES.items() if any(phrase in text.lower() for phrase in wanted))


PARTS = st.sampled_from(
    [
        *"jJkKmMvV{ [\0\u212a\u0130",
        "java",
        "script",
        "SCRIPT",
        "lorem",
        " ipsum",
        "use",
        "USES",
        " coo",
        "\u212aies",
        "kies",
        "cookie",
        *(" of ", " policy", "privacy", "terms", "prİvacy", "\u017f", "é"),
    ]
)


@settings(max_examples=1_000, deadline=None)
@given(st.lists(PARTS, max_size=12).map("".join))
@example("Our Coo\u212aie Policy")
@example("javascr\u0130pt")
@example("use\0cookies")
@example("script")
def test_phrases_are_those_of_the_lowered_text(text: str) -> None:
    assert found_in(text) == plainly_found(text)


@pytest.mark.parametrize("phrase", [phrase for wanted in PHRASES.values() for phrase in wanted])
def test_each_phrase(phrase: str) -> None:
    for text in (phrase, phrase.upper(), f"x{phrase}x", phrase.replace("k", "\u212a")):
        assert found_in(text) == plainly_found(text) != 0
    for at in range(len(phrase)):
        assert found_in(phrase[:at] + phrase[at + 1 :]) == plainly_found(phrase[:at] + phrase[at + 1 :])


def test_only_two_characters_fold_to_ascii_letters() -> None:
    folding = [
        chr(code) for code in range(128, sys.maxunicode + 1) if any("a" <= letter <= "z" for letter in chr(code).lower())
    ]
    assert [character for character in folding if not character.lower().encode().startswith((b"i\xcc\x87",))] == ["\u212a"]


CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["[", "]", "1", "٣", "𝟗", "²", "a", "edit", "citation needed", " "]), max_size=6).map("".join))
@example("citation needed]")
def test_citations(text: str) -> None:
    content = ("[" + text).encode()
    mark = CITATION.match("[" + text)
    expected = len(mark[0].encode()) if mark else -1
    assert web_lines.citation_end(padded(content), 0, len(content), classes.tables()) == expected
