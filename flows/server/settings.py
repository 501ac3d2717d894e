"""Prefect's settings, read before anything else of Prefect is.

Purpose: they come from variables, profiles and files of the user, and Prefect reads them when it is imported.
Guarantee: one that is wrong is named, and its value is not shown: it may be a password. Cost: the import of Prefect, 1 second.
"""

from __future__ import annotations

import contextlib
import io

from pydantic import ValidationError

from tokenmill.flows.cli.environment import prefect_environment
from tokenmill.pipeline.base.errors import ConfigError


def prepare() -> None:
    """Set the variables that Prefect reads, and let it read them. Raises ConfigError, which says what is wrong."""
    prefect_environment()
    try:
        # Prefect itself would say what is wrong with all values beside.
        with contextlib.redirect_stderr(io.StringIO()):
            from prefect.settings import get_current_settings

            get_current_settings()
    except ValidationError as error:
        named = (
            f"{'.'.join(str(part) for part in fault['loc']) or 'one of them'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise ConfigError(
            f"Prefect's settings are wrong ({'; '.join(named)}); look at the variables that begin with PREFECT_, for example "
            "PREFECT_API_URL, and at its profile"
        ) from None
