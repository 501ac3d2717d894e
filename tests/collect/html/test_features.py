"""Features of blocks, by hand on a small page and against plain twins on made-up ones."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.collect.html.test_scan import PARTS
from tokenmill.pipeline.collect.html.blocks import Blocks, blocks_of
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.ancestors import MOST_STEPS

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


@pytest.mark.parametrize("seed", range(3))
def test_agree_with_plain_twins(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        blocks = blocks_of("".join(rng.choices(PARTS, k=40)))
        if not len(blocks):
            continue
        found, elements = blocks.found, blocks.found.elements
        weight = 2 * found.blocks[:, c.CHARS] + 3 * found.blocks[:, c.CJK]
        parents = elements[:, c.PARENT].tolist()

        def above(element: int, parents: list[int] = parents) -> list[int]:
            chain = [element]
            while chain[-1]:
                chain.append(parents[chain[-1]])
            return chain

        inside = [0] * len(elements)
        for row, part in zip(found.blocks, weight.tolist(), strict=True):
            # A block counts where it begins, which may be in an inline element.
            for element in above(int(found.segments[row[c.FIRST], c.OWNER])):
                inside[element] += part
        grown = []
        for row, part in zip(found.blocks, weight.tolist(), strict=True):
            chain = [inside[element] for element in above(int(row[c.ELEMENT]))]
            grown.append(next((sum_ for sum_ in chain if sum_ > part), chain[-1]))
        assert feature(blocks, "up1_weight") == grown
        assert feature(blocks, "page_weight") == [max(1, sum(weight.tolist()))] * len(blocks)
        paths = [tuple(elements[element, c.TAG] for element in above(int(row[c.ELEMENT]))) for row in found.blocks]
        assert feature(blocks, "path_count") == [paths.count(path) for path in paths]
        assert np.isfinite(blocks.features).all()


@pytest.mark.parametrize("seed", range(3))
def test_what_stands_around_agrees_with_plain_twins(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        blocks = blocks_of("".join(rng.choices([*PARTS, "<p>a <a>bc</a>", LONG], k=30)))
        count, rows = len(blocks), blocks.found.blocks.astype(int)
        weight = (2 * rows[:, c.CHARS] + 3 * rows[:, c.CJK]).tolist()
        chars, links = rows[:, c.CHARS].tolist(), rows[:, c.LINK_CHARS].tolist()
        paths = blocks.found.paths[rows[:, c.ELEMENT], 0].tolist()
        for step, name in ((-3, "last3"), (-1, "last1"), (1, "next1"), (2, "next2")):
            near = [at + step if 0 <= at + step < count else None for at in range(count)]
            assert feature(blocks, f"{name}_weight") == [-1 if at is None else weight[at] for at in near]
            assert feature(blocks, f"{name}_sentences") == [-1 if at is None else rows[at, c.SENTENCES] for at in near]
            shares = [-1 if at is None else float(np.float32(links[at] / max(1, chars[at]))) for at in near]
            assert feature(blocks, f"{name}_links") == shares
            same = [paths[at] == (0 if other is None else paths[other]) for at, other in enumerate(near)]
            assert feature(blocks, f"{name}_same_path") == same
        for radius in (2, 10):
            windows = [slice(max(0, at - radius), at + radius + 1) for at in range(count)]
            assert feature(blocks, f"window{radius}_weight") == [sum(weight[window]) for window in windows]
            shares = [float(np.float32(sum(links[window]) / max(1, sum(chars[window])))) for window in windows]
            assert feature(blocks, f"window{radius}_links") == shares
        shares = [float(np.float32(up / max(1, sum(weight)))) for up in feature(blocks, "up3_weight")]
        assert feature(blocks, "up3_share") == shares


def test_of_growing_ancestors() -> None:
    page = blocks_of(f"<body><section><div><p>a <a href=/>bc</a></div><p>{LONG}</section><p>d")
    assert feature(page, "up1_weight") == [6 + 2 * 150, 6 + 2 * 150, 6 + 2 * 150 + 2]
    assert feature(page, "up1_blocks") == [2, 2, 3]
    assert feature(page, "up1_long") == [1, 1, 1]
    assert feature(page, "up1_links") == [float(np.float32(share)) for share in (2 / 153, 2 / 153, 2 / 154)]
    assert feature(page, "up2_blocks") == [3, 3, 3]
    assert feature(page, "up1_long_share")[0] == np.float32(300 / 306)
