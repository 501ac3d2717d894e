"""Equal means equal: texts that differ are no exact duplicates, and what folds them is a setting that the verdict names."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from tests.kernels import dedup_oracles as oracle
from tests.stages.dedup.test_evidence import replaced
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

MakeCorpus = Callable[..., Work]
OPERATORS = ["+", "-", "*", "/", "%", "**", "//", "&", "|", "^", "<<"]
NUMBERS = list(itertools.islice(itertools.permutations(range(3, 900, 7), 2), 250))
SUMS = [
    f"Question: a mill grinds {a} sacks in the morning and {b} sacks in the evening. How many sacks are ground that day?\n"
    f"Answer: {a} + {b} = {a + b}."
    for a, b in NUMBERS
]
FUNCTIONS = [f"def combine(a, b):\n    return a {operator} b\n" for operator in OPERATORS]
TABLES = [f"| year | tons |\n|---|---|\n| 19{n} | {n * 7} |\n| 20{n} | {n * 11} |\n| 21{n} | {n * 13} |" for n in range(10, 40)]
NOTES = [
    f"Version 1.{n}.0, 2024-{n:02}-01: fixes {n * 3} bugs of version 1.{n - 1}.{n % 4}, needs glibc 2.{n + 20}"
    for n in range(1, 13)
]


def rows(make_corpus: MakeCorpus, texts: list[str], **settings: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The verdicts on texts, and what the check finds wrong with them."""
    work = make_corpus({"a/0": texts})
    made = perform(StageStep(Dedup(config=DedupConfig(**settings), sources=("a",))), work, downstream=()).manifest
    name = "dedup/verdicts/a/0.parquet"
    found = shards.read(work.root, (name, made.shards[0].files[name])).to_pylist()
    return found, list(problems(work.root, made, views(work.root, work.before), most=None))


@pytest.mark.parametrize("texts", [SUMS, FUNCTIONS, TABLES, NOTES], ids=["sums", "functions", "tables", "notes"])
def test_texts_that_differ_in_numbers_or_operators_all_stay(make_corpus: MakeCorpus, texts: list[str]) -> None:
    assert len(set(texts)) == len(texts) > 10
    found, wrong = rows(make_corpus, texts)
    assert [row["reason"] for row in found] == [""] * len(texts)
    assert wrong == []


