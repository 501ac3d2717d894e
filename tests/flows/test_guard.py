"""What stands in front of Prefect's application, in front of an application that answers everything."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from tokenmill.flows.server.guard import LOOPBACK, Guard
from tokenmill.flows.server.ours import ENTRYPOINT, OurFlowAlone
from tokenmill.flows.server.secret import authorization, password

SECRET = "tokenmill:secret"
LOGGED_IN = {"Authorization": authorization(SECRET).decode()}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive()).get("body", b"")
    await PlainTextResponse(body)(scope, receive, send)


def client(**more: Any) -> TestClient:
    made: dict[str, Any] = {"hosts": LOOPBACK, "origins": frozenset(), "api": "/api", "authorization": authorization(SECRET)}
    return TestClient(Guard(app=OurFlowAlone(echo, "/api"), **{**made, **more}), base_url="http://127.0.0.1:4200")


def test_passwords_differ_and_are_long() -> None:
    assert len({password() for _ in range(100)}) == 100
    assert all(len(password()) > 40 for _ in range(10))


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost", "LOCALHOST:1", "[::1]:4200", "[::1]", "localhost."])
def test_own_names_pass(host: str) -> None:
    assert client().get("/api/flows", headers={**LOGGED_IN, "Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1", "localhost:4200@evil.example", "localhost:x", "[::1]x", "::1:1:x"]
)
def test_other_names_are_refused(host: str) -> None:
    assert client().get("/api/flows", headers={**LOGGED_IN, "Host": host}).status_code == 400


def test_beyond_the_loopback_every_address_is_a_name_and_no_foreign_name_is() -> None:
    wide = client(any_address=True)
    assert wide.get("/", headers={"Host": "10.0.0.1:4200"}).status_code == 200
    assert wide.get("/", headers={"Host": "evil.example:4200"}).status_code == 400


def test_origins_that_are_allowed_may_call_and_others_not() -> None:
    open_to_one = client(origins=frozenset({"https://ours.example"}))
    for origin, code in (("https://ours.example", 200), ("http://127.0.0.1:4200", 200), ("http://127.0.0.1:4201", 403)):
        assert open_to_one.get("/api/flows", headers={**LOGGED_IN, "Origin": origin}).status_code == code


@pytest.mark.parametrize(
    "path", ["/api/flows", "/api/", "/api/health/x", "/api/variables/name/health", "/api/docs", "/api//health"]
)
def test_the_api_needs_the_password(path: str) -> None:
    assert client().get(path).status_code == 401
    assert client().get(path, headers={"Authorization": "Basic eDp5"}).status_code == 401
    assert client().get(path, headers=LOGGED_IN).status_code == 200
    assert client().post("/api/health").status_code == 401


def test_answers_cannot_be_framed_and_pages_call_home_alone() -> None:
    headers = client().get("/").headers
    assert headers["x-frame-options"] == "DENY"
    assert "connect-src 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/api/deployments/", "/api/deployments", "/api/deployments/7d1e", "/api/deployments/7d1e/"])
def test_a_deployment_runs_our_flow_alone(path: str) -> None:
    ours = {"entrypoint": ENTRYPOINT, "pull_steps": None, "parameters": {"pull_steps": 1}}
    for method in ("POST", "PATCH", "PUT"):
        same = client().request(method, path, headers=LOGGED_IN, json=ours)
        assert (same.status_code, same.json()) == (200, ours)
        for foreign in (
            {"entrypoint": "os.system"},
            {"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "true"}}]},
            {"storage_document_id": "7d1e"},
            {"job_variables": {"env": {"LD_PRELOAD": "x"}}},
        ):
            assert client().request(method, path, headers=LOGGED_IN, json={**ours, **foreign}).status_code == 403, foreign
    assert client().post(path, headers=LOGGED_IN, content=b" " * 2**22).status_code == 413
    assert client().post(path, headers=LOGGED_IN, content='{"entrypoint": "os.system"}'.encode("utf-16")).status_code == 403
    assert client().post(path, headers=LOGGED_IN, content=b"{").status_code == 200
