"""The parts of the report, each against what is right by hand or by a plain twin."""

from __future__ import annotations

import math
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from tokenmill.pipeline.base import words
from tokenmill.pipeline.report import svg, templates
from tokenmill.pipeline.report.histograms import COUNTS, LENGTHS, MAGNITUDES, UNIT, Histogram, Profile, logarithmic

BIDI_CONTROLS = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
ANY_TEXT = st.text(
    st.characters(codec="utf-8") | st.sampled_from(sorted(BIDI_CONTROLS)) | st.sampled_from("\0<>&\"'\x1b\u2028\ufeff")
)


def shown(markup: str) -> str:
    """What a browser's parser makes of it, as text."""
    parser, parts = HTMLParser(convert_charrefs=True), []
    parser.handle_data = parts.append  # type: ignore[method-assign]
    parser.feed(f"<pre>{markup}</pre>")
    parser.close()
    return "".join(parts)


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT)
def test_visible_text_hides_nothing(text: str) -> None:
    seen = shown(str(words.visible(text)))
    for character in seen:
        assert character in "\n\t" or unicodedata.category(character) != "Cc"
        assert character not in BIDI_CONTROLS
    expected = "".join(f"U+{ord(c):04X}" if words.HIDDEN.match(c) else c for c in text)
    assert seen == expected
    assert words.HIDDEN.search(words.plain(text)) is None


def test_every_control_is_hidden() -> None:
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        ):
            assert (words.HIDDEN.match(character) is None) == (character in "\n\t"), hex(code)
    assert words.HIDDEN.search("e\u0301 क्\u200dष 👩\u200d💻 日本語 עברית العربية") is None


def test_bytes_are_shown_as_they_are() -> None:
    assert words.raw(b"caf\xc3\xa9 \xff\xfe\x00") == "café \\xff\\xfe\x00"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://me:secret@example.org:8080/a/b?key=secret#secret", "https://example.org:8080/a/b"),
        ("https://me@secret@example.org", "https://example.org"),
        ("https://example.org/@user/a@b", "https://example.org/@user/a@b"),
        ("//me:secret@example.org/x", "//example.org/x"),
        ("file name?.txt", "file name"),
        ("a/b/c.txt", "a/b/c.txt"),
        ("", ""),
    ],
)
def test_addresses_hold_no_secret(url: str, seen: str) -> None:
    assert words.address(url) == seen


def test_numbers_have_separators_and_units() -> None:
    space = words.NARROW_SPACE
    assert words.count(1234567) == "1,234,567"
    assert [words.size(number) for number in (0, 999, 1000, 12_345, 999_499, 999_500, 1_234_567, 5 * 10**18)] == [
        *(f"0{space}B", f"999{space}B", f"1.00{space}kB", f"12.3{space}kB"),
        *(f"999{space}kB", f"1.00{space}MB", f"1.23{space}MB", f"5,000{space}PB"),
    ]
    assert [words.trimmed(number) for number in (2000, 250_000, 1250)] == [f"2{space}kB", f"250{space}kB", f"1.25{space}kB"]
    assert [words.share(*pair) for pair in ((1, 3), (0, 5), (5, 5), (1, 10_000), (9_999, 10_000), (0, 0))] == [
        *(f"33.3{space}%", f"0.0{space}%", f"100.0{space}%"),
        *(f"<{space}0.1{space}%", f">{space}99.9{space}%", "–"),
    ]
    assert [words.number(value) for value in (50.0, 0.1, 100_000.0, 0.018112)] == ["50", "0.1", "100,000", "0.018112"]
    assert words.clip("abcdef", 4) == "abc…"
    assert words.clip("abcd", 4) == "abcd"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e9), st.booleans())), st.sampled_from([UNIT, LENGTHS, MAGNITUDES]))
def test_histogram_is_a_plain_count(rows: list[tuple[float, bool]], edges: np.ndarray) -> None:
    histogram = Histogram.empty(edges)
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        histogram.add(np.array([value for value, _ in part]), np.array([kept for _, kept in part], dtype=np.bool_))
    for kept, counts in ((True, histogram.kept), (False, histogram.dropped)):
        expected = [0] * len(counts)
        for value, is_kept in rows:
            if is_kept == kept:
                inside = [place for place in range(len(counts)) if edges[place] <= value < edges[place + 1]]
                expected[inside[0] if inside else -1] += 1
        assert counts.tolist() == expected


