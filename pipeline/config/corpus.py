"""All settings of a corpus: the sections of the stages, the tokenizer and training, and the order of the stages.

Guarantee: a Config that exists is valid. Stages get slices of it and read no other settings. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokenmill.pipeline.config.duplicates import DedupConfig, RepeatsConfig
from tokenmill.pipeline.config.quality import QualityConfig
from tokenmill.pipeline.config.section import Section
from tokenmill.pipeline.config.sources import CollectConfig


class LanguageConfig(Section):
    """Which languages are kept, and how sure the model must be."""

    model: str | None = None
    """Path of a fastText model (lid.176, OpenLID, GlotLID). Default: py3langid's model, which comes with the package."""
    keep: tuple[str, ...] = ()
    """Languages to keep, as the model labels them; `und` stands for texts without a letter. Empty: keep all languages."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Drop a document with a lower score (0 to 1), whatever `keep` says. 0 drops none. Choose it together with
    `sample_characters`."""
    thresholds: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Thresholds of single languages. They replace `threshold` for these languages."""
    sample_characters: int = Field(default=1_000, ge=0)
    """The model reads at most this many characters of a document (at least 50), from five places. 0: it reads the whole
    document."""
    judged_bytes: int = Field(default=0, ge=0)
    """Judge single lines of a document, about this many bytes of them at most, for `other_language` and `other_share`. At
    least 150; 0: judge none."""
    max_other_share: float = Field(default=1.0, ge=0, le=1)
    """Drop a document if a larger share of its judged lines (by bytes, 0 to 1) is in other languages. 1 drops none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.sample_characters < 50:
            raise ValueError(f"sample_characters = {self.sample_characters} is too few to tell languages by; at least 50, or 0")
        if 0 < self.judged_bytes < 150:
            raise ValueError(f"judged_bytes = {self.judged_bytes} is less than one line can have; at least 150, or 0")
        if self.max_other_share < 1 and not self.judged_bytes:
            raise ValueError(f"max_other_share = {self.max_other_share} needs judged_bytes above 0; 2000 is a good value")
        return self


class TokenizerConfig(Section):
    """A byte-level BPE tokenizer: trained on the surviving text, or an existing one."""

    path: str | None = None
    """Path of a tokenizer.json to use. Default: train a tokenizer."""
    vocabulary: int = Field(default=32_768, ge=257, le=2**31 - 1)
    """Number of tokens, with the 256 bytes and the special tokens. It may end up lower if the text has too few pairs to
    merge."""
    pattern: str = "cl100k"
    """How text is cut into pre-tokens before merging: gpt2, cl100k (GPT-4's, and Llama 3's: llama3), qwen2, o200k, or a
    regular expression."""
    digits: int | None = Field(default=None, ge=1, le=3)
    """Most digits in one token. Default: the pattern's own limit (3; 1 in qwen2; gpt2 has none)."""
    min_frequency: int = Field(default=2, ge=1)
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
    width: int = Field(default=128, ge=1)
    """Width of the embeddings. It must be a multiple of `heads`."""
    context_tokens: int = Field(default=128, ge=2)
    """Context length in tokens."""
    batch_windows: int = Field(default=8, ge=1)
    """Windows of `context_tokens` tokens that go through the model at once."""
    accumulate: int = Field(default=1, ge=1)
    """Batches per update of the weights."""
    steps: int = Field(default=300, ge=1)
    """Updates of the weights in the run."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak learning rate, reached after the warm-up. Larger models need lower ones."""
    min_learning_rate: float = Field(default=3e-4, ge=0)
    """Learning rate at the end of the run. A half cosine leads there from the peak."""
    warmup_steps: int = Field(default=30, ge=0)
    """Updates in which the learning rate rises linearly to the peak."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Weight decay of matrices. Biases and normalisations have none."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients with a larger norm are scaled down to this norm."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability in training."""
    evaluate_every: int = Field(default=50, ge=1)
    """Updates between two evaluations."""
    evaluate_windows: int = Field(default=32, ge=1)
    """Windows of the validation split that an evaluation reads. The last evaluation reads the whole split."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Updates between two checkpoints."""
    align_documents: bool = False
    """True: a window begins at the start of a document, or continues a long document. An epoch then reads some tokens twice
    and skips others."""
    attention: Attention = "document"
    """document: a token attends to earlier tokens of its own document, and positions count from the document's start. window:
    a token attends to all earlier tokens of its window, whatever document they belong to."""
    weights: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Sampling weights of sources, in any unit: only their ratios matter. Empty: all text is read equally often."""
    most_epochs: float | None = Field(default=None, gt=0)
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


Middle = Literal["language", "dedup", "repeats", "quality"]
MIDDLE: tuple[Middle, ...] = ("language", "dedup", "repeats", "quality")
"""All stages that can stand between collection and the tokenizer, in their usual order."""


class Config(Section):
    """All settings of a corpus."""

    stages: tuple[Middle, ...] = ("language", "dedup", "quality")
    """The stages between collection and the tokenizer, in the order in which they run. A stage that is left out is off."""
    collect: CollectConfig
    language: LanguageConfig = LanguageConfig()
    dedup: DedupConfig = DedupConfig()
    repeats: RepeatsConfig = RepeatsConfig()
    quality: QualityConfig = QualityConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    train: TrainConfig = TrainConfig()

    @field_validator("stages")
    @classmethod
    def _once(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(stages)) != len(stages):
            raise ValueError("a stage may appear in `stages` only once")
        return stages

    @property
    def survivor_model(self) -> str | None:
        """The model whose scores order duplicates; None if the survivor policy does not use quality. Raises ValueError if the
        settings name no such model.
        """
        if "dedup" not in self.stages or "quality" not in self.dedup.survivor:
            return None
        if "quality" not in self.stages[: self.stages.index("dedup")]:
            raise ValueError('dedup.survivor names quality, so "quality" must come before "dedup" in `stages`')
        fit = sorted(name for name, model in self.quality.models.items() if model.max is None)
        named = self.dedup.survivor_model
        if named is None and len(fit) == 1:
            return fit[0]
        if named in fit:
            return named
        what = "names quality without survivor_model" if named is None else f'names quality by the model "{named}"'
        raise ValueError(
            f"dedup.survivor {what}; models whose higher scores are better (those without max): {', '.join(fit) or 'none'}"
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.survivor_model
        return self
