"""What the report says of text that went with near duplicates, and of what bands find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from tests.ask.judged import SETTINGS, built
from tests.report.pages import Page
from tokenmill.pipeline.ask.status import alarms
from tokenmill.pipeline.corpus import REPORT, open_corpus
from tokenmill.pipeline.report.unique import UniqueLost
from tokenmill.pipeline.stages.step import Work

WORDS = [f"word{number}" for number in range(60)]


def test_what_was_lost_is_summed_by_source() -> None:
    found = UniqueLost()
    reasons = ["", "near_duplicate", "near_duplicate", "exact_duplicate", None]
    lost = pa.array([None, 7, 30, 0, None], pa.int64())
    table = pa.table({"reason": reasons, "contained": [None, 0.93, 0.7, 1.0, None], "lost_ngrams": lost})
    for source, rows in (("a", table), ("b", table.slice(0, 1)), ("a", table.slice(1, 1))):
        found.add(source, rows)
    one, other = found.sources["a"], found.sources["b"]
    assert (one.documents, one.ngrams, one.most, one.above) == (3, 44, 0.3, (3, 1))
    assert round(one.mean, 6) == round((0.07 + 0.3 + 0.07) / 3, 6)
    assert (other.documents, other.ngrams, other.mean, other.most) == (0, 0, 0.0, 0.0)
    assert (found.documents, found.ngrams) == (3, 44)


def test_the_page_and_the_alarms_say_it(tmp_path: Path, make_corpus: Callable[..., Work]) -> None:
    source = tmp_path / "texts"
    source.mkdir()
    for number, words in enumerate((WORDS, [*WORDS[4:], "a", "new", "end"], [f"other{number}" for number in range(60)])):
        (source / f"{number}.txt").write_text(" ".join(words) + " " * number)
    given = {**SETTINGS, "stages": '["dedup"]', "dedup.bands": "20", "dedup.rows": "13"}
    built(source, tmp_path / "corpus", given)
    corpus = open_corpus(tmp_path / "corpus")
    page = Page((corpus.published / REPORT).read_text())
    assert "The 1 near duplicate held at most 3 n-grams (5-grams of words)" in " ".join(page.text.split())
    said = "20 bands of 13 rows find 67.7 % of the pairs whose similarity is the threshold, 0.8"
    (alarm,) = alarms(corpus)
    assert said in alarm
    assert "without dedup.bands and dedup.rows, bands follow from the threshold" in alarm
    assert said in " ".join(page.text.split())
