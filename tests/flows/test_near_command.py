"""`tokenmill near` and the alarm of a source that loses very many documents, on a small corpus."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import pytest
from rich.console import Console

import tokenmill as tm
from tokenmill.flows.build import build
from tokenmill.flows.cli.application import app
from tokenmill.flows.cli.draw import terminal
from tokenmill.flows.cli.draw.near import show
from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.stages.settings import parse

WORDS = ["".join(letters) for letters in itertools.product("abcde", repeat=3)]
KEPT, NEAR = " ".join(WORDS[:60]), " ".join(WORDS[:58])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name, text in {"0": KEPT, "1": NEAR, "2": KEPT, "3": " ".join(WORDS[70:])}.items():
        (source / f"{name}.txt").write_text(text)
    settings = {
        "stages": ["dedup"],
        "collect": {"paths": [str(source)]},
        "dedup": {"alarm_share": 0.4},
        "tokenizer": {"vocabulary": 300},
    }
    root = tmp_path_factory.mktemp("corpora") / "corpus"
    build(parse(settings, where="test"), root)
    return root


def test_the_answer_names_documents_and_what_became_of_them(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text(NEAR)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"nothing like it")))
    app(["near", str(corpus), str(tmp_path / "mine.txt"), "-", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["threshold"], answer["expected_recall"]) == (0.8, 0.976851)
    mine, other = answer["texts"]
    assert other == {"name": "-", "found": []}
    assert [one["similarity"] for one in mine["found"]] == [1.0, 54 / 56, 54 / 56]
    assert mine["found"][0]["reason"] == "near_duplicate"
    assert {one["reason"] for one in mine["found"][1:]} == {None, "exact_duplicate"}
    (kept,) = [one for one in mine["found"] if one["kept"]]
    assert {one["kept_doc_id"] for one in mine["found"] if not one["kept"]} == {kept["doc_id"]}
    drawn = io.StringIO()
    show(["mine.txt", "-"], tm.open(corpus).near([NEAR, "nothing like it"]), Console(file=drawn, width=200))
    assert f"dropped by dedup: near_duplicate of {kept['doc_id']}" in drawn.getvalue()
    assert (
        "no document of similarity 0.8 or more was found; the bands find 97.7 % of the documents of similarity 0.8"
    ) in drawn.getvalue()


def test_a_mistyped_option_is_no_file(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["near", str(corpus), "--tresh", "0.5"])
    assert ended.value.code == 2
    assert "There is no option --tresh" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_what_is_no_text_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"bytes: is not UTF-8 text \(byte 3\)"):
        app(["near", str(corpus), str(tmp_path / "bytes")])


def test_settings_that_were_changed_by_hand_are_refused(corpus: Path) -> None:
    path = corpus / "config.toml"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"threshold = 0.8", b"threshold = 0.7"))
    with pytest.raises(StaleInput, match=r"config\.toml: was changed after the corpus was built"):
        tm.open(corpus)
    path.write_bytes(whole)


def test_status_and_report_name_a_source_that_loses_too_much(corpus: Path) -> None:
    state = tm.open(corpus).status()
    (alarm,) = state.alarms
    assert alarm.startswith("files lost 2 of its 4 documents as duplicates (50.0")
    assert terminal.alarms(state).plain == f"alarm: {alarm}"
    assert "lost 50.0" in (corpus / "report.html").read_text()
