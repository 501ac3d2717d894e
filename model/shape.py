"""The shape of a model: its sizes, and which parts it has.

Purpose: `Shape` says everything that decides a model's tensors and formulas, and `shape_of` reads it from the settings: those
of a preset, with single parts changed.
Guarantee: a shape that exists can be built. Cost: none; this module imports no torch.

The presets are those of published models: `gpt2` (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"),
`llama` (Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models"), and `modern`, the parts with which small
models were seen to learn fastest (Jordan et al. 2024, "modded-nanogpt"; Karpathy 2025, "nanochat").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.config.train import MLP, MOST, Initialisation, Norm, Positions, Preset

VOCABULARY_MULTIPLE = 128
"""Matrix products are faster on multiples of it."""
HIDDEN_MULTIPLE = 64
Architecture = Literal["decoder", "encoder", "encoder-decoder"]
PAIRS = 2
"""Of two texts: the second follows the first, or it does not. Also the number of segments."""
NORM_EPSILON = 1e-5
ROPE_BASE = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes and the parts of a model. Without parts: GPT-2's. Raises ConfigError if they cannot be built together."""

    layers: int
    heads: int
    width: int
    """Numbers per token in the residual stream."""
    context_tokens: int
    """The context length: the most tokens that the model takes at once."""
    vocabulary: int
    """The number of ids that exist, without padding."""
    kv_heads: int = 0
    """Heads of keys and values (Ainslie et al. 2023, "GQA"); 0: as many as `heads`."""
    hidden: int = 0
    """Numbers per token inside the MLP; 0: 4 * width, or 8/3 * width in SwiGLU, rounded up to a multiple of 64."""
    norm: Norm = "layer"
    positions: Positions = "learned"
    mlp: MLP = "gelu"
    qk_norm: bool = False
    biases: bool = True
    tied: bool = True
    soft_cap: float = 0.0
    """The bound of the logits; 0: none."""
    unigram_offset: bool = False
    """Whether logits are counted from the log frequency of each id."""
    sliding_window: int = 0
    """The most tokens that a token attends to; 0: all before it."""
    initialisation: Initialisation = "gpt2"
    architecture: Architecture = "decoder"
    """encoder: blocks whose tokens attend to all tokens. encoder-decoder: `layers` of these, and `layers` that also attend to
    what comes out of them."""
    source_tokens: int = 0
    """Tokens that the encoder of an encoder-decoder takes of a sample of `context_tokens`; 0: there is none."""
    target_tokens: int = 0
    """Tokens of a sample that an encoder predicts, or that a decoder beside an encoder takes; 0: all, or there is none."""
    classes: int = 0
    """The labels that a head tells apart, in place of the head over the vocabulary; 0: there are none."""
    norm_epsilon: float = NORM_EPSILON
    """What normalisations add to the mean of squares."""
    rope_base: float = ROPE_BASE
    """With rotary positions: the slowest pair of a head turns by about 1 / rope_base for each token."""

    def __post_init__(self) -> None:
        if min(self.layers, self.heads, self.width, self.context_tokens, self.vocabulary) < 1:
            raise ConfigError(f"every size of a model is at least 1: {self}")
        if max(self.layers, self.heads, self.width, self.context_tokens, self.vocabulary, self.hidden) > MOST:
            raise ConfigError(f"every size of a model is at most {MOST:,}: {self}")
        if min(self.kv_heads, self.hidden, self.sliding_window) < 0 or not (
            math.isfinite(self.soft_cap) and self.soft_cap >= 0
        ):
            raise ConfigError(f"no size or bound of a model is below 0: {self}")
        if self.width % self.heads:
            raise ConfigError(f"a model's width must be a multiple of its heads, but {self.width=} and {self.heads=}")
        if self.heads % self.groups:
            raise ConfigError(f"a model's heads must be a multiple of its kv_heads, but {self.heads=} and {self.kv_heads=}")
        if min(self.source_tokens, self.target_tokens, self.classes) < 0 or self.classes > MOST:
            raise ConfigError(f"no number of a model's tokens or classes is below 0: {self}")
        if self.sliding_window and self.architecture != "decoder":
            raise ConfigError(f"only a decoder has a sliding window, but {self.architecture=} and {self.sliding_window=}")
        if max(self.source_tokens, self.target_tokens) > self.context_tokens:
            raise ConfigError(f"a part of a sample has more tokens than the sample: {self}")
        if self.positions == "rope" and self.head_width % 2:
            raise ConfigError(f"rotary positions turn pairs of numbers, but a head has {self.head_width}")

    @property
    def head_width(self) -> int:
        """Numbers per token in one head."""
        return self.width // self.heads

    @property
    def groups(self) -> int:
        """The number of heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def inner(self) -> int:
        """Numbers per token inside the MLP."""
        if self.hidden or self.mlp != "swiglu":
            return self.hidden or 4 * self.width
        return -(-8 * self.width // (3 * HIDDEN_MULTIPLE)) * HIDDEN_MULTIPLE

    @property
    def padded_vocabulary(self) -> int:
        """`vocabulary`, rounded up to a multiple of 128."""
        return -(-self.vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    @property
    def has_head(self) -> bool:
        """Whether the head over the vocabulary is a matrix of its own."""
        return not self.tied and not self.classes

    @property
    def parameters(self) -> int:
        """The number of parameters that are learned. A tied head counts once, and the rows of the padding do not count."""
        rows = self.vocabulary * (2 if self.has_head else 1) + (self.context_tokens if self.positions == "learned" else 0)
        found = rows * self.width + self.layers * (self._mixing + self._mlp + 2 * self._norm) + self._norm
        if self.architecture == "encoder":
            found += PAIRS * self.width + PAIRS * (self.width + 1)
        elif self.architecture == "encoder-decoder":
            found += self.layers * (2 * self._mixing + self._mlp + 3 * self._norm) + self._norm
        return found + self.classes * (self.width + 1)

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations that a training step needs for a token of a sample (Chowdhery et al. 2022, "PaLM", B).

        6 for each weight of a matrix product, two forward and four backward, and 12 * layers * width * context_tokens (or the
        sliding window, if that is shorter) for queries with keys and weights with values. Vectors that are looked up take none;
        a tied embedding is the head. Of an encoder and an encoder-decoder it is the mean over the tokens of a sample: the head
        sees those that are predicted, and each stack those that it takes.
        """
        head = 0 if self.classes else self.vocabulary * self.width
        layer, context = self._mixing + self._mlp + 2 * self._norm, self.context_tokens
        if self.architecture == "decoder":
            span = min(context, self.sliding_window or context)
            return 6 * (self.layers * layer + self._norm + head) + 12 * self.layers * self.width * span
        if self.architecture == "encoder":
            products = (self.layers * layer + self._norm) * context + head * self.target_tokens
            return (6 * products + 12 * self.layers * self.width * context * context) // context
        source, target = self.source_tokens, self.target_tokens
        # Of cross-attention, queries and what is mixed are the decoder's tokens, keys and values the encoder's.
        kv = 2 * self.groups * self.head_width * (self.width + (1 if self.biases else 0))
        products = (self.layers * layer + self._norm) * (source + target) + head * target
        products += self.layers * ((self._mixing - kv + self._norm) * target + kv * source)
        pairs = source * source + target * target + target * source
        return (6 * products + 12 * self.layers * self.width * pairs) // context

    @property
    def _mixing(self) -> int:
        """Parameters of one attention."""
        kv = self.groups * self.head_width
        return self.width * (2 * self.width + 2 * kv) + (2 * self.width + 2 * kv if self.biases else 0)

    @property
    def _mlp(self) -> int:
        vectors = self.width + self.inner * (2 if self.mlp == "swiglu" else 1)
        return (3 if self.mlp == "swiglu" else 2) * self.width * self.inner + (vectors if self.biases else 0)

    @property
    def _norm(self) -> int:
        return self.width * (2 if self.norm == "layer" and self.biases else 1)


