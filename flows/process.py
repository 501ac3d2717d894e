"""Which process a run is in, written on the run itself, and whether that process is still there.

Purpose: a process that was killed cannot say so, and its server may have died with it.
Guarantee: a process counts as gone only if it was on this machine and is not there now: not for want of a sign of life, which a
busy machine delays. A number that another process has now is told apart by when it began. Cost: a request when a run begins.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client

HOST, PROCESS = "tokenmill.host", "tokenmill.process"
"""Labels of a run: the machine; the boot, number and beginning of the process there."""


def claim(run: str | UUID) -> None:
    """Write on the page of a run that this process works for it."""
    me = _identity(os.getpid()) or f"? {os.getpid()} ?"
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(UUID(str(run)), {HOST: socket.gethostname(), PROCESS: me})


def named(labels: Mapping[str, Any]) -> str:
    """The process that claimed a run, as the lock of a corpus names its holder."""
    return f"process {_number(labels)} on {labels.get(HOST)} since "


def gone(labels: Mapping[str, Any]) -> bool:
    """Whether the process that claimed a run was on this machine and has ended."""
    claimed, number = str(labels.get(PROCESS, "?")), _number(labels)
    if claimed.startswith("?") or not number.isdecimal() or labels.get(HOST) != socket.gethostname():
        return False
    return _identity(int(number)) != claimed


def _number(labels: Mapping[str, Any]) -> str:
    """The number of the process that claimed a run; "?" if none did, or somebody else wrote that label."""
    return [*str(labels.get(PROCESS, "")).split(), "?", "?"][1]


def _identity(pid: int) -> str | None:
    """Boot, number and beginning of a process; None if it has ended, or there is no /proc to ask."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name in parentheses may hold spaces and parentheses itself.
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in ("Z", "X") else f"{boot} {pid} {others[18]}"
