"""What the steps `tokenizer` and `pack` say of themselves in their manifests.

Guarantee: these types are the JSON of the manifests; `base.manifest.facts` reads it. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokenmill.pipeline.base.manifest import Manifest, facts


@dataclass(frozen=True, kw_only=True)
class Size:
    """One size of a vocabulary and the tokens of the text with it."""

    vocabulary: int
    tokens: int
    bytes_per_token: float

    def embedding_parameters(self, width: int) -> int:
        """Parameters of an embedding table of that width; a model that does not share it with its output has two."""
        return self.vocabulary * width


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """What a WordPiece vocabulary loses of the text that it was learned from, all counted by occurrence."""

    words: int
    unknown_words: int
    """Words that became `[UNK]`: they have an unknown character, or too many characters."""
    unknown_characters: int
    distinct_unknown_characters: int
    removed_characters: int
    """Control characters and the like, which are dropped without a trace."""

    @property
    def said(self) -> str:
        """A sentence for people."""
        share = self.unknown_words / self.words if self.words else 0.0
        return (
            f"{self.unknown_words:,} of {self.words:,} words ({share:.3%}) are unknown and become [UNK]: "
            f"{self.unknown_characters:,} characters, {self.distinct_unknown_characters:,} different ones, are not in the "
            f"alphabet; {self.removed_characters:,} control characters are dropped"
        )


@dataclass(frozen=True, kw_only=True)
class TrainingSample:
    """The sample of the surviving text that a tokenizer was learned from."""

    share: float
    """Of the documents (0 to 1), as it was set. A hash of its `doc_id` decides of each document."""
    documents: int
    of_documents: int
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """A tokenizer; the fields that may be None describe the text that it was trained on."""

    vocabulary: int
    """The number of ids."""
    end_of_text: int
    fingerprint: str
    """SHA-256 of the file."""
    pattern: str | None
    """The name of the pattern that cuts text, where it is a known one."""
    own_pattern: str | None
    """The regular expression that cuts text, where it is the user's own."""
    golden: tuple[str, ...] = ()
    """See `tokens.golden.digests`."""
    sample: TrainingSample | None = None
    """None where all surviving text was counted."""
    text_bytes: int | None = None
    pretokens: int | None = None
    distinct_pretokens: int | None = None
    text_tokens: int | None = None
    bytes_per_token: float | None = None
    sweep: tuple[Size, ...] | None = None
    """None where no other sizes were learned, as with WordPiece."""
    unknown: Unknown | None = None
    """None where the tokenizer loses nothing, or was not learned here."""


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """The documents of one source, in a split or in all of them. Tokens include end-of-text."""

    source: str
    documents: int
    tokens: int
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """One split of the store: its totals, and its sources in the order of their tokens."""

    documents: int
    tokens: int
    text_bytes: int
    highest_id: int | None
    """None where there are no tokens."""
    sources: tuple[SourceFacts, ...]


@dataclass(frozen=True, kw_only=True)
class PackFacts:
    """A token store."""

    dtype: str
    vocabulary: int
    """The number of ids; every id is below it."""
    tokenizer: str
    """SHA-256 of the tokenizer's file."""
    end_of_text: int
    block_bytes: int
    splits: Mapping[str, SplitFacts]

    @classmethod
    def of(cls, made: Manifest) -> PackFacts:
        """From the manifest of a store. Raises StaleInput."""
        return facts(made, cls)

    @property
    def documents(self) -> int:
        """Documents of all splits."""
        return sum(split.documents for split in self.splits.values())

    @property
    def tokens(self) -> int:
        """Tokens of all splits."""
        return sum(split.tokens for split in self.splits.values())

    @property
    def text_bytes(self) -> int:
        """Bytes of text in all splits."""
        return sum(split.text_bytes for split in self.splits.values())

    def by_source(self) -> dict[str, SourceFacts]:
        """Each source with its sums over all splits, in the order in which the splits name them."""
        parts: dict[str, list[SourceFacts]] = {}
        for split in self.splits.values():
            for one in split.sources:
                parts.setdefault(one.source, []).append(one)
        return {
            source: SourceFacts(
                source=source,
                documents=sum(one.documents for one in mine),
                tokens=sum(one.tokens for one in mine),
                text_bytes=sum(one.text_bytes for one in mine),
            )
            for source, mine in parts.items()
        }
