"""`whatif` on deduplication against builds with the same settings."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.ask.judged import SETTINGS, built
from tokenmill.pipeline.ask import whatif
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages.dedup import known

WORDS = [f"word{number}" for number in range(400)]
STAGES = {**SETTINGS, "stages": '["dedup", "quality"]', "dedup.bands": "16", "dedup.rows": "3", "quality.min_words": "30"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of which each was made of an earlier one: changed in places, in case and operators, cut or lengthened."""
    folder, chosen = tmp_path_factory.mktemp("revisions"), random.Random(5)
    texts = [chosen.choices(WORDS, k=chosen.randint(20, 90)) for _ in range(15)]
    for _ in range(60):
        words = list(chosen.choice(texts))
        for _ in range(chosen.randint(1, 4)):
            at = chosen.randrange(len(words))
            words[at] = chosen.choice(["new", "a + b", words[at].title(), " ".join(chosen.choices(WORDS, k=6))])
        texts.append(words[chosen.choice((0, 0, 9)) :])
    for number, words in enumerate(texts):
        lines = [" ".join(words[at : at + 9]) + "." for at in range(0, len(words), 9)]
        (folder / f"{number:03}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def corpus(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("duplicates") / "corpus"
    built(source, root, STAGES)
    return root


@pytest.mark.parametrize(
    "changes",
    [
        {"dedup.threshold": "0.6", "dedup.loses": "0.05", "dedup.survivor": '["doc_id"]'},
        pytest.param({"dedup.threshold": "0.9", "dedup.revisions": "false"}, marks=pytest.mark.soak),
        pytest.param({"dedup.loses": "0.2", "dedup.bucket_limit": "2"}, marks=pytest.mark.soak),
    ],
    ids=str,
)
def test_the_numbers_are_those_of_a_build(changes: dict[str, str], source: Path, corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    answer = whatif.what_if(open_corpus(corpus), changes, samples=1)
    real = built(source, root, {**STAGES, **changes})
    dedup, quality = answer["stages"]
    assert dedup["before"] != dedup["after"]
    assert dedup["after"]["kept"] == real["dedup"]["kept"]
    assert dedup["after"]["dropped"] == real["dedup"]["dropped"]
    assert (dedup["after"]["not_scored"], dedup["after"]["undecided"]) == (0, 0)
    # A document that comes alive has no scores yet.
    assert quality["after"]["kept"] <= real["quality"]["kept"] <= quality["after"]["kept"] + answer["documents"]["unknown"]
    # Nothing that the answer rests on has to stand beside the corpus.
    shutil.rmtree(root)
    shutil.copytree(corpus, root)
    shutil.rmtree(root / ".state" / "dedup" / known.SIMILARITIES)
    assert whatif.what_if(open_corpus(root), changes, samples=1) == answer


def test_nothing_is_written(corpus: Path) -> None:
    def state() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in corpus.rglob("*")}

    before = state()
    whatif.what_if(open_corpus(corpus), {"dedup.threshold": "0.7"})
    assert state() == before
