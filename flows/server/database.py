"""Whether Prefect's database can be used, asked before a server starts on it.

Prefect's server waits for a database that is locked and ends with a long traceback on one that is broken.
Guarantee: a SQLite database that exists is readable by its owner alone. Cost: a few milliseconds; `PATIENCE_SECONDS` if it is
locked.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

from tokenmill.pipeline.base.errors import TokenmillError

PATIENCE_SECONDS = 5
_MOVE = "move it away, and a new one is made; its history of runs is lost"


def path() -> Path | None:
    """The file of the database; None if it is in memory, or on a server."""
    kind, _, rest = str(PREFECT_API_DATABASE_CONNECTION_URL.value()).partition(":///")
    name = rest.partition("?")[0]
    if not kind.startswith("sqlite") or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def keep_private(database: Path) -> None:
    """Let nobody but the owner read a database and the files beside it, which older versions left open. Raises OSError."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + suffix).chmod(0o600)


def require_usable() -> None:
    """Raise TokenmillError, with the path, if the database is locked or broken."""
    found = path()
    if found is None or not found.exists():
        return
    try:
        keep_private(found)
        with contextlib.closing(sqlite3.connect(found, timeout=PATIENCE_SECONDS, isolation_level=None)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            database.execute("BEGIN IMMEDIATE")
            problem = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            database.execute("ROLLBACK")
    except (sqlite3.Error, OSError) as error:
        locked = "locked" in str(error)
        do = "end the program that holds it" if locked else _MOVE
        raise TokenmillError(f"Prefect's database {found} cannot be used ({error}); {do}") from error
    if problem != "ok":
        raise TokenmillError(f"Prefect's database {found} cannot be used ({problem}); {_MOVE}")
