"""A whole corpus with the stage `personal`: no value is left, everything is counted, and the same bytes come again."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from tests.faults.builds import published
from tests.folders import smallest
from tokenmill.flows.build import build
from tokenmill.pipeline.ask import verify
from tokenmill.pipeline.ask.status import status
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base import manifest, shards
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.export import export
from tokenmill.pipeline.stages.personal.criteria import TOO_MANY, TOO_MUCH
from tokenmill.pipeline.stages.personal.stage import Personal
from tokenmill.tokenizer.encode import of_corpus

MENU = "Home | News | Contact webmaster@example.org\n"
VALUES = (
    "webmaster@example.org",
    *(f"author{number}@example.org" for number in range(8)),
    "93.184.216.34",
    "DE89 3704 0044 0532 0130 00",
    "4111-1111-1111-1111",
    "AKIAIOSFODNN7EXAMPLE",
)
KEEP = {"max_found": 100}


def texts(folder: Path) -> None:
    (folder / "in").mkdir(parents=True)
    for number in range(8):
        (folder / "in" / f"{number}.txt").write_text(
            f"{MENU}Page {number} is by author{number}@example.org, who says: é{number}.\n"
        )
    secrets_of = "\n".join(VALUES[9:])
    (folder / "in" / "9.txt").write_text(
        f"{MENU}One page has all of them, and it does not say so:\n{secrets_of}\nand nothing else.\n"
    )
    (folder / "in" / "plain.txt").write_text("This page names nobody, so it stays as it is.\n")


def settings(folder: Path, stages: tuple[str, ...] = ("personal",), **personal: object) -> Config:
    plain = smallest(folder).collect.model_dump(mode="json") | {"shard_bytes": 1000}
    return smallest(folder, stages=list(stages), personal=personal, collect=plain, repeats={"min_documents": 3})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the input and of the corpus."""
    folder = tmp_path_factory.mktemp("personal")
    texts(folder)
    build(settings(folder, **KEEP), folder / "corpus", workers=2)
    return folder


def exported(root: Path, to: Path) -> str:
    export(open_corpus(root), to, "jsonl", Silent())
    return "".join(path.read_text() for path in sorted(to.rglob("*.jsonl")))


def test_no_value_is_left_and_all_else_is(built: Path, tmp_path: Path) -> None:
    text = exported(built / "corpus", tmp_path / "out")
    assert [value for value in VALUES if value in text] == []
    assert text.count("[EMAIL]") == 17
    assert text.count("[CARD]") == text.count("[IBAN]") == text.count("[IP]") == text.count("[KEY]") == 1
    assert "who says: é5." in text
    assert "This page names nobody, so it stays as it is." in text
    rows = {row.stage: vars(row) for row in status(open_corpus(built / "corpus")).stages}
    assert (rows["personal"]["read"], rows["personal"]["kept"], dict(rows["personal"]["dropped"])) == (10, 10, {})


def test_no_table_of_the_stage_holds_a_value(built: Path) -> None:
    made = manifest.load(built / "corpus", "personal")
    assert not made.config["scoring"]["key"]
    for name, entry in made.entries():
        said = str(shards.read(built / "corpus", (name, entry)).to_pylist())
        assert [value for value in VALUES if value in said] == []


