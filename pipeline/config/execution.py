"""The section `execution`: who does the work of a build, and with how much memory.

Guarantee: the section changes no fingerprint and stands in no published file: the bytes are the same, whoever makes them.
Cost: none.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tokenmill.pipeline.config.section import About, Section

ExecutorName = Literal["local", "ray", "dask"]
UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
LEAST_BYTES = 64 << 20
"""Of memory for a worker: less than that holds no shard."""


def bytes_of(amount: str) -> int:
    """`"24 GB"` -> 24_000_000_000. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})\s*", amount)
    unit = {name.lower(): factor for name, factor in UNITS.items()}.get(found[2].lower() if found else "?")
    if found is None or unit is None or (made := int(float(found[1]) * unit)) < LEAST_BYTES:
        raise ValueError(f'write an amount of memory from 64 MiB on, such as "24 GB" or "16 GiB" (given: {amount[:40]!r})')
    return made


def _amount(text: str) -> str:
    bytes_of(text)
    return text


MemoryAmount = Annotated[str, AfterValidator(_amount), About(kind='an amount of memory, such as "24 GB"', example="24 GB")]


class ExecutionConfig(Section):
    """Who does the work. The section changes no byte of a corpus, and is not published with it."""

    executor: ExecutorName = "local"
    """Processes on this machine (local), or a cluster of Ray or Dask; without `address` one starts here, and ends with
    the build."""
    address: Annotated[str | None, About(example="10.0.0.1:6379")] = None
    """Where the cluster is: of Ray, the head node; of Dask, the scheduler, as tcp://10.0.0.1:8786."""
    workers: Annotated[int | None, About(unit="tasks at a time", example=8)] = Field(default=None, ge=1)
    """Most tasks at a time. Default: one for each CPU core that this process may use; on a cluster, for each of its cores."""
    memory: MemoryAmount | None = None
    """Memory of one machine that its workers take for data, together. Default: half of what it has."""

    @model_validator(mode="after")
    def _of_a_cluster(self) -> Self:
        if self.address is not None and not self.address.strip():
            raise ValueError("address is empty, and would start a cluster here: give one, or leave it out")
        if self.address is not None and self.executor == "local":
            raise ValueError('address is that of a cluster: name it with executor = "ray" or "dask"')
        return self

    @property
    def memory_bytes(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else bytes_of(self.memory)
