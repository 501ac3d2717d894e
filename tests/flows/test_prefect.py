"""The flow on Prefect's embedded server, and a schedule that fires on a real one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows import attacks

TOKENMILL = Path(sys.executable).with_name("tokenmill")
SMALL = ['--set=stages=["dedup"]', "--set=tokenizer.vocabulary=300"]
"""A build of one stage: what Prefect and signals do is the same, and fewer kernels are loaded."""
SETTINGS = {"language.threshold": 0.0, "language.keep": [], "quality.recipe": "docs@1", "tokenizer.vocabulary": 300}


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**clean, "PREFECT_HOME": str(home), **more}


def write_input(folder: Path) -> Path:
    folder.mkdir()
    for number in range(20):
        lines = (f"Line {line} of the text number {number} has a word that is {number * line}." for line in range(20))
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@dataclass(frozen=True, kw_only=True)
class Built:
    """A build with Prefect that is done, and the PREFECT_HOME it began with nothing in."""

    out: Path
    home: Path
    stderr: str


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    source = write_input(folder / "input")
    command = [TOKENMILL, "build", "text", "--out", folder / "out", f"--set=collect.paths={source}", *SMALL]
    done = subprocess.run(command, env=environment(folder / "home"), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return Built(out=folder / "out", home=folder / "home", stderr=done.stderr)


def test_the_flow_runs_on_the_embedded_server(built: Built) -> None:
    assert (built.out / "manifest.json").exists()
    assert "Traceback" not in built.stderr
    assert (built.home / "prefect.db").stat().st_mode & 0o777 == 0o600, "the flow's state is in PREFECT_HOME"
    assert not attacks.processes(built.home), "the embedded server has ended"


def test_the_run_has_its_name_its_log_and_its_artifacts_and_nothing_is_pickled(built: Built) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{built.home / 'prefect.db'}?mode=ro", uri=True)) as database:
        ((name, tags, parameters),) = database.execute("SELECT name, tags, parameters FROM flow_run").fetchall()
        log = [message for (message,) in database.execute("SELECT message FROM log ORDER BY timestamp")]
        keys = {str(key) for (key,) in database.execute("SELECT key FROM artifact WHERE key IS NOT NULL")}
    assert re.fullmatch(r"out · \d{4}-\d\d-\d\d \d\d:\d\d", name)
    assert {"out", str(built.out)} <= set(json.loads(tags))
    assert "collect.paths" not in parameters
    assert "collect: read 20, kept 20, dropped 0, quarantined 0; 1 shard computed" in "\n".join(log)
    assert any(line.startswith("published: ") and str(built.out / "report.html") in line for line in log)
    assert sorted(key.split("-")[0] for key in keys) == ["funnel", *["progress"] * 5, "report"]
    assert {key.rpartition("-")[0].rpartition("-")[2] for key in keys} == {"out"}
    for stored in (built.home / "storage").iterdir():
        assert json.loads(stored.read_bytes())


@pytest.mark.parametrize(
    ("how", "prefect"),
    [
        (signal.SIGTERM, True),
        (signal.SIGKILL, True),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.soak),
        (signal.SIGINT, False),
    ],
)
def test_nothing_runs_on_when_a_build_is_ended(
    tmp_path: Path, how: signal.Signals, prefect: bool, request: pytest.FixtureRequest
) -> None:
    if prefect:
        # A database that is there already spares the server its migrations, 4 s.
        shutil.copytree(request.getfixturevalue("built").home, tmp_path / "home")
    source = write_input(tmp_path / "input")
    command = [TOKENMILL, "build", "text", "--out", tmp_path / "out", f"--set=collect.paths={source}", *SMALL]
    command += ["--workers", "2"]
    command += [] if prefect else ["--no-prefect"]
    build = subprocess.Popen(command, env=environment(tmp_path / "home"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / ".state" / "inputs.json").exists():
        assert build.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if how == signal.SIGTERM:
        # The build stands still meanwhile.
        build.send_signal(signal.SIGSTOP)
        attacks.require_refusals(attacks.port_of_server(tmp_path / "home"))
        assert not any("tokenmill:" in command for command in attacks.processes(tmp_path / "home").values())
        build.send_signal(signal.SIGCONT)
    build.send_signal(how)
    _, said = build.communicate(timeout=60)
    assert build.returncode == (-how if how == signal.SIGKILL else 130), said.decode()
    assert (b"run the same command again" in said) == (how != signal.SIGKILL)
    deadline = time.monotonic() + 10
    while orphans := attacks.processes(tmp_path / "home"):
        assert time.monotonic() < deadline, f"orphans: {orphans}"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def post(port: str, home: Path, what: str, body: object) -> list[dict[str, object]]:
    """What a server under `tokenmill serve` answers to one who knows its password."""
    api = f"http://127.0.0.1:{port}/api"
    secret = base64.b64encode((home / f"password-{port}").read_text().strip().encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {secret}", "Prefect-Csrf-Client": "test"}
    asked = urllib.request.Request(f"{api}/csrf-token?client=test", headers=headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        headers["Prefect-Csrf-Token"] = json.load(answer)["token"]
    asked = urllib.request.Request(f"{api}/{what}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return list(json.load(answer))


@pytest.mark.soak
def test_a_build_scheduled_a_minute_ahead_runs_and_shows_in_the_servers_api(tmp_path: Path) -> None:
    source = write_input(tmp_path / "input")
    settings = {"collect.paths": [str(source)], **SETTINGS}
    lines = "\n".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in settings.items())
    schedules = tmp_path / "schedules.toml"
    soon = time.gmtime(time.time() + 75)
    schedules.write_text(
        f'[[build]]\nname = "soon"\nconfig = "text"\nout = "{tmp_path}/out"\n'
        f'cron = "{soon.tm_min} {soon.tm_hour} * * *"\n[build.settings]\n{lines}\n'
    )
    port = str(free_port())
    served = subprocess.Popen(
        [TOKENMILL, "serve", schedules], env=environment(tmp_path / "home", PREFECT_SERVER_API_PORT=port), cwd=tmp_path
    )
    try:
        deadline = time.monotonic() + 240
        states: list[object] = []
        while "COMPLETED" not in states:
            assert served.poll() is None, "tokenmill serve ended"
            assert time.monotonic() < deadline, f"no completed run: {states}"
            time.sleep(2)
            try:
                runs = post(port, tmp_path / "home", "flow_runs/filter", {"limit": 10})
            except (urllib.error.URLError, ConnectionError, FileNotFoundError):
                continue
            states = [run["state_type"] for run in runs]
        assert (tmp_path / "out" / "manifest.json").exists()
        artifacts = post(port, tmp_path / "home", "artifacts/filter", {"limit": 10})
        assert {"funnel", "report"} <= {str(artifact["key"]).split("-")[0] for artifact in artifacts}
    finally:
        served.send_signal(signal.SIGINT)
        served.wait(timeout=60)
