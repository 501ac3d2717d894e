"""The settings that every corpus has: collection, tokenizer, packing, training, stages; expectations, and who does the work.

Guarantee: a Config that exists is valid. Stages get slices of it and read no other settings. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokenmill.pipeline.config.execution import ExecutionConfig
from tokenmill.pipeline.config.expect import ExpectConfig
from tokenmill.pipeline.config.section import About, Section
from tokenmill.pipeline.config.sources import CollectConfig
from tokenmill.pipeline.config.train import TrainConfig

BPE_ONLY, WORDPIECE_ONLY = ("pattern", "digits", "max_token_bytes"), ("lowercase", "strip_accents", "alphabet")
"""Settings of the tokenizer that one kind alone reads."""

SAMPLE_BYTES = 10_000_000_000
"""10 GB of web text have some 10 million distinct pre-tokens, which take 4 GB to learn from."""


class TokenizerConfig(Section):
    """A tokenizer, trained on the surviving text, or an existing one: a byte-level BPE, or BERT's WordPiece."""

    path: Annotated[str | None, About(example="tokenizer.json")] = None
    """Path of a tokenizer.json to use. Default: train a tokenizer."""
    kind: Literal["bpe", "wordpiece"] = "bpe"
    """What is trained: "bpe", a byte-level BPE, which gives text back exactly; or "wordpiece", BERT's tokenizer, which does
    not: white space becomes one space, and words with rare characters become `[UNK]`."""
    vocabulary: Annotated[int, About(unit="tokens")] = Field(default=32_768, ge=257, le=2**31 - 1)
    """Number of tokens, with the special tokens and the 256 bytes (WordPiece: the characters). It may end up lower if the text
    has too few pairs to merge."""
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
    sample_bytes: int = Field(default=SAMPLE_BYTES, ge=0)
    """Train on a sample of about this much text, if there is more: each document is in it or not by a hash of its doc_id. It
    bounds the memory, to about 4 GB by default; 0: all text."""
    lowercase: bool = False
    """WordPiece: text is lower-cased, as in BERT's uncased models."""
    strip_accents: bool = False
    """WordPiece: accents are removed, as in BERT's uncased models."""
    alphabet: Annotated[int, About(unit="characters")] = Field(default=1_000, ge=1)
    """WordPiece: at most this many characters are known, the most frequent ones. A word with another one is unknown."""

    @model_validator(mode="after")
    def _read_by_its_kind(self) -> Self:
        for name in WORDPIECE_ONLY if self.kind == "bpe" else BPE_ONLY:
            if getattr(self, name) != type(self).model_fields[name].default:
                other = "wordpiece" if self.kind == "bpe" else "bpe"
                raise ValueError(f'{name} is read only with kind = "{other}"')
        return self

    @property
    def read(self) -> Mapping[str, object]:
        """The settings that training with this kind reads."""
        # A corpus made before there were kinds and samples stays up to date.
        others = {"path", "kind", *WORDPIECE_ONLY} if self.kind == "bpe" else {"path", *BPE_ONLY}
        if self.sample_bytes == SAMPLE_BYTES:
            others.add("sample_bytes")
        return self.model_dump(exclude=others)


class PackConfig(Section):
    """Token shards."""

    shard_tokens: int = Field(default=100_000_000, ge=1_000)
    """Tokens per shard (approximate). A source has at least one shard, and a document is never divided."""
    shuffle: bool = True
    """Shuffle the documents of each source in a keyed order, so that neighbours in a window are unrelated. False: keep their
    order."""
    validation_fraction: float = Field(default=0.01, ge=0, lt=1)
    """Share of documents (0 to 1) in the validation split. A hash of doc_id decides, so a document never changes sides."""


class PublishConfig(Section):
    """Publishing in an object store (`--out s3://...`). It concerns no file of the corpus, so it is in none."""

    grace_hours: Annotated[float, About(unit="hours")] = Field(default=24.0, ge=0, le=8760)
    """How long the objects of a superseded version stay for readers that have it open. The publication after that removes them;
    0 removes them at once."""


class Config(Section):
    """The settings that every corpus has. `pipeline.stages.settings` adds a section for each stage."""

    stages: tuple[str, ...] = ("language", "dedup", "quality")
    """The stages between collection and the tokenizer, in the order in which they run. A stage that is left out is off."""
    collect: CollectConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    train: TrainConfig = TrainConfig()
    publish: PublishConfig = PublishConfig()
    expect: ExpectConfig = ExpectConfig()
    execution: ExecutionConfig = ExecutionConfig()

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
