"""Features of blocks, by hand on a small page and against a plain twin on made-up and odd ones."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.collect.html import features_oracle
from tests.collect.html.test_scan import PARTS
from tokenmill.pipeline.collect.html.blocks import Blocks, blocks_of
from tokenmill.pipeline.collect.html.features import features
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.ancestors import MOST_STEPS
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.described import FAR
from tokenmill.pipeline.kernels.html.features import NAMES

LONG = "Some words, and more of them, until this is a long paragraph. " * 3
PAGE = f"""<body class="home"><nav><ul><li><a href="/">Home</a><li><a href="/a">About us</a></ul></nav>
<div id="main-content"><h1>Title</h1><p>{LONG}</p><p>{LONG}<b>Bold!</b></p><p class="byline">By A. B.</p></div>
<footer>© 2024 | all rights</footer>"""


def feature(blocks: Blocks, name: str) -> list[float]:
    return blocks.features[:, blocks.names.index(name)].tolist()


def test_of_a_small_page() -> None:
    blocks = blocks_of(PAGE)
    assert blocks.features.dtype == np.float32
    assert blocks.features.shape == (7, len(blocks.names))
    assert len(set(blocks.names)) == len(blocks.names)
    assert feature(blocks, "chars") == [4, 7, 5, 150, 155, 6, 15]
    assert feature(blocks, "link_share") == [1, 1, 0, 0, 0, 0, 0]
    assert feature(blocks, "words") == [1, 2, 1, 36, 37, 3, 3]
    assert feature(blocks, "sentences") == [0, 0, 0, 3, 4, 2, 0]
    assert feature(blocks, "commas") == [0, 0, 0, 6, 6, 0, 0]
    assert feature(blocks, "bold") == [0, 0, 0, 0, 5, 0, 0]
    assert feature(blocks, "copyright") == [0, 0, 0, 0, 0, 0, 1]
    assert feature(blocks, "tag_p") == [0, 0, 0, 1, 1, 1, 0]
    assert feature(blocks, "in_nav") == [1, 1, 0, 0, 0, 0, 0]
    assert feature(blocks, "in_footer") == [0, 0, 0, 0, 0, 0, 1]
    assert feature(blocks, "long") == [0, 0, 0, 1, 1, 0, 0]
    assert feature(blocks, "steps_content") == [MOST_STEPS] * 2 + [1, 1, 1, 1] + [MOST_STEPS]
    assert feature(blocks, "steps_byline") == [MOST_STEPS] * 5 + [0, MOST_STEPS]
    assert feature(blocks, "from_h1") == [-2, -1, 0, 1, 2, 3, 4]
    assert feature(blocks, "since_long")[3:] == [0, 0, 1, 2]
    assert feature(blocks, "path_count") == [2, 2, 1, 3, 3, 3, 1]
    assert feature(blocks, "tight_inside") == [0, 0, 1, 1, 1, 1, 0]
    assert feature(blocks, "up1_long") == [0, 0, 2, 2, 2, 2, 2]


def test_words_of_classes_and_roles() -> None:
    found = blocks_of(
        "<div class='UserComment-list'><p role='navigation'>a</div><p style='Display : none'>b<p hidden>c<p>d"
    ).found
    keywords = {word for bit, word in enumerate(n.KEYWORDS) if int(found.keywords[1]) >> bit & 1}
    assert keywords == {"comment", "list"}
    flags = [int(found.elements[row[c.ELEMENT], c.FLAGS]) for row in found.blocks]
    assert [bool(flag & n.NAV) for flag in flags] == [True, False, False, False]
    assert [bool(flag & n.HIDDEN) for flag in flags] == [False, True, True, False]


def assert_equal(found: Scanned) -> None:
    names, expected = features_oracle.features(found)
    assert names == list(NAMES)
    made = features(found)
    assert [names[at] for at in np.flatnonzero((made != expected).any(axis=0))] == []
    assert np.isfinite(made).all()


@pytest.mark.parametrize("seed", range(3))
def test_agree_with_a_plain_twin(seed: int) -> None:
    rng = random.Random(seed)
    parts = [*PARTS, *["<p>a <a>bc</a>", "<h1>h", LONG, 5 * LONG, "<div class='post body'>", "<li class=menu>no. 1"] * 9]
    for _ in range(20):
        assert_equal(blocks_of("".join(rng.choices(parts, k=rng.randrange(200)))).found)


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<title>no block</title>",
        "a",
        "<p>" * 1_500 + "a",
        "<p>a" * (FAR + 100) + f"<h1>b<p>{5 * LONG}" + "<p>a" * (FAR + 100),
        "<div class=post>" * 40 + "deep" + "</div>" * 20 + "less",
        f"<main><p>{LONG}<p>{'不' * 99}</main><main><p>{LONG}<p>{'不' * 99}</main>",
        "<a href=x>" + LONG + "</a>",
    ],
    ids=("empty", "no-block", "one", "depth", "far", "keywords", "equal-containers", "link"),
)
def test_of_odd_pages_agree_with_a_plain_twin(page: str) -> None:
    assert_equal(blocks_of(page).found)


@pytest.mark.parametrize("seed", range(3))
def test_of_tables_that_no_page_has_agree_with_a_plain_twin(seed: int) -> None:
    """Counts up to 31 bits, whose sums no float32 holds; any tree, flags and hashes."""
    rng = np.random.default_rng(seed)
    for count in (1, 2, 12, 90):
        size = 2 * count
        large = rng.integers(0, 1 << rng.integers(0, 32, (count, c.BLOCK_COLUMNS)), dtype=np.int64)
        elements = rng.integers(0, 9, (size, c.ELEMENT_COLUMNS))
        elements[:, [c.PARENT, c.BLOCK]] = rng.integers(0, np.maximum(np.arange(size), 1)[:, None], (size, 2))
        elements[:, c.TAG] = rng.integers(0, n.IDS, size)
        elements[:, c.FLAGS] = rng.integers(0, 1 << 31, size)
        elements[:, [c.FIRST_BLOCK, c.END_BLOCK]] = np.sort(rng.integers(0, count + 1, (size, 2)), axis=1)
        for row in elements[:0:-1]:
            parent = elements[row[c.PARENT]]
            parent[c.FIRST_BLOCK] = min(parent[c.FIRST_BLOCK], row[c.FIRST_BLOCK])
            parent[c.END_BLOCK] = max(parent[c.END_BLOCK], row[c.END_BLOCK])
        segments = rng.integers(0, size, (size, c.SEGMENT_COLUMNS))
        large[:, [c.ELEMENT, c.FIRST]] = rng.integers(0, size, (count, 2))
        large[:, c.SEGMENTS] = rng.integers(0, 3, count)
        assert_equal(
            Scanned(
                elements=elements.astype(np.int32),
                paths=rng.integers(0, 4, (size, 2), dtype=np.uint64),
                keywords=rng.integers(0, 1 << len(n.KEYWORDS), size, dtype=np.uint64)
                & rng.integers(0, 1 << len(n.KEYWORDS), size, dtype=np.uint64),
                segments=segments.astype(np.int32),
                blocks=large.astype(np.int32),
                hashes=rng.integers(0, 1 + count // 2, count, dtype=np.uint64) << np.uint64(60),
                open=np.zeros(n.IDS, np.int64),
                state=np.zeros(c.STATE, np.int64),
            )
        )


def test_of_growing_ancestors() -> None:
    page = blocks_of(f"<body><section><div><p>a <a href=/>bc</a></div><p>{LONG}</section><p>d")
    assert feature(page, "up1_weight") == [6 + 2 * 150, 6 + 2 * 150, 6 + 2 * 150 + 2]
    assert feature(page, "up1_blocks") == [2, 2, 3]
    assert feature(page, "up1_long") == [1, 1, 1]
    assert feature(page, "up1_links") == [float(np.float32(share)) for share in (2 / 153, 2 / 153, 2 / 154)]
    assert feature(page, "up2_blocks") == [3, 3, 3]
    assert feature(page, "up1_long_share")[0] == np.float32(300 / 306)
