"""Chunks of the loss and computing activations again take less memory: bytes of tensors that live at once, counted."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.model.runs import windows_of
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.pipeline.config.train import Preset


class Living(TorchDispatchMode):
    """Counts the bytes of tensors from when an operation makes them until nothing holds them; temporary ones inside an
    operation are not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self._see(one.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def peak(shape: Shape, rows: int, *, recompute: bool = False, chunk: int | None = None) -> int:
    """The most bytes that live at once in a forward and a backward pass, beside the weights."""
    model = GPT(shape, recompute=recompute).train()
    generator = torch.Generator().manual_seed(0)
    windows = windows_of(torch.randint(0, shape.vocabulary, (rows, shape.context_tokens + 1), generator=generator).tolist())
    with Living() as living:
        next_token_loss(model, windows, chunk_tokens=chunk).nats.backward()
    return living.peak


def test_what_lives_is_counted() -> None:
    with Living() as living:
        one = torch.ones(1000)
        two = one.view(10, 100) + 1
        del one
        two = two * 2
    assert (living.now, living.peak) == (4_000, 8_000), "a view has no bytes of its own"


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_in_chunks_the_logits_of_one_chunk_live(preset: Preset) -> None:
    shape = Shape(layers=1, heads=2, width=16, context_tokens=64, vocabulary=1024, **PRESETS[preset])
    logits = 4 * 8 * shape.context_tokens * shape.vocabulary
    whole, parts = peak(shape, 8), peak(shape, 8, chunk=32)
    assert whole > 3 * logits, "they, their logarithms, and a gradient"
    assert parts < logits, "less than one copy of all logits"


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
def test_activations_computed_again_do_not_live_in_all_layers(preset: Preset) -> None:
    def more_for_each_layer(*, recompute: bool) -> float:
        few, many = (
            peak(
                Shape(layers=layers, heads=2, width=16, context_tokens=32, vocabulary=16, **PRESETS[preset]),
                8,
                recompute=recompute,
            )
            for layers in (2, 10)
        )
        return (many - few) / 8

    stream = 4 * 8 * 32 * 16
    kept, again = (more_for_each_layer(recompute=recompute) for recompute in (False, True))
    assert kept > 8 * stream, "queries, keys, values, and what is in the MLP"
    assert again < 3 * stream, "what goes into a layer, and the gradients of its weights"
