"""What the stage `personal` took out of the texts that are left: counts by kind and by source, and no value.

Guarantee: it counts values of documents that the stage kept, whether or not a later stage drops them.
Cost: one read of the counts of every document.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages.personal.kind import PERSONAL, replacements_of
from tokenmill.pipeline.stages.personal.settings import NAMES


@dataclass(kw_only=True)
class PersonalCounts:
    """Documents that the stage kept, those with any value, and by kind: values, and documents with any."""

    documents: int = 0
    touched: int = 0
    values: Counter[str] = field(default_factory=Counter)
    holders: Counter[str] = field(default_factory=Counter)

    def add(self, other: PersonalCounts) -> None:
        """Add the counts of another part of the corpus."""
        self.documents += other.documents
        self.touched += other.touched
        self.values += other.values
        self.holders += other.holders


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """`replacements`: by the kind's name for people, what stands in place of its values; "" where they were removed."""

    replacements: dict[str, str]
    total: PersonalCounts
    sources: dict[str, PersonalCounts]


def personal(corpus: CorpusFolder) -> PersonalData | None:
    """The counts, sources with most touched documents first; None if the stage was left out. Raises CorruptFile."""
    made = corpus.step(PERSONAL.name)
    if made is None:
        return None
    replacements = replacements_of(made)
    total, sources = PersonalCounts(), dict[str, PersonalCounts]()
    for shard in corpus.shards:
        verdicts = shards.read(corpus.published, shard.tables[made.stage, "verdicts"], ["reason"])
        kept = schema.alive(verdicts["reason"])
        scores = shards.read(corpus.published, shard.tables[made.stage, "scores"], ["found", *replacements])
        counts = {name: scores[name].fill_null(0).to_numpy()[kept] for name in scores.column_names}
        one = PersonalCounts(documents=int(kept.sum()), touched=int(np.count_nonzero(counts.pop("found"))))
        one.values.update({NAMES[kind]: int(numbers.sum()) for kind, numbers in counts.items()})
        one.holders.update({NAMES[kind]: int(np.count_nonzero(numbers)) for kind, numbers in counts.items()})
        total.add(one)
        sources.setdefault(shard.source, PersonalCounts()).add(one)
    order = sorted(sources, key=lambda name: (-sources[name].touched, name))
    named = {NAMES[kind]: text for kind, text in replacements.items()}
    return PersonalData(replacements=named, total=total, sources={name: sources[name] for name in order})
