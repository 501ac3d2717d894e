"""The model: a decoder with GPT-2's architecture.

Purpose: pre-LayerNorm blocks, learned positions, causal attention, GELU (tanh form), biases everywhere, and a head tied
to the token embedding (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; its parameter names).
Guarantee: with GPT-2's weights, the model gives GPT-2's logits. If it is told where documents begin, each document gets the
logits that it gets alone: attention stays within it, and its positions count from its first token (like Megatron-LM's
reset_attention_mask and reset_position_ids; Zhao et al. 2024, "Analysing The Impact of Sequence Composition on Language
Model Pre-Training", measured that this helps). The embedding has `padded_vocabulary` rows, because matrix products are
faster on multiples of 128; the added ids have a logit of -inf, so their probability and their gradient are exactly 0.
Cost: about 6 * parameters floating-point operations per token and training step, and memory for the logits: tokens *
vocabulary * 4 bytes, twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its usual name

from tokenmill.pipeline.base.errors import ConfigError, InputError

VOCABULARY_MULTIPLE = 128
INITIAL_STD = 0.02
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes that decide which tensors a model has.

    Raises ConfigError if a size is below 1, or `width` is not a multiple of `heads`.
    """

    layers: int
    heads: int
    width: int
    """Numbers per token in the residual stream."""
    context_tokens: int
    """The context length: the most tokens that the model takes at once."""
    vocabulary: int
    """The number of ids that exist, without padding."""

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 1:
            raise ConfigError(f"every size of a model is at least 1: {self}")
        if self.width % self.heads:
            raise ConfigError(f"a model's width must be a multiple of its heads, but {self.width=} and {self.heads=}")

    @property
    def padded_vocabulary(self) -> int:
        """`vocabulary`, rounded up to a multiple of 128."""
        return -(-self.vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    @property
    def parameters(self) -> int:
        """The number of parameters that are learned. The tied head counts once, and the rows of the padding do not count."""
        embeddings = (self.vocabulary + self.context_tokens) * self.width
        return embeddings + self.layers * (12 * self.width**2 + 13 * self.width) + 2 * self.width


class Attention(nn.Module):
    """Multi-head self-attention, causal unless a mask is given."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.heads = shape.heads
        self.dropout = dropout
        self.c_attn = nn.Linear(shape.width, 3 * shape.width)
        self.c_proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, tokens, width] -> [batch, tokens, width].

        `mask`: bool [batch, 1, tokens, tokens], True at (i, j) if token i attends to token j; None for causal attention.
        """
        batch, tokens, width = x.shape
        query, key, value = (
            part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout, is_causal=mask is None)
        projected: Tensor = self.c_proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return projected


class MLP(nn.Module):
    """Two linear layers with GELU between them; the hidden layer is four times as wide."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.c_fc = nn.Linear(shape.width, 4 * shape.width)
        self.c_proj = nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width] -> [batch, tokens, width]"""
        projected: Tensor = self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return projected


class Block(nn.Module):
    """Attention, then MLP; each reads a normalised copy of the residual stream and adds to it."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(shape.width)
        self.attn = Attention(shape, dropout)
        self.ln_2 = nn.LayerNorm(shape.width)
        self.mlp = MLP(shape)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, tokens, width] -> [batch, tokens, width]. `mask`: as in `Attention.forward`."""
        x = x + self.drop(self.attn(self.ln_1(x), mask))
        mixed: Tensor = x + self.drop(self.mlp(self.ln_2(x)))
        return mixed


class GPT(nn.Module):
    """The whole model, in float32. The initial weights depend on `seed` alone, whatever else the process draws at random."""

    padding: Tensor

    def __init__(self, shape: Shape, *, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.wte = nn.Embedding(shape.padded_vocabulary, shape.width)
        self.wpe = nn.Embedding(shape.context_tokens, shape.width)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        padding = torch.zeros(shape.padded_vocabulary)
        padding[shape.vocabulary :] = -math.inf
        self.register_buffer("padding", padding, persistent=False)
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(self, ids: Tensor, starts: Tensor | None = None) -> Tensor:
        """The logits of each next token, given the tokens up to it.

        Parameters
        ----------
        ids
            int64 [batch, tokens], with at most `context_tokens` tokens.
        starts
            int64 [batch, tokens]: where in its row the document of each token begins. None if each row is one document.

        Returns
        -------
        Tensor
            float [batch, tokens, padded_vocabulary], in float32 or in the dtype of autocast; -inf for ids of the padding.

        Raises
        ------
        InputError
            There are more tokens.
        """
        tokens = ids.shape[1]
        if tokens > self.shape.context_tokens:
            raise InputError(f"{tokens=} but {self.shape.context_tokens=}")
        positions = torch.arange(tokens, device=ids.device)
        mask = None
        if starts is not None:
            mask = ((positions <= positions[:, None]) & (positions >= starts[..., None]))[:, None]
            positions = positions - starts
        x = self.drop(self.wte(ids) + self.wpe(positions))
        for block in self.h:
            x = block(x, mask)
        # As the head's bias, the padding costs nothing; masking the logits afterwards would copy them, forward and backward.
        logits: Tensor = F.linear(self.ln_f(x), self.wte.weight, self.padding)
        return logits

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        """Draw GPT-2's initial weights.

        Matrices are normal with standard deviation 0.02, times 1/sqrt(2 * layers) for projections into the residual stream;
        biases are 0.
        """
        residual_std = INITIAL_STD / math.sqrt(2 * self.shape.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = residual_std if name.endswith("c_proj.weight") else INITIAL_STD
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        # The rows of the padding start at 0 and get no gradient, so they stay 0 in every checkpoint.
        self.wte.weight[self.shape.vocabulary :] = 0


def next_token_loss(
    model: nn.Module, windows: Tensor, *, kept: Tensor | None = None, starts: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy in nats of each id, given the ids before it.

    Parameters
    ----------
    windows
        int64 [batch, tokens + 1]: the first `tokens` ids of a row are inputs, the last `tokens` their targets.
    kept
        bool [batch, tokens + 1]: targets where it is False do not contribute to the loss. None keeps all.
    starts
        int64 [batch, tokens], for the inputs: as in `GPT.forward`.
    reduction
        "mean" or "sum", over the kept targets.

    Returns
    -------
    Tensor
        A float32 scalar; 0 if no target is kept.
    """
    logits = model(windows[:, :-1], starts).flatten(0, 1).float()
    if kept is None:
        return F.cross_entropy(logits, windows[:, 1:].flatten(), reduction=reduction)
    total = F.cross_entropy(
        logits, windows[:, 1:].masked_fill(~kept[:, 1:], IGNORED).flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / kept[:, 1:].sum().clamp(min=1) if reduction == "mean" else total
