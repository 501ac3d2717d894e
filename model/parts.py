"""The parts of a decoder: normalisation, positions, attention, MLP, and the block that joins them.

Purpose: every part stands alone, is chosen by `Shape`, and has the formula of its paper.
Guarantee: `attend` (fast) and `attend_in_steps` (to read) give the same numbers, to the rounding of their precision. Queries,
keys and values have matrices of their own, whose rows are ordered by heads, so that a tensor-parallel plan can divide them.
Cost: per token 2 floating-point operations for each weight, and 4 * width for each token that is attended to.

Shapes in this package: B rows of a batch, T tokens, S tokens with keys (S >= T with a cache), H heads, G heads of keys and
values, D numbers per head, W = H * D the width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its usual name

from tokenmill.model.shape import ROPE_BASE, Shape

SINUSOID_BASE = 10_000.0
WIDEST_HEAD, HEAD_MULTIPLE = 256, 8
"""Of the kernels of FlashAttention."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What all layers of a forward pass share."""

    mask: Tensor | None
    """bool [B or 1, 1, T, S], True at (t, s) if token t attends to token s."""
    causal: bool
    """Whether, without a mask, each token attends to itself and all before it; otherwise to all."""
    rotation: tuple[Tensor, Tensor] | None
    """For rotary positions: cosines and sines, float [B or 1, 1, T, D / 2]."""
    edges: Tensor | None = None
    """int32 [documents + 1], in place of a mask: where, row after row, each document begins, and where the last one ends."""
    memory: Tensor | None = None
    """What cross-attention reads: the encoder's output, float [B, M, W]."""
    memory_mask: Tensor | None = None
    """bool [B, 1, T, M], True at (t, m) if token t attends to m of the memory; None: all attend to all."""
    window: int = 0
    """With edges, the most tokens that a token attends to; 0: all before it."""


class LayerCache:
    """Keys and values of the tokens that one layer has seen, [B, G, capacity, D] each."""

    def __init__(self, shape: Shape, batch: int, device: torch.device) -> None:
        size = (batch, shape.groups, shape.context_tokens, shape.head_width)
        self.key, self.value = torch.empty(size, device=device), torch.empty(size, device=device)

    def extended(self, key: Tensor, value: Tensor, seen: int) -> tuple[Tensor, Tensor]:
        """Keep those of T new tokens after the `seen` ones before; return all, [B, G, seen + T, D] each."""
        end = seen + key.shape[2]
        self.key[:, :, seen:end], self.value[:, :, seen:end] = key, value
        return self.key[:, :, :end], self.value[:, :, :end]


class Cache:
    """What all layers have seen: with it, a forward pass takes only the tokens that are new. For inference."""

    def __init__(self, shape: Shape, *, batch: int, device: torch.device | None = None) -> None:
        self.seen = 0
        self.layers = [LayerCache(shape, batch, device or torch.device("cpu")) for _ in range(shape.layers)]


def norm(shape: Shape) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) over the width."""
    if shape.norm == "layer":
        return nn.LayerNorm(shape.width, eps=shape.norm_epsilon, bias=shape.biases)
    return RMSNorm(shape.width, eps=shape.norm_epsilon)


class RMSNorm(nn.RMSNorm):
    """Torch's, whose fused kernel wants the gain in the type of what it scales."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] -> [..., W]"""
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def rotation(positions: Tensor, head_width: int, base: float = ROPE_BASE) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles by which heads are turned (Su et al. 2021, "RoFormer").

    `positions`: int64 [B or 1, T] -> two float [B or 1, 1, T, D / 2]. Pair i turns by position * base^(-2i / D).
    """
    turns = base ** (-torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width)
    angles = positions[:, None, :, None].float() * turns
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (i, i + D / 2) of a head by the angle of its position. [B, H, T, D] -> [B, H, T, D]"""
    cosine, sine = (part.to(x.dtype) for part in rotation)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def sinusoids(tokens: int, width: int) -> Tensor:
    """Fixed vectors of positions (Vaswani et al. 2017, section 3.5): float [tokens, width], sines, then cosines."""
    turns = SINUSOID_BASE ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(tokens)[:, None] * turns
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


