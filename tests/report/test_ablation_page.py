"""The page of an ablation: everything measured is on it, and nothing of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.report.browser import tab
from tests.report.pages import HOSTILE, Page
from tokenmill.pipeline.report.ablation import render
from tokenmill.pipeline.report.dots import DotRow, dots


def a_set(a: str, b: str, *, low: float, high: float) -> dict[str, Any]:
    mean = (low + high) / 2
    said = f"{a} and {b} are said to differ by {mean:.4f}"
    pair = {"a": a, "b": b, "mean": mean, "low": low, "high": high, "told_apart": high < 0, "said": said}
    return {
        "variant": a,
        "documents": 1_234,
        "text_bytes": 567_890,
        "left_out": 12,
        "shared": {a: 0.011, b: 0.022},
        "bits_per_byte": {a: {"mean": 1.5, "seeds": [1.49, 1.51]}, b: {"mean": 1.6 - mean, "seeds": [1.59, 1.61]}},
        "spread": 0.0141,
        "winner": a if high < 0 else None,
        "differences": [{**pair, "larger_than_spread": True}],
    }


def an_answer(a: str = "plain", b: str = "filtered", name: str = "web") -> dict[str, Any]:
    variant = {"collected": 99, "documents": 88, "text_bytes": 7_700, "tokens": 2_200, "epochs": 1.25, "vocabulary": 300}
    return {
        "name": "filters",
        "base": "docs",
        "seeds": [0, 7],
        "train": {"layers": 2, "hidden": None},
        "tokens_read": 2_750,
        "level": 0.95,
        "comparisons": 2,
        "variants": {
            a: {"settings": {}, "tokenizer": "f", **variant},
            b: {"settings": {"quality.recipe": b}, "tokenizer": "e", **variant},
        },
        "held_out": {name: a_set(a, b, low=-0.02, high=-0.01), "books": a_set(a, b, low=-0.02, high=0.01)},
        "verdict": f"{a} wins.",
    }


def test_the_page_has_all_that_was_measured() -> None:
    page = Page(render(an_answer()))
    for wanted in ("plain wins.", "1,234 documents", "1.4900", "1.6100", "1.25", "12 documents of this set were left out"):
        assert wanted in page.text
    assert page.text.count("are said to differ by") == 2
    assert "They have 2 tokenizers" in page.text
    assert "The 2 intervals of this page hold together at 95 %" in page.text
    assert "read more than once repeats text" in page.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_do_nothing(hostile: str) -> None:
    plain, page = Page(render(an_answer())), Page(render(an_answer(a=hostile, name=f"{hostile}!")))
    assert {name for name, _ in page.tags} == {name for name, _ in plain.tags} | (
        {"span"} if "ctl" in str(page.tags) else set()
    )
    assert not any(key.startswith("on") or key in ("src", "style") for _, given in page.tags for key in given)


def test_marks_stand_where_their_values_are() -> None:
    rows = [DotRow(label="a", note="n", at=1.0, dots=(0.5, 1.5), interval=(0.0, 2.0)), DotRow(label="b", note="m", at=2.0)]
    drawn = str(dots("t", rows, zero="equal", band=0.1))
    found = Page(drawn)
    circles = [given["cx"] for name, given in found.tags if name == "circle"]
    # From -0.1 to 2.0, with 6 % of the width free at both ends.
    assert circles == [f"{100 * (0.06 + 0.88 * (value + 0.1) / 2.1):.2f}%" for value in (0.5, 1.5)]
    assert "equal" in found.text
    assert "<circle" in str(dots("all the same", [DotRow(label="a", note="", at=1.0, dots=(1.0, 1.0))]))


@pytest.mark.soak
def test_a_browser_draws_it_without_asking_for_anything(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render(an_answer()), encoding="utf-8")
    address = (tmp_path / "page.html").as_uri()
    with tab(tmp_path / "profile") as page:
        page.open(address)
        assert page.requests == [address]
        assert page.complaints == []
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
