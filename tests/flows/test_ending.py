"""What follows the end of a run, and what watches over runs: against a server that is a dictionary."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, State

from tokenmill.flows import ending, process, runlog, tags, watch
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.manifest import Manifest


class Client:
    """As much of Prefect's client as is asked for."""

    def __init__(self) -> None:
        self.runs: dict[UUID, FlowRun] = {}
        self.created: list[dict[str, Any]] = []
        self.refused: list[UUID] = []
        self.refuses_runs = False

    def add(self, state: State[Any], **more: Any) -> FlowRun:
        schedule = {"name": "nightly", "retries": 1, "notify": {"env": "ADDRESS"}, **more.pop("schedule", {})}
        run = FlowRun(
            id=uuid4(),
            flow_id=uuid4(),
            deployment_id=uuid4(),
            name=more.pop("name", "nightly · 2026-11-25 03:00"),
            state=state,
            run_count=1,
            parameters={"out": "/corpora/docs", "schedule": schedule},
            **more,
        )
        self.runs[run.id] = run
        return run

    def read_flow_run(self, run: UUID) -> FlowRun:
        return self.runs[run]

    def read_flow_runs(self, **_: object) -> list[FlowRun]:
        return list(self.runs.values())

    def update_flow_run_labels(self, run: UUID, labels: dict[str, str]) -> None:
        self.runs[run].labels.update(labels)

    def create_flow_run_from_deployment(self, _: UUID, **what: Any) -> None:
        if self.refuses_runs:
            raise ObjectNotFound(LookupError())
        self.created.append(what)

    def set_flow_run_state(self, run: UUID, state: State[Any]) -> Any:
        now = self.runs[run].state
        assert now is not None
        if now.is_final():
            self.refused.append(run)
        else:
            self.runs[run].state = state
        return type("Answer", (), {"state": self.runs[run].state})


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    found = Client()

    @contextmanager
    def get_client(*, sync_client: bool) -> Iterator[Client]:
        assert sync_client
        yield found

    monkeypatch.setattr(ending, "get_client", get_client)
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    monkeypatch.setattr(ending, "tell", lambda _, title, body, event: found.append((title, body, event)))
    return found


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(runlog, "line", lambda _, text, *__: found.append(text))
    return found


def old(state: State[Any], seconds: float) -> State[Any]:
    return state.model_copy(update={"timestamp": datetime.now(UTC) - timedelta(seconds=seconds)})


def raised(text: str) -> State[Any]:
    return Failed(message=f"Flow run encountered an exception: {text}")


def test_a_killed_run_is_told_once_and_another_takes_its_place(
    client: Client, told: list[tuple[str, str, str]], lines: list[str]
) -> None:
    run = client.add(Crashed(message="Process exited with status code: -9."))
    for _ in range(2):
        assert run.state is not None
        ending.ended(None, run, run.state)
    ((title, body, event),) = told
    assert (title, event) == ("nightly: the build was killed", "crash")
    assert body.splitlines() == [
        "nightly · 2026-11-25 03:00",
        "corpus: /corpora/docs",
        "why: Process exited with status code: -9.",
        "it is run again as nightly · 2026-11-25 03:00 · retry 1",
    ]
    (again,) = client.created
    assert (again["name"], again["parameters"]) == ("nightly · 2026-11-25 03:00 · retry 1", run.parameters)
    assert run.state.is_crashed()
    assert len(lines) == 2


def test_after_the_last_retry_nothing_is_run_again(client: Client, told: list[tuple[str, str, str]], lines: list[str]) -> None:
    run = client.add(raised("ConfigError: no such setting"), name="nightly · 2026-11-25 03:00 · retry 1")
    ending.ended(None, run, raised("ConfigError: no such setting"))
    assert client.created == []
    assert "why: no such setting" in told[0][1]
    assert "not run again" in told[0][1]


def test_who_is_to_be_told_is_told_if_the_server_refuses_another_run(
    client: Client, told: list[tuple[str, str, str]], lines: list[str]
) -> None:
    client.refuses_runs = True
    run = client.add(raised("ConfigError: parameter out"))
    ending.ended(None, run, raised("ConfigError: parameter out"))
    assert "not run again" in told[0][1]
    assert "the server refuses it (ObjectNotFound)" in lines[0]


def test_a_name_that_looks_like_a_retry_is_a_name(client: Client, told: list[tuple[str, str, str]], lines: list[str]) -> None:
    run = client.add(Crashed(), name="a · retry 9 · 2026-11-25 03:00")
    ending.ended(None, run, Crashed())
    assert [one["name"] for one in client.created] == ["a · retry 9 · 2026-11-25 03:00 · retry 1"]


