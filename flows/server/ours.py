"""Lets deployments run the flow of this package and nothing else.

A deployment of Prefect may name any function, and shell commands to run before it (pull steps). The processes that run
scheduled builds would do what it says, whoever wrote it. This stands between the guard and Prefect, and refuses it (403).
Guarantee: what is stored by this server names our flow, and no code to fetch. Cost: reads the body of requests that write
deployments, and of no others.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENTRYPOINT = "tokenmill.flows.flow.build"
_BODY_BYTES = 2**21
_CODE = ("pull_steps", "storage_document_id", "infrastructure_document_id", "job_variables", "work_pool_name")
"""Fields of a deployment by which it brings code, commands or variables of its own, or is run by somebody else."""


@dataclass(frozen=True)
class OurFlowAlone:
    """An ASGI application that lets through to `app` what writes no deployment, or one of our flow. `api`: path of the API."""

    app: ASGIApp
    api: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._writes(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            await JSONResponse({"detail": "this deployment is too large"}, 413)(scope, receive, send)
        elif (wrong := _foreign(body)) is not None:
            why = f"this server runs builds of tokenmill alone, and the deployment has {wrong}"
            await JSONResponse({"detail": why}, 403)(scope, receive, send)
        else:
            await self.app(scope, _again(body, receive), send)

    def _writes(self, method: str, path: str) -> bool:
        return method in ("POST", "PUT", "PATCH") and bool(re.fullmatch(rf"{re.escape(self.api)}/deployments(/[^/]*)?/?", path))


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None if it is longer than a deployment can be."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > _BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _foreign(body: bytes) -> str | None:
    """The field by which a deployment would run something else; None if there is none."""
    try:
        fields: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None  # Prefect reads it by the same function, and refuses it.
    if not isinstance(fields, dict):
        return None
    if fields.get("entrypoint") not in (None, ENTRYPOINT):
        return "another entrypoint"
    return next((name for name in _CODE if fields.get(name)), None)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return left.pop() if left else await receive()

    return receiving
