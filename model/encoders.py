"""An encoder, an encoder-decoder, and a decoder with a head of classes, of the same parts as the decoder.

Purpose: `TextEncoder` is BERT's architecture (Devlin et al. 2019), `EncoderDecoder` T5's (Raffel et al. 2020, one embedding for
both sides), `Classifier` that of GPT's fine-tuning (Radford et al. 2018, section 3.2). Norms, positions and MLP are those of
the shape, so norms come before attention. Each holds a `GPT`, which gives embedding, blocks and head.
Guarantee: with `documents`, nothing is attended to outside a token's document, the decoder's tokens included.
Cost: of an encoder as of a decoder, but the head sees the predicted tokens alone. With `documents`, a mask of tokens squared.

Shapes: B rows, T tokens of the encoder, U of the decoder, N predicted tokens of a row, W the width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokenmill.model.gpt import GPT, initialise, through
from tokenmill.model.parts import Block, Scope, norm, rotation
from tokenmill.model.shape import PAIRS, Shape


class TextEncoder(nn.Module):
    """Every token attends to all; two segments; a head that says whether the second follows the first."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, seed: int = 0, recompute: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.segment = nn.Embedding(PAIRS, shape.width)
        self.pair = nn.Linear(shape.width, PAIRS)
        initialise(self, shape, _generator(seed))
        self.stack = GPT(shape, dropout=dropout, seed=seed, recompute=recompute)

    @property
    def blocks(self) -> list[nn.Module]:
        """All of them."""
        return list(self.stack.blocks)

    def hidden(self, ids: Tensor, segments: Tensor, documents: Tensor | None) -> Tensor:
        """int64 [B, T] each -> float [B, T, W]. `documents`: the number of each token's document in its row; None: one."""
        return _encoded(self.stack, ids, documents, self.segment(segments))

    def logits(self, hidden: Tensor) -> Tensor:
        """Of the ids of tokens: float [..., W] -> float [..., padded_vocabulary]."""
        return self.stack.logits(hidden)


class EncoderDecoder(nn.Module):
    """A decoder that writes what it reads in an encoder. No position enters the attention between them."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, seed: int = 0, recompute: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.recompute = recompute
        self.decoder = nn.ModuleList(Block(shape, dropout, crossed=True) for _ in range(shape.layers))
        self.norm = norm(shape)
        initialise(self, shape, _generator(seed))
        self.stack = GPT(shape, dropout=dropout, seed=seed, recompute=recompute)

    @property
    def blocks(self) -> list[nn.Module]:
        """All of them."""
        return [*self.stack.blocks, *self.decoder]

    def hidden(self, ids: Tensor, written: Tensor, documents: tuple[Tensor, Tensor] | None) -> Tensor:
        """What the encoder reads, int64 [B, T], and what the decoder has written, int64 [B, U] -> float [B, U, W].

        `documents`: the number of each token's document in its row, of both sides; None: a row is one document.
        """
        read, wrote = documents or (None, None)
        memory = _encoded(self.stack, ids, read)
        positions = torch.arange(written.shape[1], device=written.device)[None]
        same, crossed = _same(wrote, wrote), _same(wrote, read)
        if same is not None:
            same = same & (positions <= positions.T)
        scope = Scope(
            mask=same,
            causal=True,
            rotation=_rotation(self.shape, positions),
            memory=memory,
            memory_mask=crossed,
        )
        x = self.stack.embedded(written, positions)
        normalised: Tensor = self.norm(through(self.decoder, x, scope, recompute=self.recompute and self.training))
        return normalised

    def logits(self, hidden: Tensor) -> Tensor:
        """float [..., W] -> float [..., padded_vocabulary]."""
        return self.stack.logits(hidden)


class Classifier(nn.Module):
    """A decoder whose last token of a text says what the text is."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, seed: int = 0, recompute: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.label = nn.Linear(shape.width, shape.classes)
        initialise(self, shape, _generator(seed))
        self.stack = GPT(shape, dropout=dropout, seed=seed, recompute=recompute)

    @property
    def blocks(self) -> list[nn.Module]:
        """All of them."""
        return list(self.stack.blocks)

    def forward(self, ids: Tensor, starts: Tensor | None, edges: Tensor | None, ends: Tensor) -> Tensor:
        """The logits of the labels of texts, float [texts, classes].

        `ids`, `starts`, `edges`: as `GPT.hidden` takes them. `ends`: int64 [texts], where, row after row, the texts end.
        """
        hidden = self.stack.hidden(ids, starts, edges=edges).flatten(0, 1)
        logits: Tensor = self.label(hidden[ends])
        return logits


Model = GPT | TextEncoder | EncoderDecoder | Classifier


def model_of(shape: Shape, *, dropout: float = 0.0, seed: int = 0, recompute: bool = False) -> Model:
    """A new model of a shape, in float32. The initial weights depend on `seed` alone."""
    kind = {"decoder": Classifier if shape.classes else GPT, "encoder": TextEncoder, "encoder-decoder": EncoderDecoder}
    made: Model = kind[shape.architecture](shape, dropout=dropout, seed=seed, recompute=recompute)
    return made


def stack_of(model: Model) -> GPT:
    """The model itself if it is a decoder; otherwise the decoder that gives it embedding, blocks and head."""
    return model if isinstance(model, GPT) else model.stack


def _encoded(stack: GPT, ids: Tensor, documents: Tensor | None, more: Tensor | None = None) -> Tensor:
    """float [B, T, W], normalised."""
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    scope = Scope(mask=_same(documents, documents), causal=False, rotation=_rotation(stack.shape, positions))
    x = stack.embedded(ids, positions, more)
    normalised: Tensor = stack.norm(through(stack.blocks, x, scope, recompute=stack.recompute and stack.training))
    return normalised


def _same(reading: Tensor | None, read: Tensor | None) -> Tensor | None:
    """Whether tokens are of one document: int64 [B, T], [B, S] -> bool [B, 1, T, S]."""
    return None if reading is None or read is None else (reading[:, :, None] == read[:, None, :])[:, None]


def _rotation(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor] | None:
    return rotation(positions, shape.head_width) if shape.positions == "rope" else None


def _generator(seed: int) -> torch.Generator:
    """Another one than that of the stack, whose weights would otherwise be those of the rest."""
    return torch.Generator().manual_seed(seed + 1)
