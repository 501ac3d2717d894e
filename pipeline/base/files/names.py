"""The names of files that are being written, and the host that writes them.

Purpose: several hosts may write to one folder, and two containers of one host may give two processes one number. So a temporary
name holds the host, its boot, the process, a random part, and the run and the corpus that it writes for.
Guarantee: no two writers ever have one temporary name. Cost: none.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

TEMPORARY = ".tmp~"
"""The suffix of files that are being written. Nothing reads them; `sweep` removes those that a crash left."""
DIGITS = 8
"""Of the id of the corpus in such a name: the file is known as ours even if a power loss took lines of the journal. So many of
the token of the run: what a run that lost its lock was writing is known too."""
NONE = "0" * DIGITS
_SHORT = 12
# Versions before 0.2 wrote the process alone, and the corpus.
_NAME = re.compile(
    r"\.(?P<name>.+)\.(?:(?P<host>\w+-[0-9a-f]{8})-)?(?P<process>\d{1,10})(?:-[0-9a-f]{8}-(?P<run>[0-9a-f]{8}))?"
    rf"(?:-(?P<corpus>[0-9a-f]{{{DIGITS}}}))?{re.escape(TEMPORARY)}",
    re.DOTALL,
)


@functools.cache
def host() -> str:
    """This host and its boot, `node7-1a2b3c4d`. Containers of one host may share it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        boot = NONE
    name = socket.gethostname()
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name)
    # Long names often begin alike.
    short = plain if plain == name and len(plain) <= _SHORT else plain[:_SHORT] + hashlib.sha256(name.encode()).hexdigest()[:4]
    return f"{short}-{boot}"


@dataclass(frozen=True, kw_only=True)
class Temporary:
    """What the name of a temporary file says. `host`: None in the names of older versions, and NONE is no run and no corpus."""

    name: str
    host: str | None
    process: int
    run: str
    corpus: str


def temporary(name: str, *, run: str | None = None, corpus: str | None = None) -> str:
    """A new temporary name for the file `name`. `run`: the token of the run that writes; `corpus`: the id of the corpus."""
    whose = f"{(run or NONE)[:DIGITS]}-{(corpus or NONE)[:DIGITS]}"
    return f".{name}.{host()}-{os.getpid()}-{secrets.token_hex(4)}-{whose}{TEMPORARY}"


def parsed(name: str) -> Temporary | None:
    """What a temporary name says; None for any other name."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Temporary(
        name=found["name"],
        host=found["host"],
        process=int(found["process"]),
        run=found["run"] or NONE,
        corpus=found["corpus"] or NONE,
    )
