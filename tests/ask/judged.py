"""Texts of two languages and many lengths, and corpora of them whose thresholds drop some."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

from tokenmill.flows import build as building
from tokenmill.pipeline.ask.status import status
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages import settings as settings_of

ENGLISH = "the of and that with have corpus token shard model writes reads every name is a long line about some nice thing"
GERMAN = "der die das und mit nicht eine lange Zeile über schöne Dinge wird hier geschrieben weil jede Datei etwas sagt"
SETTINGS = {
    "collect.shard_bytes": "8000",
    "language.keep": "[]",
    "language.threshold": "0.9",
    "language.sample_characters": "0",
    "quality.recipe": "docs@1",
    "quality.min_words": "60",
    "quality.min_stop_words": "0",
    "tokenizer.vocabulary": "300",
    "pack.validation_fraction": "0.2",
}


def texts() -> list[str]:
    """Of 20 to 139 words; some German, some of both languages, which makes the model unsure."""
    chosen = random.Random(3)
    made = []
    for number in range(120):
        words = GERMAN if number % 5 == 0 else f"{ENGLISH} {GERMAN}" if number % 5 == 1 else ENGLISH
        count = 20 + number if number % 5 != 1 else 70
        written = [*chosen.choices(words.split(), k=count), f"number{number}"]
        made.append("\n".join(" ".join(written[at : at + 9]) + "." for at in range(0, len(written), 9)))
    return made


def built(source: Path, root: Path, changes: dict[str, str]) -> dict[str, Any]:
    wanted = settings_of.load(
        Path(building.__file__).parent / "presets" / "text.toml", {"collect.paths": str(source), **changes}
    )
    building.build(wanted, root)
    return {row.stage: dataclasses.asdict(row) for row in status(open_corpus(root)).stages}
