"""The stage on real revisions of real documents: the given similarities, recall, and no removal below the threshold.

The given j5 counts the words `\\w+` of the text in lower case. Ours are words of the normalised text: numbers are one word,
`_` parts words, and marks above letters go. So words are compared by our kernels after theirs were written in letters, each as
a word of its own: then both rules are one, and so are all similarities. As the texts come, 0.922 (PEPs, full of numbers) and
0.881 (tldr, a hundred words each, full of `_` and numbers) of the similarities are within 0.01.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.kernels import dedup_oracles as oracle
from tests.stages.dedup.test_dedup import of, verdicts
from tests.stages.dedup.test_revisions import FILES, found_and_similar, lines
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import tables
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

CONFIG = DedupConfig()
THEIR_WORD = re.compile(r"\w+")


def letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


@FILES
def test_with_their_words_the_similarities_are_theirs(shared_data: Path, documents: str, pairs: str) -> None:
    texts = lines(shared_data / "dup" / documents)
    numbers: dict[str, int] = {}
    spelled = [
        " ".join(letters(numbers.setdefault(word, len(numbers))) for word in THEIR_WORD.findall(row["text"].lower()))
        for row in texts
    ]
    row_of = {row["id"]: at for at, row in enumerate(texts)}
    sets, bounds = ngrams.ngram_sets(*utf8(pa.array(spelled, pa.large_string())), np.arange(len(texts)), False, 5, tables())
    of_row = [sets[start:stop] for start, stop in itertools.pairwise(bounds)]
    for pair in lines(shared_data / "dup" / pairs):
        # They are given with four digits.
        assert abs(ngrams.jaccard(*(of_row[row_of[pair[side]]] for side in "ab")) - pair["j5"]) < 5.1e-5


def test_where_words_are_the_same_similarities_are_theirs(shared_data: Path) -> None:
    documents, pairs = "rev_tldr_docs.jsonl", "rev_tldr_pairs.jsonl"
    words = DedupConfig(fold_case=True, fold_operators=True)
    _, ours, theirs = found_and_similar(shared_data / "dup" / documents, shared_data / "dup" / pairs, words)
    same = {
        row["id"]
        for row in lines(shared_data / "dup" / documents)
        if oracle.words(row["text"], words.folding) == THEIR_WORD.findall(row["text"].lower())
    }
    chosen = np.array([{pair["a"], pair["b"]} <= same for pair in lines(shared_data / "dup" / pairs)])
    assert chosen.sum() >= 15
    assert (abs(ours - theirs)[chosen] < 5.1e-5).all()


@FILES
def test_recall_is_what_the_curve_of_the_bands_says(shared_data: Path, documents: str, pairs: str) -> None:
    found, ours, _ = found_and_similar(shared_data / "dup" / documents, shared_data / "dup" / pairs, CONFIG)
    assert found[ours >= 0.9].mean() >= 0.99
    for low, high in ((0.7, 0.8), (0.8, 0.9)):
        mine = (ours >= low) & (ours < high)
        likely = np.array([CONFIG.scheme.probability(value) for value in ours[mine]])
        assert abs(found[mine].sum() - likely.sum()) <= 3 * np.sqrt((likely * (1 - likely)).sum())


def test_the_stage_removes_nothing_below_the_threshold_and_nearly_all_above_it(
    shared_data: Path, make_corpus: Callable[..., Work]
) -> None:
    sources = {"peps": "rev_peps_docs.jsonl.gz", "tldr": "rev_tldr_docs.jsonl"}
    texts = {name: lines(shared_data / "dup" / documents) for name, documents in sources.items()}
    work = make_corpus({f"{name}/0": [row["text"] for row in rows] for name, rows in texts.items()})
    done = perform(StageStep(Dedup(config=CONFIG, sources=tuple(sources))), work, downstream=())
    found = verdicts(work, done)
    removed = [verdict for verdict in found.values() if verdict[0]]
    assert len(removed) > 500
    assert min(similarity for _, _, similarity, _ in removed if similarity is not None) >= CONFIG.threshold
    # Every similarity anew from both texts, and every survivor.
    assert list(problems(work.root, done.manifest, views(work.root, work.before), most=None)) == []
    for name, rows in texts.items():
        ids = {row["id"]: of(f"{name}/0", at) for at, row in enumerate(rows)}
        pairs = f"rev_{name}_pairs.jsonl"
        _, ours, theirs = found_and_similar(shared_data / "dup" / sources[name], shared_data / "dup" / pairs, CONFIG)
        both_kept = np.array(
            [found[ids[pair["a"]]][0] == found[ids[pair["b"]]][0] == "" for pair in lines(shared_data / "dup" / pairs)]
        )
        assert both_kept[ours >= 0.9].mean() <= 0.01
        assert both_kept[ours >= 0.8].mean() <= 0.02
        # By their words 980 are alike. The one that stays is of Tamil, which their rule parts at its vowels.
        assert both_kept[theirs >= 0.8].sum() <= {"peps": 0, "tldr": 1}[name]
