"""The section of the report on doubts about languages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.report.pages import render
from tests.stages.language.test_doubts import BOSNIAN, DHIVEHI, YIDDISH
from tests.stages.language.test_language import ENGLISH, GERMAN
from tokenmill.pipeline.corpus import so_far
from tokenmill.pipeline.report.opinions import opinions
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language
from tokenmill.pipeline.stages.step import StageStep, Work, perform

TEXTS = [ENGLISH, ENGLISH, GERMAN, DHIVEHI, YIDDISH, BOSNIAN, ""]


@pytest.mark.parametrize("second", ["cld2", None])
def test_labels_of_both_models_by_language(make_corpus: Callable[..., Work], second: str | None) -> None:
    work = make_corpus({"a/0": TEXTS[:3], "a/1": TEXTS[3:]})
    perform(StageStep(Language(config=LanguageConfig(threshold=0.0, second=second))), work, downstream=())
    found = opinions(so_far(work.root))
    assert found is not None
    assert (found.documents, found.doubted) == (len(TEXTS), 2 if second else 1)
    rows = dict(found.rows)
    assert [label for label, _ in found.rows] == ["en", *sorted({*rows} - {"en"})]
    assert (rows["en"].documents, rows["en"].agree) == (2, 2 if second else 0)
    assert (rows["ko"].by_script, rows["ko"].written) == (1, [("Thaa", 1)])
    assert rows["hbo"].shown == ([("yi", 1)] if second else [])


def test_the_section_on_the_page(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": TEXTS})
    done = perform(StageStep(Language(config=LanguageConfig(threshold=0.0, second="cld2", keep=("en",)))), work, downstream=())
    assert done.manifest.counts.kept == 2
    _, page = render(work)
    assert "Of 7 documents, 2 are labelled und" in page.words
    assert "CLD2 agrees" in page.words
