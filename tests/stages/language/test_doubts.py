"""Which labels are doubted: each rule on scores made by hand, a second model by path, and whole builds."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.ask.judged import built
from tests.command import tokenmill
from tests.stages.language.test_language import ENGLISH, FRENCH, GERMAN, fasttext_model, language, scored
from tokenmill.pipeline.ask import whatif
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages.language.stage import Language

DHIVEHI = 3 * "ދިވެހި ބަހަކީ ދިވެހިރާއްޖޭގެ ރަސްމީ ބަހެވެ. މި ބަހުން ވާހަކަ ދައްކާ މީހުން ވަރަށް ގިނައެވެ. "
BOSNIAN = 3 * "Svako ima pravo na život, slobodu i ličnu sigurnost, i niko ne smije biti držan u ropstvu ili potčinjenosti. "
YIDDISH = 2 * "יעדער מענטש װערט געבױרן פֿרײַ און גלײַך אין כּבֿוד און רעכט. יעדער װערט באַשאָנקן מיט פֿאַרשטאַנד און געװיסן. "


def row(**values: Any) -> dict[str, Any]:
    confident = {"language": "en", "language_score": 0.9, "language_fit": 0.5, "script": "Latn"}
    second = {"second_language": "en", "second_score": 0.9, "second_beyond": False}
    return {**dict.fromkeys(Language.scores.names), **confident, **second, **values}


def decided(stage: Language, *rows: dict[str, Any]) -> list[tuple[str, str, str]]:
    verdicts = stage.decide(pa.RecordBatch.from_pylist(list(rows), schema=Language.scores)).to_pylist()
    return [(one["reason"], one["language"], one["doubt"]) for one in verdicts]


ROWS = {
    "both agree": row(),
    "both agree, odd text": row(language_fit=-9.0),
    "another language, typical text": row(second_language="de"),
    "another language, odd text": row(second_language="de", language_fit=-1.5),
    "another language by a little, odd text": row(second_language="de", second_score=0.3, language_fit=-1.5),
    "silent, odd text": row(second_language="und", second_score=0.0, language_fit=-1.5),
    "a language that the model lacks": row(second_language="sco", second_beyond=True),
    "such a language by a little": row(second_language="sco", second_beyond=True, second_score=0.3),
    "a script of another language": row(script="Thaa"),
    "an unsure label in such a script": row(script="Thaa", language_score=0.4),
    "code": row(language="zxx", second_language="de", language_fit=-9.0),
    "no letters": row(language="und", language_score=0.0, language_fit=None, script="Zyyy", second_language="und"),
    "no fit, another language": row(language_fit=None, second_language="de"),
    "no fit, silent": row(language_fit=None, second_language="und", second_score=0.0),
    "no second opinion": row(second_language=None, second_score=None, second_beyond=None, language_fit=-9.0),
}
SECOND, SCRIPT = "second_language", "script"
DOUBTED = {
    "another language, odd text": SECOND,
    "another language by a little, odd text": SECOND,
    "silent, odd text": SECOND,
    "a language that the model lacks": SECOND,
    "a script of another language": SCRIPT,
    "no fit, another language": SECOND,
}


def test_each_rule() -> None:
    found = dict(zip(ROWS, decided(language(threshold=0.5, second="cld2"), *ROWS.values()), strict=True))
    assert {name: doubt for name, (_, _, doubt) in found.items() if doubt} == DOUBTED
    for name, (reason, label, doubt) in found.items():
        assert reason == ("language_score" if name in ("an unsure label in such a script", "no letters") else "")
        assert label == ("und" if doubt else ROWS[name]["language"])


def test_what_is_dropped_by_what_is_kept() -> None:
    doubted = [ROWS["silent, odd text"], ROWS["a script of another language"], row()]
    assert [reason for reason, _, _ in decided(language(keep=["en"]), *doubted)] == [SECOND, SCRIPT, ""]
    assert [reason for reason, _, _ in decided(language(keep=["de"]), *doubted)] == ["language"] * 3
    assert [reason for reason, _, _ in decided(language(keep=["de", "und"]), *doubted)] == ["", "", "language"]
    assert [reason for reason, _, _ in decided(language(keep=["en", "und"]), *doubted)] == ["", "", ""]


@pytest.mark.parametrize(
    ("settings", "name", "doubt"),
    [
        ({"min_fit": -2}, "silent, odd text", ""),
        ({"min_fit": 100}, "another language, typical text", SECOND),
        ({"min_fit": 100}, "both agree", ""),
        ({"second_threshold": 0.2}, "such a language by a little", SECOND),
        ({"second_threshold": 1}, "a language that the model lacks", ""),
        ({"check_script": False}, "a script of another language", ""),
        ({"close": [["en", "de"]]}, "another language, odd text", ""),
        ({"threshold": 0.3}, "an unsure label in such a script", SCRIPT),
        ({"thresholds": {"en": 0.95}}, "a script of another language", ""),
    ],
)
def test_each_setting(settings: dict[str, Any], name: str, doubt: str) -> None:
    stage = language(second="cld2", **settings)
    assert decided(stage, ROWS[name])[0][2] == doubt
    assert stage.scoring == language(second="cld2").scoring != language().scoring
    assert stage.deciding != language(second="cld2").deciding


def test_close_languages_count_as_the_first() -> None:
    stage = language(close=[["hr", "sr", "bs"]], keep=["sr"], second="cld2")
    rows = [row(language=label, second_language="bs", language_fit=-5.0) for label in ("hr", "sr", "bs")]
    assert decided(stage, *rows) == [("", "hr", "")] * 3


@pytest.mark.parametrize("close", [[["hr"]], [["hr", "sr"], ["sr", "bs"]]])
def test_groups_that_cannot_be_meant(close: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="a group has two languages or more"):
        language(close=close)


def test_a_close_language_that_neither_model_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="no label 'hrv'; the nearest is"):
        language(close=[["hrv", "sr"]]).prepare()


def test_real_texts() -> None:
    stage = language(second="cld2", threshold=0.0)
    stage.prepare()
    texts = [ENGLISH, GERMAN, DHIVEHI, YIDDISH, "", "ENGLISH \x85\x00 " + ENGLISH]
    found = decided(stage, *scored(stage, *texts).to_pylist())
    assert [label for _, label, _ in found] == ["en", "de", "und", "und", "und", "en"]
    dhivehi, yiddish = decided(language(threshold=0.0), *scored(language(), DHIVEHI, YIDDISH).to_pylist())
    assert dhivehi[1:] == ("und", SCRIPT)
    assert yiddish[2] == ""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("fasttext", reason="fastText has no wheel for this Python")
    path = tmp_path / "two.bin"
    path.write_bytes(fasttext_model())
    return path


def test_a_second_model_by_path_with_labels_of_its_own(model: Path) -> None:
    """The recipe for GlotLID and OpenLID, whose labels are `__label__eng_Latn`, and those of py3langid `en`."""
    stage = language(second=str(model))
    stage.prepare()
    texts = scored(stage, ENGLISH, GERMAN, FRENCH)
    assert texts["second_language"].to_pylist()[:2] == ["eng_Latn", "deu_Latn"]
    assert texts["second_beyond"].to_pylist()[:2] == [False, False]
    assert [doubt for _, _, doubt in decided(stage, *texts.to_pylist())[:2]] == ["", ""]
    assert str(model) not in json.dumps(stage.scoring)
    data = model.read_bytes().replace(b"deu_Latn", b"sco_Latn")
    model.write_bytes(data)
    changed = scored(language(second=str(model)), GERMAN)
    assert changed["second_beyond"].to_pylist() == [True]
    assert decided(language(second=str(model)), *changed.to_pylist())[0][1:] == ("und", SECOND)


def test_a_fasttext_model_with_cld2_beside_it(model: Path) -> None:
    stage = language(model=str(model), second="cld2")
    found = scored(stage, ENGLISH, GERMAN, DHIVEHI, "bridges")
    assert found["language_fit"].null_count == 4
    labels = [label for _, label, _ in decided(stage, *found.to_pylist())]
    assert labels[:2] == ["eng_Latn", "deu_Latn"]


def test_a_cut_second_model_is_refused(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-4] + struct.pack("<f", 0.0)[:2])
    with pytest.raises(Exception, match="complete fastText model"):
        language(second=str(model)).prepare()


SETTINGS: dict[str, Any] = {
    "stages": '["language"]',
    "language.second": "cld2",
    "language.keep": '["en", "de", "hbo", "hr", "ko"]',
    "language.threshold": "0.0",
    "tokenizer.vocabulary": "300",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    texts = [ENGLISH, GERMAN, FRENCH, DHIVEHI, YIDDISH, BOSNIAN, "1 + 1", ENGLISH * 4, "zzgr qwrt plmk " * 30 + ENGLISH]
    for number, text in enumerate(texts):
        (folder / f"{number:02}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def corpus(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpora") / "corpus"
    stages = built(source, root, SETTINGS)
    counts = stages["language"]
    assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    assert {"language", "second_language", "script"} == {*counts["dropped"]}
    return root


@pytest.mark.parametrize(
    "changes",
    [
        {"language.min_fit": "100"},
        {"language.min_fit": "-30", "language.second_threshold": "1.0"},
        {"language.check_script": "false", "language.keep": '["ko"]'},
        {"language.close": '[["hr", "sr", "bs"]]'},
        {"language.keep": '["en", "und"]'},
        {"language.keep": "[]", "language.threshold": "0.5"},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_whatif_is_a_rebuild(changes: dict[str, str], corpus: Path, source: Path, tmp_path: Path) -> None:
    answer = whatif.what_if(open_corpus(corpus), changes)
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    real = built(source, root, {**SETTINGS, **changes})
    (after,) = (stage["after"] for stage in answer["stages"])
    assert (after["kept"], after["dropped"]) == (real["language"]["kept"], real["language"]["dropped"])
    assert answer["documents"]["unknown"] == 0


def test_another_second_opinion_needs_a_build(corpus: Path) -> None:
    with pytest.raises(ConfigError, match="another second"):
        whatif.what_if(open_corpus(corpus), {"language.second": "null"})


def test_trace_and_verify(corpus: Path, tmp_path: Path) -> None:
    assert tokenmill("verify", corpus).returncode == 0
    shard = next(iter(open_corpus(corpus).shards))
    from tokenmill.pipeline.base import shards

    table = shards.read(corpus, shard.tables["language", "verdicts"])
    kept = next(one["doc_id"].hex() for one in table.to_pylist() if one["reason"] == "")
    traced = json.loads(tokenmill("trace", corpus, "--doc", kept, "--json").stdout)
    (said,) = (stage for stage in traced["stages"] if stage["stage"] == "language")
    assert said["scores"]["second_language"] == said["scores"]["language"] == said["evidence"]["language"] == "en"
