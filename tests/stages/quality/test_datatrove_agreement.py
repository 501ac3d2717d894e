"""Our rules against datatrove 0.10.1's filters on real documents: given the same words, and as it comes, with spaCy's.

`python -m pytest tests/stages/quality/test_datatrove_agreement.py -s -m soak` prints the table of 5,000 documents per filter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.kernels.word_oracle import sentences
from tokenmill.pipeline.base.edits import Edit, apply
from tokenmill.pipeline.kernels.words.classes import SYMBOLS, TERMINAL
from tokenmill.pipeline.kernels.words.split import of as words
from tokenmill.pipeline.stages.quality.recipes import RECIPES
from tokenmill.pipeline.stages.quality.rules import RULES, active, first_failing, line_rules
from tokenmill.pipeline.stages.quality.settings import QualityConfig, Thresholds
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.quality.statistics import measure

pytest.importorskip("datatrove", reason="needs datatrove, the oracle, which is not installed")

from datatrove.data import Document
from datatrove.pipeline.filters.c4_filters import C4QualityFilter
from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter
from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter
from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from datatrove.utils.word_tokenizers import WordTokenizer

DOCUMENTS = 160
REASONS = {
    "dup_para_frac": "duplicate_paragraphs",
    "dup_para_char_frac": "duplicate_paragraph_characters",
    "dup_line_frac": "duplicate_lines",
    "dup_line_char_frac": "duplicate_line_characters",
    **{f"top_{n}_gram": f"top_{n}gram" for n in range(2, 5)},
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}gram" for n in range(5, 11)},
    "gopher_short_doc": "too_few_words",
    "gopher_long_doc": "too_many_words",
    "gopher_below_avg_threshold": "too_few_mean_word_characters",
    "gopher_above_avg_threshold": "too_many_mean_word_characters",
    "gopher_too_many_hashes": "hashes_per_word",
    "gopher_too_many_ellipsis": "ellipses_per_word",
    "gopher_too_many_bullets": "bullet_lines",
    "gopher_too_many_end_ellipsis": "ellipsis_lines",
    "gopher_below_alpha_threshold": "too_few_alphabetic_words",
    "gopher_enough_stop_words": "too_few_stop_words",
    "lorem_ipsum": "lorem_ipsum_lines",
    "curly_bracket": "curly_bracket_lines",
    "too_few_sentences": "too_few_sentences",
    "line_punct_ratio": "too_few_punctuated_lines",
    "short_line_ratio": "short_lines",
    "char_dup_ratio": "duplicate_characters",
    "list_ratio": "newlines_per_word",
}


class OurWords(WordTokenizer):
    """Our splitter in the place of datatrove's."""

    def word_tokenize(self, text: str) -> list[str]:
        return words(text)

    def sent_tokenize(self, text: str) -> list[str]:
        raise AssertionError("no filter here asks for the texts of sentences")

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, 0)] * sentences(words(text))  # the filters only count them


SAME: Any = OurWords()
THEIRS: dict[str, Callable[[], list[Any]]] = {
    "gopher@1": lambda: [GopherRepetitionFilter(language=SAME), GopherQualityFilter(language=SAME)],
    "c4@1": lambda: [C4QualityFilter(language=SAME)],
    "fineweb@1": lambda: [
        GopherRepetitionFilter(language=SAME),
        GopherQualityFilter(language=SAME),
        C4QualityFilter(language=SAME, filter_no_terminal_punct=False),
        FineWebQualityFilter(language=SAME),
    ],
    "docs@1": lambda: [
        GopherRepetitionFilter(language=SAME, top_n_grams=(), dup_n_grams=()),
        GopherQualityFilter(language=SAME, max_non_alpha_words_ratio=0.6),
        FineWebQualityFilter(language=SAME, line_punct_thr=0.05, short_line_thr=0.9, char_duplicates_ratio=0.1),
    ],
}


def judged_by_datatrove(filters: list[Any], text: str) -> tuple[str, str]:
    """Our name of the reason, and the text as the filters left it."""
    document = Document(text=text, id="0")
    for step in filters:
        verdict = step.filter(document)
        if verdict is not True:
            return REASONS[verdict[1]], document.text
    return "", document.text


