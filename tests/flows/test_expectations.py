"""What a corpus is expected to be: how it is written, how a build ends that misses it, and where it is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tokenmill as tm
from tests.command import tokenmill
from tests.folders import twin
from tests.report.pages import Page
from tokenmill.flows.plan import up_to_date
from tokenmill.pipeline.ask import expectations
from tokenmill.pipeline.ask.expectations import Expectation, spelled
from tokenmill.pipeline.base import versions
from tokenmill.pipeline.base.errors import ConfigError, ExpectationMissed
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages.settings import parse, to_toml

LETTERS = "The keeper of the light wrote a letter to the harbour, and the ship that was to take it went down in the storm."
BRIEFE = "Der Wärter des Leuchtturms schrieb einen Brief an den Hafen, und das Schiff, das ihn bringen sollte, ging unter."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two sources, in `home / "corpus"`: 4 English and 2 German texts in my.web, 2 English and 2 empty in books."""
    home = tmp_path_factory.mktemp("expected")
    texts = {
        "my.web": [f"{LETTERS} Number {one}." for one in range(4)] + [f"{BRIEFE} Nummer {one}." for one in range(2)],
        "books": [f"{LETTERS} Chapter {one}." for one in range(2)] + ["", ""],
    }
    for source, of_source in texts.items():
        (home / source).mkdir()
        for number, text in enumerate(of_source):
            (home / source / f"{number}.txt").write_text(text)
    (home / "mine.toml").write_text(to_toml(config(home)))
    tm.build(home / "mine.toml", home / "corpus", workers=1, progress=False)
    return home


def config(home: Path, **expect: Any) -> Config:
    sources = [{"kind": "files", "name": name, "paths": [str(home / name)]} for name in ("my.web", "books")]
    plain = {
        "stages": ["language"],
        "collect": {"sources": sources},
        "tokenizer": {"vocabulary": 300},
        "pack": {"validation_fraction": 0},
        "expect": expect,
    }
    return parse(plain, where="mine.toml")


@pytest.fixture
def corpus(home: Path, tmp_path: Path) -> Path:
    return twin(home / "corpus", tmp_path / "corpus")


def test_the_values_are_those_of_the_corpus(home: Path) -> None:
    corpus = tm.open(home / "corpus")
    tokens = corpus.status().tokens
    size = sum(len(text.encode()) for text in corpus.texts().read_all()["text"].to_pylist())
    wanted = {
        "kept_share": 0.8,
        "quarantined": 0,
        "documents": 8,
        "text_bytes": size,
        "tokens": tokens,
        "bytes_per_token": size / tokens,
        "language.en": 6 / 8,
        "language.de": 2 / 8,
        "language.tlh": 0,
        "source.my.web.kept_share": 1,
        "source.my.web.language.de": 2 / 6,
        "source.books.documents": 2,
        "source.books.kept_share": 0.5,
        "source.books.language.de": 0,
    }
    found = expectations.compare(open_corpus(home / "corpus"), config(home, **dict.fromkeys(wanted, ">= 0")).expect)
    assert {one.metric: one.value for one in found} == pytest.approx(wanted)
    assert all(one.met for one in found)


def test_what_a_limit_left_out_does_not_count_as_lost(home: Path, tmp_path: Path) -> None:
    settings = {"collect.max_documents": 5, "expect.kept_share": "== 1", "expect.documents": "== 5"}
    sources = [{"kind": "files", "name": "my.web", "paths": [str(home / "my.web")]}]
    plain = {**config(home).model_dump(), "collect": {"sources": sources}, "expect": {}}
    built = tm.build(_written(home / "five.toml", plain), tmp_path / "five", settings, workers=1, progress=False)
    assert built.funnel()[0].dropped == {"over_cap": 1}
    assert built.status().expected[0].missed == 0


def test_a_share_of_no_documents_meets_nothing(home: Path) -> None:
    shutil.copytree(home / "books", home / "nothing")
    for number in range(2):
        (home / "nothing" / f"{number}.txt").unlink()
    sources = [
        {"kind": "files", "name": name, "paths": [str(home / path)]} for name, path in (("books", "books"), ("no", "nothing"))
    ]
    expect = {"source.no.language.en": ">= 0", "source.no.kept_share": "<= 0", "source.no.bytes_per_token": "< 100"}
    plain = config(home).model_dump() | {"collect": {"sources": sources}, "expect": expect}
    built = tm.build(_written(home / "no.toml", plain), home / "no", {"expect.on_miss": "warn"}, workers=1, progress=False)
    (run,) = built.status().expected
    assert {one.metric: (one.value, one.met) for one in run.expectations} == {
        "source.no.kept_share": (0, True),
        "source.no.bytes_per_token": (None, False),
        "source.no.language.en": (None, False),
    }
    assert "not there (no documents)" in spelled(run.expectations[1])


