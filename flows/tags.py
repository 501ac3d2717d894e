"""How runs, deployments and artifacts are told apart in Prefect: by the corpus, and by the file of schedules. Cost: none."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path


def of_corpus(root: Path) -> tuple[str, str]:
    """The tags of what builds the corpus `root`: the name of its folder, and the whole path."""
    whole = root.resolve()
    return whole.name, str(whole)


def of_file(path: str) -> str:
    """The tag of the deployments of one SCHEDULES.toml, whose absolute path is given."""
    return f"schedules: {path}"


def key_of(root: Path) -> str:
    """What the keys of artifacts of a corpus end with: its name in the letters that Prefect allows, and a hash of its path."""
    whole = root.resolve()
    name = re.sub("[^a-z0-9]+", "-", whole.name.lower()).strip("-")
    return f"{name}-{hashlib.sha256(str(whole).encode(errors='surrogateescape')).hexdigest()[:8]}".lstrip("-")
