"""A corpus with every stage: rows are conserved, evidence holds, `whatif` tells what a build does, and the number of workers
changes no byte.

`tests/faults` kills and resumes such builds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.builds import published
from tokenmill.flows.build import build
from tokenmill.pipeline.ask.status import status
from tokenmill.pipeline.ask.verify import problems
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.settings import parse
from tokenmill.tokenizer.encode import of_corpus

SENTENCES = (
    "The river was high in spring and the ferry could not cross for two days",
    "A miller asked the council whether the old bridge would be mended before winter",
    "Nobody in the village remembered who had planted the row of limes",
    "The schoolmaster kept a record of the weather which is still read today",
    "In the market they sold cheese and rope and apples from the upper valley",
    "Her brother wrote that the harbour had been closed because of the storm",
    "The clock of the town hall stopped on the night when the fire began",
    "Two surveyors measured the road and found it shorter than the map said",
    "Every autumn the reeds were cut and laid on the roofs of the barns",
    "The ledger says that the garden was let to a widow for three years",
    "What the engineers had promised was built by others a century later",
    "He carried the letters on foot because his horse was lame that week",
)
QUESTIONS = (
    "Which element of the periodic table has the highest melting point when measured at standard pressure?",
    "How many distinct ways are there to seat seven guests at a round table with two empty chairs?",
)
CHANGES: tuple[Mapping[str, Any], ...] = (
    {"urls.lists.sites.use": "off", "urls.without_url": "drop"},
    {"urls.only_allowed": True},
    {"dedup.threshold": 0.95},
    {"dedup.loses": 0.0, "decontamination.threshold": 1.0},
    {"decontamination.ignored_sets": ["quiz"], "personal.max_found": 2},
    {"personal.max_share": 0.02},
)


def other(number: int) -> str:
    """A text like no other one."""
    return " ".join(f"In year {number}{year} {sentence.lower()}." for year, sentence in enumerate(SENTENCES))


def records() -> list[dict[str, str]]:
    """Plain documents on hosts that are on lists or on none; then copies, revisions, questions of a quiz, and personal data."""
    plain = [other(number) + "\n" for number in range(30)]
    special = (
        plain[2],
        other(50) + " The first of two lines at its end.\n",
        other(50) + " The second line stands here at its end.\n",
        f"{other(51)} {QUESTIONS[0]}\n",
        f"{other(52)} {QUESTIONS[1].removesuffix(' empty chairs?')}\n",
        f"{other(53)} Write to ann.miller@example.org or bob@example.net from 8.8.8.8.\n",
        f"{other(54)} It is paid from DE89 3704 0044 0532 0130 00.\n",
    )
    hosts = ("good.example", "www.bad.example", "other.example")
    found = [
        {"id": f"{number:03}", "text": text} | ({} if number % 7 == 0 else {"url": f"https://{hosts[number % 3]}/{number}"})
        for number, text in enumerate(plain)
    ]
    return found + [{"id": f"x{number}", "text": text, "url": "https://other.example/"} for number, text in enumerate(special)]


def configured(folder: Path, *, without: str = "") -> dict[str, Any]:
    return {
        "stages": [kind.name for kind in table.STAGES if kind.name != without],
        "collect": {"paths": [str(folder / "input.jsonl")], "shard_bytes": 6_000},
        "urls": {
            "lists": {
                "sites": {"paths": [str(folder / "sites")]},
                "trusted": {"paths": [str(folder / "trusted")], "use": "allow"},
            }
        },
        "language": {"threshold": 0.0},
        "dedup": {"bands": 16, "rows": 7},
        "repeats": {"min_documents": 30},
        "decontamination": {"sets": {"quiz": {"path": str(folder / "quiz.jsonl")}}},
        "tokenizer": {"vocabulary": 300, "min_frequency": 1},
        "pack": {"shard_tokens": 5_000, "validation_fraction": 0.2},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("all_stages")
    (made / "input.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records()))
    (made / "sites").write_text("bad.example\n")
    (made / "trusted").write_text("good.example\n")
    (made / "quiz.jsonl").write_text("".join(json.dumps({"question": question}) + "\n" for question in QUESTIONS))
    return made


@pytest.fixture(scope="module")
def corpus(folder: Path) -> CorpusFolder:
    return build(parse(configured(folder), where="a test"), folder / "corpus", workers=1)


def test_rows_are_conserved_and_every_stage_has_dropped_or_changed_something(corpus: CorpusFolder) -> None:
    rows = status(corpus).stages
    assert [row.stage for row in rows] == ["collect", *(kind.name for kind in table.STAGES), "pack"]
    for row, following in itertools.pairwise(rows):
        assert row.read == row.kept + sum(row.dropped.values()) + row.quarantined
        assert following.read == row.kept
    dropped = {row.stage: sum(row.dropped.values()) for row in rows}
    assert (dropped["urls"], dropped["dedup"], dropped["decontamination"]) == (8, 2, 2)
    edited = [
        entry.rows for shard in corpus.require("personal").shards for name, entry in shard.files.items() if "/edits/" in name
    ]
    assert sum(edited) == 4


def test_the_evidence_of_every_stage_holds(corpus: CorpusFolder) -> None:
    assert list(problems(corpus.root, Silent(), of_corpus)) == []


def test_two_workers_make_the_same_bytes(corpus: CorpusFolder, folder: Path) -> None:
    other = build(parse(configured(folder), where="a test"), folder / "by_two", workers=2)
    assert published(other.root) == published(corpus.root)


@pytest.fixture(scope="module")
def replayed(folder: Path) -> CorpusFolder:
    """Without `repeats`, which counts what reaches it: what earlier stages would keep takes a build to say."""
    return build(parse(configured(folder, without="repeats"), where="a test"), folder / "replayed", workers=1)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_what_if_tells_what_a_build_does(replayed: CorpusFolder, folder: Path, change: Mapping[str, Any]) -> None:
    said = what_if(replayed, change)["documents"]
    changed = parse(configured(folder, without="repeats"), where="a test", overrides=change)
    kept = status(build(changed, folder / "changed", workers=1)).stages[-1].kept
    assert said["before"] == status(replayed).stages[-1].kept != kept
    # Later stages have no scores of documents that were dropped.
    assert said["after"] <= kept <= said["after"] + said["unknown"]