def _written(path: Path, plain: dict[str, Any]) -> Path:
    path.write_text(to_toml(parse(plain, where="a test"), whole=True))
    return path


def test_expectations_change_no_byte_and_stand_in_no_published_file(home: Path, corpus: Path) -> None:
    asked = config(home, kept_share=">= 0.123456", **{"source.my.web.tokens": ">= 7654321", "on_miss": "warn"})
    assert up_to_date(asked, corpus)
    assert to_toml(asked) == to_toml(config(home))
    assert parse(json.loads(json.dumps(tm.open(corpus).settings)), where="a test").expect == config(home).expect
    before = {name: (corpus / name).read_bytes() for name in versions.names_in(corpus)}
    tm.build(_written(home / "asked.toml", asked.model_dump()), corpus, workers=1, progress=False, replace=True)
    assert {name: (corpus / name).read_bytes() for name in versions.names_in(corpus)} == before
    assert {"config.toml", "report.html", "manifest.json", "tokens/manifest.json"} < before.keys()
    assert {path.parent.name for path in corpus.rglob("*") if path.is_file() and b"7654321" in path.read_bytes()} == {"runs"}
    assert ">= 7654321" in to_toml(asked, whole=True)
    assert parse({**asked.model_dump()}, where="a test") == asked


def test_a_build_that_misses_one_is_published_and_ends_with_1(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    asked = ("--set", "expect.kept_share=>= 0.9", "--set", "expect.documents=== 8", "--out", root, "--workers", "1")
    done = tokenmill("build", home / "mine.toml", *asked, "--no-prefect")
    assert done.returncode == 1
    assert "8 documents" in done.stdout, "the summary"
    assert "misses 1 of 2 expectations" in done.stderr
    assert "kept_share >= 0.9: it is 0.8" in done.stderr
    assert "documents ==" not in done.stderr
    assert tm.open(root).status().documents == 8

    again = tokenmill("build", home / "mine.toml", *asked)
    assert (again.returncode, "Everything is up to date" in again.stdout) == (1, True)
    assert len(list((root / "runs").glob("*.json"))) == 1, "the same answer is not recorded twice"

    warned = tokenmill("build", home / "mine.toml", *asked, "--set", "expect.on_miss=warn")
    assert (warned.returncode, warned.stderr) == (0, "")
    assert "warning: " in warned.stdout
    met = tokenmill("build", home / "mine.toml", *asked, "--set", "expect.kept_share=>= 0.5")
    assert met.returncode == 0
    assert "2 met, 0 missed" in met.stdout

    page = root / "runs" / "report.html"
    assert f"report: {page}" in met.stdout
    assert "All 2 expectations are met" in Page(page.read_text()).words
    assert "0.8 (missed)" in Page(page.read_text()).words
    section = page.read_text().index('<section id="expectations">')
    assert "expectations</h2>" not in (root / "report.html").read_text().lower()
    assert page.read_text()[:section] == (root / "report.html").read_text()[:section]

    status = tokenmill("status", root)
    assert "0.8 (missed)" in status.stdout, "what an earlier run found"
    answer = json.loads(tokenmill("status", root, "--json").stdout)
    assert [[one["met"] for one in run["expectations"]] for run in answer["expected"]] == [[True, True], [False, True]]
    assert answer["stages"][0]["seconds"] is not None, "a record without steps hides no seconds"


def test_the_report_of_a_run_shows_hostile_names_as_text_and_goes_with_its_corpus(home: Path, corpus: Path) -> None:
    label = "<script>alert(1)</script>\x1b[31m\u202e"
    tm.build(home / "mine.toml", corpus, {f"expect.language.{label}": "<= 1"}, workers=1, progress=False)
    page = corpus / "runs" / "report.html"
    assert tm.open(corpus).report == page
    assert label not in page.read_text()
    assert "<script>alert" in Page(page.read_text()).words
    status = tokenmill("status", corpus)
    assert not {"\x1b", "\u202e"} & set(status.stdout)
    tm.open(corpus).forget(sources=["books"])
    tm.open(corpus).compact()
    assert tm.open(corpus).report == corpus / "report.html", "the corpus is another one now"
    tm.build(home / "mine.toml", corpus, workers=1, progress=False)
    assert not page.exists()


def test_in_python_a_miss_is_raised_after_publishing(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ExpectationMissed, match="tokens > 10_000"):
        tm.build(home / "mine.toml", tmp_path / "corpus", {"expect.tokens": "> 10_000"}, workers=1, progress=False)
    (run,) = tm.open(tmp_path / "corpus").status().expected
    assert run.missed == 1


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ({"kept_shar": ">= 0.2"}, "unknown setting expect.kept_shar; did you mean kept_share?"),
        ({"source.books.toknes": ">= 1"}, "unknown setting expect.source.books.toknes; did you mean tokens?"),
        ({"source": {"books": {"toknes": ">= 1"}}}, "did you mean tokens?"),
        ({"source.boks.tokens": ">= 1"}, "there is no source 'boks'; did you mean books?"),
        ({"source": {"my": {"wb": {"tokens": ">= 1"}}}}, "did you mean my.web?"),
        ({"kept_share": 0.2}, 'write a comparison in quotes, such as ">= 0.2"'),
        ({"kept_share": "0.2"}, "write a comparison with a number"),
        ({"kept_share": ">= 20"}, "is a share, so compare it with a number from 0 to 1 (given: '>= 20')"),
        ({"tokens": ">= nan"}, "write a comparison"),
        ({"tokens": ">= 1e999"}, "write a comparison"),
        ({"tokens": ">= " + "1" * 100_000 + "x"}, "write a comparison"),
        ({"tokens": ""}, "write a comparison"),
        ({"tokens": True}, 'such as ">= 0.2"'),
        ({"kept_share": float("nan")}, 'such as ">= 0.2"'),
        ({"kept_share": ">= 20 %"}, 'a number from 0 to 1, such as ">= 0.2" for 20 %'),
        ({"source.books.x": ">= 1"}, "known here: bytes_per_token, documents, kept_share"),
        ({"source.books": ">= 1"}, "source.books is a section; set one of its settings, for example source.books.kept_share"),
        ({"on_miss": "stop"}, "expect.on_miss"),
        ({"language": ">= 0.9"}, "expect.language"),
        ({"language": {"en": ">= 0.1"}, "language.en": ">= 0.2"}, "language.en is given twice"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(expect: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, **expect)
    assert message in str(caught.value)


def test_labels_need_the_stage_that_gives_them(tmp_path: Path) -> None:
    plain = {**config(tmp_path).model_dump(), "stages": [], "expect": {"language.en": ">= 0.9"}}
    with pytest.raises(ConfigError, match="only the stage `language` gives labels"):
        parse(plain, where="a test")


@pytest.mark.parametrize(
    ("wanted", "value", "met", "shown"),
    [
        (">= 0.2", 0.2, True, "0.2"),
        (">= 0.2", 0.1999999, False, "0.1999999"),
        ("<= 0.001", 0.00100001, False, "0.00100001"),
        ("> 1_000", 1000.0, False, "1,000"),
        (">= 1e6, < 2e6", 1_500_000.0, True, "1,500,000"),
        ("== 3", 3.0, True, "3"),
        (">= 0", None, False, "not there (no documents)"),
    ],
)
def test_a_value_is_never_rounded_to_the_bound_that_it_misses(wanted: str, value: float | None, met: bool, shown: str) -> None:
    assert expectations.is_met(wanted, value) == met
    assert spelled(Expectation(metric="m", wanted=wanted, value=value, met=met)) == shown


def test_records_that_are_broken_or_of_others_are_no_history(corpus: Path) -> None:
    one = '{"metric": "tokens", "wanted": %s, "value": %s, "met": true}'
    texts = {
        "9-bad": "{",
        "9-list": "[]",
        "9-none": "{}",
        "9-number": '{"expectations": 7}',
        "9-other": '{"expectations": [{"metric": 1}]}',
        "9-nan": f'{{"expectations": [{one % (chr(34) + ">= 1" + chr(34), "NaN")}]}}',
        "9-wanted": f'{{"expectations": [{one % (chr(34) + "much" + chr(34), "1")}]}}',
        "9-\x1b[31m": f'{{"expectations": [{one % ("[]", "1")}]}}',
    }
    for name, text in texts.items():
        (corpus / "runs" / f"{name}.json").write_text(text)
    assert tm.open(corpus).status().expected == ()
    assert tm.open(corpus).funnel()[0].seconds is not None
