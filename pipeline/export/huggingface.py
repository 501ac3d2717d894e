"""Text as a data set folder of the Hugging Face hub: Parquet files by source, and a card that describes them.

Purpose: `datasets.load_dataset(folder)` reads the folder as it is, offline; each source with documents is also a configuration.
The card says how much text there is, from which sources and in which languages, how it was made, with every threshold, and what
each stage dropped. It names a licence only if one is given.
Guarantee: the card counts the documents that were written, and holds no path of a machine.
Cost: one shard in memory.
"""

from __future__ import annotations

import functools
import json
import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.export import parquet
from tokenmill.pipeline.export.source import ExportSource, Item
from tokenmill.pipeline.report import card_markdown
from tokenmill.pipeline.stages.language.kind import LANGUAGE, labels_in

CARD = "README.md"
WHOLE = "default"
"""The configuration that holds all sources."""
UNKNOWN = "unknown"
NO_LANGUAGE = ("und", "zxx")
"""Codes of ISO 639-2: not determined, and no linguistic content."""
LEAST_SHARE = 0.01
"""Languages with a smaller share of the documents are left out of the header; the table still names them."""
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
NAMES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


@dataclass(kw_only=True)
class _WrittenCounts:
    """What the files written so far contain."""

    documents: Counter[str] = field(default_factory=Counter)
    """By source, like `text_bytes`."""
    text_bytes: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


def plan(source: ExportSource) -> list[Item]:
    """`data/<source>/train-00000-of-00001.parquet` for every shard, and the card."""
    members: dict[str, list[View]] = defaultdict(list)
    for view in source.views:
        members[view.source].append(view)
    written = _WrittenCounts()
    items = [
        Item(
            name=f"data/{name}/train-{number:05d}-of-{len(views):05d}.parquet",
            write=functools.partial(_write, source, view, written),
        )
        for name, views in members.items()
        for number, view in enumerate(views)
    ]
    return [*items, Item(name=CARD, write=functools.partial(_write_card, source, written))]


def _write(source: ExportSource, view: View, written: _WrittenCounts, path: Path) -> int:
    table, rows = source.texts(view)
    languages = _languages(source, view)
    if languages is not None:
        table = table.append_column("language", languages.take(pa.array(rows)))
        written.languages.update({one["values"]: one["counts"] for one in table["language"].value_counts().to_pylist()})
    parquet.write(table, path)
    name = view.source
    written.documents[name] += table.num_rows
    written.text_bytes[name] += pc.sum(pc.binary_length(table["text"]), min_count=0).as_py()
    return int(table.num_rows)


def _languages(source: ExportSource, view: View) -> pa.ChunkedArray | None:
    """The language of every row of a shard; None if languages were not identified. Raises CorruptFile, Misaligned."""
    shard = next(shard for shard in source.corpus.shards if shard.name == view.name)
    made = source.corpus.step(LANGUAGE.name)
    if made is None:
        return None
    named = shard.tables[LANGUAGE.name, labels_in(made)]
    scores = shards.read(view.root, named, ["doc_id", "language"])
    documents = shards.read(view.root, view.documents, ["doc_id"])
    shards.align(view.documents, documents["doc_id"], named, scores["doc_id"])
    return pc.cast(scores["language"], pa.string())


def _write_card(source: ExportSource, written: _WrittenCounts, path: Path) -> int:
    files.write_bytes(path, "\n".join([*_header(source, written), "", *_body(source, written), ""]).encode())
    return 0


def _header(source: ExportSource, written: _WrittenCounts) -> Iterator[str]:
    """The card's YAML header. Every value is written as JSON."""
    documents = written.documents.total()
    above = bisect(SIZES, documents)
    bounds = [*(NAMES[above - 1 : above] if above else ()), "n", *NAMES[above : above + 1]]
    common = [name for name, number in written.languages.most_common() if number >= LEAST_SHARE * documents]
    codes = dict.fromkeys(found[0] for found in (re.match(r"[a-z]{2,3}(?![a-z])", name) for name in common) if found)
    full = [name for name, number in written.documents.items() if number]
    fields = {
        "pretty_name": source.corpus.root.resolve().name,
        "license": source.licence or UNKNOWN,
        "language": [code for code in codes if code not in NO_LANGUAGE],
        "size_categories": ["<".join(bounds) if above < len(SIZES) else "n>1T"],
        "task_categories": ["text-generation"],
        "configs": [
            {"config_name": WHOLE, "data_files": "data/*/*.parquet"},
            *({"config_name": name, "data_files": f"data/{name}/*.parquet"} for name in full if name != WHOLE),
        ],
    }
    yield "---"
    for name, value in fields.items():
        if value:
            yield f"{name}: {json.dumps(value, ensure_ascii=False)}"
    yield "---"


def _body(source: ExportSource, written: _WrittenCounts) -> Iterator[str]:
    yield f"# {source.corpus.root.resolve().name}\n"
    yield f"{written.documents.total():,} documents, {written.text_bytes.total():,} bytes of text.\n"
    language = "; `language` is what a model identified" if written.languages else ""
    yield "`doc_id` identifies a document for ever; `source` and `url` say where it is from; `metadata` is JSON with everything"
    yield f"else that its source said about it{language}.\n"
    if source.forgotten:
        yield "Documents that were forgotten are left out.\n"
    yield f"Licence: {source.licence or 'unknown. The text belongs to those who wrote it; ask where it comes from'}.\n"
    yield "## Sources\n\n| source | documents | bytes of text |\n|---|--:|--:|"
    for name, number in written.documents.items():
        yield f"| {name} | {number:,} | {written.text_bytes[name]:,} |"
    if written.languages:
        yield "\n## Languages\n\n| language | documents |\n|---|--:|"
        for language, number in written.languages.most_common():
            yield f"| {language} | {number:,} |"
    yield f"\n{card_markdown(source.corpus)}"
