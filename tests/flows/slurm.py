"""A Slurm of one node on this machine: Debian's `slurmctld`, `slurmd` and `munged`, in a folder of their own.

They listen on free ports of the loopback and share nothing with a Slurm that may run here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
NODE = "one"
CONFIG = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=1
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=tests Nodes={node} Default=YES State=UP
"""


def missing() -> str:
    """Why no Slurm can be started here; "" if it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        return f"{', '.join(absent)} of Debian's packages slurm-wlm and munge are not installed"
    return "" if os.getuid() == 0 else "slurmctld and slurmd run as root here"


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """A running cluster. Yields the path of its configuration, for SLURM_CONF. `folder`: a short path; sockets lie there."""
    key, config = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    ports = _free_ports()
    here = {"host": socket.gethostname(), "node": NODE, "cpus": os.cpu_count(), "folder": folder}
    config.write_text(CONFIG.format(**here, controller=ports[0], daemon=ports[1]))
    environment = {**os.environ, "SLURM_CONF": str(config)}
    munge = [f"--{name}={folder / f'munge.{name}'}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    commands = [
        ["/usr/sbin/munged", "--foreground", "--force", f"--key-file={key}", *munge],
        ["/usr/sbin/slurmctld", "-D", "-c"],
        ["/usr/sbin/slurmd", "-D", "-N", NODE],
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
                running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            if len(running) == 1:
                _wait_for((folder / "munge.socket").exists, "munged", folder)
        _wait_for(lambda: "State=IDLE" in _said(["scontrol", "show", "node", NODE], environment), "slurmd", folder)
        yield config
    finally:
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_jobs(config: Path, seconds: float = 240.0) -> None:
    """Wait until no job is left."""
    environment = {**os.environ, "SLURM_CONF": str(config)}
    _wait_for(lambda: not _said(["squeue", "--noheader"], environment).strip(), "the queue", config.parent, seconds)


def _said(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _wait_for(holds: Callable[[], bool], what: str, folder: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            logs = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-2_000:]}" for path in folder.glob("*.log"))
            raise TimeoutError(f"{what} is not ready after {seconds:.0f} s\n{logs}")
        time.sleep(0.2)


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]
