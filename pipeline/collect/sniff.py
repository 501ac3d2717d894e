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
import shlex
from collections.abc import Sequence

from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.collect.entries import shown
from tokenmill.pipeline.collect.kinds import RECORD_KINDS
from tokenmill.pipeline.collect.listing import InputFile
from tokenmill.pipeline.collect.parser import attempts
from tokenmill.pipeline.collect.records import Limits, Rejected
from tokenmill.pipeline.config import DatasetSource, DatatroveSource, FilesSource, toml

FIRST_RECORDS = 8


Columned = FilesSource | DatasetSource | DatatroveSource
"""Sources of records with a column for the text."""


def require_column(source: Columned, files: Sequence[InputFile], limits: Limits) -> None:
    """Raises InputError if no record that is looked at has the column with the text."""
    # Objects of a store are not here yet; what they lack is found when they are read.
    files = [file for file in files if file.remote is None]
    first: dict[str, InputFile] = {}
    last: dict[str, InputFile] = {}
    for file in files:
        first.setdefault(file.kind, file)
        last[file.kind] = file
    if not first or not set(first) <= {*RECORD_KINDS, "datatrove"}:
        return
    lacking: dict[str, Rejected] = {}
    for file in (*first.values(), *last.values()):
        record = lacking.get(file.path) or _lacking(source, file, limits)
        if record is None:
            return
        lacking[file.path] = record
    path, record = next(iter(lacking.items()))
    column = record.instead or "NAME"
    how = f"--text-field {shlex.quote(column)}, or text_field in the source"
    if isinstance(source, DatatroveSource):
        how = f"text_key = {toml.value(column)} in the arguments of the source"
    raise InputError(f"source {source.name!r}: {shown(path)}: {record.message}; name the column with the text: {how}")


def _lacking(source: Columned, file: InputFile, limits: Limits) -> Rejected | None:
    """The first record, if all of the first ones lack the column with the text; else None."""
    about = source.model_dump(mode="json", exclude={"path", "paths"})
    whole = (0, 1 << 31 if file.kind == "parquet" else file.size_bytes, 0)
    # What cannot be read is reported by the step that reads it.
    with contextlib.suppress(InputError, StaleInput), contextlib.closing(attempts.records(file, whole, about, limits)) as read:
        found = list(itertools.islice(read, FIRST_RECORDS))
        lacking = [one for one in found if isinstance(one, Rejected) and one.instead is not None]
        return lacking[0] if lacking and len(lacking) == len(found) else None
    return None
