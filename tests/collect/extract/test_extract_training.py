"""TokenOverlap of texts, labels of blocks, and models that are trained, written and read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.extract import boost, labels, model
from tokenmill.pipeline.collect.extract.boost import Boosting
from tokenmill.pipeline.collect.extract.model import BlockModel
from tokenmill.pipeline.collect.extract.overlap import TokenOverlap, overlap, tokens, without_markdown


def test_tokens_are_words_and_characters_without_spaces() -> None:
    assert tokens("It's 3.5 km -- naïve_x, 日本語テキスト!") == ["it", "s", "3", "5", "km", "naïve", "x", *"日本語テキスト"]
    assert tokens("한국어 단어") == ["한국어", "단어"]


def test_overlap_counts_each_token_as_often_as_both_have_it() -> None:
    found = overlap(["a", "a", "b", "c"], ["a", "b", "b", "d"])
    assert found == TokenOverlap(extracted=4, expected=4, common=2)
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert overlap([], ["a"]).f1 == 0
    assert overlap(["a"], []).f1 == 0
    assert overlap([], []).f1 == 1


def test_markdown_loses_addresses_and_keeps_words() -> None:
    text = '# A [link](https://a.example/b "c") to ![picture](x.png) and <sup>2</sup> [foot [1]](#n)'
    assert tokens(without_markdown(text)) == ["a", "link", "to", "and", "2", "foot", "1"]


def _main(blocks: list[str], gold: str) -> list[bool]:
    return labels.main_blocks(list(map(tokens, blocks)), gold).tolist()


def test_blocks_are_main_text_by_runs_or_as_whole_lines() -> None:
    gold = "The quick brown fox jumps over the lazy dog.\nA short line\nMore"
    blocks = [
        "More",  # before all main text
        "the quick brown fox jumps over the lazy dog",  # all of it
        "ad the quick brown fox ad ad ad",  # half of it, in one run
        "ad the quick brown fox ad ad ad ad",  # less than half
        "a short line",  # too short for a run, but a line
        "quick the fox brown",  # other order
        "",
    ]
    assert _main(blocks, gold) == [False, True, True, False, True, False, False]
    assert labels.main_blocks([list("一二三四五"), list("一二三四五六")], "一二三四五六七八").tolist() == [False, True]
    assert _main(["a", ""], "") == [False, False]
    assert _main([], "a") == []


def test_of_copies_those_stay_that_have_main_text_around_them() -> None:
    title, text = "The story of the river", "It walks slowly toward the old harbour."
    menu = [title, *["Home", "About"] * 5]
    assert _main([*menu, title, text, *["News", "Imprint"] * 5, title], f"{title}\n{text}") == [
        *[False] * 11, True, True, *[False] * 11,
    ]  # fmt: skip
    assert _main([title, text, title], f"{title}\n{text}\n{title}") == [True, True, True]


def test_short_blocks_are_main_text_where_the_main_text_has_them_next() -> None:
    gold = "Results of the last race:\nAnn\n12\nBo\n9\nThat was all for today."
    cells = ["Results of the last race:", "Ann", "12", "Menu", "Bo", "9", "That was all for today."]
    assert _main(["Bo", *cells, "Ann"], gold) == [False, True, True, True, False, True, True, True, False]
    assert _main(["Ann", "12", "Bo", "9", "That was all for today."], gold) == [True] * 5
    far = f"Results of the last race:\n{'so ' * 20}\nAnn"
    assert _main(["Results of the last race:", "Ann"], far) == [True, False]


NAMES = ("words", "cjk", "c", "d", "e", "f")


def _example(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.Generator(np.random.PCG64(3))
    values = generator.integers(0, 400, size=(rows, 6)).astype(np.float32)
    values[:, 1] /= 7
    return values, (values[:, 0] > 200) ^ (values[:, 1] > 20)


def _trained(seed: int = 0, trees: int = 40) -> BlockModel:
    values, main = _example()
    settings = Boosting(trees=trees, leaves=8, rate=0.3, least_rows=5, feature_share=0.7, seed=seed)
    trees_ = boost.train(boost.binned(values), main, np.ones(len(values)), settings)
    return BlockModel(trees=trees_, names=NAMES, offset=0, note="made of numbers")


def test_training_learns_and_is_the_same_each_time(tmp_path: Path) -> None:
    values, main = _example()
    first = _trained()
    assert ((first.trees.scores(values) >= 0) == main).mean() > 0.98
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        model.save(_trained(seed), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    assert model.load(tmp_path / "a", NAMES).trees.scores(values).tolist() == first.trees.scores(values).tolist()


def test_a_model_is_the_mean_of_its_bags() -> None:
    values, main = _example()
    of = {bags: boost.train(boost.binned(values), main, np.ones(len(values)), Boosting(bags=bags, trees=5)) for bags in (1, 2)}
    assert len(of[2].roots) == 2 * len(of[1].roots) == 10
    # Each leaf of the mean is half of one of a bag, rounded.
    first = of[2].leaves[: len(of[1].leaves)]
    assert np.abs(2 * first - of[1].leaves).max() <= 1
    assert np.array_equal(of[1].features, of[2].features[: len(of[1].features)])
    assert not np.array_equal(of[2].features[: len(of[1].features)], of[2].features[len(of[1].features) :])


def test_bins_hold_what_the_thresholds_say() -> None:
    values, _ = _example(5_000)
    values[:, 2] = np.float32(0)
    values[:4_000, 3] = np.float32(5)
    made = boost.binned(values)
    for number, edges in enumerate(made.edges):
        assert len(edges) < 256
        assert (np.diff(edges) > 0).all()
        for place, edge in enumerate(edges):
            assert ((made.bins[number] <= place) == (values[:, number] <= edge)).all()
    assert len(made.edges[2]) == 0
    assert len(made.edges[3]) > 200  # the frequent value takes one bin


def _expected_f1(scores: list[int], sizes: list[float], offset: int) -> set[int]:
    """The plain twin of `kept`: tries every cut of the ranking."""
    chances = [1 / (1 + math.exp(-(score + offset) / model.UNITS)) for score in scores]
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    wanted = sum(chance * size for chance, size in zip(chances, sizes, strict=True))
    values = [
        sum(chances[at] * sizes[at] for at in order[:count]) / (sum(sizes[at] for at in order[:count]) + wanted)
        for count in range(1, len(order) + 1)
    ]
    return set(order[: 1 + max(range(len(values)), key=values.__getitem__)])


def test_blocks_are_kept_by_their_expected_f1() -> None:
    generator = np.random.Generator(np.random.PCG64(5))
    for _ in range(200):
        count = int(generator.integers(1, 30))
        scores = generator.integers(-4 * model.UNITS, 3 * model.UNITS, size=count).astype(np.int32)
        sizes = generator.integers(1, 200, size=count).astype(np.float64)
        offset = int(generator.integers(-2, 3)) * model.UNITS
        found = set(np.flatnonzero(model.kept(scores, sizes, offset)).tolist())
        assert found == _expected_f1(scores.tolist(), sizes.tolist(), offset)


def test_a_block_is_kept_where_none_is_likely() -> None:
    assert model.kept(np.array([-500_000, -300_000], dtype=np.int32), np.ones(2), 0).tolist() == [False, True]
    assert model.kept(np.array([], dtype=np.int32), np.ones(0), 0).tolist() == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("format", "other", "is no model"),
        ("version", 99, "reads 1"),
        ("children", [[0, 0]], "damaged"),
        ("roots", [10**6], "damaged"),
        ("features", [77], "damaged"),
        ("thresholds", "x", "damaged"),
        ("leaves", [], "damaged"),
        ("names", ["a"], "damaged"),
        ("names", [*NAMES[:-1], "z"], "other features"),
        ("features_version", 0, "other features"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path: Path, key: str, value: object, said: str) -> None:
    path = tmp_path / "model.json"
    model.save(_trained(trees=1), path)
    content = json.loads(path.read_bytes())
    if key in ("children", "features"):
        value = [*value, *content[key][1:]]  # type: ignore[misc]
    path.write_text(json.dumps(content | {key: value}))
    with pytest.raises(InputError, match=said):
        model.load(path, NAMES)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff{")
    for name in ("x", "absent"):
        with pytest.raises(InputError):
            model.load(tmp_path / name, "a")
