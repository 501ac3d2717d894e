"""Looks at the first records of a source: is the column with the text there at all?

Purpose: a wrong name of that column is the commonest mistake with record files. It is refused before any work, with the columns
that there are, and not after the whole input went to quarantine.
Guarantee: only parsers decode the file. A source is refused if it has record files alone, and the first records of the first
and of the last file of each kind all lack the column; anything else is left to collection.
Cost: two parsers for each kind of file.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
from collections.abc import Sequence

from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.collect.entries import shown
from tokenmill.pipeline.collect.listing import InputFile
from tokenmill.pipeline.collect.parser import attempts
from tokenmill.pipeline.collect.records import Limits, Rejected
from tokenmill.pipeline.config import DatasetSource, FilesSource

RECORD_KINDS = ("jsonl", "csv", "parquet")
FIRST_RECORDS = 8
_LACKING = re.compile(r"no (?:field|column) ")
_SUGGESTED = re.compile(r"did you mean '([^']+)'|there are: ([^,]+)")


def require_column(source: FilesSource | DatasetSource, files: Sequence[InputFile], limits: Limits) -> None:
    """Raises InputError if no record that is looked at has the column with the text."""
    first: dict[str, InputFile] = {}
    last: dict[str, InputFile] = {}
    for file in files:
        first.setdefault(file.kind, file)
        last[file.kind] = file
    if not first or not set(first) <= set(RECORD_KINDS):
        return
    messages: dict[str, str] = {}
    for file in (*first.values(), *last.values()):
        message = messages.get(file.path) or _lacks(source, file, limits)
        if message is None:
            return
        messages[file.path] = message
    path, message = next(iter(messages.items()))
    near = _SUGGESTED.search(message)
    column = "NAME" if near is None else shlex.quote((near[1] or near[2]).strip())
    raise InputError(
        f"source {source.name!r}: {shown(path)}: {message}; name the column with the text: --text-field {column}, or "
        "text_field in the source"
    )


def _lacks(source: FilesSource | DatasetSource, file: InputFile, limits: Limits) -> str | None:
    """What is said of the first record, if all of the first ones lack the column with the text; else None."""
    about = source.model_dump(mode="json", exclude={"path", "paths"})
    whole = (0, 1 << 31 if file.kind == "parquet" else file.size_bytes, 0)
    # What cannot be read is reported by the step that reads it.
    with contextlib.suppress(InputError, StaleInput), contextlib.closing(attempts.records(file, whole, about, limits)) as read:
        found = list(itertools.islice(read, FIRST_RECORDS))
        lacking = [one.message for one in found if isinstance(one, Rejected) and _LACKING.match(one.message)]
        return lacking[0] if lacking and len(lacking) == len(found) else None
    return None
