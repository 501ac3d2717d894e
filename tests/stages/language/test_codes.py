"""Labels of models that mean one language, and the scripts of languages."""

from __future__ import annotations

import pytest

from tokenmill.pipeline.kernels.language import scripts
from tokenmill.pipeline.stages.language import codes
from tokenmill.pipeline.stages.language.cld2 import load
from tokenmill.pipeline.stages.language.codes import can_be_written, group_of, language_of, same, script_in


@pytest.mark.parametrize(
    ("label", "language", "script"),
    [
        ("en", "en", None),
        ("__label__en", "en", None),
        ("eng_Latn", "en", "Latn"),
        ("__label__eng_Latn", "en", "Latn"),
        ("zho_Hans", "zh", "Hani"),
        ("zh-Hant", "zh", "Hani"),
        ("cmn_Hani", "cmn", "Hani"),
        ("srp_Cyrl", "sr", "Cyrl"),
        ("sr-ME", "sr", None),
        ("ekk_Latn", "ekk", "Latn"),
        ("iw", "he", None),
        ("fil_Latn", "tl", "Latn"),
        ("jpn_Jpan", "ja", "Jpan"),
        ("und_Mong", "und", "Mong"),
        ("ceb", "ceb", None),
        ("", "", None),
    ],
)
def test_language_and_script_of_a_label(label: str, language: str, script: str | None) -> None:
    assert (language_of(label), script_in(label)) == (language, script)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("en", "eng_Latn", True),
        ("zh", "yue_Hant", True),
        ("cmn_Hani", "zh-Hant", True),
        ("yue", "wuu", False),
        ("no", "nob_Latn", True),
        ("no", "nn", True),
        ("nob_Latn", "nno_Latn", False),
        ("sr", "hr", False),
        ("sh", "hr", True),
        ("id", "ms", False),
        ("zsm_Latn", "ms", True),
        ("et", "ekk_Latn", True),
        ("sq", "als_Latn", True),
        ("fa", "prs_Arab", True),
        ("gn", "gug", True),
        ("bh", "bho", True),
        ("en", "und", False),
    ],
)
def test_what_agrees(a: str, b: str, expected: bool) -> None:
    assert same(a, b) is same(b, a) is expected


def test_close_languages_agree_on_request() -> None:
    close = (("hr", "sr", "bs"), ("id", "ms"))
    assert same("srp_Cyrl", "hr", close)
    assert same("zsm_Latn", "ind_Latn", close)
    assert not same("hr", "id", close)
    assert group_of("srp_Cyrl", close) == close[0]
    assert group_of("en", close) == ("en",)


@pytest.mark.parametrize(
    ("label", "script", "expected"),
    [
        ("ko", "Thaa", False),
        ("dv", "Thaa", True),
        ("div_Thaa", "Thaa", True),
        ("am", "Mong", False),
        ("ja", "Hani", True),
        ("jpn_Jpan", "Hani", True),
        ("kor_Hang", "Hani", True),
        ("zho_Hant", "Jpan", False),
        ("en", "Cyrl", True),  # Cyrillic has too many languages to list
        ("eng_Latn", "Cyrl", False),
        ("en", "Latn", True),
        ("en", "Zyyy", True),
        ("zxx", "Tfng", False),
        ("en", "Zzzz", False),
    ],
)
def test_what_is_written_in_a_script(label: str, script: str, expected: bool) -> None:
    assert can_be_written(label, script) is expected


def test_the_tables_are_whole() -> None:
    assert len(codes.TWO_LETTERS) == 184
    assert "cmn" in codes.MEMBERS["zh"]
    assert "id" not in codes.MEMBERS["ms"]
    assert {*codes.WRITTEN, *codes.MANY} <= {*scripts.CODES}
    assert {*scripts.CODES} - {*codes.WRITTEN, *codes.MANY} <= {"Bamu", "Batk", "Bopo", "Cham", "Dsrt", "Gran", "Hmng", "Hmnp",
        "Kali", "Ogam", "Osge", "Plrd", "Rjng", "Runr", "Samr", "Saur", "Sylo", "Tirh", "Wara", "Zzzz"}  # fmt: skip
    labels = load().labels
    assert len(labels) > 150
    assert not {"iw", "jw", "un"} & {*labels}
    assert all(language_of(label) for label in labels)
