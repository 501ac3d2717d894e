"""The settings that every corpus has: collection, tokenizer, packing, training, and the order of its stages.

Guarantee: a Config that exists is valid; stages get slices of it and read nothing else. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokenmill.pipeline.config.section import Section
from tokenmill.pipeline.config.sources import CollectConfig


class TokenizerConfig(Section):
    """A byte-level BPE tokenizer, trained on the surviving text, or a given one."""

    path: str | None = None
    """Use this tokenizer.json instead of training one."""
    vocabulary: int = Field(default=32_768, ge=257, le=2**31 - 1)
    pattern: str = "cl100k"
    """How text is cut before merging: gpt2, cl100k (GPT-4's, and Llama 3's: llama3), qwen2, o200k."""
    digits: int | None = Field(default=None, ge=1, le=3)
    """The most digits in one token; none: as the pattern has it (3, and 1 in qwen2; gpt2 has no limit)."""
    min_frequency: int = Field(default=2, ge=1)
    """A pair that occurs less often is not merged."""
    max_token_bytes: int = Field(default=1_024, ge=3)
    """Tokens stay shorter than this. Encoders become slow with tokens of many kilobytes."""
    max_source_share: float = Field(default=1.0, gt=0, le=1)
    """A source with a larger share of the text counts as if it had this share."""


class PackConfig(Section):
    """Token shards."""

    shard_tokens: int = Field(default=100_000_000, ge=1_000)
    """About so many tokens a shard; a source has at least one shard, and documents are not divided."""
    shuffle: bool = True
    """Documents of a source in a keyed order instead of their own, so that neighbours in a window have nothing in common."""
    validation_fraction: float = Field(default=0.01, ge=0, lt=1)
    """By document, chosen by a hash of doc_id: a document is on the same side for ever."""


Attention = Literal["document", "window"]


class TrainConfig(Section):
    """The bundled GPT trainer. The defaults bring a visibly falling loss in about a minute on two CPU cores."""

    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=1)
    context_tokens: int = Field(default=128, ge=2)
    batch_windows: int = Field(default=8, ge=1)
    """So many windows of `context_tokens` go through the model at once."""
    accumulate: int = Field(default=1, ge=1)
    """So many batches make one update."""
    steps: int = Field(default=300, ge=1)
    """Updates of the weights."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The highest one, after the warm-up; `min_learning_rate` is the last one. Larger models want lower ones."""
    min_learning_rate: float = Field(default=3e-4, ge=0)
    warmup_steps: int = Field(default=30, ge=0)
    weight_decay: float = Field(default=0.1, ge=0)
    """Of matrices; biases and normalisations have none."""
    clip_norm: float = Field(default=1.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    evaluate_every: int = Field(default=50, ge=1)
    evaluate_windows: int = Field(default=32, ge=1)
    """An evaluation on the way reads so many windows of the validation split; the last one reads all of it."""
    checkpoint_every: int = Field(default=100, ge=1)
    align_documents: bool = False
    """Windows begin where documents begin, or go on with a long one; an epoch then reads some tokens twice and others not."""
    attention: Attention = "document"
    """document: a token sees those before it in its own document, and its position counts from where that begins; window: all
    before it in its window, whatever documents they are of."""
    weights: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Of sources, in any proportion to each other. Empty: all text as often as the rest."""
    most_epochs: float | None = Field(default=None, gt=0)
    """No source is read more often in `steps` updates: what is too small for its weight gives less, the others more."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """auto: a GPU where there is one, else the CPU."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate ({self.min_learning_rate}) is above learning_rate ({self.learning_rate})")
        return self


class Config(Section):
    """The settings that every corpus has. `pipeline.stages.settings` adds a section for each stage."""

    stages: tuple[str, ...] = ("language", "dedup", "quality")
    """The stages between collection and the tokenizer, in their order; a stage that is left out is off."""
    collect: CollectConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    train: TrainConfig = TrainConfig()

    @field_validator("stages")
    @classmethod
    def _once(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(stages)) != len(stages):
            raise ValueError("a stage may stand in `stages` only once")
        return stages

    def rankings_of(self, stage: str) -> Mapping[str, str]:
        """`rankings` of the section of a stage."""
        section: Section = getattr(self, stage)
        return section.rankings()
