"""The environment variables of the process.

Purpose: sets the variables that Prefect and Ray read, and those by which `tokenmill serve` limits the runs that it starts.
Guarantee: no other module reads or sets environment variables. Cost: none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tokenmill.pipeline.base.errors import ConfigError

_FOLDERS = "TOKENMILL_BUILD_FOLDERS"


def columns() -> int | None:
    """The width that the user wants output to have; None if they do not say."""
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdigit() and int(given) else None


def no_color() -> bool:
    """Whether the user wants no colours (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def cache_folder() -> Path | None:
    """The folder that copies of corpora in object stores are kept in, and built in; None if the user names none."""
    given = os.environ.get("TOKENMILL_CACHE")
    return Path(given) if given else None


def prefect_home() -> Path:
    """The folder that Prefect keeps its settings and its database in."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Path(os.environ.get("PREFECT_HOME") or state / "tokenmill" / "prefect")


def prefect_server() -> str | None:
    """The address of the Prefect server that the environment names."""
    return os.environ.get("PREFECT_API_URL") or None


def prefect_environment() -> None:
    """Make Prefect quiet, private and offline. Call it before Prefect is imported. Variables that the user has set stay.

    Raises ConfigError if Prefect's home cannot be made.
    """
    # Prefect creates the last folder of this path, but not its parents.
    home = prefect_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{home} cannot be made for Prefect ({error.strerror}); set PREFECT_HOME to a folder of yours"
        ) from error
    for name, value in {
        "PREFECT_HOME": str(home),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The command line prints its own message for an error. At a lower level Prefect would print a traceback before it.
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    }.items():
        os.environ.setdefault(name, value)


def limit_runs(entrypoint: str, folders: Iterable[str]) -> None:
    """Let the runs that this process starts run the flow `entrypoint` alone, and build in or below `folders` alone."""
    os.environ["PREFECT__FLOW_ENTRYPOINT"] = entrypoint
    os.environ[_FOLDERS] = json.dumps([str(Path(folder).resolve()) for folder in folders])


def build_folders() -> tuple[Path, ...] | None:
    """The folders in or below which this process may build; None if it was not limited."""
    given = os.environ.get(_FOLDERS)
    return None if given is None else tuple(Path(folder) for folder in json.loads(given))


def ray_environment(*, starts_here: bool) -> None:
    """Keep Ray from sending statistics of its use; `starts_here`: also on the loopback. Call it before Ray is imported.

    Statistics are sent if the user has set so.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if starts_here:
        # Else Ray listens on all interfaces, also if it is given 127.0.0.1. The name of the variable tells what it is for
        # elsewhere.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def variables(more: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that this one starts: its own variables, with `more` in their place."""
    return {**os.environ, **more}


def variable(name: str) -> str | None:
    """The value of an environment variable that a setting names; None if it is not set."""
    return os.environ.get(name)
