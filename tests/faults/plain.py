"""A corpus in plain Python: what a build must make of a folder of texts, by dictionaries and loops alone.

It is the oracle of random sequences of operations. Its rules are those of the settings that `settings` gives: a text of white
space alone is no document; of equal texts the one with the lowest id stays; a text needs `min_words` words; what was forgotten
never comes back.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from tokenmill.pipeline import config
from tokenmill.pipeline.base import schema
from tokenmill.pipeline.stages.settings import parse

NAMES = tuple(f"{letter}.txt" for letter in "abcdefghijkl")
SOURCE = "files"
_EVERY_TEXT_PASSES = {
    "min_stop_words": 0,
    "min_punctuated_lines": 0,
    "max_short_lines": 1,
    "min_mean_word_characters": 0,
    **{f"max_top_{count}gram": 1000 for count in (2, 3, 4)},
}


def id_of(name: str) -> bytes:
    """The id of the document that stands in the file of that name."""
    return schema.doc_id(SOURCE, name)


def settings(source: Path, min_words: int) -> config.Config:
    """The cheapest settings of a whole corpus: two stages that decide by rules that plain Python can follow."""
    plain = {
        "stages": ["dedup", "quality"],
        "collect": {"paths": [str(source)], "shard_bytes": 1000},
        "quality": {"recipe": "docs@1", "min_words": min_words, **_EVERY_TEXT_PASSES},
        "tokenizer": {"vocabulary": 270, "min_frequency": 1},
        "pack": {"validation_fraction": 0.25, "shard_tokens": 1000},
    }
    return parse(plain, where="a test")


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A corpus as a build leaves it. `left_out`: documents whose tokens are not in the store, because they were forgotten."""

    files: Mapping[str, str]
    min_words: int
    left_out: frozenset[str] = frozenset()

    @property
    def texts(self) -> dict[str, str]:
        """By name, what is collected."""
        return {name: text for name, text in self.files.items() if text.strip()}

    @property
    def duplicates(self) -> set[str]:
        """The names of documents of which an equal one stays."""
        first: dict[str, str] = {}
        for name in sorted(self.texts, key=id_of):
            first.setdefault(self.texts[name], name)
        return {*self.texts}.difference(first.values())

    def kept(self, min_words: int | None = None) -> dict[str, str]:
        """What all stages leave, by name, under this or another threshold."""
        least = self.min_words if min_words is None else min_words
        gone = self.duplicates
        return {name: text for name, text in self.texts.items() if name not in gone and len(text.split()) >= least}

    @property
    def packed(self) -> dict[str, str]:
        """The documents whose tokens the store holds."""
        return {name: text for name, text in self.kept().items() if name not in self.left_out}

    def seen(self, forgotten: Set[str]) -> Seen:
        """What readers find of it while `forgotten` is on the list."""
        kept = self.kept()
        return Seen(
            collected=(len(self.files), len(self.texts)),
            duplicates=len(self.duplicates),
            too_short=len(self.texts) - len(self.duplicates) - len(kept),
            packed=len(self.packed),
            texts={id_of(name): text for name, text in kept.items() if name not in forgotten},
        )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a reader finds: documents read and kept by collection, dropped by each stage, in the store, and texts by id."""

    collected: tuple[int, int]
    duplicates: int
    too_short: int
    packed: int
    texts: Mapping[bytes, str]


@dataclass
class Plain:
    """The folder of texts, the settings of the next build, and the list of what was forgotten."""

    files: dict[str, str] = field(default_factory=dict)
    min_words: int = 5
    forgotten: set[str] = field(default_factory=set)

    def build(self) -> Whole:
        """What a build makes now."""
        return Whole(files=dict(self.files), min_words=self.min_words, left_out=frozenset(self.forgotten))

    def suffices(self) -> bool:
        """Whether a build has something to learn from and to pack; without that it is refused."""
        return len(self.build().packed) >= 2


def text(draw: random.Random) -> str:
    """A text of 3 to 40 words that hardly ever occur twice, so no two texts are near duplicates."""
    return " ".join("".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 6))) for _ in range(draw.randint(3, 40)))
