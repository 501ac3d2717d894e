"""How runs, deployments and artifacts are told apart in Prefect: by the corpus, and by the file of schedules.

Cost: a request for a run that has no tags yet.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client

_FILE = "schedules: "
NAME = 60
"""Characters of a corpus's name in a key."""


def of_corpus(root: Path) -> tuple[str, str]:
    """The tags of what builds the corpus `root`: the name of its folder, and the whole path."""
    whole = root.resolve()
    return whole.name, str(whole)


def put_on_this_run(root: Path) -> None:
    """Tag the run of this process with the corpus, where its deployment has not: one by hand, or into another folder."""
    missing = set(of_corpus(root)) - set(runtime.flow_run.tags)
    if missing:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(str(runtime.flow_run.id)), tags={*runtime.flow_run.tags, *missing})


def of_file(path: str) -> str:
    """The tag of the deployments of one SCHEDULES.toml, whose absolute path is given."""
    return f"{_FILE}{path}"


def is_of_file(tag: str) -> bool:
    """Whether a tag is that of a SCHEDULES.toml."""
    return tag.startswith(_FILE)


def key_of(root: Path) -> str:
    """What the keys of artifacts of a corpus end with: its name in the letters that Prefect allows, and a hash of its path."""
    whole = root.resolve()
    name = re.sub("[^a-z0-9]+", "-", whole.name.lower()[:NAME]).strip("-")
    return f"{name}-{hashlib.sha256(str(whole).encode(errors='surrogateescape')).hexdigest()[:8]}".lstrip("-")
