"""The environment variables of the process.

Purpose: sets the variables that Prefect reads. Guarantee: no other module of the command line reads or sets environment
variables. Cost: none.
"""

from __future__ import annotations

import os
from pathlib import Path


def prefect_environment() -> None:
    """Make Prefect quiet, private and offline. Call it before Prefect is imported. Variables that the user has set stay."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    for name, value in {
        "PREFECT_HOME": str(home / "tokenmill" / "prefect"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The command line prints its own message for an error. At a lower level Prefect would print a traceback before it.
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    }.items():
        os.environ.setdefault(name, value)
    # Prefect creates the last folder of this path, but not its parents.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)


def variable(name: str) -> str | None:
    """The value of an environment variable that a setting names; None if it is not set."""
    return os.environ.get(name)
