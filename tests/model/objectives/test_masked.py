"""Masked tokens and pairs: the rules, step by step; what a sample depends on; a batch learnt by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.model.objectives.conftest import Learn
from tests.model.runs import Make, Tiny
from tokenmill.model.encoders import TextEncoder
from tokenmill.model.loss import IGNORED
from tokenmill.model.objectives import masked
from tokenmill.model.objectives.draws import MASKS, draws
from tokenmill.model.objectives.masked import FOLLOWS, FOREIGN, Ids, MaskRules, Text
from tokenmill.model.objectives.objective import objective_of
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.tokens import TokenStore, forget

RULES = MaskRules(seed=5, vocabulary=50, end_of_text=49, chosen=3, apart=True)
SHAPE = Shape(layers=1, heads=2, width=32, context_tokens=24, vocabulary=53, architecture="encoder", target_tokens=3)


def texts(number: int) -> Text:
    """Text k counts from 7 k on; a document ends at its token 15."""
    ids = (np.arange(21) + 7 * number) % 40
    ids[15] = 49
    return Text(ids, np.ones(21, dtype=np.bool_))


def chosen_in_steps(ids: Ids, able: list[bool], uniform: list[list[float]]) -> tuple[list[int], dict[int, int]]:
    """What is read and, by place, the labels: the definition."""
    read, labels = list(map(int, ids)), {}
    places = sorted((place for place in range(len(ids)) if able[place]), key=lambda place: uniform[0][place])
    for place in places[: RULES.chosen]:
        labels[place] = read[place]
        if uniform[1][place] < 0.8:
            read[place] = 52
        elif uniform[1][place] < 0.9:
            read[place] = int(uniform[2][place] * 50)
    return read, labels


@pytest.mark.parametrize("able_share", [0.0, 0.1, 0.5, 1.0])
def test_tokens_are_chosen_and_changed_as_the_definition_says(able_share: float) -> None:
    for sample in range(50):
        uniform = draws(0, MASKS, sample, 60).reshape(3, 20)
        ids = (draws(1, MASKS, sample, 20) * 50).astype(np.int64)
        able = draws(2, MASKS, sample, 20) < able_share
        read, places, labels = masked.choose(ids, able, uniform, RULES)
        wanted = {place: label for place, label in zip(places.tolist(), labels.tolist(), strict=True) if label != IGNORED}
        assert (read.tolist(), wanted) == chosen_in_steps(ids, able.tolist(), uniform.tolist())


def test_of_the_chosen_tokens_80_10_and_10_percent_are_masked_changed_and_kept() -> None:
    rules = MaskRules(seed=0, vocabulary=1000, end_of_text=999, chosen=1000, apart=False)
    ids, able = np.full(1000, 7), np.ones(1000, dtype=np.bool_)
    read = np.stack([masked.choose(ids, able, draws(0, MASKS, k, 3000).reshape(3, -1), rules)[0] for k in range(20)])
    assert (read == 1002).mean() == pytest.approx(0.8, abs=0.01)
    assert (read == 7).mean() == pytest.approx(0.1, abs=0.01)
    assert np.unique(read).size > 800


def test_a_sample_is_marks_around_two_texts_of_its_window_or_of_its_partner() -> None:
    rules = MaskRules(seed=5, vocabulary=50, end_of_text=49, chosen=1, apart=True)
    made = masked.batch(texts, range(40), lambda k: k ^ 1, rules)
    seen = []
    for k, ids in enumerate(made.ids.tolist()):
        (place,), (label,) = made.places[k].tolist(), made.labels[k].tolist()
        ids[place] = label
        assert (ids[0], ids[-1], ids.count(51)) == (50, 51, 2)
        cut = ids.index(51) - 1
        first, second = ids[1 : cut + 1], ids[cut + 2 : -1]
        assert first == texts(k).ids[:cut].tolist()
        assert second == texts(k if made.follows[k] == FOLLOWS else k ^ 1).ids[cut:].tolist()
        assert 49 not in (first[-1], second[0])
        assert made.segments[k].tolist() == [0] * (cut + 2) + [1] * (len(second) + 1)
        assert made.documents is not None
        document = made.documents[k].tolist()
        assert document[0] == document[cut] == document[cut + 2]
        seen += [*first, *second]
    assert sorted(seen) == sorted(token for k in range(40) for token in texts(k).ids.tolist())
    assert {FOLLOWS, FOREIGN} == set(made.follows.tolist())
    assert all(made.follows[k] == made.follows[k ^ 1] for k in range(40))


def test_a_text_that_cannot_be_cut_inside_a_document_is_no_pair() -> None:
    apart = Text(np.array([1, 49] * 10), np.ones(20, dtype=np.bool_))
    made = masked.batch(lambda k: apart, [0], lambda k: None, RULES)
    assert made.follows.tolist() == [IGNORED]
    same = Text(np.arange(20), np.ones(20, dtype=np.bool_))
    assert set(masked.batch(lambda k: same, range(20), lambda k: k ^ 1, RULES).follows.tolist()) == {FOLLOWS}


def test_samples_are_the_same_in_any_batch_and_any_seed_has_its_own(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    store = TokenStore.open(root / "tokens")
    made = objective_of(root, store, tiny(objective="masked", masked_share=0.3), Silent())
    whole = made.read(0, 24)
    for first, count in [(0, 1), (3, 5), (23, 1)]:
        part = made.read(first, count)
        for name in ("ids", "segments", "documents", "places", "labels", "follows"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[first : first + count])
    other = objective_of(root, store, tiny(objective="masked", masked_share=0.3, seed=1), Silent())
    assert not torch.equal(other.read(0, 24).places, whole.places)
    assert made.validation is not None
    assert len(made.validation(np.arange(made.held_out)).ids) == made.held_out == 7  # 80 tokens in windows of 13


def test_forgotten_tokens_are_never_chosen(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    store = TokenStore.open(root / "tokens")
    forgotten = store.split("train").documents_table()["doc_id"][0].as_py()
    forget.forget(root, [forget.request_ids("ids_file", "gone", [forgotten.hex()])])
    made = objective_of(root, TokenStore.open(root / "tokens"), tiny(objective="masked", masked_share=0.9), Silent())
    some = made.read(0, made.windows)
    labels = some.labels[some.labels != IGNORED]
    assert some.targets == len(labels) < some.labels.numel()
    assert 49 not in labels


def test_nothing_depends_on_another_document() -> None:
    model = TextEncoder(SHAPE, seed=1).eval()
    ids, segments = torch.arange(24)[None] % 40, torch.zeros((1, 24), dtype=torch.int64)
    documents = (torch.arange(24) >= 10)[None].long()
    other = ids.clone()
    other[0, 10:] = 3
    one, two = (model.hidden(some, segments, documents) for some in (ids, other))
    assert torch.equal(one[0, :10], two[0, :10])
    assert not torch.equal(model.hidden(ids, segments, None)[0, :10], one[0, :10])


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_a_batch_is_learnt_by_heart(by_heart: Learn, preset: str) -> None:
    parts = PRESETS[preset]  # type: ignore[index]
    model = TextEncoder(Shape(**{**vars(SHAPE), **parts}), seed=1)
    assert by_heart(model, masked.batch(texts, range(4), lambda k: k ^ 1, RULES), masked.loss) < 0.05
