"""The password of a server, new for each one that is started.

Guarantee: the password is in the environment of the server and of the builds that it starts, and, for people, in one file that
only its owner can read, as long as the server runs. It is in no URL, argument, log or message.
Cost: none.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from tokenmill.pipeline.base import files

_USER = "tokenmill"
_BYTES = 32


def password() -> str:
    """A new password in the form that Prefect takes, "user:secret"."""
    return f"{_USER}:{secrets.token_urlsafe(_BYTES)}"


def authorization(password: str) -> bytes:
    """The value of the header `Authorization` that carries a password."""
    return b"Basic " + base64.b64encode(password.encode())


@contextlib.contextmanager
def told(password: str, path: Path) -> Iterator[None]:
    """Keep a password in the file `path`, mode 0600, for the time of the block. Raises OSError."""
    with files.create(path, durable=False) as out:
        out.keep_private()
        out.write(f"{password}\n".encode())
    try:
        yield
    finally:
        files.remove(path, durable=False)
