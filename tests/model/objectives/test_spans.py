"""Spans: the definition, step by step; lengths; what a sample depends on; a batch learnt by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.model.objectives.conftest import Learn
from tests.model.runs import Make, Tiny
from tokenmill.model.encoders import EncoderDecoder
from tokenmill.model.loss import IGNORED
from tokenmill.model.objectives import spans
from tokenmill.model.objectives.draws import SPANS, draws
from tokenmill.model.objectives.masked import Text
from tokenmill.model.objectives.objective import objective_of
from tokenmill.model.objectives.spans import SpanRules, rules_of
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.tokens import TokenStore


def rules(tokens: int = 24, share: float = 0.25, span_tokens: float = 2.0) -> SpanRules:
    return rules_of(tokens, share=share, span_tokens=span_tokens, seed=3, vocabulary=50, end_of_text=49, apart=True)


def text(number: int, tokens: int = 24) -> Text:
    ids = (np.arange(tokens) + 7 * number) % 40
    ids[tokens // 2] = 49
    kept = np.ones(tokens, dtype=np.bool_)
    kept[-2:] = number % 2 == 0
    return Text(ids, kept)


def corrupted_in_steps(ids: list[int], hole: list[bool]) -> tuple[list[int], list[int]]:
    """What the encoder reads and the decoder writes: the definition."""
    source: list[int] = []
    target: list[int] = []
    sentinel = 49
    for place, one in enumerate(ids):
        if not hole[place]:
            source.append(one)
            continue
        if place == 0 or not hole[place - 1]:
            sentinel += 1
            source.append(sentinel)
            target.append(sentinel)
        target.append(one)
    return source, [*target, 49]


@pytest.mark.parametrize("of", [rules(), rules(4, 0.15, 3.0), rules(7, 0.4, 1.0), rules(128, 0.15, 3.0)])
def test_texts_are_divided_as_the_definition_says(of: SpanRules) -> None:
    for number in range(30):
        hole = spans.holes(of, number)
        assert (len(hole), hole.sum(), hole[0], hole[-1]) == (of.tokens, of.hidden, False, True)
        some = text(number, of.tokens)
        source, written, labels, *_ = spans.corrupt(some, hole, of)
        wanted_source, wanted_target = corrupted_in_steps(some.ids.tolist(), hole.tolist())
        assert (source.tolist(), written.tolist()) == (wanted_source, [49, *wanted_target[:-1]])
        assert (len(source), len(written)) == (of.source, of.target)
        counts = labels != IGNORED
        assert labels[counts].tolist() == np.array(wanted_target)[counts].tolist()


def test_every_division_is_as_likely() -> None:
    made = [tuple(spans.lengths(6, 3, draws(0, SPANS, k, 5)).tolist()) for k in range(4000)]
    kinds, counts = np.unique(made, axis=0, return_counts=True)
    assert len(kinds) == 10  # of 5 gaps, 2
    assert counts.min() > 320
    assert counts.max() < 480


def test_samples_are_the_same_in_any_batch_and_forgotten_tokens_bring_no_loss(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    made = objective_of(root, TokenStore.open(root / "tokens"), tiny(objective="spans"), Silent())
    whole = made.read(0, 24)
    for first, count in [(0, 1), (3, 5), (23, 1)]:
        part = made.read(first, count)
        for name in ("ids", "written", "labels", "documents", "written_documents"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[first : first + count])
    hole = np.arange(24) >= 18
    *_, labels, _, _ = spans.corrupt(text(1), hole, rules(24, 0.25, 6.0))
    assert labels.tolist() == [50, *text(1).ids[18:22], IGNORED, IGNORED, 49]


def test_too_many_spans_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"2048 tokens .* have 102 spans .* 100 sentinels .* raise train.span_tokens"):
        rules(2048, 0.15, 3.0)
    with pytest.raises(ConfigError, match="a target of"):
        rules(24, 0.6, 1.0)


def test_nothing_depends_on_another_document_or_on_what_is_not_yet_written() -> None:
    of = rules()
    shape = Shape(
        layers=2, heads=2, width=16, context_tokens=24, vocabulary=150, architecture="encoder-decoder",
        source_tokens=of.source, target_tokens=of.target,
    )  # fmt: skip
    model = EncoderDecoder(shape, seed=1).eval()
    some = spans.batch([text(0)], [0], of)
    assert some.documents is not None
    assert some.written_documents is not None
    both = (some.documents, some.written_documents)
    before = model.hidden(some.ids, some.written, both)
    first = both[1][0] == 0
    other = some.ids.masked_fill(both[0] > 0, 3)
    assert torch.equal(model.hidden(other, some.written, both)[0, first], before[0, first])
    assert not torch.equal(model.hidden(other, some.written, None)[0, first], before[0, first])
    later = some.written.clone()
    later[0, 5:] = 1
    assert torch.equal(model.hidden(some.ids, later, both)[0, :5], before[0, :5])


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_a_batch_is_learnt_by_heart(by_heart: Learn, preset: str) -> None:
    of = rules()
    parts = PRESETS[preset]  # type: ignore[index]
    shape = Shape(
        layers=1, heads=2, width=32, context_tokens=24, vocabulary=150, architecture="encoder-decoder",
        source_tokens=of.source, target_tokens=of.target, **parts,
    )  # fmt: skip
    model = EncoderDecoder(shape, seed=1)
    assert by_heart(model, spans.batch([text(k) for k in range(4)], range(4), of), spans.loss) < 0.05
