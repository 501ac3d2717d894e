"""The section `decontamination`: evaluation sets, and how much of an item makes a document contaminated.

Guarantee: names of sets can stand in tables and reasons; sets that are ignored exist. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import About, Section

LEAST_SHARE = 0.5
"""Passages with a smaller share of an item are not stored, so no threshold can be lower."""
LEAST_WORDS = 4
"""Items with fewer words are never sought."""
COMMON_FIELDS = ("question", "prompt", "problem", "query", "text", "choices", "answer", "solution", "canonical_solution")


class EvaluationSet(Section):
    """A set of evaluation items: a file, or the files of a folder."""

    path: Annotated[str, About(example="mmlu/test.jsonl")]
    """A file, a folder (read with all files below it) or a glob. JSON Lines and plain text (also .gz, .bz2 and .zst), Parquet
    and Arrow, as in a data set's folder. Each line of plain text is an item."""
    fields: Annotated[tuple[str, ...], About(example=("question", "choices.text", "answer"))] = ()
    """The fields of an item, in the order in which they are joined. `choices.text` is a field within a field; lists are joined.
    Default: those that there are of question, prompt, problem, query, text, choices, answer, solution, canonical_solution."""
    optional: tuple[str, ...] = ("choices", "choices.text", "answer", "solution", "canonical_solution")
    """Fields that may be absent from a text: an item is also sought without them all."""
    id_field: str = "id"
    """The field that identifies an item. Items without it are called by their number, from 0."""
    separator: Annotated[str | None, About(example="---")] = Field(default=None, min_length=1)
    """Plain text: items stand between such lines, not each on a line."""


class DecontaminationConfig(Section):
    """Which evaluation items are sought in the text, and what becomes of documents that hold them."""

    sets: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], EvaluationSet] = {}
    """Evaluation sets by name."""
    ngram_words: int = Field(default=5, ge=LEAST_WORDS, le=32)
    """Words per n-gram. An item with fewer words is sought as a whole. In scripts without spaces each character is a word."""
    numbers: Literal["kept", "ignored"] = "kept"
    """"ignored": digits are left out of items and texts, so that an item with other numbers is found too."""
    threshold: Annotated[float, About(unit="share")] = Field(default=0.8, ge=LEAST_SHARE, le=1)
    """A document is contaminated if at least this share (0.5 to 1) of an item's words stands in one passage."""
    action: Literal["drop", "cut"] = "drop"
    """"drop" drops contaminated documents; "cut" removes the passages from them."""
    max_cut_share: float = Field(default=0.5, ge=0, le=1)
    """With "cut": drop a document that would lose more than this share (0 to 1) of its bytes."""
    ignored_sets: Annotated[tuple[str, ...], About(example=("mmlu",))] = ()
    """Sets whose items do not count. What is stored of them stays, so that they can be tried."""
    min_words: int = Field(default=5, ge=LEAST_WORDS)
    """A passage that holds fewer words of an item does not count, so items with fewer words never do. Words that stand in many
    items count less. Two Chinese or Japanese characters are a word here, and so are four characters of Thai, Lao, Khmer or
    Burmese, four numbers, or four single letters."""
    common_words: int = Field(default=12, ge=0)
    """Items with at most so many words may be common phrases, see `common_documents`."""
    common_documents: int = Field(default=10, ge=1)
    """An item of at most `common_words` words that stands in more documents than this is a common phrase: it does not count."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = [name for name in self.ignored_sets if name not in self.sets]
        if unknown:
            raise ValueError(f"ignored_sets names {unknown[0]!r}, which is no set; known: {', '.join(self.sets) or 'none'}")
        return self
