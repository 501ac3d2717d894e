"""What other tools read, made from a corpus: text in files of its own, or the token store under other names.

Purpose: one function and a table of formats. A format is a module with a function `plan`: which files it has, and how each
is written. The store is not copied but linked, with small files beside it where a format wants them.
Guarantee: what is exported was compared with its manifest; a file appears whole or not at all. Forgotten documents are left
out of text, and a store that still holds some is refused. A second export into the same folder leaves no file of the first;
a folder that holds anything else is refused. An export is what the corpus was then: export again after a change.
Cost: text: one shard in memory. Store: one read of it, and no more disk than the small files, where links are possible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from tokenmill.pipeline.base import files, state
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.export import huggingface, jsonl, megatron, nanogpt, nanotron, olmo, parquet
from tokenmill.pipeline.export.source import Item, Source

Format = Literal["jsonl", "parquet", "huggingface", "megatron", "nanotron", "olmo", "nanogpt"]
FORMATS: Mapping[Format, Callable[[Source], Sequence[Item]]] = {
    "jsonl": jsonl.plan,
    "parquet": parquet.plan,
    "huggingface": huggingface.plan,
    "megatron": megatron.plan,
    "nanotron": nanotron.plan,
    "olmo": olmo.plan,
    "nanogpt": nanogpt.plan,
}
LISTING = ".export.json"
"""The files of the last export, in its folder."""


def export(
    root: Path,
    before: Sequence[Manifest],
    out: Path,
    to: Format,
    progress: Progress,
    *,
    describe: Callable[[Path], str],
    licence: str | None = None,
) -> int:
    """Write the corpus in `root`, whose manifests are `before`, to `out` in the format `to`. Returns the number of documents.

    A card says how the corpus was made with `describe(root)`, in Markdown, and names `licence`, an identifier of the Hugging
    Face hub. Raises InputError when `out` holds something that no export wrote, when the store holds forgotten documents, or
    when the format cannot hold what it holds; NotBuilt for a store that was not packed; CorruptFile, StaleInput.
    """
    if licence is not None and to != "huggingface":
        raise InputError(f"--licence {licence}: --to {to} has no card that could say it")
    known = state.load(out / LISTING)
    if known is None and out.exists() and any(out.iterdir()):
        raise InputError(f"--out {out}: is not empty and holds no export; choose a new or an empty folder")
    items = FORMATS[to](Source(root=root, before=tuple(before), describe=describe, licence=licence))
    names = [item.name for item in items]
    # Listed before they are written, so that an export that is cut short can still be replaced.
    state.save(out / LISTING, sorted({*names, *(known or ())}), durable=True)
    for name in known or ():
        files.remove(files.inside(out, name))
    progress.begin("export", len(items), "files")
    documents = 0
    for item in items:
        documents += item.write(out / item.name)
        progress.advance(1)
    state.save(out / LISTING, names, durable=True)
    progress.end(f"{documents:,} documents in {out}")
    return documents
