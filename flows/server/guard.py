"""What stands in front of Prefect's application, in the same process.

Prefect checks a password, but neither which name a browser used for the server nor which page sent the request; and it answers
some requests before it looks at the password. This guard looks first:

    Host      a name of this server, so that a foreign name that leads here (DNS rebinding) leads to nothing   400
    Origin    the server's own page; also for WebSockets, which browsers open to any server                    403
    password  for every request to the API but the two that ask for health                                     401

Requests that pass go on to Prefect, which has its own checks of origins (CORS preflights) and of forged requests (CSRF tokens).
Guarantee: a request that is refused here reaches no code of Prefect. Cost: a few comparisons a request.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEALTH = frozenset({"/health", "/ready"})
_HEADERS = {
    # The page may talk to this server alone, and take scripts from it alone: FastAPI's page of the API would load some from
    # elsewhere, which could read the password that the browser keeps. No other page may show it in a frame.
    "content-security-policy": "connect-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, kw_only=True)
class Guard:
    """An ASGI application that lets good requests through to `app`."""

    app: ASGIApp
    api: str
    """The path of the API, such as "/api"."""
    authorization: bytes
    hosts: frozenset[str]
    """The names by which this server may be called."""
    origins: frozenset[str]
    """Origins, beside the server's own, whose pages may call it."""
    any_address: bool = False
    """Whether every IP address counts as such a name: if it listens beyond the loopback. No foreign name is an address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif refused := self._refusal(scope):
            code, why = refused
            answer = JSONResponse({"detail": why}, code) if scope["type"] == "http" else WebSocketClose(reason=why)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status code and the reason with which a request is refused; None if it may pass."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._is_ours(host):
            return 400, "this server has another name"
        # A browser's question before a foreign request (preflight) is for Prefect to refuse: it changes nothing.
        if scope["type"] == "websocket" or scope["method"] != "OPTIONS":
            if any(origin not in self._own(host) for origin in headers.getlist("origin")):
                return 403, "a page of another server may not call this one"
            if scope["type"] == "http" and self._needs_password(scope["path"], scope["method"]):
                given = headers.getlist("authorization")
                if len(given) != 1 or not hmac.compare_digest(given[0].encode("latin-1"), self.authorization):
                    return 401, "Unauthorized"
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
        name = name.removeprefix("[").removesuffix("]").lower().rstrip(".")
        return name in self.hosts or (self.any_address and _is_address(name))

    def _own(self, host: str) -> frozenset[str]:
        # The name is ours by now, so a page that was loaded under the same name and port is our page.
        return self.origins | {f"http://{host}", f"https://{host}"}

    def _needs_password(self, path: str, method: str) -> bool:
        below = path.removeprefix(self.api) if path.startswith(self.api + "/") else None
        return below is not None and not (below in _HEALTH and method == "GET")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
