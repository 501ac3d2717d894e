"""Pages as in languages without spaces, which are learnt from beside the pages themselves."""

from __future__ import annotations

import numpy as np
import pytest

from tokenmill.pipeline.collect.extract import train
from tokenmill.pipeline.collect.extract.boost import Boosting
from tokenmill.pipeline.collect.extract.pages import KnownPage
from tokenmill.pipeline.collect.extract.variants import variant
from tokenmill.pipeline.collect.html.blocks import Blocks, blocks_of
from tokenmill.pipeline.kernels.html import columns as c

PROSE = "In 2024 the River, which is old, froze. People walked over it! " * 8
MENU = "<ul><li><a href=/>Home Page</a></ul>"
PAGE = f"{MENU}<p>{PROSE}<p><b>Ice</b> and <a href=/>snow</a><pre><code>if (A) {{ b(); }}</code></pre>"


def _variants(count: int) -> list[Blocks]:
    generator = np.random.Generator(np.random.PCG64(1))
    return [variant(blocks_of(PAGE), generator) for _ in range(count)]


def test_a_variant_has_the_counts_of_a_language_without_spaces() -> None:
    plain = blocks_of(PAGE).found.blocks
    kinds = set()
    for made in _variants(20):
        found = made.found.blocks
        prose = found[:3]
        assert (found[3] == plain[3]).all()  # code
        assert (prose[:, c.CAPITALS] == 0).all()
        assert (prose[:, c.CHARS] >= 1).all()
        assert (prose[:, [c.LINK_CHARS, c.BOLD_CHARS, c.CJK]] <= prose[:, [c.CHARS]]).all()
        assert (prose[:, c.WORDS] <= plain[:3, c.WORDS]).all()
        assert (found[:, [c.ELEMENT, c.SEGMENTS, c.LINKS]] == plain[:, [c.ELEMENT, c.SEGMENTS, c.LINKS]]).all()
        ideographs = bool(prose[1, c.CJK])
        kinds.add(ideographs)
        assert (prose[1, c.SENTENCES] == plain[1, c.SENTENCES]) == ideographs
        assert 3 * prose[1, c.CHARS] < 2 * plain[1, c.CHARS] if ideographs else prose[1, c.CHARS] == plain[1, c.CHARS]
    assert kinds == {False, True}


def test_the_same_generator_gives_the_same_page() -> None:
    for first, second in zip(_variants(5), _variants(5), strict=True):
        assert np.array_equal(first.features, second.features)


def test_variants_are_learnt_from_and_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "VARIANTS", 0.5)
    pages = [KnownPage(set="a", page_type="t", host=f"{at}", html=PAGE, gold=PROSE) for at in range(20)]
    given = train.examples(pages, seed=0)
    assert given.first.tolist() == list(range(0, 84, 4))
    assert len(given.rows) == len(given.tokens) == len(given.sizes) == 80
    chosen = sorted(set(given.variants.tolist()))
    assert 4 <= len(chosen) <= 16
    assert len(given.main) == len(given.weights) == given.data.bins.shape[1] == 80 + 4 * len(chosen)
    assert given.main.reshape(-1, 4).tolist() == [[False, True, False, False]] * (20 + len(chosen))
    # The variants of pages that are left out are left out too.
    seen = []
    monkeypatch.setattr(train.boost, "train", lambda data, main, weights, settings: seen.append(len(main)))
    left_out = np.arange(20) == chosen[0]
    train.trained(given, ~left_out, Boosting())
    assert seen == [80 + 4 * len(chosen) - 8]
    assert train.examples(pages, seed=1).variants.tolist() != given.variants.tolist()
