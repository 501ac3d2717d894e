"""Whether texts, or something like them, are in a corpus.

Guarantee: writes nothing to the corpus; the answer names documents, similarities and what became of them, and shows no text.
Cost: see `tokenmill.pipeline.ask.lookup`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tokenmill.flows.build import CONFIG
from tokenmill.pipeline import config
from tokenmill.pipeline.ask import lookup
from tokenmill.pipeline.ask.status import published
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.manifest import CORPUS

STANDARD_INPUT = "-"


def near(root: Path, names: Sequence[str], *, threshold: float | None, limit: int, redis: str | None) -> dict[str, Any]:
    """The answer as JSON values; `show` draws it. `names`: files of UTF-8 text, or STANDARD_INPUT.

    threshold: None for that of the corpus; redis: an address, or None for an index in memory. Raises NotBuilt, InputError,
    ConfigError, StaleInput, CorruptFile.
    """
    made = published(root)
    files.read_verified(root, CONFIG, manifest.load(root, CORPUS).files[CONFIG])
    wanted = config.load(root / CONFIG).dedup
    least = wanted.threshold if threshold is None else threshold
    texts = list(map(_read, names))
    with contextlib.nullcontext(lookup.IN_MEMORY) if redis is None else lookup.redis_storage(redis) as storage:
        found = lookup.near(root, made, wanted, texts, threshold=least, limit=limit, storage=storage)
    return {
        "threshold": least,
        "expected_recall": round(wanted.scheme.probability(least), 6),
        "texts": [{"name": name, "found": list(map(_plain, mine))} for name, mine in zip(names, found, strict=True)],
    }


def _read(name: str) -> str:
    data = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is no UTF-8 text (byte {error.start}); documents are compared by their text") from error


def _plain(found: lookup.Found) -> dict[str, Any]:
    return {
        "doc_id": found.doc_id.hex(),
        "source": found.source,
        "url": found.url,
        "similarity": found.similarity,
        "kept": found.stage is None,
        "stage": found.stage,
        "reason": found.reason,
        "kept_doc_id": None if found.kept_doc_id is None else found.kept_doc_id.hex(),
    }


def show(answer: dict[str, Any], console: Console) -> None:
    """Draw it: for each text its name, then two lines for each document."""
    for text in answer["texts"]:
        console.print(Text(text["name"], style="bold"))
        for one in text["found"]:
            became = "kept" if one["kept"] else f"dropped by {one['stage']}: {one['reason']}"
            if one["kept_doc_id"]:
                became += f" of {one['kept_doc_id']}"
            console.print(Text(f"  {one['similarity']:.4f}  {one['doc_id']}  {became}"))
            console.print(Text(f"          {one['source']}  {one['url'] or ''}".rstrip(), style="dim"))
        if not text["found"]:
            console.print(
                f"  nothing that is alike at {answer['threshold']} or more; of what is just so alike, "
                f"the bands find {100 * answer['expected_recall']:.1f} %"
            )
