"""The model: a decoder whose parts `Shape` chooses, from GPT-2's to today's.

Purpose: embedding, blocks, head. See `parts` for what is in a block.
Guarantee: with the preset `gpt2` and its weights, the model gives GPT-2's logits; `llama` likewise. If it is told where
documents begin, each document gets the logits that it gets alone: attention stays within it, and its positions count from its
beginning (like Megatron-LM's reset_attention_mask and reset_position_ids; Zhao et al. 2024, "Analysing The Impact of Sequence
Composition on Language Model Pre-Training", measured that this helps). The vocabulary is padded to a multiple of 128; the added
ids have a logit of -inf, so their probability and their gradient are exactly 0. Under autocast to bfloat16 the residual stream
is bfloat16, too.
Cost: about 6 * parameters floating-point operations per token and training step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.nn import functional as F  # noqa: N812 -- its usual name
from torch.utils.checkpoint import checkpoint

from tokenmill.model.parts import Block, Cache, Scope, has_flash, norm, rotation, sinusoids
from tokenmill.model.shape import Shape
from tokenmill.pipeline.base.errors import InputError

INITIAL_STD = 0.02
RESIDUAL = ("attention.out.weight", "cross.out.weight", "mlp.down.weight")
"""Matrices that add to the residual stream."""


class GPT(nn.Module):
    """The whole model, in float32. The initial weights depend on `seed` alone, whatever else the process draws at random."""

    sinusoids: Tensor
    offset: Tensor
    """What is added to the logits, float [padded_vocabulary]: log frequencies or 0; -inf for the padding."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, seed: int = 0, recompute: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.recompute = recompute
        self.embedding = nn.Embedding(shape.padded_vocabulary, shape.width)
        if shape.positions == "learned":
            self.position = nn.Embedding(shape.context_tokens, shape.width)
        elif shape.positions == "sinusoidal":
            self.register_buffer("sinusoids", sinusoids(shape.context_tokens, shape.width), persistent=False)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))
        self.norm = norm(shape)
        if shape.has_head:
            self.head = nn.Linear(shape.width, shape.padded_vocabulary, bias=False)
        offset = torch.zeros(shape.padded_vocabulary)
        offset[shape.vocabulary :] = -math.inf
        # Log frequencies come from the text, so they are part of what is saved.
        self.register_buffer("offset", offset, persistent=shape.unigram_offset)
        initialise(self, shape, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            # The rows of the padding start at 0 and get no gradient, so they stay 0 in every checkpoint.
            self.embedding.weight[shape.vocabulary :] = 0
            if shape.has_head:
                self.head.weight[shape.vocabulary :] = 0

    def forward(self, ids: Tensor, starts: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """The logits of each next token: `head(hidden(...))`. float [B, T, padded_vocabulary]; -inf for ids of the padding."""
        return self.logits(self.hidden(ids, starts, cache))

    def hidden(
        self, ids: Tensor, starts: Tensor | None = None, cache: Cache | None = None, edges: Tensor | None = None
    ) -> Tensor:
        """The residual stream after the last block, normalised: float [B, T, W].

        Parameters
        ----------
        ids
            int64 [B, T], with at most `context_tokens` tokens, those in the cache included.
        starts
            int64 [B, T]: where in its row the document of each token begins. None if each row is one document. With a cache,
            rows are counted from the first token in it.
        cache
            What was seen before; the new tokens are added to it.
        edges
            int32 [documents + 1]: where, row after row, the documents of `starts` begin, and where the last one ends. With them
            a GPU needs no mask.

        Raises
        ------
        InputError
            There are more tokens.
        """
        seen = 0 if cache is None else cache.seen
        tokens = ids.shape[1]
        if seen + tokens > self.shape.context_tokens:
            raise InputError(f"tokens={seen + tokens} but {self.shape.context_tokens=}")
        scope, positions = self.scope(tokens, starts, ids.device, seen=seen, edges=edges)
        x = self.embedded(ids, positions)
        if cache is None:
            x = through(self.blocks, x, scope, recompute=self.recompute and self.training)
        else:
            for number, block in enumerate(self.blocks):
                # Past a compiled layer: each length would be compiled anew.
                x = block.forward(x, scope, cache.layers[number], seen)
            cache.seen += tokens
        normalised: Tensor = self.norm(x)
        return normalised

    def embedded(self, ids: Tensor, positions: Tensor, more: Tensor | None = None) -> Tensor:
        """What the first block reads, float [B, T, W].

        `positions`: int64 [B or 1, T]. `more`: what else is added, [B, T, W].
        """
        x: Tensor = self.embedding(ids)
        if self.shape.positions == "learned":
            x = x + self.position(positions)
        elif self.shape.positions == "sinusoidal":
            x = x + self.sinusoids[positions]
        x = self.drop(x if more is None else x + more)
        if _autocast_dtype(ids.device) == torch.bfloat16:
            # Half the memory, and half the bytes that norms and sums move. Float16 would overflow.
            x = x.bfloat16()
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """float [..., W] -> float [..., padded_vocabulary], soft-capped as in Gemma 2 (Riviere et al. 2024, section 2)."""
        weight = self.embedding.weight if self.shape.tied else self.head.weight
        if isinstance(weight, DTensor):
            # Each process has some of the ids, and gives what it knows of the gradient.
            hidden = DTensor.from_local(hidden, weight.device_mesh, [Replicate()])
        if not self.shape.soft_cap:
            # As the head's bias, the offset costs little; adding it afterwards would copy the logits, forward and backward.
            zero = self.shape.vocabulary == self.shape.padded_vocabulary and not self.shape.unigram_offset
            return F.linear(hidden, weight, None if zero else self.offset)
        cap = self.shape.soft_cap
        return cap * torch.tanh(F.linear(hidden, weight) / cap) + self.offset

    def scope(
        self, tokens: int, starts: Tensor | None, device: torch.device, *, seen: int = 0, edges: Tensor | None = None
    ) -> tuple[Scope, Tensor]:
        """What the layers share, and the positions of the tokens in their documents, int64 [B or 1, T].

        `starts`, `edges`: as in `hidden`. `seen`: tokens in a cache before them.
        """
        rows = torch.arange(seen, seen + tokens, device=device)
        columns = torch.arange(seen + tokens, device=device)
        # What fills a row up before its document has no position.
        positions = rows[None] if starts is None else (rows - starts).clamp(min=0)
        turned = rotation(positions, self.shape.head_width, self.shape.rope_base) if self.shape.positions == "rope" else None
        window = self.shape.sliding_window
        if edges is not None and self._has_flash(device):
            return Scope(mask=None, causal=True, rotation=turned, edges=edges, window=window), positions
        mask = None
        # One new token may attend to all that the cache holds.
        causal = tokens > 1
        if starts is not None or (window and window < seen + tokens) or (causal and seen):
            allowed = columns <= rows[:, None]
            if window:
                allowed = allowed & (columns > rows[:, None] - window)
            if starts is not None:
                allowed = allowed & (columns >= starts[..., None])
            mask = allowed[:, None] if allowed.dim() == 3 else allowed[None, None]
        return Scope(mask=mask, causal=causal, rotation=turned), positions

    def _has_flash(self, device: torch.device) -> bool:
        """Whether attention can take edges in place of a mask: the kernels know half precision only, and no dropout."""
        half = _autocast_dtype(device) != torch.float32
        return half and not (self.training and self.drop.p) and has_flash(device, self.shape.head_width)


def through(blocks: Iterable[nn.Module], x: Tensor, scope: Scope, *, recompute: bool) -> Tensor:
    """Through all blocks, [B, T, W] -> [B, T, W]. `recompute`: compute what is inside a block again in the backward pass."""
    for block in blocks:
        x = checkpoint(block, x, scope, use_reentrant=False) if recompute else block(x, scope)
    return x


@torch.no_grad()
def initialise(module: nn.Module, shape: Shape, generator: torch.Generator) -> None:
    """Draw the initial weights of a module.

    Matrices are normal with standard deviation 0.02. Those that add to the residual stream are smaller by
    1/sqrt(2 * layers) as in GPT-2, or 0, so that each block begins as the identity (Zhang et al. 2019, "Fixup"). Biases are
    0. A head of its own begins at 0 where projections do: every id is then as likely as its offset says.
    """
    kind = shape.initialisation
    for name, parameter in module.named_parameters():
        if parameter.dim() < 2:
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            continue
        std = INITIAL_STD
        if name.endswith(RESIDUAL) and kind == "gpt2":
            std /= math.sqrt(2 * shape.layers)
        if kind == "zero_projections" and (name.endswith(RESIDUAL) or name == "head.weight"):
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, std=std, generator=generator)


def _autocast_dtype(device: torch.device) -> torch.dtype:
    """The type of matrix products where this is called."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
