"""Pages with known main text, from Parquet files.

Purpose: the same pages train a model and measure extractors.
Guarantee: pages are in the order of the files and rows, and belong to sets that depend on the names in the files alone.
Cost: memory for all pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.charset.decode import decode
from tokenmill.pipeline.collect.extract.overlap import without_markdown

COLUMNS = {"set": pa.string(), "page_type": pa.string(), "host": pa.string(), "html": pa.binary(), "gold": pa.string()}
MARKDOWN = "gold_is_markdown"
SMALLEST_SET = 50
"""Pages of a set that is measured alone. Of smaller ones a mean says little, so they are measured together by source."""


@dataclass(frozen=True, kw_only=True)
class KnownPage:
    """A page and its main text. Pages of one host are never on both sides of a split."""

    set: str
    page_type: str
    host: str
    html: str
    gold: str


def read(paths: Sequence[Path]) -> list[KnownPage]:
    """The pages of Parquet files with the columns `set`, `page_type`, `host`, `html` (bytes), `gold` and, for main texts in
    Markdown, `gold_is_markdown`. Sets with fewer than `SMALLEST_SET` pages are joined with the others of their source, which is
    the name before the first hyphen.

    Raises InputError if a file cannot be read, lacks a column or has an empty value in it, or if there are no pages.
    """
    rows = [row for path in paths for row in _rows(path)]
    if not rows:
        raise InputError("the files have no pages")
    sizes = Counter(row["set"] for row in rows)
    pages: list[KnownPage] = []
    for row in rows:
        name = row["set"] if sizes[row["set"]] >= SMALLEST_SET else row["set"].partition("-")[0]
        html = decode(row["html"], markup=True).text
        gold = without_markdown(row["gold"]) if row.get(MARKDOWN) else row["gold"]
        host = row["host"] or f"{row['set']}#{len(pages)}"
        pages.append(KnownPage(set=name, page_type=row["page_type"], host=host, html=html, gold=gold))
    return pages


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}; pages have {', '.join(COLUMNS)}")
            table = file.read(columns=[*COLUMNS, *({MARKDOWN} & set(file.schema_arrow.names))])
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: the pages cannot be read ({error}); give Parquet files of pages") from error
    for name, kind in COLUMNS.items():
        if table[name].null_count:
            raise InputError(
                f"{path}: the column {name} has {table[name].null_count} rows without a value; fill or remove them"
            )
        try:
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
        except pa.ArrowException as error:
            raise InputError(f"{path}: the column {name} is no {kind} ({error})") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
