"""A node of a cluster: what must be there before it may work for a build, and how it runs a task.

Purpose: a task gives the same bytes on every node only where the versions are the same, and only where the node sees the
folder of the corpus. So each process that works compares both with the driver, the process that runs the build, once.
Guarantee: a node with other versions or without the folder is an error that names the node and both values, before it writes
anything. A task writes only while the run that it belongs to holds its lock, on whatever host.
Cost: reading one small file once per process; two system calls per task.
"""

from __future__ import annotations

import os
import platform
import secrets
import socket
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ClusterError

COMPARED = ("tokenmill", "numpy", "pyarrow", "numba", "tokenizers", "fastokens")
"""Packages that published bytes depend on."""
WITNESS = ".state/witness"
"""The file below a corpus folder by which nodes know that they see this folder. A killed run leaves it to the next one."""
_seen: set[str] = set()
"""The nonces of the runs for which this process has been compared."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a node needs for the tasks of one run. `nonce` stands in the file `witness`, which the driver has just written.

    `prepare`: called once per node, before its first task; it loads what would else be compiled by every worker.
    """

    folder: str
    """The driver's working folder, which relative paths start at."""
    witness: str
    nonce: str
    versions: Mapping[str, str]
    prepare: Callable[[], None] | None = None
    held: files.Held = field(default_factory=dict)
    """The locks of the driver's run."""

    @property
    def root(self) -> Path:
        """The folder that the run works in."""
        return Path(self.witness).parents[1]


def versions() -> dict[str, str]:
    """The versions that published bytes depend on, by name."""
    found = {name: version(name) for name in COMPARED}
    return {**found, "Python": platform.python_version(), "Unicode": unicodedata.unidata_version}


@contextmanager
def ground(folder: Path, prepare: Callable[[], None] | None = None) -> Iterator[Ground]:
    """What nodes need for a run that works in `folder`, which has a file for them to look at until the block ends."""
    nonce = secrets.token_hex(16)
    path = folder / WITNESS
    files.write_bytes(path, nonce.encode(), durable=False)
    try:
        yield Ground(
            folder=os.getcwd(),
            witness=os.path.abspath(path),
            nonce=nonce,
            versions=versions(),
            prepare=prepare,
        )
    finally:
        files.remove(path, durable=False)


def run(on: Ground, function: Callable[[Any], Any], task: Any) -> Any:
    """Run a task in this process of a node. Raises ClusterError, and what the task raises."""
    require(on)
    if os.getcwd() != on.folder and os.path.isdir(on.folder):
        os.chdir(on.folder)
    with files.holding(on.held):
        return function(task)


def prepare(on: Ground, _: object = None) -> str:
    """Make this node ready, by one call for each. Returns its name. Raises ClusterError."""
    require(on)
    if on.prepare is not None:
        on.prepare()
    return socket.gethostname()


def require(on: Ground) -> None:
    """Compare this process with the driver, once. Raises ClusterError."""
    if on.nonce in _seen:
        return
    here, host = versions(), socket.gethostname()
    other = [f"{name} {here[name]} (here {wanted})" for name, wanted in on.versions.items() if here[name] != wanted]
    if other:
        raise ClusterError(
            f"node {host} has other versions: {', '.join(other)}; its results could differ, so give every node the same "
            "environment"
        )
    try:
        seen = files.read_bytes(Path(on.witness))
    except OSError as error:
        raise _unseen(on, host, str(error)) from error
    if seen != on.nonce.encode():
        raise _unseen(on, host, "another folder of that name is there")
    _seen.add(on.nonce)


def _unseen(on: Ground, host: str, why: str) -> ClusterError:
    return ClusterError(
        f"node {host} does not see the folder {on.root} of the driver ({why}); put it on a file system that all nodes mount "
        "under the same path"
    )
