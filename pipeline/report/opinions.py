"""What two models say of the languages of documents: which labels were doubted, and which labels meet.

Guarantee: counts of all documents that reached the stage, by label of the first model; pairs of labels that name one language
count as agreement. Memory: one shard's labels. Cost: one read of the scores and verdicts of the stage.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages.language import doubts
from tokenmill.pipeline.stages.language.codes import same
from tokenmill.pipeline.stages.language.kind import LANGUAGE, labels_in

SILENT = pa.array(doubts.SILENT, pa.string())
MOST = 6
"""Other labels shown of each language."""


@dataclass(kw_only=True)
class Opinions:
    """The documents of one label of the first model. `agree`, `silent`: of the second one. `others`: its other labels."""

    documents: int = 0
    agree: int = 0
    silent: int = 0
    by_script: int = 0
    by_second: int = 0
    others: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)

    @property
    def shown(self) -> list[tuple[str, int]]:
        """The most frequent other labels."""
        return sorted(self.others.items(), key=lambda one: (-one[1], one[0]))[:MOST]

    @property
    def written(self) -> list[tuple[str, int]]:
        """The most frequent scripts."""
        return sorted(self.scripts.items(), key=lambda one: (-one[1], one[0]))[:MOST]


@dataclass(frozen=True, kw_only=True)
class Languages:
    """The section of the report. `second`: the name of the second model; "" if there was none."""

    second: str
    rows: list[tuple[str, Opinions]]

    @property
    def documents(self) -> int:
        """All documents that reached the stage."""
        return sum(one.documents for _, one in self.rows)

    @property
    def doubted(self) -> int:
        """The documents labelled `und` for a doubt."""
        return sum(one.by_script + one.by_second for _, one in self.rows)


def opinions(corpus: CorpusFolder) -> Languages | None:
    """The labels of the models, most frequent first; None without the stage, or from an older version. Raises CorruptFile."""
    made = corpus.step(LANGUAGE.name)
    if made is None or labels_in(made) != "verdicts":
        return None
    deciding, asked = made.config["deciding"], made.config["scoring"].get("second")
    close, least = doubts.groups(deciding), deciding.get("second_threshold", 0.0)
    found: defaultdict[str, Opinions] = defaultdict(Opinions)
    for shard in corpus.shards:
        scores = shards.read(corpus.published, shard.tables[LANGUAGE.name, "scores"])
        verdicts = shards.read(corpus.published, shard.tables[LANGUAGE.name, "verdicts"])
        unheard = pc.or_(pc.is_in(scores[doubts.SECOND], value_set=SILENT), pc.less(scores["second_score"], least))
        columns = {"label": scores["language"], "script": scores["script"], "second": scores[doubts.SECOND], "silent": unheard}
        table = pa.table({**columns, "doubt": verdicts["doubt"]}).filter(verdicts["reason"].is_valid())
        counted = table.group_by(table.column_names).aggregate([([], "count_all")])
        for label, script, second, silent, doubt, number in zip(*counted.to_pydict().values(), strict=True):
            one = found[label]
            one.documents += number
            one.scripts[script] += number
            one.by_script += number * (doubt == doubts.SCRIPT)
            one.by_second += number * (doubt == doubts.SECOND)
            if second is not None:
                agree = not silent and same(label, second, close)
                one.silent += number * silent
                one.agree += number * agree
                one.others.update({} if silent or agree else {second: number})
    rows = sorted(found.items(), key=lambda one: (-one[1].documents, one[0]))
    return Languages(second="" if not asked else "CLD2" if "cld2" in asked else "the second model", rows=rows)
