"""The environment of the process. The only module that reads or sets it. Cost: none."""

from __future__ import annotations

import os
from pathlib import Path


def prefect_environment() -> None:
    """Quiet, private and offline; read by Prefect when it is imported. What the user has set stays."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    for name, value in {
        "PREFECT_HOME": str(home / "tokenmill" / "prefect"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Errors reach the terminal as our own message; Prefect would print a traceback of its own before it.
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    }.items():
        os.environ.setdefault(name, value)
    # Prefect makes the last folder of the path, not those above it.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
