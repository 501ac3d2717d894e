"""The only package that writes files.

Purpose: every byte that tokenmill puts on disk goes through this package, by one protocol, and is hashed on the way.
Guarantee: a crash, a full disk or a failing device at any operation leaves the old file or the new one, never a part of one.
Operations are counted, so that a test can make the k-th one fail or end the process (`inject`).
Cost: SHA-256 while writing (about 2 GB/s), two fsyncs per file (see `create`).
"""

from tokenmill.pipeline.base.files.faults import EXIT_BY_FAULT, Fault, FaultKind, inject, operations
from tokenmill.pipeline.base.files.folder import inside, lock, sweep
from tokenmill.pipeline.base.files.read import FileEntry, holds, read_verified, sha256
from tokenmill.pipeline.base.files.write import (
    TEMPORARY,
    Log,
    OutputFile,
    canonical_json,
    create,
    link,
    remove,
    write_bytes,
    write_json,
)

__all__ = [
    "EXIT_BY_FAULT",
    "TEMPORARY",
    "Fault",
    "FaultKind",
    "FileEntry",
    "Log",
    "OutputFile",
    "canonical_json",
    "create",
    "holds",
    "inject",
    "inside",
    "link",
    "lock",
    "operations",
    "read_verified",
    "remove",
    "sha256",
    "sweep",
    "write_bytes",
    "write_json",
]
