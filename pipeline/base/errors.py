"""Every error that tokenmill raises on purpose.

Purpose: the type tells a caller what went wrong and how to recover; the command line prints the message and exits
with 1, without a traceback. A message says what happened, where (stage, shard, file) and what to do.
Cost: none.

    TokenmillError
    ├── ConfigError            a setting is unknown, misspelt, out of bounds, or contradicts another one
    ├── InputError             data from outside is missing or unreadable, or too much of it is broken
    │   ├── RecordError        one record is broken; collection turns it into a quarantined row
    │   └── QuarantineCeiling  more records were quarantined than the config allows
    ├── CorruptFile            a file of a corpus does not hold the bytes that its manifest names
    ├── NewerFormat            a newer tokenmill wrote a file; the message says which one to install
    ├── Misaligned             tables that must hold the same rows in the same order, or the agreed columns, do not
    ├── Miscounted             rows or tokens that were counted in two ways give two numbers
    ├── NotBuilt               a stage or a corpus was requested that does not exist yet
    ├── StaleInput             an input changed after a result was made from it; the message shows both values
    ├── Locked                 another process is writing to the same corpus
    ├── DiskFull               a file found no room; also an OSError
    ├── OutOfMemory            an allocation failed; also a MemoryError
    ├── NotOurs                something that tokenmill did not make stands in a corpus folder, or in its place
    ├── ExpectationMissed      a finished corpus is not as `[expect]` says; it is published all the same
    ├── Diverged               loss or gradient of a training run stopped being finite
    ├── ClusterError           a cluster cannot be reached, has lost its workers, or has a node that does not fit
    └── WorkerDied             a worker process ended without an answer (killed, or out of memory)
"""

from __future__ import annotations

import errno


class TokenmillError(Exception):
    """The base class of all errors that tokenmill raises on purpose."""


class ConfigError(TokenmillError, ValueError):
    """A setting is unknown, misspelt, out of bounds, or contradicts another one."""


class InputError(TokenmillError, ValueError):
    """Data from outside is missing, unreadable or broken."""


class RecordError(InputError):
    """One record is broken. `reason` is a short slug, by which such records are counted; the message has the details.

    `instead`: of a record without the column with the text, the column that may be meant; "" if it has no column at all.
    """

    def __init__(self, reason: str, message: str, *, instead: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.instead = instead

    def with_note(self, note: str) -> RecordError:
        """The same error, with more in its message."""
        return RecordError(self.reason, f"{self}; {note}", instead=self.instead)


class QuarantineCeiling(InputError):
    """More records were quarantined than `collect.quarantine_ceiling` allows."""


class CorruptFile(TokenmillError):
    """A file of a corpus is missing, cut, or holds other bytes than its manifest names."""


class NewerFormat(TokenmillError):
    """A file has a format that only a newer tokenmill reads, or may change."""


class Misaligned(TokenmillError):
    """Tables that must hold the same rows in the same order, or the columns that were agreed, do not."""


class Miscounted(TokenmillError):
    """Rows or tokens that were counted in two ways give two numbers: the work is wrong, so it is not published."""


class NotBuilt(TokenmillError):
    """The requested stage, corpus or model has not been built yet."""


class StaleInput(TokenmillError):
    """An input changed after a result was made from it."""


class Locked(TokenmillError):
    """Another process holds the lock of this corpus."""


class NotOurs(TokenmillError, OSError):
    """Something that tokenmill did not make is in the way: a link inside a corpus, a folder of somebody else."""


class WorkerDied(TokenmillError):
    """A worker process ended without an answer: it was killed, or ran out of memory."""


class ClusterError(TokenmillError):
    """A cluster cannot be reached, has no workers left, or has a node with other versions or without the corpus folder."""


class DiskFull(TokenmillError, OSError):
    """A file found no room on its disk, or in the quota of the user."""

    errno = errno.ENOSPC


class OutOfMemory(TokenmillError, MemoryError):
    """An allocation failed, in this process or in a worker."""


class ExpectationMissed(TokenmillError):
    """A corpus was built and published, and is not as the section `expect` of its settings says."""


class Diverged(TokenmillError):
    """The loss or the gradient of a training run is no longer finite."""


class Interrupted(TokenmillError):
    """Work ended as asked by a signal, between two steps. `number`: of the signal."""

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)
        self.number = number
