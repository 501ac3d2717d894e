"""Write a corpus in the formats of other tools: text in files of its own, or the token store under other names.

Purpose: one function and a table of formats. A format is a module with a function `plan` that lists the files of an export and
how to write each. The store is linked, not copied; small files stand beside it if a format needs them.
Guarantee: exported data was compared with its manifest. A file appears whole or not at all. Forgotten documents are left out of
text, and a store that still holds some is refused. A second export into the same folder leaves no file of the first; a folder
that holds anything else is refused. An export does not follow later changes of the corpus: export again after a change.
Cost: text: one shard in memory. Store: one read of it, and where links are possible, disk space for the small files only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from tokenmill.pipeline.base import files, spelling, state
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.export import huggingface, jsonl, megatron, nanogpt, nanotron, olmo, parquet
from tokenmill.pipeline.export.source import ExportSource, Item

Format = Literal["jsonl", "parquet", "huggingface", "megatron", "nanotron", "olmo", "nanogpt"]
FORMATS: Mapping[Format, Callable[[ExportSource], Sequence[Item]]] = {
    "jsonl": jsonl.plan,
    "parquet": parquet.plan,
    "huggingface": huggingface.plan,
    "megatron": megatron.plan,
    "nanotron": nanotron.plan,
    "olmo": olmo.plan,
    "nanogpt": nanogpt.plan,
}


def format_of(name: str) -> Format:
    """The format of that name. Raises InputError with the nearest one."""
    for one in FORMATS:
        if one == name:
            return one
    raise InputError(f"there is no export format {name!r}; {spelling.hint(name, FORMATS)}")


LISTING = ".export.json"
"""A file in the folder of an export that lists the files of the last export."""


def export(corpus: CorpusFolder, out: Path, to: Format, progress: Progress, *, licence: str | None = None) -> int:
    """Write a corpus to `out` in the format `to`. Returns the number of documents.

    A card says how the corpus was made, in Markdown, and names `licence`, an identifier of the Hugging Face hub.

    Raises InputError when `out` holds something that no export wrote, when the store holds forgotten documents, or when the
    format cannot hold what it holds; NotBuilt for a store that was not packed; CorruptFile, StaleInput.
    """
    if licence is not None and to != "huggingface":
        raise InputError(f"--licence {licence}: --to {to} has no card that could state it")
    documents = replace(out, FORMATS[to](ExportSource(corpus=corpus, licence=licence)), progress)
    progress.end(f"{documents:,} documents in {out}")
    return documents


def replace(out: Path, items: Sequence[Item], progress: Progress) -> int:
    """Write `items` to `out`, in place of an earlier export there. Returns the number of documents in them.

    Raises InputError when `out` holds something that no export wrote.
    """
    known = state.load(out / LISTING, oldest=1)
    if known is None and out.exists() and any(out.iterdir()):
        raise InputError(f"--out {out}: is not empty and holds no export; choose a new or an empty folder")
    names = [item.name for item in items]
    # The files are listed before they are written, so that an interrupted export can still be replaced.
    state.save(out / LISTING, sorted({*names, *(known or ())}), durable=True)
    for name in known or ():
        files.remove(files.inside(out, name))
    progress.begin("export", len(items), "files")
    documents = 0
    for item in items:
        documents += item.write(out / item.name)
        progress.advance(1)
    state.save(out / LISTING, names, durable=True)
    return documents
