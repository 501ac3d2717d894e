"""What collection says about its input beside its counts: types of records in web archives, and columns left out of metadata.

Guarantee: the same for any number of workers, since shards are added up in their order. Cost: none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tokenmill.pipeline.collect.write import MOST_COLUMNS, OTHER_COLUMNS, Made
from tokenmill.pipeline.stages.step import Work

SHOWN_COLUMNS = 8
"""Columns that a build names where their values do not fit into the metadata. The manifest names all."""


def record_types(made: Iterable[Made]) -> dict[str, dict[str, int]]:
    """How many records of web archives there are, by source and type."""
    counts: dict[str, Counter[str]] = {}
    for one in made:
        if one.record_types:
            counts.setdefault(one.shard.source, Counter()).update(one.record_types)
    return {source: dict(sorted(types.items())) for source, types in counts.items()}


def say_types(record_types: Mapping[str, Mapping[str, int]], work: Work) -> None:
    """Report the types of records."""
    for source, types in record_types.items():
        named = ", ".join(f"{kind} {count:,}" for kind, count in types.items())
        work.progress.say(f"collect: records in the web archives of {source}, by type: {named}")


def columns_left_out(made: Iterable[Made]) -> dict[str, dict[str, int]]:
    """How many values did not fit into the metadata, by source and column. At most `MOST_COLUMNS` of a source have names."""
    counts: dict[str, Counter[str]] = {}
    for one in made:
        if one.left_out:
            counts.setdefault(one.shard.source, Counter()).update(one.left_out)
    return {source: dict(sorted(_most(columns).items())) for source, columns in counts.items()}


def _most(columns: Counter[str]) -> Counter[str]:
    named = sorted(columns.keys() - {OTHER_COLUMNS}, key=lambda column: (-columns[column], column))[:MOST_COLUMNS]
    most = Counter({column: columns[column] for column in named})
    most[OTHER_COLUMNS] = columns.total() - most.total()
    return +most


def say_columns(columns: Mapping[str, Mapping[str, int]], work: Work) -> None:
    """Report the columns whose values were left out."""
    for source, counts in columns.items():
        named = ", ".join(f"{column} {count:,}" for column, count in list(counts.items())[:SHOWN_COLUMNS])
        more = f", and {len(counts) - SHOWN_COLUMNS} more columns" if len(counts) > SHOWN_COLUMNS else ""
        work.progress.say(f"collect: values of {source} that do not fit into the metadata of documents: {named}{more}")