def judged_by_us(recipe: str, texts: Iterable[str], **thresholds: Any) -> list[tuple[str, str]]:
    """The reason, and the text with our edits applied."""
    texts = list(texts)
    stage = Quality(config=QualityConfig(recipe=recipe, **thresholds))
    scores = stage.score(pa.record_batch({"text": pa.array(texts, pa.large_string())}))
    verdict = stage.decide(scores)
    edited = [
        apply(text.encode(), [Edit(start, end, new.encode()) for start, end, new in edits]).decode()
        for text, edits in zip(texts, stage.edits(scores, verdict), strict=True)
    ]
    return list(zip(verdict["reason"].to_pylist(), edited, strict=True))


@pytest.fixture(scope="module")
def documents(shared_data: Path) -> list[str]:
    table = pq.read_table(shared_data / "text" / "bench_text.parquet", columns=["text"])
    texts = table["text"].take(list(range(7, table.num_rows, table.num_rows // DOCUMENTS))).to_pylist()
    return [text[:40_000] for text in texts]


def as_web_pages(texts: list[str]) -> list[str]:
    """The same with what C4's rules look for sown in, so that each of them has something to decide."""
    sown = [
        "\nSee our privacy policy for more.",
        "\nEnable JavaScript to read on.",
        " [1] [citation needed]",
        "\n{\n",
        "\u2028",
        "\r\n",
    ]
    pages = []
    for number, text in enumerate(texts):
        text = re.sub(r"(?<=[a-z.])\n(?=[A-Za-z])", " ", text) if number % 3 else text
        at = text.find("\n", len(text) // 2)
        pages.append(
            text[:at] + sown[number % len(sown)] + text[at:] + ("\nLorem ipsum dolor sit amet." if number % 10 == 0 else "")
        )
    return pages


@pytest.mark.parametrize("recipe", sorted(THEIRS))
def test_the_same_decisions_and_text(recipe: str, documents: list[str]) -> None:
    filters = THEIRS[recipe]()
    pages = documents + as_web_pages(documents)
    ours = judged_by_us(recipe, pages)
    theirs = [judged_by_datatrove(filters, page) for page in pages]
    different = [
        (row, mine[0], their[0]) for row, (mine, their) in enumerate(zip(ours, theirs, strict=True)) if mine[0] != their[0]
    ]
    # Of two phrases that each drop a page, datatrove names the one that comes first in the text.
    assert [case for case in different if set(case[1:]) != {"lorem_ipsum_lines", "curly_bracket_lines"}] == []
    assert [
        row for row, (mine, their) in enumerate(zip(ours, theirs, strict=True)) if not mine[0] and mine[1] != their[1]
    ] == []
    assert 0.02 < sum(not reason for reason, _ in ours) / len(pages) < 0.98


def test_fineweb_rules_see_what_c4_left(documents: list[str]) -> None:
    loose = {"max_curly_bracket_lines": 1_000_000, "max_top_2gram": 9.0, "max_newlines_per_word": 0.05}
    filters = THEIRS["fineweb@1"]()
    filters[0].top_n_grams = ((3, 0.18), (4, 0.16))
    filters[2].filter_curly_bracket = False
    filters[3].new_line_ratio = 0.05
    pages = as_web_pages(documents)
    ours = judged_by_us("fineweb@1", pages, **loose)
    theirs = [judged_by_datatrove(filters, page) for page in pages]
    assert [mine[0] for mine in ours] == [their[0] for their in theirs]
    assert len({reason for reason, _ in ours}) > 8


def test_the_same_character_classes() -> None:
    assert set(TERMINAL) == TERMINAL_PUNCTUATION
    assert SYMBOLS - {"\t", "\n"} == PUNCTUATION_SET


FILTERS: dict[str, tuple[Callable[..., Any], str, Callable[[str], bool]]] = {
    "gopher_quality": (GopherQualityFilter, "gopher@1", lambda name: "gram" not in name and "duplicate" not in name),
    "gopher_repetition": (GopherRepetitionFilter, "gopher@1", lambda name: "gram" in name or "duplicate" in name),
    "c4": (C4QualityFilter, "c4@1", lambda name: True),
    "fineweb": (FineWebQualityFilter, "fineweb@1", list(Thresholds.model_fields)[-4:].__contains__),
}
"""datatrove's filters, a recipe that has their rules, and which of its thresholds are theirs."""


def thresholds_of(name: str) -> Thresholds:
    """The recipe's thresholds that one of the filters has."""
    _, recipe, belongs = FILTERS[name]
    return Thresholds(**{field: value for field, value in RECIPES[recipe] if value is not None and belongs(field)})


def reasons_of_one_filter(name: str, texts: list[str]) -> list[str]:
    thresholds = thresholds_of(name)
    columns = list(dict.fromkeys(rule.column for rule, _ in active(thresholds)))
    scores, _ = measure(pa.array(texts, pa.large_string()), columns, line_rules(thresholds))
    by_name = {column: values.to_numpy() for column, values in zip(columns, scores, strict=True)}
    return [str(reason) for reason in first_failing(by_name, thresholds)]


def disagreements(name: str, texts: list[str]) -> tuple[Counter[tuple[bool, bool]], list[tuple[int, str, str]]]:
    """How often (we, datatrove as it comes) keep a text, and where the two differ: the row and both reasons."""
    theirs = FILTERS[name][0]()
    ours = reasons_of_one_filter(name, texts)
    confusion: Counter[tuple[bool, bool]] = Counter()
    different = []
    for row, (reason, text) in enumerate(zip(ours, texts, strict=True)):
        their, _ = judged_by_datatrove([theirs], text)
        confusion[not reason, not their] += 1
        if bool(reason) != bool(their):
            different.append((row, reason, their))
    return confusion, different


def agree(shared_data: Path, name: str, count: int) -> None:
    """At least 99 % of decisions are the same, and those that are not come from words that spaCy splits otherwise.

    Printed: the confusion, and for each pair of reasons how often it stands for a difference. A statistic of words that is
    within a fraction of a percent of its threshold falls on either side of it: that is the only class there is.
    """
    table = pq.read_table(shared_data / "text" / "bench_text.parquet", columns=["source", "text"])
    table = table.filter(pc.is_in(table["source"], pa.array(["openjdk", "boost", "postgresql"])))
    step = table.num_rows / count
    texts = [text[:30_000] for text in table["text"].take([int(row * step) for row in range(count)]).to_pylist()]
    texts = [text for text in texts if text.strip()]
    texts[1::2] = as_web_pages(texts[1::2])
    confusion, different = disagreements(name, texts)
    with_our_words = FILTERS[name][0](language=SAME)
    unexplained = [
        (row, ours, theirs)
        for row, ours, theirs in different
        if bool(judged_by_datatrove([with_our_words], texts[row])[0]) != bool(ours)
    ]
    share = 1 - len(different) / len(texts)
    print(f"\n{name}: {len(texts)} documents, the same decision on {share:.2%}")
    for (we, they), number in sorted(confusion.items()):
        print(f"  we {'keep' if we else 'drop'}, datatrove {'keeps' if they else 'drops'}: {number}")
    for (ours, theirs), number in Counter(case[1:] for case in different).most_common():
        print(f"  other words: {ours or 'kept'} here, {theirs or 'kept'} there: {number}")
    assert unexplained == []
    assert share >= 0.99


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_decisions_of_datatrove_as_it_comes(shared_data: Path, name: str) -> None:
    pytest.importorskip("spacy", reason="needs spaCy, datatrove's splitter, which is not installed")
    agree(shared_data, name, 150)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", sorted(FILTERS))
def test_decisions_of_datatrove_as_it_comes_on_5000_documents(shared_data: Path, name: str) -> None:
    pytest.importorskip("spacy", reason="needs spaCy, datatrove's splitter, which is not installed")
    agree(shared_data, name, 5_100)


def test_each_filter_has_its_thresholds() -> None:
    found = [rule.setting for name in FILTERS for rule, _ in active(thresholds_of(name))]
    assert sorted(found) == sorted(rule.setting for rule in RULES)
