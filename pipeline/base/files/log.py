"""A log that grows by whole lines, or by whole records.

Guarantee: a crash cuts the last line at most, and opening the log again ends that line. No link is followed below a corpus.
Cost: one system call for each line; nothing waits for the disk.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.files import faults, tree
from tokenmill.pipeline.base.files.write import canonical_json, place_of, write_bytes
from tokenmill.pipeline.base.shortage import disk_full


class Log:
    """An append-only text file of JSON lines. If a crash cut the last line, opening the log ends that line with a newline."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                # A copy by hard links (`cp -al`) has the same file, and must not grow.
                write_bytes(path, tree.read_bytes(path), durable=False)
        with place_of(path, durable=False) as place:
            cut = path.is_file() and path.stat().st_size > 0 and not tree.read_bytes(path).endswith(b"\n")
            faults.step("create", path)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._raw = io.FileIO(os.open(path.name, flags, 0o666, dir_fd=place.folder), "ab")
        if cut:
            self._raw.write(b"\n")

    def append(self, value: Any) -> None:
        """Append `value` as one line. Raises as `write` does."""
        self.write(canonical_json(value))

    def write(self, record: bytes) -> None:
        """Append a record of another format. Raises OSError with the path; DiskFull, which is one, if there is no room."""
        try:
            if faults.step("write", self._path) == "short":
                self._raw.write(record[: len(record) // 2])
                raise OSError(errno.EIO, "short write", str(self._path))
            # A disk that is nearly full takes a part of the record, and says so at the rest.
            while record:
                record = record[self._raw.write(record) :]
        except OSError as error:
            raise disk_full(error, self._path) or OSError(error.errno, error.strerror, str(self._path)) from error

    def close(self) -> None:
        """Close the log."""
        self._raw.close()
