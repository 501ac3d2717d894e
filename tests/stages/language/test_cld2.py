"""CLD2 at the border: what it refuses, hostile texts, many bytes, threads, and a missing package."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pycld2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.language.test_langid_kernels import HOSTILE, joined
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.stages.language import cld2, models

ENGLISH = "The river runs through the old town, and people know every one of its bridges by name. "
GERMAN = "Der Fluss fließt durch die alte Stadt, und die Leute kennen jede seiner Brücken beim Namen. "


def said(*texts: str) -> list[tuple[str | None, float]]:
    model = models.load("cld2")
    data, offsets = joined(list(texts))
    labels, scores, fits = model.identify(data, offsets[:-1], offsets[1:])
    assert np.isnan(fits).all()
    return [(model.labels[label] if label >= 0 else None, score) for label, score in zip(labels, scores, strict=True)]


def test_labels_and_shares() -> None:
    found = said(ENGLISH, GERMAN, "", "1 + 1", "שלום לכולם, זה טקסט בעברית על הנהר והעיר", ENGLISH * 2 + GERMAN * 2)
    assert [label for label, _ in found[:5]] == ["en", "de", None, None, "he"]
    assert all(score > 0.9 for label, score in found[:5] if label)
    assert 0.4 < found[5][1] < 0.7


def test_what_it_refuses_is_read_as_a_blank() -> None:
    refused = []
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        character = chr(code)
        if cld2.REFUSED.match(character):
            refused.append(character)
    assert len(refused) == 127
    for character in refused:
        with pytest.raises(pycld2.error):
            pycld2.detect(f"{ENGLISH}{character}".encode(), isPlainText=True)
    assert said(*(ENGLISH + character + ENGLISH for character in refused)) == said(ENGLISH * 2) * len(refused)


@pytest.mark.soak
def test_it_refuses_nothing_else() -> None:
    for first in range(0, 0x110000, 64):
        codes = (code for code in range(first, first + 64) if not 0xD800 <= code < 0xE000)
        text = "".join(character for character in map(chr, codes) if not cld2.REFUSED.match(character))
        pycld2.detect(text.encode(), isPlainText=True)


@settings(max_examples=300, deadline=None)
@given(st.lists(HOSTILE, max_size=5), st.integers(1, 60))
def test_no_text_makes_it_raise_and_neighbours_do_not_matter(texts: list[str], times: int) -> None:
    longer = [text * times for text in texts]
    assert said(*longer) == [said(text)[0] for text in longer]


def test_of_a_long_text_the_head_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cld2, "MOST_BYTES", len((GERMAN * 9).encode()) + 1)
    assert said(GERMAN * 9 + "é" + ENGLISH * 200) == said(GERMAN * 9)  # the cut is inside a character


def test_threads_give_what_one_gives() -> None:
    texts = [(ENGLISH if number % 2 else GERMAN) * (1 + number % 7) for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        assert [found[0] for found in threads.map(said, texts)] == said(*texts)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycld2", None)
    asked: tuple[Any, ...] = (cld2.library, cld2.identity)
    for ask in asked:
        with pytest.raises(ConfigError, match=r"pip install 'tokenmill\[cld2\]'"):
            ask()
