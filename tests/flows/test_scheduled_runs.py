"""What scheduled builds tell on a real Prefect server, also minutes after the end: states, names, logs, artifacts, messages."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.prefect_server import Server, server
from tokenmill.flows.ending import AGAIN
from tokenmill.pipeline.base import files

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

TOKENMILL = Path(sys.executable).with_name("tokenmill")
PREFECT = Path(sys.executable).with_name("prefect")
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SETTINGS = """
[build.settings]
"collect.paths" = "{paths}"
"language.threshold" = 0.0
"language.keep" = []
"quality.recipe" = "docs@1"
"tokenizer.vocabulary" = 300
"""
SECRET = "T0-SECRET"


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("prefect")) as found:
        yield found


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook, and the messages that it got."""
    found: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{web.server_address[1]}/{SECRET}", found
    web.shutdown()
    thread.join()
    web.server_close()


def write_input(folder: Path, files: int) -> None:
    (folder / "input").mkdir()
    for number in range(files):
        lines = (f"Line {line} of the text number {number} has a word that is {number * line}." for line in range(400))
        (folder / "input" / f"{number}.txt").write_text("\n".join(lines))


def entry(name: str, *lines: str, out: str | None = None, paths: str = "input") -> str:
    head = ["[[build]]", f'name = "{name}"', 'config = "text"', f'out = "{out or name}"', *lines]
    return "\n".join(head) + SETTINGS.format(paths=paths)


@contextlib.contextmanager
def served(prefect: Server, schedules: Path, *, how: signal.Signals = signal.SIGINT, **environment: str) -> Iterator[None]:
    """`tokenmill serve` until the block ends. It has begun once each build has its deployment anew."""
    names = {line.split('"')[1] for line in schedules.read_text().splitlines() if line.startswith("name")}
    before = {name: one["updated"] for name, one in prefect.deployments().items()}
    command = [str(TOKENMILL), "serve", str(schedules)]

    def registered() -> bool:
        assert process.poll() is None
        found = prefect.deployments()
        return all(name in found and found[name]["updated"] != before.get(name) for name in names)

    process = subprocess.Popen(command, env={**prefect.environment, **environment}, start_new_session=True)
    try:
        wait_for(registered)
        yield
    finally:
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        process.wait(timeout=60)