def test_what_is_stored_holds(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(verify.problems(built / "corpus", Silent(), of_corpus)) == []
    monkeypatch.setattr("tokenmill.pipeline.stages.personal.internet._IPV4", re.compile("(?!)"))
    (found,) = verify.problems(built / "corpus", Silent(), of_corpus)
    assert "what its text holds is not what the scores name" in found


@pytest.mark.parametrize(
    ("changes", "reason", "dropped"),
    [
        ({"max_found": 2}, TOO_MANY, 1),
        ({"max_share": 0.0}, TOO_MUCH, 9),
    ],
)
def test_whatif_answers_as_a_build(built: Path, tmp_path: Path, changes: dict[str, float], reason: str, dropped: int) -> None:
    asked = {f"personal.{name}": str(value) for name, value in changes.items()}
    answer = what_if(open_corpus(built / "corpus"), asked, samples=0, seed=0)
    root = tmp_path / "corpus"
    shutil.copytree(built / "corpus", root)
    build(settings(built, **{**KEEP, **changes}), root, workers=1)
    (row,) = [row for row in status(open_corpus(root)).stages if row.stage == "personal"]
    assert answer["documents"] == {"before": 10, "after": row.kept, "unknown": 0}
    assert dict(row.dropped) == {reason: dropped}


def test_other_edits_need_a_build(built: Path) -> None:
    corpus = open_corpus(built / "corpus")
    for asked in ({"personal.email": "remove"}, {"personal.phone": "mask"}, {"personal.replacements": "{ ip = 'x' }"}):
        with pytest.raises(ConfigError, match="personal: these settings need"):
            what_if(corpus, asked, samples=0, seed=0)


def test_one_worker_makes_the_same_bytes(built: Path, tmp_path: Path) -> None:
    build(settings(built, **KEEP), tmp_path / "corpus", workers=1)
    assert published(tmp_path / "corpus") == published(built / "corpus")


@pytest.mark.parametrize("stages", [("repeats", "personal"), ("personal", "repeats")], ids=["last", "first"])
def test_any_order_of_stages(tmp_path: Path, stages: tuple[str, ...]) -> None:
    texts(tmp_path)
    build(settings(tmp_path, stages, email="remove", key="keep"), tmp_path / "1", workers=1)
    text = exported(tmp_path / "1", tmp_path / "out")
    assert [value for value in VALUES if value in text] == ["AKIAIOSFODNN7EXAMPLE"]
    assert "[EMAIL]" not in text
    assert text.count("Home | News") == 1
    assert list(verify.problems(tmp_path / "1", Silent(), of_corpus)) == []
    for row in status(open_corpus(tmp_path / "1")).stages:
        assert row.read == row.kept + sum(row.dropped.values()) + row.quarantined


def test_pseudonyms_are_equal_where_values_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(tmp_path)
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef\n")
    build(settings(tmp_path, key_file=str(key)), tmp_path / "corpus", workers=1)
    text = exported(tmp_path / "corpus", tmp_path / "out")
    named = [part.partition("]")[0] for part in text.split("[EMAIL ")[1:]]
    assert len(named) == 17
    assert len(set(named)) == 9
    assert {len(one) for one in named} == {12}
    made = manifest.load(tmp_path / "corpus", "personal")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "corpus").rglob("*") if path.is_file())
    assert b"0123456789abcdef" not in everything
    assert len(made.config["scoring"]["key"]) == 16
    monkeypatch.setenv("MINE", "0123456789abcdef")
    by_variable = settings(tmp_path, key_env="MINE")
    build(by_variable, tmp_path / "other", workers=1)
    assert exported(tmp_path / "other", tmp_path / "out2") == text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key_file": "nowhere"}, "the key of the file nowhere cannot be read"),
        ({"key_env": "TOKENMILL_NO_SUCH_KEY"}, "the key of the environment variable TOKENMILL_NO_SUCH_KEY cannot be read"),
        ({"key_file": "short"}, "has 5 bytes, at least 16 are needed"),
    ],
)
def test_a_key_that_is_no_key_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], message: str
) -> None:
    texts(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("short")
    with pytest.raises(ConfigError, match=message):
        build(settings(tmp_path, **given), tmp_path / "corpus", workers=1)
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replacements": {"email": ""}}, 'set email = "remove"'),
        ({"replacements": {"email": "{id}"}}, "needs a key"),
        ({"replacements": {"mail": "x"}}, "mail"),
        ({"key_file": "a", "key_env": "b"}, "set one of them"),
        ({"countries": ["xx"]}, "countries"),
        ({"email": "drop"}, 'must be one of "mask", "remove", "keep"'),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **given)


def test_a_key_is_not_shown() -> None:
    stage = Personal(config=settings(Path("x")).personal, key=b"a secret of many bytes")  # type: ignore[attr-defined]
    assert "secret" not in repr(stage)
    assert stage.scoring != dataclasses.replace(stage, key=b"another secret of mine").scoring


def test_the_report_counts_and_shows_no_value(built: Path) -> None:
    page = (built / "corpus" / "report.html").read_text()
    section = page.partition('<section id="personal">')[2].partition("</section>")[0]
    assert "9 documents of 10 (90 %) had personal data" in section
    assert re.search(
        r"e-mail addresses</th><td><code>\[EMAIL\]</code></td><td class=\"n\">17</td><td class=\"n\">9</td>", section
    )
    assert [value for value in VALUES if value in section] == []
    assert "masked: keys and tokens, e-mail addresses" in page
