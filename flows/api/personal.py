"""Personal data in a table of texts.

Guarantee: what is found is what a build masks.
Cost: about 100 MB of text a second, or half of it with telephone and identity numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.collect.memory import texts_of
from tokenmill.pipeline.config.section import given
from tokenmill.pipeline.stages.personal.settings import PersonalConfig

VALUES = pa.schema([("row", pa.int64()), ("kind", pa.string()), ("start", pa.int64()), ("end", pa.int64())])


def find(table: Any, *, text: str = "text", settings: Mapping[str, Any] | None = None) -> pa.Table:
    """Where personal data stands in each text.

    Parameters
    ----------
    table
        Anything with an Arrow stream (pyarrow, polars, pandas, `datasets`), or a list of strings.
    text
        The column of the texts.
    settings
        Settings of the section `personal`, as `{"phone": "mask", "public_only": False}`.

    Returns
    -------
    pyarrow.Table
        A row for each value: the `row` of its text, its `kind`, and `start` and `end` in bytes of the text's UTF-8.

    Raises
    ------
    ConfigError
        There is no such setting or value.
    InputError
        The table has no such column of texts.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.personal.find(["Write to ann@example.org.", "Nobody."]).to_pylist()
    [{'row': 0, 'kind': 'email', 'start': 9, 'end': 24}]
    """
    from tokenmill.pipeline.stages.personal.search import findings, sought

    asked = sought(given(PersonalConfig, settings or {}, "personal"))
    rows: list[tuple[int, str, int, int]] = []
    first = 0
    for chunk in texts_of(table, text).chunks:
        for row, values in enumerate(findings(chunk, asked), first):
            rows += [(row, one.kind, one.start, one.end) for one in values]
        first += len(chunk)
    return pa.Table.from_pylist([dict(zip(VALUES.names, row, strict=True)) for row in rows], VALUES)


def mask(table: Any, *, text: str = "text", settings: Mapping[str, Any] | None = None) -> list[str]:
    """The texts without their personal data.

    Parameters
    ----------
    table, text, settings
        As for `find`. Pseudonyms need a build: here, replacements name the kind alone.

    Returns
    -------
    list of str
        A text for each row.

    Raises
    ------
    ConfigError, InputError
        As `find`.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.personal.mask(["Write to ann@example.org."])
    ['Write to [EMAIL].']
    """
    from tokenmill.pipeline.stages.personal.masking import Masker

    masker = Masker.of(given(PersonalConfig, settings or {}, "personal"))
    return [masker.mask(one.as_py()) for chunk in texts_of(table, text).chunks for one in chunk]