def wait_for(done: Callable[[], Any], seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def process_of(run: dict[str, Any]) -> int:
    """The process that claimed a run; 0 before that."""
    claimed = run["labels"].get("tokenmill.process", "")
    return int(claimed.split()[1]) if claimed else 0


def process_holding(corpus: Path) -> int:
    """The process that builds a corpus now; 0 if none does."""
    found = files.marker(corpus)
    return found.owner.process if found is not None and found.owner is not None else 0


def all_ended(prefect: Server, name: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until so many runs of a schedule have ended."""

    def look() -> list[dict[str, Any]]:
        runs = prefect.runs(name)
        return runs if len(runs) >= count and all(run["state_type"] in ENDED for run in runs) else []

    return list(wait_for(look))


def test_three_builds_tell_the_truth_three_minutes_after_their_ends(
    prefect: Server, tmp_path: Path, told: tuple[str, list[dict[str, Any]]]
) -> None:
    write_input(tmp_path, files=300)
    address, messages = told
    every = 'cron = "*/2 * * * *"'
    schedules = tmp_path / "schedules.toml"
    schedules.write_text(
        entry("good", every, 'timezone = "Europe/Berlin"')
        + entry("failing", every, paths="absent")
        + entry("killed", every, "retries = 1")
        + '[notify]\nenv = "WEBHOOK"\non = ["failure", "crash", "success"]\n'
    )
    with served(prefect, schedules, WEBHOOK=address):
        tried = set[str]()

        def crashed() -> list[dict[str, Any]]:
            """Kill the first run, or a later one if that was done before it could be killed."""
            runs = prefect.runs("killed")
            for run in runs:
                if run["state_type"] == "RUNNING" and process_of(run) and run["id"] not in tried and AGAIN not in run["name"]:
                    tried.add(run["id"])
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process_of(run), signal.SIGKILL)
            return [run for run in runs if run["state_type"] == "CRASHED"]

        killed = wait_for(crashed, 420)[0]
        names = ("good", "failing", "killed")
        ended = {name: all_ended(prefect, name)[0] for name in names} | {"killed": killed}
        crashed_after = time.time()
        time.sleep(max(0.0, crashed_after + 185 - time.time()))
        after = {name: next(run for run in prefect.runs(name) if run["id"] == ended[name]["id"]) for name in names}
        again = next(run for run in prefect.runs("killed") if run["name"] == f"{killed['name']}{AGAIN}1")
        kinds = {one["name"] for one in prefect.ask("automations/filter", {})}
    assert {name: run["state_type"] for name, run in after.items()} == {
        "good": "COMPLETED",
        "failing": "FAILED",
        "killed": "CRASHED",
    }
    assert again["state_type"] == "COMPLETED"
    assert not kinds, "nothing of ours watches from the server"
    for name, run in after.items():
        title, _, when = run["name"].partition(" · ")
        assert title == name
        hours = int(when[11:13]) - int(run["expected_start_time"][11:13])
        assert hours % 24 in ((1, 2) if name == "good" else (0,)), "the time is that of the zone of the schedule"
        assert {name, str(tmp_path / name)} <= set(run["tags"])
        assert SECRET not in json.dumps(run)
    log = "\n".join(after["good"]["log"])
    for step in ("collect", "language", "dedup", "quality", "tokenizer", "pack"):
        assert f"{step}: begins" in log
    assert "collect: read 300, kept 300, dropped 0, quarantined 0; 1 shard computed, " in log
    assert f"report: {tmp_path / 'good' / 'report.html'}" in log
    assert "error: source 'files': " in "\n".join(after["failing"]["log"])
    assert "give a file, a folder or a glob" in "\n".join(after["failing"]["log"])
    assert "it is run again as" in "\n".join(after["killed"]["log"])
    kinds_of = sorted((one["key"].split("-")[0], one["type"]) for one in after["good"]["artifacts"])
    assert kinds_of == [("funnel", "markdown"), *[("progress", "progress")] * 7, ("report", "markdown")]
    assert all(one["data"] == 100 for one in after["good"]["artifacts"] if one["type"] == "progress")
    keys = {one["key"] for one in after["good"]["artifacts"]} & {one["key"] for one in again["artifacts"]}
    assert not keys, "each corpus has keys of its own"
    titles = [one["title"] for one in messages]
    assert {"good: the corpus is built", "failing: the build failed", "killed: the build was killed"} <= set(titles)
    first = next(one["message"] for one in messages if one["title"].startswith("killed: the build was killed"))
    assert first.startswith(after["killed"]["name"])
    assert "it is run again as" in first
    assert "has a word that is" not in json.dumps(messages), "no text of documents"
    stored = [path.read_bytes() for path in (prefect.home / "storage").iterdir()]
    assert stored
    assert all(json.loads(data) for data in stored)


def test_the_later_of_two_builds_waits_or_is_skipped_and_says_for_whom(prefect: Server, tmp_path: Path) -> None:
    write_input(tmp_path, files=600)
    schedules = tmp_path / "schedules.toml"
    schedules.write_text(
        entry("first", out="one") + entry("patient", out="one") + entry("hasty", 'on_overlap = "skip"', out="one")
    )
    with served(prefect, schedules):
        prefect.start("first")
        # Stopped as soon as it has the corpus, since a quick machine builds it in seconds.
        builder = wait_for(lambda: process_holding(tmp_path / "one"))
        os.kill(builder, signal.SIGSTOP)
        # Two that look at the same moment may both find that nobody waits yet.
        for name in ("patient", "patient", "hasty"):
            prefect.start(name)
        wait_for(lambda: {"Waiting", "Skipped"} == {run["state"]["name"] for run in prefect.runs("patient")})
        (hasty,) = all_ended(prefect, "hasty")
        os.kill(builder, signal.SIGCONT)
        patient = all_ended(prefect, "patient", 2)
        # Whoever waited is awake once the corpus is free, which may be before the first run has told of its end.
        (first,) = all_ended(prefect, "first")
    assert (first["state_type"], hasty["state_type"], hasty["state"]["name"]) == ("COMPLETED", "CANCELLED", "Skipped")
    assert hasty["state"]["message"].startswith(f"skipped: {first['name']}")
    assert sorted(run["state"]["name"] for run in patient) == ["Completed", "Skipped"], "one of a schedule waits, not both"
    waited = next(run for run in patient if run["state_type"] == "COMPLETED")
    assert any(line.startswith(f"waiting: {first['name']}") for line in waited["log"])


def test_a_build_that_is_gone_or_has_no_times_has_no_live_schedule(
    prefect: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    yearly = 'cron = "0 0 1 1 *"'
    schedules = tmp_path / "schedules.toml"
    write_input(tmp_path, files=1)
    schedules.write_text(entry("stays", yearly) + entry("renamed", yearly) + entry("timeless", yearly))
    with served(prefect, schedules, how=signal.SIGKILL):
        assert all(prefect.deployments()[name]["schedules"] for name in ("stays", "renamed", "timeless"))
    schedules.write_text(entry("stays", yearly) + entry("other", yearly) + entry("timeless"))
    moved = tmp_path / "moved.toml"
    with served(prefect, schedules):
        found = prefect.deployments()
    moved.write_text(entry("other", yearly))
    with served(prefect, moved):
        pass
    assert f"other: replaces the build of that name from schedules: {schedules}\n" in capfd.readouterr().out
    assert {name: bool(found[name]["schedules"]) for name in ("stays", "renamed", "other", "timeless")} == {
        "stays": True,
        "renamed": False,
        "other": True,
        "timeless": False,
    }


def test_a_build_that_died_with_its_schedule_is_crashed_and_goes_on(prefect: Server, tmp_path: Path) -> None:
    write_input(tmp_path, files=600)
    schedules = tmp_path / "schedules.toml"
    schedules.write_text(entry("orphan", "retries = 1"))
    with served(prefect, schedules, how=signal.SIGKILL):
        prefect.start("orphan")
        builder = wait_for(lambda: process_holding(tmp_path / "orphan"))
    with contextlib.suppress(ProcessLookupError):
        os.kill(builder, signal.SIGKILL)
    assert prefect.runs("orphan")[0]["state_type"] == "RUNNING", "nobody could say so"
    began = time.monotonic()
    with served(prefect, schedules):
        crashed, again = all_ended(prefect, "orphan", 2)
    assert time.monotonic() - began < 120
    assert (crashed["state_type"], again["state_type"]) == ("CRASHED", "COMPLETED")
    assert "its process is gone" in crashed["state"]["message"]


def test_workers_of_a_pool_run_what_is_deployed(
    prefect: Server, tmp_path: Path, told: tuple[str, list[dict[str, Any]]]
) -> None:
    address, messages = told
    (tmp_path / "conf").mkdir()
    write_input(tmp_path / "conf", files=3)
    (tmp_path / "conf" / "mine.toml").write_text('stages = ["dedup"]\ncollect.paths = ["input"]\ntokenizer.vocabulary = 300\n')
    schedules = tmp_path / "conf" / "schedules.toml"
    builds = '[[build]]\nname = "pooled"\nconfig = "mine.toml"\nout = "../pooled"\ncron = "0 0 1 1 *"\n'
    schedules.write_text(builds + '[notify]\nenv = "WEBHOOK"\non = ["success"]\n')
    environment = {**prefect.environment, "WEBHOOK": address}

    def run(*command: object) -> str:
        done = subprocess.run([str(one) for one in command], env=environment, cwd=tmp_path, capture_output=True, text=True)
        return f"{done.returncode} {done.stdout}{done.stderr}"

    deploy = (TOKENMILL, "deploy", schedules, "--pool", "mill")
    assert run(*deploy).startswith("1 error: Prefect's server has no work pool 'mill'; make it with")
    assert run(PREFECT, "work-pool", "create", "mill", "--type", "process")[0] == "0"
    assert run(*deploy) == "0 pooled: 0 0 1 1 * (UTC), for workers of mill\n"
    assert run(*deploy, "--prefect-yaml", tmp_path / "prefect.yaml")[0] == "0"
    source = Path(__file__).parents[2]
    script = (
        "from prefect import flow\n"
        f"made = flow.from_source({str(source)!r}, 'flows/flow.py:build')\n"
        f"made.deploy('sourced', work_pool_name='mill', parameters={{'config': {str(schedules.with_name('mine.toml'))!r}, "
        f"'out': {str(tmp_path / 'sourced')!r}}})\n"
    )
    assert run(sys.executable, "-c", script)[0] == "0"
    for name in ("pooled", "sourced"):
        prefect.start(name)
    done = run(PREFECT, "worker", "start", "--pool", "mill", "--run-once")
    for name in ("pooled", "sourced"):
        (one,) = all_ended(prefect, name)
        assert one["state_type"] == "COMPLETED", (one["state"], one["log"], done)
        assert (tmp_path / name / "manifest.json").exists()
    assert [one["title"] for one in messages] == ["pooled: the corpus is built"]
    assert run(PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", tmp_path / "prefect.yaml")[0] == "0"
    assert prefect.deployments()["pooled"]["entrypoint"] == "tokenmill.flows.flow.build"
    prefect.start("pooled")
    done = run(PREFECT, "worker", "start", "--pool", "mill", "--run-once")
    assert [one["state_type"] for one in all_ended(prefect, "pooled", 2)] == ["COMPLETED"] * 2, done


def test_a_block_of_prefect_holds_the_address(prefect: Server, tmp_path: Path, told: tuple[str, list[dict[str, Any]]]) -> None:
    address, messages = told
    script = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Custom\n"
        "from prefect.blocks.system import Secret\n"
        f"Secret(value={address!r}).save('ops')\n"
        f"Custom(name='ops', url={address!r}, json_data={{'title': '{{{{subject}}}}', 'text': '{{{{body}}}}'}}).save('chat')\n"
    )
    subprocess.run([sys.executable, "-c", script], env=prefect.environment, check=True)
    schedules = tmp_path / "schedules.toml"
    absent, ops, chat = (f'[build.notify]\nblock = "{one}"\n' for one in ("secret/absent", "secret/ops", "custom-webhook/chat"))
    schedules.write_text(entry("by-secret", paths="absent") + absent)
    done = subprocess.run([TOKENMILL, "serve", schedules], env=prefect.environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Prefect's block secret/absent is not there" in done.stderr) == (1, True), done.stderr
    schedules.write_text(entry("by-secret", paths="absent") + ops + entry("by-block", paths="absent") + chat)
    with served(prefect, schedules):
        for name in ("by-secret", "by-block"):
            prefect.start(name)
        for name in ("by-secret", "by-block"):
            assert len(all_ended(prefect, name)) == 1
        wait_for(lambda: len(messages) == 2)
        assert SECRET not in json.dumps(prefect.runs())
    assert sorted(one["title"] for one in messages) == ["by-block: the build failed", "by-secret: the build failed"]
