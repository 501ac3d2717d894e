"""A server under `tokenmill serve`: who gets in, what it says when it cannot start, and how it ends."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows import attacks, browser

TOKENMILL = Path(sys.executable).with_name("tokenmill")
NEVER = '[[build]]\nname = "yearly"\nconfig = "docs"\nout = "corpus"\ncron = "0 0 1 1 *"\n'


def environment(home: Path, port: int) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**clean, "PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(port)}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def serve(folder: Path, home: Path, port: int) -> subprocess.Popen[str]:
    (folder / "schedules.toml").write_text(NEVER)
    command, env = [TOKENMILL, "serve", "schedules.toml"], environment(home, port)
    return subprocess.Popen(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@contextlib.contextmanager
def locked(home: Path) -> Iterator[str]:
    with contextlib.closing(sqlite3.connect(home / "prefect.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE one (x)")
        database.execute("BEGIN EXCLUSIVE")
        yield f"{home}/prefect.db cannot be used (database is locked)"


@contextlib.contextmanager
def broken(home: Path) -> Iterator[str]:
    (home / "prefect.db").write_bytes(b"no database at all" * 1000)
    yield f"{home}/prefect.db cannot be used (file is not a database)"


@contextlib.contextmanager
def taken(_: Path) -> Iterator[str]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"port {other.getsockname()[1]} of 127.0.0.1 is taken"


@pytest.mark.parametrize(
    "how", [broken, pytest.param(locked, marks=pytest.mark.soak), pytest.param(taken, marks=pytest.mark.soak)]
)
def test_a_server_that_cannot_start_says_why(tmp_path: Path, how: object) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with how(home) as message:  # type: ignore[operator]
        port = int(message.split()[1]) if message.startswith("port") else free_port()
        served = serve(tmp_path, home, port)
        said, _ = served.communicate(timeout=120)
    assert served.returncode == 1
    assert message in said
    assert "Traceback" not in said
    assert not attacks.processes(home)


@dataclass(frozen=True, kw_only=True)
class Served:
    process: subprocess.Popen[str]
    home: Path
    port: int

    @property
    def file(self) -> Path:
        return self.home / f"password-{self.port}"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Served]:
    home, port = folder / "home", free_port()
    process = serve(folder, home, port)
    made = Served(process=process, home=home, port=port)
    try:
        deadline = time.monotonic() + 200
        while not made.file.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=100)
    deadline = time.monotonic() + 15
    while left := attacks.processes(home):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert not made.file.exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def foreign_pages(folder: Path) -> Iterator[int]:
    """Serve the files of a folder as another origin on this machine."""
    folder.mkdir()
    (folder / "index.html").write_text("<title>foreign</title>")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def attempt(url: str, **options: object) -> str:
    """A script that asks, and whose value is the status code that it may read, or "blocked"."""
    told = "answer => answer.type === 'opaque' ? 'opaque' : answer.status"
    return f"fetch({json.dumps(url)}, {json.dumps(options)}).then({told}, () => 'blocked')"


def connection(url: str) -> str:
    """A script that opens a WebSocket, and whose value is "open" or "refused"."""
    events = "one.onopen = () => done('open'); one.onerror = () => done('refused')"
    return f"new Promise(done => {{ const one = new WebSocket({json.dumps(url)}, 'prefect'); {events} }})"


@pytest.mark.soak
@pytest.mark.skipif(not browser.CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")
def test_no_page_gets_in_and_its_owner_does(tmp_path: Path) -> None:
    body = json.dumps(attacks.DEPLOYMENT)
    with served(tmp_path) as server, foreign_pages(tmp_path / "pages") as other:
        attacks.require_refusals(server.port)
        password = server.file.read_text().strip()
        assert server.file.stat().st_mode & 0o777 == 0o600
        assert (server.home / "prefect.db").stat().st_mode & 0o777 == 0o600
        before = attacks.processes(server.home)
        assert not any(password in command for command in before.values())
        own = f"http://127.0.0.1:{server.port}"
        names = ["--host-resolver-rules=MAP evil.example 127.0.0.1"]
        with browser.page(tmp_path / "profile", names) as page:
            # Pages of another origin: by another port of this machine, and by another name.
            for foreign in (f"http://127.0.0.1:{other}/", f"http://evil.example:{other}/"):
                page.open(foreign)
                asked = attempt(f"{own}/api/deployments/", method="POST", body=body, headers=attacks.JSON)
                assert page.run(asked) == "blocked"
                assert page.run(attempt(f"{own}/api/deployments/", method="POST", body=body)) == "blocked"
                assert page.run(attempt(f"{own}/api/flows/count", method="POST", body=body, mode="no-cors")) in (
                    "opaque",
                    "blocked",
                )
                assert page.run(attempt(f"{own}/ui-settings")) == "blocked"
                assert page.run(connection(f"ws://127.0.0.1:{server.port}/api/events/out")) == "refused"
            # The same server under a foreign name (DNS rebinding), which makes it the page's own origin.
            page.open(f"http://evil.example:{server.port}/")
            assert "another name" in page.run("document.body.innerText")
            assert page.run(attempt("/api/health")) == 400
            assert page.run(attempt("/api/deployments/", method="POST", body=body, headers=attacks.JSON)) == 400
            assert attacks.processes(server.home) == before, "no process is started"
            assert not list(tmp_path.rglob("attacked"))
            # The owner, who reads the password from the file and types it into Prefect's page.
            page.requests.clear()
            page.open(f"{own}/deployments")
            page.wait("document.querySelector('input') !== null")
            page.run("document.querySelector('input').focus()")
            page.type(password)
            page.press_enter()
            page.wait("document.body.innerText.includes('yearly')")
            page.run("new Promise(done => setTimeout(done, 1000))")
            secret = password.partition(":")[2]
            assert not [url for url in page.requests if secret in url]
            assert secret not in page.run("location.href + JSON.stringify(performance.getEntries())")
            hosts = {url.split("/")[2] for url in page.requests if url.startswith(("http", "ws"))}
            assert hosts == {f"127.0.0.1:{server.port}"}, "nobody else is told"


@pytest.mark.soak
def test_a_build_outlives_its_server(tmp_path: Path) -> None:
    texts = tmp_path / "input"
    texts.mkdir()
    for number in range(20):
        (texts / f"{number}.txt").write_text(
            "\n".join(f"This is the sentence {number * line} of the document {number}, and it differs." for line in range(20))
        )
    command = [TOKENMILL, "build", "text", "--out", tmp_path / "out", f"--set=collect.paths={texts}", "--set=language.keep=[]"]
    home = tmp_path / "home"
    build = subprocess.Popen(
        [*command, "--set=tokenizer.vocabulary=300", "--set=language.threshold=0.0", "--set=quality.recipe=docs@1"],
        env=environment(home, free_port()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not (tmp_path / "out" / ".state" / "inputs.json").exists():
        assert build.poll() is None, build.communicate()[0]
        time.sleep(0.02)
    killed = next(pid for pid, line in attacks.processes(home).items() if "flows.server.main" in line)
    os.kill(killed, signal.SIGKILL)
    said, _ = build.communicate(timeout=200)
    assert build.returncode == 0, said
    assert said.count("the build goes on without Prefect") == 1
    assert "Traceback" not in said
    assert "ERROR" not in said
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.soak
def test_serve_ends_when_its_server_is_gone(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    process = serve(tmp_path, home, port)
    while not (home / f"password-{port}").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    time.sleep(2)
    server = next(pid for pid, line in attacks.processes(home).items() if "flows.server.main" in line)
    os.kill(server, signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.strip().splitlines()[-1].startswith(f"error: Prefect's server at http://127.0.0.1:{port}/api is gone")
    assert "Traceback" not in said
    assert not attacks.processes(home)


@pytest.mark.soak
def test_a_wrong_setting_of_prefect_is_named_and_no_value_is_shown(tmp_path: Path) -> None:
    wrong = {"PREFECT_API_URL": "http://[SECRET", "PREFECT_API_AUTH_STRING": "SECRET"}
    (tmp_path / "schedules.toml").write_text(NEVER)
    command = [TOKENMILL, "deploy", "schedules.toml", "--pool", "mill"]
    env = {**environment(tmp_path / "home", free_port()), **wrong}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Prefect's settings are wrong"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "SECRET" not in done.stdout + done.stderr
