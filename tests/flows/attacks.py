"""Requests that a Prefect server of ours has to refuse, and the processes that it is made of."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path

JSON = {"Content-Type": "application/json"}
DEPLOYMENT = {
    "name": "attack",
    "flow_id": "00000000-0000-4000-8000-000000000000",
    "entrypoint": "os.system",
    "pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "touch attacked"}}],
}


def status(port: int, method: str, path: str, headers: dict[str, str] | None = None, body: object = None) -> int:
    """The status code of a request; `headers` may forge Host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, body=data, headers={**(JSON if data else {}), **(headers or {})})
        return connection.getresponse().status
    finally:
        connection.close()


def require_refusals(port: int) -> None:
    """Play a page and a program of somebody else. Each request must be refused."""
    own = f"127.0.0.1:{port}"
    assert status(port, "GET", "/api/health") == 200
    assert status(port, "GET", "/api/health", {"Origin": f"http://{own}"}) == 200
    # Without the password, or with a wrong one.
    for headers in ({}, {"Authorization": "Basic YWRtaW46cGFzcw=="}, {"Authorization": "Bearer x"}):
        assert status(port, "POST", "/api/deployments/", headers, DEPLOYMENT) == 401
        assert status(port, "GET", "/api/admin/settings", headers) == 401
        assert status(port, "GET", "/api/csrf-token?client=x", headers) == 401
    # Under a name that leads here (DNS rebinding), and under two.
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        for path in ("/", "/api/health", "/ui-settings"):
            assert status(port, "GET", path, {"Host": host}) == 400, host
        assert status(port, "POST", "/api/deployments/", {"Host": host}, DEPLOYMENT) == 400
    # From a page of another origin: also on this machine, also without one.
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://evil.example:{port}"):
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert status(port, "OPTIONS", "/api/deployments/", asks) == 400, origin
        assert status(port, "POST", "/api/deployments/", {"Origin": origin}, DEPLOYMENT) == 403
        assert status(port, "GET", "/api/health", {"Origin": origin}) == 403
        upgrade = {"Origin": origin, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        assert status(port, "GET", "/api/events/out", {**upgrade, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}) == 403


def processes(home: Path) -> dict[int, str]:
    """The processes whose environment names the PREFECT_HOME `home`, with their command lines."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and f"PREFECT_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def port_of_server(home: Path) -> int:
    """The port on which the server of `home` listens."""
    server = next(pid for pid, command in processes(home).items() if "flows.server.main" in command)
    sockets = {os.readlink(one) for one in Path(f"/proc/{server}/fd").iterdir() if one.exists() or one.is_symlink()}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and f"socket:[{inode}]" in sockets:
            return int(local.partition(":")[2], 16)
    raise AssertionError(f"process {server} does not listen")
