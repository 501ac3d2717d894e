"""Pages with known main text: reading them, and extractors that are compared and trained on them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.command import tokenmill
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.extract import evaluate, pages, peers, train
from tokenmill.pipeline.collect.extract.overlap import TokenOverlap
from tokenmill.pipeline.collect.extract.pages import KnownPage

TEXT = "the river under bridge walks slowly toward old harbour where boats rest until morning light comes again"
WORDS = TEXT.split()


def _page(number: int) -> dict[str, object]:
    chosen = random.Random(number)
    paragraphs = [" ".join(chosen.choices(WORDS, k=40)) + "." for _ in range(4)]
    menu = "".join(f"<li><a href=/{word}>{word.title()} {number}</a>" for word in chosen.sample(WORDS, 8))
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    html = f"<html><body><nav><ul>{menu}</ul></nav><article><h1>Story {number}</h1>{body}</article><footer>Imprint</footer>"
    return {
        "set": "news-a" if number % 2 else "blogs-b",
        "page_type": "article",
        "host": f"h{number % 30}.example",
        "html": html.encode(),
        "gold": "\n".join(paragraphs),
    }


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "pages.parquet"
    pq.write_table(pa.Table.from_pylist([_page(number) for number in range(120)]), path)
    return path


def test_small_sets_are_joined_by_source(tmp_path: Path) -> None:
    rows = [_page(number) | {"set": name} for number, name in enumerate([*["a-1"] * 50, *["a-2"] * 49, *["a-3"] * 3, "b"])]
    rows[0] |= {"gold": "[x](http://y)", "gold_is_markdown": True, "host": ""}
    pq.write_table(pa.Table.from_pylist(rows, schema=None), tmp_path / "p.parquet")
    found = pages.read([tmp_path / "p.parquet"])
    assert [page.set for page in found] == [*["a-1"] * 50, *["a"] * 52, "b"]
    assert found[1].host == "h1.example"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gold": None}, "gold has"),
        ({"html": 3}, "html is no"),
        ({"drop": "host"}, "no column host"),
        ({"broken": 1}, "cannot be read"),
    ],
)
def test_what_are_no_pages_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "p.parquet"
    row = _page(1) | change
    row.pop(str(change.get("drop")), None)
    pq.write_table(pa.Table.from_pylist([row, row]), path)
    if "broken" in change:
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=said):
        pages.read([path])


def _pages(sets: str) -> list[KnownPage]:
    return [KnownPage(set=name, page_type="t", host=f"{number % 7}", html="", gold="") for number, name in enumerate(sets)]


def test_means_weigh_sets_alike_and_have_intervals() -> None:
    given = _pages("a" * 90 + "b" * 10)
    perfect, half = TokenOverlap(extracted=2, expected=2, common=2), TokenOverlap(extracted=2, expected=2, common=1)
    table = evaluate.compared(given, {"x": [perfect] * 90 + [half] * 10, "y": [half, perfect] * 50})
    assert table["x"]["macro"].f1 == 0.75
    assert (table["x"]["macro"].low, table["x"]["macro"].high) == (0.75, 0.75)
    assert table["x"]["type:t"].f1 == pytest.approx(0.95)
    y = table["y"]["macro"]
    assert y.f1 == 0.75
    assert 0.6 < y.low < 0.75 < y.high < 0.9
    assert (y.ahead, y.pages) == (0.0, 100)
    assert table == evaluate.compared(given, {"x": [perfect] * 90 + [half] * 10, "y": [half, perfect] * 50})


def test_no_host_and_no_set_is_on_both_sides() -> None:
    given = _pages("aaabbbbcccdddaaabbb" * 3)
    for folds, key in ((train.by_host(given), "host"), (train.by_set(given), "set")):
        assert np.sum(folds, axis=0).tolist() == [1] * len(given)
        for fold in folds:
            inside = {getattr(page, key) for page, chosen in zip(given, fold, strict=True) if chosen}
            outside = {getattr(page, key) for page, chosen in zip(given, fold, strict=True) if not chosen}
            assert not inside & outside


def test_peers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> peers.Extract:
        raise ImportError("no module")

    monkeypatch.setattr(peers, "EXTRACTORS", {**peers.EXTRACTORS, "trafilatura": absent})
    found, missing = peers.installed(("trafilatura", "resiliparse"))
    assert (list(found), missing) == (["resiliparse"], ("trafilatura",))


def test_the_commands_train_and_measure(written: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.json"
    trained = tokenmill("extract", "train", written, "--out", out, "--note", "made of words")
    assert trained.returncode == 0, trained.stderr
    assert "pages: 120" in trained.stdout
    assert json.loads(out.read_bytes())["note"] == "made of words"
    measured = tokenmill("extract", "evaluate", written, "--extractor", "resiliparse,blocks-sets", "--json")
    table = json.loads(measured.stdout)["extractors"]
    assert table["blocks-sets"]["macro"]["f1"] > 0.97
    assert table["blocks-sets"]["news-a"]["pages"] == 60
    wrong = tokenmill("extract", "evaluate", written, "--extractor", "nonsense")
    assert wrong.returncode == 1
    assert "choose from" in wrong.stderr
