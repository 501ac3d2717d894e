"""datatrove's filters as peers: as they come, and with a regular expression in the place of spaCy.

Cost: making documents of the batch's texts is part of each call, as its readers make them.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.stages.quality.recipes import RECIPES
from tokenmill.pipeline.stages.quality.settings import Thresholds
from tokenmill.pipeline.stages.quality.stage import Quality

BYTES = {"datatrove": 8_000_000, "datatrove_regex": 8_000_000}
_WORD = re.compile(r"\w+|[^\w\s]")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")


@dataclass(frozen=True, kw_only=True)
class Filter(Quality):
    """The stage with some of a recipe's rules: those of one filter."""

    rules: tuple[str, ...]

    @property
    def thresholds(self) -> Thresholds:
        recipe = RECIPES[self.config.recipe]
        return Thresholds(**{name: getattr(recipe, name) for name in self.rules})


def filter_batch(stage: Quality, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Scores and decisions, as a corpus computes them."""
    return stage.decide(stage.score(batch))


def installed(*packages: str) -> bool:
    """Whether all of them can be imported."""
    return all(importlib.util.find_spec(package) for package in packages)


def peers(make: Callable[[Any], Any]) -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    """`make`: a filter for a language, or for a word splitter in its place."""
    if not installed("datatrove", "spacy"):
        return dict.fromkeys(BYTES)
    return {"datatrove": _over(make("en")), "datatrove_regex": _over(make(regex_splitter()))}


def regex_splitter() -> Any:
    """A word splitter for datatrove that knows runs of word characters and single marks."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Regex(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return _WORD.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return _SENTENCE.findall(text)

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [match.span() for match in _SENTENCE.finditer(text)]

    return Regex()


@dataclass(frozen=True)
class InTurn:
    """Filters as one: each judges every document, and one may edit it for the next."""

    steps: list[Any]

    def filter(self, document: Any) -> list[object]:
        return [step.filter(document) for step in self.steps]


def _over(step: Any) -> Callable[[pa.RecordBatch], object]:
    from datatrove.data import Document

    def run(batch: pa.RecordBatch) -> list[object]:
        texts = batch["text"].to_pylist()
        return [step.filter(Document(text=text, id=str(row))) for row, text in enumerate(texts)]

    return run
