"""The planted corpus: similarities are what they are said to be, and a document is the same in any corpus."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tests.bench import planted
from tests.kernels import dedup_oracles as oracle


def test_copies_have_their_similarities() -> None:
    documents = planted.texts(0, 400).to_pylist()
    levels = np.array(planted.LEVELS)
    seen: Counter[float] = Counter()
    for number, text in enumerate(documents):
        original = planted.original_of(number, 1)
        words = len(text.split())
        assert planted.LEAST_WORDS <= words == planted.words_of(number, 1) <= planted.MOST_WORDS
        if original == number:
            continue
        assert original < number
        assert planted.original_of(original, 1) == original
        found = oracle.jaccard(text, documents[original], planted.NGRAM)
        level = levels[np.argmin(abs(levels - found))]
        assert abs(found - level) < 0.005
        changed = planted.changed_words(number, 1, levels)
        assert (changed == 0) == (level == 1)
        seen[level] += 1
    assert set(seen) == set(planted.LEVELS)
    assert 0.25 < sum(seen.values()) / len(documents) < 0.35


def test_a_document_is_the_same_in_any_corpus() -> None:
    assert planted.texts(40, 60).to_pylist() == planted.texts(0, 100).to_pylist()[40:60]
    assert planted.texts(0, 5, seed=2).to_pylist() != planted.texts(0, 5).to_pylist()
