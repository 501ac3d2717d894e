"""The settings that every corpus has: collection, tokenizer, packing, training, expectations, and the order of its stages.

Guarantee: a Config that exists is valid. Stages get slices of it and read no other settings. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokenmill.pipeline.config.expect import ExpectConfig
from tokenmill.pipeline.config.section import About, Section
from tokenmill.pipeline.config.sources import CollectConfig


class TokenizerConfig(Section):
    """A byte-level BPE tokenizer: trained on the surviving text, or an existing one."""

    path: Annotated[str | None, About(example="tokenizer.json")] = None
    """Path of a tokenizer.json to use. Default: train a tokenizer."""
    vocabulary: Annotated[int, About(unit="tokens")] = Field(default=32_768, ge=257, le=2**31 - 1)
    """Number of tokens, with the 256 bytes and the special tokens. It may end up lower if the text has too few pairs to
    merge."""
    pattern: str = "cl100k"
    """How text is cut into pre-tokens before merging: gpt2, cl100k (GPT-4's, and Llama 3's: llama3), qwen2, o200k, or a
    regular expression."""
    digits: Annotated[int | None, About(example=3)] = Field(default=None, ge=1, le=3)
    """Most digits in one token. Default: the pattern's own limit (3; 1 in qwen2; gpt2 has none)."""
    min_frequency: Annotated[int, About(unit="occurrences")] = Field(default=2, ge=1)
    """Merge a pair only if it occurs at least this often."""
    max_token_bytes: int = Field(default=1_024, ge=3)
    """Every token has fewer bytes than this. Tokens of many kilobytes make encoders slow."""
    max_source_share: float = Field(default=1.0, gt=0, le=1)
    """In training, a source with a larger share of the text (0 to 1) counts as if it had this share. 1: no limit."""


class PackConfig(Section):
    """Token shards."""

    shard_tokens: int = Field(default=100_000_000, ge=1_000)
    """Tokens per shard (approximate). A source has at least one shard, and a document is never divided."""
    shuffle: bool = True
    """Shuffle the documents of each source in a keyed order, so that neighbours in a window are unrelated. False: keep their
    order."""
    validation_fraction: float = Field(default=0.01, ge=0, lt=1)
    """Share of documents (0 to 1) in the validation split. A hash of doc_id decides, so a document never changes sides."""


Attention = Literal["document", "window"]


class TrainConfig(Section):
    """The bundled GPT trainer. With the defaults the loss falls visibly in about a minute on two CPU cores."""

    layers: int = Field(default=4, ge=1)
    """Transformer layers."""
    heads: int = Field(default=4, ge=1)
    """Attention heads per layer."""
    width: Annotated[int, About(unit="components")] = Field(default=128, ge=1)
    """Width of the embeddings. It must be a multiple of `heads`."""
    context_tokens: int = Field(default=128, ge=2)
    """Context length in tokens."""
    batch_windows: int = Field(default=8, ge=1)
    """Windows of `context_tokens` tokens that go through the model at once."""
    accumulate: Annotated[int, About(unit="batches")] = Field(default=1, ge=1)
    """Batches per update of the weights."""
    steps: Annotated[int, About(unit="updates")] = Field(default=300, ge=1)
    """Updates of the weights in the run."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak learning rate, reached after the warm-up. Larger models need lower ones."""
    min_learning_rate: float = Field(default=3e-4, ge=0)
    """Learning rate at the end of the run. A half cosine leads there from the peak."""
    warmup_steps: Annotated[int, About(unit="updates")] = Field(default=30, ge=0)
    """Updates in which the learning rate rises linearly to the peak."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Weight decay of matrices. Biases and normalisations have none."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients with a larger norm are scaled down to this norm."""
    dropout: Annotated[float, About(unit="probability")] = Field(default=0.0, ge=0, lt=1)
    """Dropout probability in training."""
    evaluate_every: Annotated[int, About(unit="updates")] = Field(default=50, ge=1)
    """Updates between two evaluations."""
    evaluate_windows: int = Field(default=32, ge=1)
    """Windows of the validation split that an evaluation reads. The last evaluation reads the whole split."""
    checkpoint_every: Annotated[int, About(unit="updates")] = Field(default=100, ge=1)
    """Updates between two checkpoints."""
    align_documents: bool = False
    """True: a window begins at the start of a document, or continues a long document. An epoch then reads some tokens twice
    and skips others."""
    attention: Attention = "document"
    """document: a token attends to earlier tokens of its own document, and positions count from the document's start. window:
    a token attends to all earlier tokens of its window, whatever document they belong to."""
    weights: Annotated[Mapping[str, Annotated[float, Field(ge=0)]], About(example={"web": 2.0, "books": 1.0})] = {}
    """Sampling weights of sources, in any unit: only their ratios matter. Name every source; 0 leaves one out. Empty: all text
    is read equally often."""
    most_epochs: Annotated[float | None, About(example=4.0)] = Field(default=None, gt=0)
    """Upper bound on how often each source is read in `steps` updates. A source too small for its weight gives less, and the
    others give more. Default: no limit."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the run."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """auto, cpu, cuda or cuda:N. auto: a GPU if there is one, else the CPU."""

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
    """The stages between collection and the tokenizer, in the order in which they run. A stage that is left out is off."""
    collect: CollectConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    train: TrainConfig = TrainConfig()
    expect: ExpectConfig = ExpectConfig()

    @field_validator("stages")
    @classmethod
    def _once(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(stages)) != len(stages):
            raise ValueError("a stage may appear in `stages` only once")
        return stages

    @model_validator(mode="after")
    def _expected(self) -> Self:
        self.expect.check([source.name for source in self.collect.all_sources], self.stages)
        return self

    def rankings_of(self, stage: str) -> Mapping[str, str]:
        """`rankings` of the section of a stage."""
        section: Section = getattr(self, stage)
        return section.rankings()
