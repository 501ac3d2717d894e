"""The command line: exit codes, messages without traceback, JSON, and a small corpus from files to sample."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cyclopts import App

from tests.command import tokenmill
from tokenmill.flows.cli.application import app
from tokenmill.flows.cli.commands import COMMANDS, help_text
from tokenmill.flows.cli.options import out
from tokenmill.pipeline.ask.verify import problems
from tokenmill.pipeline.base.progress import Silent
from tokenmill.tokenizer.encode import of_corpus

TOKENMILL = Path(sys.executable).with_name("tokenmill")
SETTINGS = [
    "language.threshold=0",
    "language.keep=[]",
    "quality.recipe=docs@1",
    "tokenizer.vocabulary=400",
    "pack.validation_fraction=0.2",
    "train.steps=4",
    "train.layers=1",
    "train.width=16",
    "train.heads=2",
    "train.context_tokens=32",
    "train.batch_windows=2",
]


def started(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run([TOKENMILL, *arguments], capture_output=True, text=True, timeout=280)


def build_arguments(source: Path, out: Path, *more: str) -> list[str | Path]:
    settings = [f"collect.paths={source}", *SETTINGS]
    return ["build", "text", "--out", out, "--no-prefect", "--workers", "1", *more, *(f"--set={pair}" for pair in settings)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    chosen = random.Random(0)
    words = ["the", "of", "and", "that", "corpus", "token", "shard", "model", "writes", "reads", "every", "name"]
    for number in range(30):
        lines = [" ".join(chosen.choices(words, k=12)) + "." for _ in range(12)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    (folder / "same.txt").write_bytes((folder / "0.txt").read_bytes())
    return folder


@pytest.fixture(scope="module")
def corpus(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "corpus"
    done = tokenmill(*build_arguments(source, folder))
    assert done.returncode == 0, done.stderr
    assert "31" in done.stdout
    assert "exact_duplicate 1" in done.stdout
    assert "report.html" in done.stdout
    return folder


def test_status_as_json_conserves_rows(corpus: Path) -> None:
    state = json.loads(tokenmill("status", corpus, "--json").stdout)
    stages = {stage["stage"]: stage for stage in state["stages"]}
    assert list(stages) == ["collect", "language", "dedup", "quality", "pack"]
    for stage in stages.values():
        assert stage["read"] == stage["kept"] + sum(stage["dropped"].values()) + stage["quarantined"]
        assert stage["seconds"] is not None
        assert stage["recomputed_shards"] >= 1
    assert stages["collect"]["read"] == 31
    assert stages["dedup"]["dropped"] == {"exact_duplicate": 1}
    assert state["documents"] == stages["pack"]["kept"] > 0
    assert state["tokens"] > state["documents"]
    assert state["vocabulary"] <= 400


def test_a_second_build_computes_nothing(corpus: Path, source: Path) -> None:
    done = tokenmill(*build_arguments(source, corpus))
    assert done.returncode == 0, done.stderr
    assert "nothing was computed" in done.stdout


def test_a_dry_run_says_what_it_would_do_and_makes_nothing(corpus: Path, source: Path, tmp_path: Path) -> None:
    done = tokenmill(*build_arguments(source, tmp_path / "new", "--dry-run"))
    assert done.returncode == 0, done.stderr
    assert "collect" in done.stdout
    assert not (tmp_path / "new").exists()
    done = tokenmill(*build_arguments(source, corpus, "--dry-run"))
    assert "up to date" in done.stdout


def test_verify_names_a_flipped_file(corpus: Path) -> None:
    assert tokenmill("verify", corpus).returncode == 0
    path = corpus / "config.toml"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"seed = 0", b"seed = 1"))
    done = tokenmill("verify", corpus)
    path.write_bytes(whole)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert str(path) in done.stderr


def test_a_flipped_bit_and_a_cut_are_found_in_every_published_file(corpus: Path) -> None:
    chosen = random.Random(1)
    named = [path for path in sorted(corpus.rglob("*")) if path.is_file() and published(path.relative_to(corpus))]
    assert len(named) > 20
    for path in named:
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[chosen.randrange(len(whole))] ^= 1 << chosen.randrange(8)
        for damaged in (bytes(flipped), whole[:-1]):
            path.write_bytes(damaged)
            found = list(problems(corpus, Silent(), of_corpus))
            path.write_bytes(whole)
            assert any(str(path) in problem for problem in found), path
    assert list(problems(corpus, Silent(), of_corpus)) == []


def published(path: Path) -> bool:
    return not path.parts[0].startswith(".") and path.parts[0] not in ("runs", "export", "model")


def test_export_holds_the_surviving_text(corpus: Path, tmp_path: Path) -> None:
    kept = json.loads(tokenmill("status", corpus, "--json").stdout)["documents"]
    for to in ("jsonl", "parquet"):
        assert tokenmill("export", corpus, "--to", to, "--out", tmp_path / to).returncode == 0
    lines = [line for path in sorted((tmp_path / "jsonl").rglob("*.jsonl")) for line in path.read_text().split("\n") if line]
    rows = [json.loads(line) for line in lines]
    assert len(rows) == kept
    assert {len(row["doc_id"]) for row in rows} == {32}
    from datasets import load_dataset

    table = load_dataset("parquet", data_dir=str(tmp_path / "parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(table["text"]) == sorted(row["text"] for row in rows)


def test_export_as_a_data_set_with_a_card(corpus: Path, tmp_path: Path) -> None:
    assert tokenmill("export", corpus, "--to", "huggingface", "--out", tmp_path / "set", "--licence", "odc-by").returncode == 0
    from datasets import load_dataset

    table = load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    card = (tmp_path / "set" / "README.md").read_text()
    quality = next(line for line in card.split("\n") if line.startswith("| quality |"))
    assert quality.split(" | ")[2] == str(len(table))
    for line in ('license: "odc-by"', "- **dedup**: ", "quality.deciding.thresholds.min_words = 50", "exact_duplicate 1"):
        assert line in card, line
    assert str(corpus.parent) not in card
    assert set(table["language"]) == {"en"}
    assert f"| en | {len(table)} |" in card


def test_a_second_export_replaces_the_first_and_nothing_else(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "texts"
    assert tokenmill("export", corpus, "--to", "jsonl", "--out", out).returncode == 0
    assert tokenmill("export", corpus, "--to", "parquet", "--out", out).returncode == 0
    assert not list(out.rglob("*.jsonl"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    done = tokenmill("export", corpus, "--to", "jsonl", "--out", tmp_path / "mine")
    assert (done.returncode, "holds no export" in done.stderr) == (1, True)


def test_a_folder_with_other_files_is_refused_and_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "mine.txt").write_text("mine")
    done = tokenmill(*build_arguments(source, tmp_path))
    assert (done.returncode, "holds no corpus" in done.stderr) == (1, True)
    assert [path.name for path in tmp_path.rglob("*")] == ["documents", "mine.txt"]


def test_status_does_not_pass_over_a_damaged_manifest(corpus: Path) -> None:
    path = corpus / "quality" / "manifest.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"kept":', b'"kept": ', 1))
    done = tokenmill("status", corpus)
    path.write_bytes(whole)
    assert (done.returncode, str(path) in done.stderr) == (1, True)


def test_settings_at_fault_are_said_before_any_work(source: Path, tmp_path: Path) -> None:
    for setting, message in {
        "quality.recipe=gofer@1": "gopher@1",
        "language.model=/nowhere": "/nowhere",
        "tokenizer.path=/nowhere": "/nowhere",
        "collect.paths=https://user:s3cret@host/x": "user",
    }.items():
        done = tokenmill(*build_arguments(source, tmp_path / "out"), f"--set={setting}")
        assert (done.returncode, message in done.stderr, "s3cret" in done.stderr) == (1, True, False), done.stderr
        assert not (tmp_path / "out" / "documents").exists()


def test_train_and_sample(corpus: Path) -> None:
    done = tokenmill("train", corpus)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"curves, samples and settings: {corpus}/model/training.html"
    assert "<h1>" in (corpus / "model/training.html").read_text()
    done = tokenmill("sample", corpus, "the corpus", "--tokens", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the corpus")


@pytest.mark.soak
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_training_with_a_checkpoint(corpus: Path, number: signal.Signals, code: int) -> None:
    command = [TOKENMILL, "train", corpus, "--restart", "--set=train.steps=1000000", "--set=train.checkpoint_every=1000000"]
    log = corpus / "model/log.jsonl"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not log.exists() or not any('"loss"' in line for line in log.read_text().splitlines()[-1:]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == code, errors
    stopped = re.search(r"stopped after step (\d+); run the same command again to continue", errors)
    assert stopped, errors
    assert (corpus / f"model/checkpoints/step-{int(stopped[1]):08d}.json").exists()
    assert tokenmill("sample", corpus, "the", "--tokens", "3", "--top-p", "0.9", "--stop", "zz").returncode == 0


def test_the_report_opens_in_a_browser(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) is None)
    done = tokenmill("report", corpus, "--open")
    assert (done.returncode, opened) == (0, [(corpus / "report.html").as_uri()])
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    done = tokenmill("report", corpus, "--open")
    assert done.returncode == 1
    assert "there is no browser" in done.stderr


def test_a_schedule_at_fault_names_its_build(tmp_path: Path) -> None:
    path = tmp_path / "schedules.toml"
    build = '[[build]]\nname = "nightly"\nconfig = "docs"\nout = "x"\ncron = "0 3 * * *"\n'
    path.write_text(build + 'settings = { "dedup.threshold" = 2 }\n')
    done = tokenmill("serve", path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"{path}: build 'nightly': --set dedup.threshold=2" in done.stderr


def unread(*arguments: str | Path) -> tuple[int, str]:
    """The exit code and the errors of a command whose output nobody reads."""
    process = subprocess.Popen([TOKENMILL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    errors = process.communicate(timeout=280)[1]
    return process.returncode, errors


def test_the_work_goes_on_when_nobody_reads_its_output(source: Path, tmp_path: Path) -> None:
    assert unread(*build_arguments(source, tmp_path / "corpus", "--set=stages=[]")) == (0, "")
    assert (tmp_path / "corpus" / "report.html").is_file()
    assert list(problems(tmp_path / "corpus", Silent(), of_corpus)) == []
    assert unread("--help") == (0, "")
    assert unread("status", "nowhere")[0] == 1


def test_each_command_may_lose_its_reader(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in (["status", corpus], ["status", corpus, "--json"], ["report", corpus], ["config", "show", "docs"]):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w") as nobody, contextlib.redirect_stdout(nobody):
            app(list(map(str, command)))
            out.print("What comes later is lost with what went before.")
    assert capfd.readouterr() == ("", "")


INTERRUPTED = """
import os, signal
import tokenmill.flows.cli.application

