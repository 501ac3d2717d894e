"""`train` and `chat` as a user meets them: stopped, on a full disk, with damaged files, over a pipe and at a terminal."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import tokenmill
from tests.folders import smallest, twin
from tests.threads import one_thread  # noqa: F401 -- a fixture
from tokenmill.flows import build as builds

TOKENMILL = Path(sys.executable).with_name("tokenmill")
TRAIN = {
    "layers": 1,
    "width": 8,
    "heads": 1,
    "context_tokens": 16,
    "batch_windows": 2,
    "steps": 12,
    "checkpoint_every": 4,
    "evaluate_every": 12,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrained")
    (folder / "in").mkdir()
    for number in range(20):
        letters = "".join(chr(97 + number * k % 26) for k in range(300))
        (folder / "in" / f"{number}.txt").write_text(f"Text {number} of a small corpus: {letters}")
    config = smallest(folder, pack={"validation_fraction": 0.2}, train=TRAIN)
    return builds.build(config, folder / "corpus", workers=1).root


@pytest.fixture
def corpus(untrained: Path, tmp_path: Path) -> Path:
    return twin(untrained, tmp_path / "corpus")


def published(root: Path) -> dict[str, bytes]:
    """Everything below `model` but the log and its page, which are a history."""
    return {
        path.name: path.read_bytes()
        for path in (root / "model").rglob("*")
        if path.is_file() and path.name not in ("log.jsonl", "training.html", ".lock")
    }


def updates(root: Path) -> int:
    """The last update in the log that is whole."""
    try:
        lines = (root / "model/log.jsonl").read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return 0
    return max((json.loads(line)["step"] for line in lines if b'"loss"' in line), default=0)


def stopped(root: Path, at: int, send: Callable[[subprocess.Popen[str]], None], *more: str) -> tuple[int, str]:
    """Run `train` until update `at` is in the log, then `send`. Returns the exit code and what was said of the end."""
    command = [TOKENMILL, "train", root, *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while updates(root) < at:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    send(process)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_signals_at_twenty_steps_lose_no_update_and_leave_nothing_behind(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    length = ["--set=train.steps=300", "--set=train.checkpoint_every=100000", "--set=train.evaluate_every=90"]
    whole = twin(untrained, tmp_path / "whole")
    subprocess.run([TOKENMILL, "train", whole, *length], check=True, stdout=subprocess.DEVNULL)
    expected = published(whole)
    chosen = random.Random(0)
    for number in range(20):
        root = twin(untrained, tmp_path / str(number))
        which = chosen.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        pause = 0.03 * chosen.random()

        def send(process: subprocess.Popen[str], which: int = which, pause: float = pause) -> None:
            time.sleep(pause)
            process.send_signal(which)

        at = chosen.randrange(1, 180)  # a busy machine needs the steps that are left to see this one, and to send the signal
        code, errors = stopped(root, at, send, *length)
        assert code == 128 + which, errors
        found = re.fullmatch(r"stopped after step (\d+); run the same command again to continue\n", errors)
        assert found, errors
        assert int(found[1]) >= at
        assert [path.name for path in (root / "model/checkpoints").glob("*.json")] == [f"step-{int(found[1]):08d}.json"]
        assert (root / "model/.lock").read_bytes() == b""
        assert not [path for path in root.rglob("*") if "~" in path.name]
        subprocess.run([TOKENMILL, "train", root, *length], check=True, stdout=subprocess.DEVNULL)
        ours = published(root)
        assert {name: ours[name] for name in expected} == expected
        shutil.rmtree(root)


@pytest.mark.soak
def test_a_closed_terminal_ends_a_training_with_a_checkpoint(corpus: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execv(TOKENMILL, [str(TOKENMILL), "train", str(corpus), "--set=train.steps=1000000"])
    deadline = time.monotonic() + 120
    os.set_blocking(terminal, False)
    while updates(corpus) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        try:
            os.read(terminal, 65536)
        except BlockingIOError:
            continue
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
    last = max(path.name for path in (corpus / "model/checkpoints").glob("*.json"))
    assert last >= "step-00000020.json"


def test_where_no_checkpoint_is_whole_restart_is_the_way_out(corpus: Path) -> None:
    assert tokenmill("train", corpus).returncode == 0
    expected = published(corpus)
    damaged = sorted((corpus / "model/checkpoints").glob("*.weights.safetensors"))
    assert len(damaged) == 2
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    for command in (["train"], ["sample"], ["chat"]):
        done = tokenmill(*command, corpus)
        assert done.returncode == 1
        assert "no checkpoint is whole; begin anew with `tokenmill train --restart`" in " ".join(done.stderr.split())
    assert tokenmill("train", corpus, "--restart").returncode == 0
    assert published(corpus) == expected


@pytest.mark.parametrize("room", [pytest.param(300, id="log", marks=pytest.mark.soak), pytest.param(4000, id="checkpoint")])
def test_a_disk_without_room_names_the_file_and_the_run_goes_on(
    corpus: Path, untrained: Path, tmp_path: Path, room: int
) -> None:
    assert tokenmill("train", corpus, "--set=train.steps=4").returncode == 0
    kept = published(corpus)
    before, limits = resource.getrlimit(resource.RLIMIT_FSIZE), (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    log = corpus / "model/log.jsonl"
    if room > log.stat().st_size:
        log.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    try:
        done = tokenmill("train", corpus)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.returncode == 1
    name = "log.jsonl" if room == 300 else "step-00000008.weights.safetensors"
    assert re.search(rf"{name}: a file may not be larger here", done.stderr.replace("\n", "")), done.stderr
    assert "make room" in done.stderr
    assert {name: data for name, data in published(corpus).items() if "manifest" not in name} == {
        name: data for name, data in kept.items() if "manifest" not in name
    }
    whole = twin(untrained, tmp_path / "whole")
    assert tokenmill("train", whole, "--set=train.steps=4").returncode == 0
    assert tokenmill("train", corpus).returncode == tokenmill("train", whole).returncode == 0
    assert published(corpus) == published(whole)


def test_a_conversation_over_a_pipe(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tokenmill("train", corpus, "--set=train.steps=2").returncode == 0

    def told(data: bytes, *options: str) -> tuple[int, list[str], str]:
        read, write = os.pipe()
        os.write(write, data)
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as lines, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", lines)
            done = tokenmill("chat", corpus, "--tokens", "4", "--temperature", "0", *options)
        return done.returncode, done.stdout.splitlines(), done.stderr

    once, twice = told(b"hello\n"), told(b"hello\n\n/reset\n  hello \n/quit\nnever read\n")
    assert once[0] == twice[0] == 0
    assert twice[1] == once[1] * 2
    code, _, errors = told(b"caf\xe9\n")
    assert (code, errors) == (1, "error: standard input: a line is not text; give UTF-8\n")
    assert told(b"", "--template", "{assistant}")[0] == 1
    assert "must hold {user} once" in told(b"hello", "--template", "{assistant}")[2].replace("\n", " ")
