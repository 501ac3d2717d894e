"""The model: a decoder in the shape of GPT-2.

Purpose: pre-LayerNorm blocks, learned positions, causal attention, GELU (tanh form), biases everywhere, and a head tied
to the token embedding (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; its parameter names).
Guarantee: with GPT-2's weights, GPT-2's logits. Told where documents begin, the logits of each are those that it has alone:
attention stays in it, and its positions count from its first token (as Megatron-LM's reset_attention_mask and
reset_position_ids; that it helps is measured by Zhao et al. 2024, "Analysing The Impact of Sequence Composition on Language
Model Pre-Training"). The embedding has `padded_vocabulary` rows, since matrix products are
faster on multiples of 128; the ids added have a logit of -inf, so their probability and their gradient are exactly 0.
Cost: about 6 * parameters floating-point operations per token and training step, and the logits: tokens * vocabulary * 4
bytes, twice.
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
    """All that decides which tensors a model has. `vocabulary` counts the ids that exist."""

    layers: int
    heads: int
    width: int
    context_tokens: int
    vocabulary: int

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"a model's width must be a multiple of its heads, but {self.width=} and {self.heads=}")

    @property
    def padded_vocabulary(self) -> int:
        """`vocabulary`, rounded up to a multiple of 128."""
        return -(-self.vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    @property
    def parameters(self) -> int:
        """Numbers to be learned. The head, being tied, counts once; rows of the padding are not learned."""
        embeddings = (self.vocabulary + self.context_tokens) * self.width
        return embeddings + self.layers * (12 * self.width**2 + 13 * self.width) + 2 * self.width


class Attention(nn.Module):
    """Self-attention with several heads, causal unless a mask says who sees whom."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.heads = shape.heads
        self.dropout = dropout
        self.c_attn = nn.Linear(shape.width, 3 * shape.width)
        self.c_proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, tokens, width] -> the same. mask: bool [batch, 1, tokens, tokens], True where the first sees the second"""
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
    """Two layers with GELU between them, four times as wide inside."""

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
        """[batch, tokens, width] -> [batch, tokens, width]. mask: that of `Attention`"""
        x = x + self.drop(self.attn(self.ln_1(x), mask))
        mixed: Tensor = x + self.drop(self.mlp(self.ln_2(x)))
        return mixed


class GPT(nn.Module):
    """The whole model. Its weights are drawn from `seed` alone, on the CPU, whatever else the process draws."""

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
        """Logits of each next token: int64 [batch, tokens] -> float [batch, tokens, padded_vocabulary].

        `tokens` is at most `context_tokens`. `starts`: int64 [batch, tokens], where in its row the document of each token
        begins; None: each row is one document. Raises InputError for more tokens.
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
        # As the head's bias the padding costs nothing; masking the logits afterwards would copy them, forward and back.
        logits: Tensor = F.linear(self.ln_f(x), self.wte.weight, self.padding)
        return logits

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        """GPT-2's: normal with 0.02, projections into the residual stream by 1/sqrt(2 * layers) smaller, biases 0."""
        residual_std = INITIAL_STD / math.sqrt(2 * self.shape.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = residual_std if name.endswith("c_proj.weight") else INITIAL_STD
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        # With rows of 0 and no gradient the padding stays 0 in every checkpoint.
        self.wte.weight[self.shape.vocabulary :] = 0


def next_token_loss(
    model: nn.Module, windows: Tensor, *, kept: Tensor | None = None, starts: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy in nats of each id given those before it. windows: int64 [batch, tokens + 1]

    `kept`: bool, the same; of ids where it is False no loss is taken, and the mean is over the others (0 if there are none).
    `starts`: that of `GPT.forward`, of the inputs.
    """
    logits = model(windows[:, :-1], starts).flatten(0, 1).float()
    if kept is None:
        return F.cross_entropy(logits, windows[:, 1:].flatten(), reduction=reduction)
    total = F.cross_entropy(
        logits, windows[:, 1:].masked_fill(~kept[:, 1:], IGNORED).flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / kept[:, 1:].sum().clamp(min=1) if reduction == "mean" else total
