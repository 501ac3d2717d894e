"""A Prefect server of somebody else, as tokenmill finds it where one runs already, and what tests ask it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Server:
    """A server that answers at `url`, with its own PREFECT_HOME."""

    url: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that uses this server."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return {**clean, "PREFECT_HOME": str(self.home), "PREFECT_API_URL": self.url}

    def ask(self, what: str, body: object) -> Any:
        """What the API answers to a POST, for example of `flow_runs/filter`."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/{what}", json.dumps(body).encode(), headers)
        for _ in range(20):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                # While others write to its database, the server asks to come again.
                if error.code != 503:
                    raise
                error.close()
                time.sleep(0.5)
        raise TimeoutError(what)

    def runs(self, schedule: str = "") -> list[dict[str, Any]]:
        """The runs of a schedule that have begun, oldest first. Each has its `log` and its `artifacts` by kind."""
        named = {"deployments": {"name": {"any_": [schedule]}}} if schedule else {}
        begun = {"state": {"type": {"not_any_": ["SCHEDULED", "PENDING"]}}}
        runs = self.ask("flow_runs/filter", {**named, "flow_runs": begun, "sort": "START_TIME_ASC"})
        for run in runs:
            only = {"flow_run_id": {"any_": [run["id"]]}}
            run["log"] = [one["message"] for one in self.ask("logs/filter", {"logs": only, "sort": "TIMESTAMP_ASC"})]
            run["artifacts"] = [one for one in self.ask("artifacts/filter", {"artifacts": only}) if one["key"]]
        return list(runs)

    def deployments(self) -> dict[str, dict[str, Any]]:
        """All deployments by name."""
        return {one["name"]: one for one in self.ask("deployments/filter", {})}

    def start(self, schedule: str, **parameters: object) -> str:
        """Start a run of a schedule now, as somebody would in the browser. Returns its id."""
        found = self.deployments()[schedule]["id"]
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.ask(f"deployments/{found}/create_flow_run", asked)["id"])


@contextlib.contextmanager
def server(home: Path) -> Iterator[Server]:
    """A server in the folder `home`, until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    found = Server(f"http://127.0.0.1:{port}/api", home)
    environment = {**found.environment, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    environment.pop("PREFECT_API_URL")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                found.ask("flow_runs/count", {})
                break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.wait()