class TerminationSignal(BaseException):
    pass

def of_its_own(number, frame):
    raise TerminationSignal

def app():
    if {own_handler}:
        signal.signal(signal.SIGTERM, of_its_own)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    except BaseException as error:
        raise RuntimeError("the run crashed") from error

tokenmill.flows.cli.application.app = app
tokenmill.flows.cli.main()
"""


@pytest.mark.parametrize("own_handler", [False, True])
def test_an_interrupt_is_one_whatever_a_library_makes_of_it(own_handler: bool) -> None:
    program = INTERRUPTED.format(own_handler=own_handler)
    done = subprocess.run([sys.executable, "-c", program, "status"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted; finished work is kept")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status", "nowhere"], 1, "holds no corpus"),
        (["verify", "nowhere"], 1, "run the build first"),
        (["sample", "nowhere"], 1, "nowhere"),
        (["build", "dosc"], 1, "did you mean docs?"),
        (["build", "text", "--set", "collect.pathz=x"], 1, "--set collect.pathz=x: unknown setting"),
        (["build", "text", "--set", "collect.paths=nowhere", "--no-prefect", "--out", "never"], 1, "nowhere"),
        (["build", "text", "--set", "nonsense"], 1, "section.key=value"),
        (["build"], 2, "CONFIG"),
        (["buidl"], 2, 'Did you mean "build"?'),
        (["build", "docs", "--workers", "0"], 2, "--workers"),
        (["export", "x", "--to", "xml"], 2, "--to"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = tokenmill(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [(["--version"], 0, ""), (["status", "nowhere"], 1, "holds no corpus"), (["buidl"], 2, 'Did you mean "build"?')],
)
def test_a_process_of_its_own_ends_alike(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done, here = started(*arguments), tokenmill(*arguments)
    assert done.returncode == code
    assert (done.returncode, done.stdout) == (here.returncode, here.stdout)
    assert "Traceback" not in done.stderr
    assert message in done.stderr
    assert message in here.stderr


def test_the_table_of_commands_is_that_of_the_application() -> None:
    listed = {entry.name: entry for entries in COMMANDS.values() for entry in entries}
    assert set(listed) == {name for name in app if not name.startswith("-")}
    for name, entry in listed.items():
        module, _, attribute = entry.home.partition(":")
        command = getattr(importlib.import_module(f"tokenmill.flows.cli.{module}"), attribute)
        assert command.__doc__ if callable(command) and not isinstance(command, App) else command.help, name
        assert f"  {name} " in help_text()
