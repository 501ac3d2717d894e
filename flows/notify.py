"""Tells people how a scheduled run ended: by webhook, chat or e-mail.

Purpose: `[notify]` in a SCHEDULES.toml names a place that holds the address, since such addresses are secrets.
Guarantee: the address stands in no message, log or parameter of a run. A message goes to that address and to no other:
redirects are not followed. Nobody's build fails because nobody could be told.
Cost: one request for each address; at most 15 seconds if nothing answers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import httpx
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from pydantic import Field, model_validator

from tokenmill.flows.cli.environment import variable
from tokenmill.flows.paths import PathText
from tokenmill.pipeline.base.errors import ConfigError, TokenmillError
from tokenmill.pipeline.config import Section

if TYPE_CHECKING:
    from apprise import Apprise

Event = Literal["failure", "crash", "alarm", "success"]
_TYPES: Mapping[Event, str] = {"failure": "failure", "crash": "failure", "alarm": "warning", "success": "success"}
"""What apprise calls the kinds of messages."""


class Notify(Section):
    """Who is told, and of what. One of `block`, `file` and `env` says where the address is."""

    block: str | None = None
    """A block of Prefect, as TYPE/NAME: one that notifies (slack-webhook/ops), or secret/NAME with the address."""
    file: PathText | None = None
    """A file with one address a line."""
    env: str | None = None
    """An environment variable with the address."""
    on: tuple[Event, ...] = Field(default=("failure", "crash", "alarm"), min_length=1)
    """Of what: a run that failed, one that was killed, a corpus that somebody should look at, a run that ended well."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(place is not None for place in (self.block, self.file, self.env)) != 1:
            raise ValueError("name the address by one of block, file and env")
        if self.block is not None and self.block.count("/") != 1:
            raise ValueError("block is TYPE/NAME of a block, for example slack-webhook/ops, not the address itself")
        if self.file is not None and "://" in self.file:
            raise ValueError("file is the path of a file, not the address itself")
        if self.env is not None and not self.env.isidentifier():
            raise ValueError("env is the name of an environment variable, not the address itself")
        return self

    def beside(self, folder: Path) -> Notify:
        """The same with the path of its file as seen from `folder`."""
        return self if self.file is None else self.model_copy(update={"file": str(folder / self.file)})

    def check(self) -> None:
        """Raises ConfigError if the address cannot be read or used. A block is looked up by `check_block`, with a server."""
        for number, address in enumerate(self.addresses() if self.block is None else (), 1):
            with _unheard():
                known = bool(_client(address))
            if not known:
                raise ConfigError(
                    f"address {number} in {self.place} is none that can be used; write an https address of a webhook, or one "
                    "that apprise knows, such as mailtos://user:password@mail.example.org?to=me@example.org"
                )

    @property
    def place(self) -> str:
        """Where the address is, in words. Never the address."""
        if self.block is not None:
            return f"Prefect's block {self.block}"
        return f"the file {self.file}" if self.file is not None else f"the environment variable {self.env}"

    def addresses(self) -> tuple[str, ...]:
        """The addresses in a file or a variable. Raises ConfigError if there is none."""
        try:
            text = Path(self.file).read_text() if self.file is not None else variable(self.env or "")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.place} cannot be read ({getattr(error, 'strerror', None) or 'it is no text'})") from error
        return self.lines(text or "")

    def check_block(self) -> None:
        """Raises ConfigError if Prefect's server has no such block, or nobody could be told by it."""
        if self.block is not None:
            _block(self)

    def lines(self, text: str) -> tuple[str, ...]:
        """The addresses in a text, one a line. Raises ConfigError if there is none."""
        found = tuple(line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))
        if not found:
            raise ConfigError(f"{self.place} holds no address")
        return found


def tell(notify: Notify, title: str, body: str, event: Event) -> None:
    """Send a message to all addresses. Raises TokenmillError if one of them did not take it."""
    addresses = notify.addresses() if notify.block is None else _tell_block(notify, title, body)
    missed = [number for number, address in enumerate(addresses, 1) if not _send(address, title, body, event)]
    if missed:
        raise TokenmillError(f"address {', '.join(map(str, missed))} in {notify.place} did not take the message")


def _tell_block(notify: Notify, title: str, body: str) -> tuple[str, ...]:
    """Let a block of Prefect notify; the addresses in it if it is a secret. Raises TokenmillError."""
    found = _block(notify)
    if isinstance(found, Secret):
        return notify.lines(str(found.get()))
    try:
        with _unheard(), found.raise_on_failure():
            found.notify(body=body, subject=title, _sync=True)  # type: ignore[call-arg,unused-coroutine]  # of its dispatch
    except (NotificationError, httpx.HTTPError):
        # Their own messages may hold the address.
        raise TokenmillError(f"what {notify.place} names did not take the message") from None
    return ()


def _block(notify: Notify) -> NotificationBlock | Secret[Any]:
    try:
        found = Block.load(notify.block or "", _sync=True)  # type: ignore[call-arg]  # of its dispatch
    except ValueError as error:
        raise ConfigError(f"{notify.place} is not there; make it, or name a file or a variable with the address") from error
    if not isinstance(found, NotificationBlock | Secret):
        raise ConfigError(f"{notify.place} notifies nobody, and is no secret that could hold an address")
    return found


def _send(address: str, title: str, body: str, event: Event) -> bool:
    with _unheard():
        client = _client(address)
        return bool(client) and bool(client.notify(title=title, body=body, body_format="text", notify_type=_TYPES[event]))


def _client(address: str) -> Apprise:
    """apprise with this address; falsy if it is none."""
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="tokenmill", app_desc="tokenmill", app_url="", http_redirects=False, secure_logging=True)
    client = Apprise(asset=asset)
    # An https address that apprise knows is a chat; any other one gets JSON.
    if not client.add(address) and urlsplit(address).scheme in ("http", "https"):
        client.add(_webhook(address))
    return client


def _webhook(address: str) -> str:
    """An http or https address as apprise writes that of a webhook for JSON."""
    parts = urlsplit(address)
    # apprise passes on only what begins with a minus; it reads the rest itself.
    query = "&".join(f"-{quote(key)}={quote(value)}" for key, value in parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit((parts.scheme.replace("http", "json"), parts.netloc, parts.path, query, ""))


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep apprise from logging, since what it says may hold an address, and its plugins from warning of what they import."""
    logger = logging.getLogger("apprise")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