def test_the_watch_goes_on_when_the_server_refuses_something(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, looks = threading.Event(), []

    def look(*_: object) -> set[UUID]:
        looks.append(1)
        if len(looks) == 2:
            stop.set()
        raise ObjectNotFound(LookupError())

    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(watch, "get_client", ending.get_client)
    monkeypatch.setattr(watch, "look", look)
    watch._watch("/s.toml", stop)
    assert len(looks) == 2


def test_the_message_of_a_foreign_error_is_not_repeated(
    client: Client, told: list[tuple[str, str, str]], lines: list[str]
) -> None:
    for state in (raised("ValueError: TEXT"), Crashed(message="Execution was interrupted by an unexpected exception: TEXT")):
        run = client.add(state)
        ending.ended(None, run, state)
    assert len(told) == 2
    assert "TEXT" not in str(told) + str(lines)


@pytest.mark.parametrize("state", [Cancelled(name="Skipped"), Running()])
def test_a_skipped_run_follows_nothing(client: Client, told: list[tuple[str, str, str]], state: State[Any]) -> None:
    run = client.add(state)
    ending.ended(None, run, state)
    assert (told, client.created, run.labels) == ([], [], {})


def test_a_run_without_a_schedule_asks_nothing(told: list[tuple[str, str, str]]) -> None:
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="docs", parameters={"out": "/corpora/docs"})
    ending.ended(None, run, Failed())
    assert told == []


def test_only_events_that_were_asked_for_are_told(
    client: Client, told: list[tuple[str, str, str]], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    pack = Manifest(stage="pack", version=1, config={}, inputs={}, shards=(), files={}, facts={})
    monkeypatch.setattr(ending, "open_corpus", lambda _: type("Corpus", (), {"require": lambda *_: pack}))
    monkeypatch.setattr(ending, "PackFacts", type("Facts", (), {"of": lambda _: type("Of", (), {"tokens": 5_000})}))
    monkeypatch.setattr(ending, "alarms", lambda _: tuple(found))
    for on in (["failure"], ["alarm"], ["success"]):
        run = client.add(Completed(), schedule={"notify": {"env": "ADDRESS", "on": on}})
        ending.ended(None, run, Completed())
    assert [event for *_, event in told] == ["success"]
    assert "0 documents, 5,000 tokens" in told[0][1]
    found.append("web lost 9 of its 10 documents as duplicates")
    run = client.add(Completed())
    ending.ended(None, run, Completed())
    assert told[1][0] == "nightly: the corpus needs a look"
    assert "alarm: web lost 9 of its 10 documents" in told[1][1]


def test_that_nobody_could_be_told_is_in_the_log(client: Client, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TokenmillError("the address did not take the message")

    monkeypatch.setattr(ending, "tell", fail)
    run = client.add(Crashed())
    ending.ended(None, run, Crashed())
    assert lines[-1] == "nobody was told of this crash: the address did not take the message"


def test_a_process_is_gone_only_where_it_was(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def get_client(*, sync_client: bool) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(process, "get_client", get_client)
    run = client.add(Running())
    process.claim(run.id)
    assert not process.gone(run.labels)
    assert process.named(run.labels).startswith(f"process {os.getpid()} on ")
    assert not process.gone({})
    assert not any(process.gone({**run.labels, process.PROCESS: foreign}) for foreign in ("", "x", "x y z", 3))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    labels = {**run.labels, process.PROCESS: process._identity(child.pid)}
    assert not process.gone(labels)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.gone(labels), "a process that nobody has waited for has ended too"
    child.wait()
    assert process.gone(labels)
    assert not process.gone({**labels, process.HOST: "elsewhere"})
    boot, pid, _ = str(run.labels[process.PROCESS]).split()
    assert process.gone({**run.labels, process.PROCESS: f"{boot} {pid} 1"}), "another process has its number now"


def test_the_watch_crashes_what_has_no_process_and_nothing_else(
    client: Client, told: list[tuple[str, str, str]], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "gone", lambda labels: "gone" in labels)
    began = datetime.now(UTC)
    dead = client.add(Running(), labels={"gone": "yes"})
    alive = client.add(Running())
    stuck = client.add(old(Pending(), 90))
    fresh = client.add(Pending())
    unseen = client.add(old(Crashed(), 90))
    long_ago = client.add(old(Crashed(), 9_000))
    suspects = watch.look(client, "/s.toml", began, set())  # type: ignore[arg-type]
    assert suspects == {dead.id}, "it may just be reporting its end"
    assert watch.look(client, "/s.toml", began, suspects) == set()  # type: ignore[arg-type]
    types = {run.id: run.state.type.value for run in client.runs.values() if run.state}
    assert [types[run.id] for run in (dead, alive, stuck, fresh)] == ["CRASHED", "RUNNING", "CRASHED", "PENDING"]
    assert {run.id for run in client.runs.values() if ending.TOLD in run.labels} == {dead.id, stuck.id, unseen.id}
    assert long_ago.labels == {}
    assert len(told) == 3


def test_a_run_that_ended_meanwhile_keeps_its_state(client: Client, told: list[tuple[str, str, str]]) -> None:
    run = client.add(Completed())
    watch._crash(client, run, "its process is gone")  # type: ignore[arg-type]
    assert client.refused == [run.id]
    assert run.state is not None
    assert run.state.is_completed()
    assert told == []


@pytest.mark.parametrize("folder", ["docs", "Docs of März", "…", "a" * 300])
def test_keys_of_artifacts_have_the_letters_that_prefect_allows(tmp_path: Path, folder: str) -> None:
    key = tags.key_of(tmp_path / folder)
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert key[0] != "-"
    assert key != tags.key_of(tmp_path / "elsewhere" / folder)
