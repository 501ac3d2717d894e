"""The only package that writes files.

Purpose: every byte that tokenmill puts on disk goes through this package, by one protocol, and is hashed on the way.
Guarantee: a crash, a full disk or a failing device at any operation leaves the old file or the new one, never a part of one.
Operations are counted, so that a test can make the k-th one fail or end the process (`inject`), or look on (`watch`).
Cost: SHA-256 while writing (about 2 GB/s), two fsyncs per file (see `create`).
"""

from tokenmill.pipeline.base.files.faults import EXIT_BY_FAULT, Fault, FaultKind, inject, operations, watch
from tokenmill.pipeline.base.files.folder import clear, fence, inside, lock, mark, settle, sweep
from tokenmill.pipeline.base.files.folders import link_tree, prune, require_links, unlink_tree
from tokenmill.pipeline.base.files.journal import JOURNAL, note, noted
from tokenmill.pipeline.base.files.log import Log
from tokenmill.pipeline.base.files.marker import MARKER, VERSIONS, Marker, Published, marker
from tokenmill.pipeline.base.files.names import TEMPORARY, host, parsed
from tokenmill.pipeline.base.files.owner import Held, held, hold_all, holding, token_of
from tokenmill.pipeline.base.files.read import FileEntry, holds, known_as, lost, read_verified, sha256, unreadable
from tokenmill.pipeline.base.files.tree import descriptor, listed, not_ours, read_bytes, reading, require_local, root_of
from tokenmill.pipeline.base.files.write import (
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
    "JOURNAL",
    "MARKER",
    "TEMPORARY",
    "VERSIONS",
    "Fault",
    "FaultKind",
    "FileEntry",
    "Held",
    "Log",
    "Marker",
    "OutputFile",
    "Published",
    "canonical_json",
    "clear",
    "create",
    "descriptor",
    "fence",
    "held",
    "hold_all",
    "holding",
    "holds",
    "host",
    "inject",
    "inside",
    "known_as",
    "link",
    "link_tree",
    "listed",
    "lock",
    "lost",
    "mark",
    "marker",
    "not_ours",
    "note",
    "noted",
    "operations",
    "parsed",
    "prune",
    "read_bytes",
    "read_verified",
    "reading",
    "remove",
    "require_links",
    "require_local",
    "root_of",
    "settle",
    "sha256",
    "sweep",
    "token_of",
    "unlink_tree",
    "unreadable",
    "watch",
    "write_bytes",
    "write_json",
]
