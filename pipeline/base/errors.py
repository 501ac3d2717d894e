"""Every error that tokenmill raises on purpose.

Purpose: a caller can tell by type what went wrong and how one recovers; the command line prints the message and exits
with 1, without a traceback. Messages say what, where (stage, shard, file) and what to do.
Cost: none.

    TokenmillError
    ├── ConfigError            settings: unknown, misspelt, out of bounds, or contradicting one another
    ├── InputError             data from outside is at fault: missing, unreadable, or too much of it is broken
    │   ├── RecordError        one record is at fault; collection turns it into a quarantined row
    │   └── QuarantineCeiling  more records were quarantined than the config allows
    ├── CorruptFile            a file of ours does not hold the bytes that its manifest names
    ├── Misaligned             tables that must hold the same rows in the same order, or the columns that were agreed, do not
    ├── Miscounted             rows or tokens that were counted in two ways give two numbers
    ├── NotBuilt               a stage or a corpus that is asked for does not exist yet
    ├── StaleInput             an input changed since what depends on it was made; both values are shown
    ├── Locked                 another process is writing to the same corpus
    └── WorkerDied             a worker process ended without an answer (killed, or out of memory)
"""

from __future__ import annotations


class TokenmillError(Exception):
    """The root of all errors of ours."""


class ConfigError(TokenmillError, ValueError):
    """A setting is unknown, out of bounds, or contradicts another one."""


class InputError(TokenmillError, ValueError):
    """Data from outside is missing, unreadable or at fault."""


class RecordError(InputError):
    """One record is at fault. `reason` is a short slug that is counted; the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class QuarantineCeiling(InputError):
    """More records were quarantined than `collect.quarantine_ceiling` allows."""


class CorruptFile(TokenmillError):
    """A file of ours is missing, cut, or holds other bytes than its manifest names."""


class Misaligned(TokenmillError):
    """Tables that must hold the same rows in the same order, or the columns that were agreed, do not."""


class Miscounted(TokenmillError):
    """Rows or tokens that were counted in two ways give two numbers: the work is wrong, so it is not published."""


class NotBuilt(TokenmillError):
    """What is asked for has not been built yet."""


class StaleInput(TokenmillError):
    """An input changed since what depends on it was made."""


class Locked(TokenmillError):
    """Another process holds the lock of this corpus."""


class WorkerDied(TokenmillError):
    """A worker process ended without an answer."""