def attend(query: Tensor, key: Tensor, value: Tensor, scope: Scope, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention: [B, H, T, D], [B, G, S, D] twice -> [B, H, T, D]."""
    if scope.edges is not None:
        return attend_in_documents(query, key, value, scope.edges, scope.window)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        scope.mask,
        dropout_p=dropout,
        is_causal=scope.mask is None and scope.causal,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def attend_in_documents(query: Tensor, key: Tensor, value: Tensor, edges: Tensor, window: int = 0) -> Tensor:
    """The same within documents, by FlashAttention's kernel for sequences of any lengths (Dao 2023, "FlashAttention-2").

    Where `attend` with a mask computes all pairs of a row, this computes those of each document. `edges`, `window`: as in
    `Scope`. Needs what `has_flash` says, and bfloat16 or float16.
    """
    # It imports torch's compiler, which takes as long as torch itself, and only a GPU gets here.
    from torch.nn.attention.varlen import varlen_attn

    tokens, shared = query.shape[2], query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
    # The documents of all rows, one after the other. Norms and rotations may have made float32 of queries and keys.
    query, key, value = (part.transpose(1, 2).flatten(0, 1).to(value.dtype) for part in (query, key, value))
    span = (window - 1 if window else -1, 0)
    mixed = varlen_attn(query, key, value, edges, edges, tokens, tokens, window_size=span)
    assert isinstance(mixed, Tensor)
    return mixed.reshape(-1, tokens, *mixed.shape[1:]).transpose(1, 2)


def has_flash(device: torch.device, head_width: int) -> bool:
    """Whether `device` has the kernels of FlashAttention for such heads."""
    if device.type != "cuda" or not torch.backends.cuda.is_flash_attention_available():
        return False
    return head_width % HEAD_MULTIPLE == 0 and head_width <= WIDEST_HEAD and torch.cuda.get_device_capability(device) >= (8, 0)


def attend_in_steps(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """The same step by step (Vaswani et al. 2017, section 3.2.1), to read and to test with. `mask`: as in `Scope`.

    Each token asks with its query, finds the keys that match, and takes the mean of their values, weighted by the match.
    """
    shared = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1) @ value


class Attention(nn.Module):
    """Multi-head attention, with fewer heads of keys and values than of queries if the shape says so."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        kv_width = shape.groups * shape.head_width
        self.query = nn.Linear(shape.width, shape.width, bias=shape.biases)
        self.key = nn.Linear(shape.width, kv_width, bias=shape.biases)
        self.value = nn.Linear(shape.width, kv_width, bias=shape.biases)
        self.out = nn.Linear(shape.width, shape.width, bias=shape.biases)

    def forward(
        self, x: Tensor, scope: Scope, cache: LayerCache | None = None, seen: int = 0, memory: Tensor | None = None
    ) -> Tensor:
        """[B, T, W] -> [B, T, W]. Keys and values are those of `memory`, [B, M, W]; None: of `x` itself."""
        batch, read = x.shape[0], x if memory is None else memory
        query, key, value = (
            part.view(batch, part.shape[1], -1, self.shape.head_width).transpose(1, 2)
            for part in (self.query(x), self.key(read), self.value(read))
        )
        if self.shape.qk_norm:
            # Henry et al. 2020, "Query-Key Normalization for Transformers", with RMSNorm in place of the norm.
            query, key = (F.rms_norm(part, (self.shape.head_width,), eps=self.shape.norm_epsilon) for part in (query, key))
        if scope.rotation is not None:
            query, key = rotate(query, scope.rotation), rotate(key, scope.rotation)
        if cache is not None:
            key, value = cache.extended(key, value, seen)
        mixed = attend(query, key, value, scope, self.dropout if self.training else 0.0)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined


class Feedforward(nn.Module):
    """The MLP: each token by itself goes to a wider space and back.

    GELU (Hendrycks and Gimpel 2016, in its tanh form), squared ReLU (So et al. 2021, "Primer"), or SwiGLU (Shazeer 2020, "GLU
    Variants Improve Transformer").
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kind = shape.mlp
        self.up = nn.Linear(shape.width, shape.inner, bias=shape.biases)
        if shape.mlp == "swiglu":
            self.gate = nn.Linear(shape.width, shape.inner, bias=shape.biases)
        self.down = nn.Linear(shape.inner, shape.width, bias=shape.biases)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, W] -> [B, T, W]"""
        inner = self.up(x)
        if self.kind == "gelu":
            inner = F.gelu(inner, approximate="tanh")
        elif self.kind == "relu2":
            inner = F.relu(inner).square()
        else:
            inner = F.silu(self.gate(x)) * inner
        joined: Tensor = self.down(inner)
        return joined


class Block(nn.Module):
    """Attention, then MLP; each reads a normalised copy of the residual stream and adds to it.

    `crossed`: between them, attention to the memory of the scope (Vaswani et al. 2017, section 3.2.3). As in T5 (Raffel et al.
    2020, section 2.1), no position enters it.
    """

    def __init__(self, shape: Shape, dropout: float, *, crossed: bool = False) -> None:
        super().__init__()
        self.norm_1 = norm(shape)
        self.attention = Attention(shape, dropout)
        self.crossed = crossed
        if crossed:
            self.norm_cross = norm(shape)
            self.cross = Attention(shape, dropout)
        self.norm_2 = norm(shape)
        self.mlp = Feedforward(shape)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, scope: Scope, cache: LayerCache | None = None, seen: int = 0) -> Tensor:
        """[B, T, W] -> [B, T, W]"""
        x = x + self.drop(self.attention(self.norm_1(x), scope, cache, seen))
        if self.crossed:
            around = Scope(mask=scope.memory_mask, causal=False, rotation=None)
            x = x + self.drop(self.cross(self.norm_cross(x), around, memory=scope.memory))
        joined: Tensor = x + self.drop(self.mlp(self.norm_2(x)))
        return joined