BY_OBJECTIVE = {"vocabulary", "architecture", "source_tokens", "target_tokens", "classes"}
"""What `model/objectives` decides, not a setting."""
PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    "gpt2": {},
    "modern": {
        "norm": "rms",
        "positions": "rope",
        "mlp": "relu2",
        "qk_norm": True,
        "biases": False,
        "tied": False,
        "soft_cap": 15.0,
        "unigram_offset": True,
        "initialisation": "zero_projections",
    },
    "llama": {
        "norm": "rms",
        "positions": "rope",
        "mlp": "swiglu",
        "biases": False,
        "tied": False,
        "initialisation": "normal",
    },
}


def shape_of(
    config: TrainConfig,
    vocabulary: int,
    *,
    architecture: Architecture = "decoder",
    source_tokens: int = 0,
    target_tokens: int = 0,
) -> Shape:
    """The shape that the settings ask for. Raises ConfigError."""
    sizes = {"layers", "heads", "width", "context_tokens"}
    parts = Shape.__dataclass_fields__.keys() - sizes - BY_OBJECTIVE
    chosen = {name: value for name in sorted(parts) if (value := getattr(config, name)) is not None}
    return Shape(
        vocabulary=vocabulary,
        architecture=architecture,
        source_tokens=source_tokens,
        target_tokens=target_tokens,
        **{name: getattr(config, name) for name in sizes},
        **{**PRESETS[config.model], **chosen},
    )