LONG = "the quick brown fox jumps over the lazy dog and runs away from here"
HEBREW = (
    "\u05d1\u05bc\u05b0\u05e8\u05b5\u05d0\u05e9\u05c1\u05b4\u05d9\u05ea \u05d1\u05b8\u05bc\u05e8\u05b8\u05d0 "
    "\u05d0\u05b1\u05dc\u05b9\u05d4\u05b4\u05d9\u05dd \u05d0\u05b5\u05ea "
    "\u05d4\u05b7\u05e9\u05b8\u05de\u05b7\u05d9\u05b4\u05dd"
)
PAIRS = {
    "white space": (LONG, LONG.replace(" ", "\n\n")),
    "case": (LONG, LONG.title()),
    "punctuation": (LONG, LONG.replace(" ", ", ")),
    "composed": ("caf\u00e9 na\u00efve " + LONG, "cafe\u0301 nai\u0308ve " + LONG),
    "right to left": (HEBREW, HEBREW.replace(" ", "  ")),
    "without spaces": ("\u304c\u65e5\u672c\u8a9e\u306e\u6587\u7ae0", "\u304b\u3099\u65e5\u672c\u8a9e\u306e\u6587\u7ae0"),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_what_the_default_folds_is_near_and_says_so(make_corpus: MakeCorpus, kind: str) -> None:
    found, wrong = rows(make_corpus, list(PAIRS[kind]))
    (removed,) = [row for row in found if row["reason"]]
    assert (removed["reason"], removed["jaccard"]) == ("near_duplicate", 1.0)
    assert removed["compared"] == "5-grams of words, normalised by plain@1"
    assert wrong == []


@pytest.mark.parametrize(
    "pair",
    [
        (LONG, LONG.upper()),
        (HEBREW, "".join(c for c in HEBREW if not oracle.is_mark(c))),
        ("1 2 3 4 5 6 7", "1 2 3 4 5 6 8"),
        ("short", "Short!"),
    ],
)
def test_what_the_default_keeps_apart_stays(make_corpus: MakeCorpus, pair: tuple[str, str]) -> None:
    found, _ = rows(make_corpus, list(pair))
    assert [row["reason"] for row in found] == ["", ""]


@pytest.mark.parametrize(
    ("texts", "settings", "said"),
    [
        (SUMS[:2], {"preset": "fineweb"}, "5-grams of words, normalised by fineweb@1"),
        (SUMS[:2], {"fold_digits": True}, "5-grams of words, normalised by plain@1, digits folded"),
        (FUNCTIONS[:2], {"fold_operators": True}, "5-grams of words, normalised by plain@1, operators folded"),
        ([LONG, LONG.upper()], {"fold_case": True}, "5-grams of words, normalised by plain@1, case folded"),
        (["x\u0301 " + LONG, "x " + LONG], {"fold_marks": True}, "5-grams of words, normalised by plain@1, marks folded"),
        (FUNCTIONS[:2], {"preset": "dolma3"}, "5-grams of words, normalised by dolma3@1"),
    ],
)
def test_a_folded_match_is_near_and_names_what_was_folded(
    make_corpus: MakeCorpus, texts: list[str], settings: dict[str, Any], said: str
) -> None:
    found, wrong = rows(make_corpus, texts, **settings)
    (removed,) = [row for row in found if row["reason"]]
    assert (removed["reason"], removed["jaccard"], removed["compared"]) == ("near_duplicate", 1.0, said)
    assert wrong == []


@pytest.mark.parametrize(
    ("exact", "reasons"),
    [
        ("bytes", ["exact_duplicate", "near_duplicate"]),
        ("white_space", ["exact_duplicate", "exact_duplicate"]),
        ("off", ["near_duplicate", "near_duplicate"]),
    ],
)
def test_one_setting_says_what_is_exact(make_corpus: MakeCorpus, exact: str, reasons: list[str]) -> None:
    wide = LONG.replace(" ", "  ")
    found, wrong = rows(make_corpus, [wide, wide, LONG, "a b", "a b"], exact=exact)
    assert sorted(row["reason"] for row in found[:3] if row["reason"]) == reasons
    # Without n-grams nothing but an exact hash compares a text.
    assert sum(row["reason"] != "" for row in found[3:]) == (exact != "off")
    assert wrong == []


def test_a_verdict_that_calls_different_bytes_exact_is_found(make_corpus: MakeCorpus) -> None:
    texts = [LONG, LONG.replace(" ", "\t")]
    work = make_corpus({"a/0": texts})
    made = perform(StageStep(Dedup(config=DedupConfig(), sources=("a",))), work, downstream=()).manifest
    name = "dedup/verdicts/a/0.parquet"
    table = shards.read(work.root, (name, made.shards[0].files[name]))
    lied = [reason and "exact_duplicate" for reason in table["reason"].to_pylist()]
    entry = shards.write(work.root, name, replaced(table, "reason", lied))
    shard = dataclasses.replace(made.shards[0], files={name: entry})
    made = dataclasses.replace(made, shards=(shard,))
    found = list(problems(work.root, made, views(work.root, work.before)))
    assert any("their bytes differ, the verdict says 1.0" in line for line in found)
    assert any("say that something else was compared" in line for line in found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalise": "nemo@1"}, "keeps white space, so it needs shingle"),
        ({"preset": "nemo", "fold_case": True}, "folds nothing: leave out fold_case"),
        ({"exact": "hash"}, "bytes"),
        ({"normalise": "plain@2"}, "plain@1"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DedupConfig(**settings)