def test_grids_are_even_on_a_logarithmic_axis() -> None:
    edges = logarithmic(0, 3, per_decade=10)
    assert edges[0] == 0
    assert edges[1:].tolist()[::10] == [1, 10, 100, 1000]
    steps = np.diff(np.log10(edges[1:]))
    assert steps.min() > 0.09
    assert steps.max() < 0.11


def test_trimming_keeps_the_thresholds() -> None:
    histogram = Histogram.empty(np.arange(11, dtype=np.float64))
    histogram.add(np.array([4, 5, 5]), np.array([True, False, True]))
    shown = histogram.trimmed(8)
    assert shown.edges.tolist() == [4, 5, 6, 7, 8, 9]
    assert shown.kept.tolist() == [1, 1, 0, 0, 0]
    assert shown.dropped.tolist() == [0, 1, 0, 0, 0]
    assert shown.position(4) == 0
    assert shown.position(6.5) == 0.5
    assert shown.position(100) == 1
    assert len(Histogram.empty(UNIT).trimmed().kept) == 100


def test_profile_picks_the_grid_that_fits() -> None:
    everything = np.ones(3, dtype=np.bool_)
    small, many, fraction, large = (Profile() for _ in range(4))
    small.add(np.array([0, 2, 8]), everything)
    many.add(np.array([0, 2, 80]), everything)
    fraction.add(np.array([0.5, 0.25, math.nan]), everything)
    large.add(np.array([99.5, 100.0, 1e12]), everything)
    assert [one.fitting for one in (small, many, fraction, large)] == ["integers", "counts", "unit", "magnitudes"]
    assert [one.shown.total for one in (small, many, fraction, large)] == [3, 3, 2, 3]
    skewed = Profile()
    skewed.add(np.array([0.001] * 97 + [0.9] * 3), np.ones(100, dtype=np.bool_))
    assert skewed.fitting == "fractions"
    assert COUNTS[:12].tolist() == list(range(12))
    assert (np.round(COUNTS) == COUNTS).all()


def test_bars_are_shares_of_the_longest() -> None:
    rows = [
        svg.Bar(label="<b>one</b>", parts=(("kept", 30), ("dropped", 10)), note="40"),
        svg.Bar(label="two\u202e", parts=(("kept", 20), ("dropped", 0)), note="20"),
    ]
    drawn = svg.bars("A & B", rows)
    assert "<title>A &amp; B</title>" in drawn
    assert "&lt;b&gt;one&lt;/b&gt;" in drawn
    assert "two&lt;U+202E&gt;" in drawn
    assert '<rect class="kept" x="0%" y="20" width="75%" height="10"/>' in drawn
    assert '<rect class="dropped" x="75%" y="20" width="25%" height="10"/>' in drawn
    assert '<rect class="kept" x="0%" y="58" width="50%" height="10"/>' in drawn
    assert drawn.count('class="dropped"') == 1
    assert "<svg" in svg.bars("nothing", [])


def test_histograms_stack() -> None:
    drawn = svg.histogram("H", np.array([3, 0]), np.array([1, 2]), [svg.Tick(at=0, label="<0>")])
    assert '<rect class="kept" x="0%" y="59.5" width="44%" height="112.5"/>' in drawn
    assert '<rect class="dropped" x="0%" y="22" width="44%" height="37.5"/>' in drawn
    assert '<rect class="dropped" x="50%" y="97" width="44%" height="75"/>' in drawn
    assert "&lt;0&gt;" in drawn


def test_a_curve_is_marked_through_lines_and_bars() -> None:
    lines = [svg.CurveLine("documents", [(0, 0.25), (1, 0.5)])]
    drawn = svg.curve("C", lines, np.array([3, 0]), np.array([1, 2]), [], svg.Tick(at=0.5, label="≥ <1>"))
    assert '<line class="line documents" x1="0%" y1="77" x2="100%" y2="22"/>' in drawn
    assert '<line class="mark" x1="50%" x2="50%" y1="16" y2="186"/>' in drawn
    assert "≥ &lt;1&gt;" in drawn


def test_the_template_escapes_what_no_filter_does_and_refuses_misspelt_names() -> None:
    environment = templates.environment()
    assert environment.from_string("{{ name }}").render(name="<b>&") == "&lt;b&gt;&amp;"
    with pytest.raises(UndefinedError):
        environment.from_string("{{ nmae }}").render(name="")
