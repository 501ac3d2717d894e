"""The page of a training: any log gives a page, and nothing of it runs."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.browser import tab
from tests.report.pages import HOSTILE, Page, hash_of
from tokenmill.pipeline.report.history import History
from tokenmill.pipeline.report.plot import COLUMNS, PlotLine, rounds, scale, short, smoothed, thinned
from tokenmill.pipeline.report.training import RunFacts, render


def run(steps: int, **more: Any) -> RunFacts:
    settings = {"steps": steps, "model": "modern", "weights": {"a": 1.0}}
    fixed: dict[str, Any] = {"corpus": "docs", "parameters": 1_234_567, "vocabulary": 2048, "steps": steps, "step": steps}
    fixed |= {"tokens": 100 * steps, "epochs": 1.5, "facts": [("Model", "modern")], "settings": settings}
    return RunFacts(**(fixed | {"defaults": {"steps": 300, "model": "modern"}} | more))


def logged(path: Path, lines: list[dict[str, Any]]) -> History:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    history = History(path=path)
    history.follow()
    return history


def lines_of(steps: int, every: int = 10, sources: tuple[str, ...] = ("web", "books")) -> list[dict[str, Any]]:
    """The log of a run whose loss falls."""
    found: list[dict[str, Any]] = []
    for step in range(steps + 1):
        loss = 3 + 4 * math.exp(-step / 20)
        speeds = {"tokens_per_second": 1000.0, "seconds": {"data": 0.01, "forward": 0.03, "backward": 0.06}, "mfu": 0.3}
        if step:
            more = {"learning_rate": 0.01, "tokens": 100 * step, "gradient_norm": 1.0 + step % 3, **speeds}
            found.append({"step": step, "loss": loss + 0.1 * (step % 7), **more})
        if step % every == 0 or step == steps:
            by = {"sources": {name: loss + place for place, name in enumerate(sources)}, "languages": {"en": loss, "de": loss}}
            found.append({"step": step, "validation_loss": loss, "bits_per_byte": loss / 2, **by})
            found.append({"step": step, "sample": f"text {step}"})
    return found


def test_the_page_shows_what_the_log_says(tmp_path: Path) -> None:
    page = render(run(60), logged(tmp_path / "log.jsonl", lines_of(60)))
    found = Page(page)
    assert not found.open
    headings = re.findall("<h[23]>(.*?)(?: <a.*)?</h[23]>", page)
    assert headings == [
        "Loss",
        "Loss, in nats per token",
        "Bits per byte",
        "Validation loss by source",
        "books",
        "web",
        "Validation loss by language",
        "de",
        "en",
        "What the model says",
        "Course of the run",
        "Learning rate",
        "Gradient norm",
        "Tokens per second",
        "MFU",
        "Where the time goes",
        "Settings",
    ]
    assert (
        "After 60 updates on 6,000 tokens (1.5 epochs), the model of 1.23M parameters has a validation loss of 3.199"
        in found.words
    )
    assert (
        "An update takes 100 ms on average. Most of it, 60.0 %, is the backward pass. Waiting for data takes 10.0"
        in found.words
    )
    assert all(f"text {step}" in found.words for step in range(0, 61, 10))
    assert "update 30, 3,000 tokens training loss 4.093 smoothed" in found.words
    charts = [tag for name, tag in found.tags if name == "svg" and tag.get("role") == "img"]
    assert len(charts) == page.count("<desc>") + 1 == 11  # the bar of the time has its numbers beside it
    assert 'class="alarm"' not in page
    assert "The run goes on" not in page


def test_nothing_of_the_page_runs_or_is_fetched(tmp_path: Path) -> None:
    lines = lines_of(20, sources=HOSTILE)
    lines += [{"step": 20 + place, "sample": text} for place, text in enumerate(HOSTILE)]
    settings = {"model": HOSTILE[1], HOSTILE[0]: HOSTILE[4]}
    page = render(
        run(30, corpus=HOSTILE[4], ended=HOSTILE[0], facts=[("Text", HOSTILE[2])], settings=settings),
        logged(tmp_path / "log.jsonl", lines),
    )
    found = Page(page)
    assert not found.open
    assert {name for name, _ in found.tags} & {"script", "img", "iframe", "object", "link", "base", "form"} == set()
    assert not [tag for _, tag in found.tags if any(name.startswith("on") or name in ("src", "style") for name in tag)]
    assert all((tag.get("href") or "#").startswith("#") for _, tag in found.tags)
    assert found.policies == [f"default-src 'none'; style-src {hash_of('style', page)}; base-uri 'none'; form-action 'none'"]
    assert "\u202e" not in page
    assert "The run ended early. <script>alert(1)</script>" in found.words
    assert "{{ 7 * 7 }}" in found.words


@pytest.mark.soak
def test_a_browser_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    path = tmp_path / "training.html"
    path.write_text(render(run(60), logged(tmp_path / "log.jsonl", lines_of(60, sources=HOSTILE))))
    with tab(tmp_path / "profile") as browser:
        browser.open(path.as_uri())
        assert (browser.complaints, browser.requests) == ([], [path.as_uri()])
        for width in (360, 1200):
            browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
            assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"step": 0, "validation_loss": 7.0}],
        [{"step": 1, "loss": 7.0}],
        [{"step": 1, "loss": None, "tokens": None}],
        [{"step": 1, "loss": 0.0, "tokens": 0}, {"step": 2, "loss": -1.0, "tokens": 0}],
        [{"step": 0, "sample": ""}],
        [
            {"step": step, "loss": 10.0 ** (step % 300), "gradient_norm": 1e-300, "tokens": 10**15 * step}
            for step in range(1, 400)
        ],
        [{"step": step, "loss": 3.0 if step % 2 else math.nan, "tokens": step} for step in range(1, 3000)],
        [{"step": 2**52, "loss": 1.0, "learning_rate": 0.0, "tokens": 1}],
        [{"step": 5, "validation_loss": math.inf, "sources": {"a": math.nan}, "bits_per_byte": None}],
        [{"step": 7, "loss": 2.0, "seconds": {"data": 0.0}, "skipped": True, "loss_scale": 65536.0}],
    ],
)
@pytest.mark.parametrize("ended", [None, "stopped after step 1"])
def test_any_log_gives_a_page(tmp_path: Path, lines: list[dict[str, Any]], ended: str | None) -> None:
    page = render(run(9, ended=ended), logged(tmp_path / "log.jsonl", lines))
    assert not Page(page).open
    assert ("stopped after step 1" in page) == (ended is not None)
    drawn = " ".join(re.findall(r' (?:points|d|x|y|x1|x2|y1|y2|width|height)="([^"]*)"', page))
    assert not re.search("nan|inf|e[+-]", drawn)


def test_a_run_that_goes_on_says_so(tmp_path: Path) -> None:
    page = Page(render(run(60, step=20), logged(tmp_path / "log.jsonl", lines_of(20))))
    assert "After 20 updates of 60 on 2,000 tokens" in page.words
    assert "The run goes on" in page.words


def test_long_runs_make_small_pages_soon(tmp_path: Path) -> None:
    """Ten times the updates, and at most about the same page."""
    sources = tuple(f"source {number}" for number in range(60))
    sizes = []
    for steps in (4_000, 40_000):
        history = logged(tmp_path / f"{steps}.jsonl", lines_of(steps, every=steps // 200, sources=sources))
        begin = time.process_time()
        page = render(run(steps), history)
        # 0.1 seconds are usual.
        assert time.process_time() - begin < 3
        sizes.append(len(page.encode()))
    assert sizes[1] < 1.2 * sizes[0]
    assert sizes[1] < 500_000
    assert "12 of 201 samples" in page


def test_no_spike_is_lost_where_points_are_thinned() -> None:
    x, y = np.arange(1.0, 100_001), np.ones(100_000)
    y[[777, 50_000]] = (9.0, -9.0)
    xs, ys = thinned(x, y, 100_001.0)
    assert len(xs) <= 2 * COLUMNS
    assert (ys.min(), ys.max()) == (-9.0, 9.0)
    assert (np.diff(xs) >= 0).all()


@pytest.mark.parametrize("count", [0, 1, 5, 30, 400])
def test_smoothing_is_the_mean_around_each(count: int) -> None:
    draw = np.random.default_rng(count)
    values = draw.normal(size=count)
    values[draw.random(count) < 0.2] = np.nan
    half = max(count // 100, min(count // 10, 5))
    for at, found in enumerate(smoothed(values).tolist()):
        around = [one for one in values[max(0, at - half) : at + half + 1].tolist() if not math.isnan(one)]
        assert found == pytest.approx(sum(around) / len(around) if around else math.nan, nan_ok=True)


def test_scales_hold_their_lines_and_have_round_ticks() -> None:
    def line(*values: float) -> PlotLine:
        return PlotLine(style="", label="", x=np.arange(len(values), dtype=float), y=np.array(values))

    late = scale([line(100.0, *([3.0, 4.0] * 20))])
    assert late.cut
    assert late.high < 5
    few = scale([line(7.0, 3.0)])
    assert (few.cut, few.low < 3, few.high > 7, few.log) == (False, True, True, False)
    wide = scale([line(1.0, 1000.0)])
    assert wide.log
    assert wide.ticks(6) == [1.0, 10.0, 100.0, 1000.0]
    assert scale([line(math.nan)]).ticks(5)[0] == 0.0
    assert scale([line(3.0, 8.0)], zero=True).low == 0
    assert rounds(0, 52.4, 6) == [0, 10, 20, 30, 40, 50]
    assert rounds(5, 5, 4) == [5]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3.14159, "3.14"), (999.6, "1,000"), (1234, "1,234"), (12_345, "12.3k"), (1_234_567, "1.23M"), (52.4e9, "52.4G"),
     (0.00031, "3.1e-4"), (0.012, "0.012"), (-2.5, "-2.5"), (1e20, "1.00e+20")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert short(value) == text
