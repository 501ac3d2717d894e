"""Span corruption (Raffel et al. 2020, "T5", section 3.1.4).

Purpose: an encoder reads a text with holes, and a decoder writes what was there. Of the tokens `a b c d e f` with the holes `b`
and `d e`, the encoder reads `a <0> c <1> f` and the decoder writes `<0> b <1> d e` and an end-of-text. `<0>`, `<1>`, ... are
sentinels, ids after those of the tokenizer.
Guarantee: a sample is a pure function of (store, seed, its number). All samples have the same lengths on both sides, so no
place is filled up, and each token of an epoch is read or written exactly once. Forgotten tokens bring no loss.
Cost: 50 us a sample, on the thread that reads ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tokenmill.model.encoders import EncoderDecoder
from tokenmill.model.loss import IGNORED, Loss, targets_loss
from tokenmill.model.objectives.draws import SPANS, Floats, draws
from tokenmill.model.objectives.masked import Text
from tokenmill.pipeline.base.errors import ConfigError

EXTRA_IDS = 100
"""Sentinels, after the ids of the tokenizer."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SpanRules:
    """What decides the samples besides their texts. `of` makes it."""

    seed: int
    vocabulary: int
    """Of the tokenizer: the first sentinel is the id of this number."""
    end_of_text: int
    tokens: int
    """Of a sample."""
    hidden: int
    """How many of them are in holes."""
    spans: int
    """Holes."""
    apart: bool
    """Whether attention stays within documents."""

    @property
    def source(self) -> int:
        """Tokens that the encoder reads."""
        return self.tokens - self.hidden + self.spans

    @property
    def target(self) -> int:
        """Tokens that the decoder writes, the end included."""
        return self.hidden + self.spans + 1


def rules_of(
    tokens: int, *, share: float, span_tokens: float, seed: int, vocabulary: int, end_of_text: int, apart: bool
) -> SpanRules:
    """The rules for samples of so many tokens. Raises ConfigError if they need more sentinels than there are."""
    hidden = min(tokens - 1, max(1, round(tokens * share)))
    spans = min(hidden, tokens - hidden, max(1, round(hidden / span_tokens)))
    made = SpanRules(
        seed=seed, vocabulary=vocabulary, end_of_text=end_of_text, tokens=tokens, hidden=hidden, spans=spans, apart=apart
    )
    if spans > EXTRA_IDS or made.target > tokens:
        raise ConfigError(
            f"train.objective=spans: {tokens} tokens with masked_share={share} and {span_tokens=} have {spans} spans and a "
            f"target of {made.target} tokens, but there are {EXTRA_IDS} sentinels and no room above {tokens}; raise "
            "train.span_tokens, or lower train.masked_share or train.context_tokens"
        )
    return made


@dataclass(frozen=True, kw_only=True)
class Spans:
    """A batch of B samples: T tokens for the encoder, U for the decoder."""

    ids: Tensor
    """int64 [B, T]: what the encoder reads."""
    written: Tensor
    """int64 [B, U]: what the decoder has written before each target; first an end-of-text."""
    labels: Tensor
    """int64 [B, U]: what it is to write; -100 where that does not count."""
    documents: Tensor | None
    """int64 [B, T]: the number of each token's document in its row; None if attention crosses documents."""
    written_documents: Tensor | None
    """int64 [B, U], the same of what is written."""
    targets: int
    """How many labels count."""


def lengths(items: int, parts: int, uniform: Floats) -> Ids:
    """Lengths of `parts` parts, at least 1 each, of `items` in all: int64 [parts]. Every choice is as likely as any other.

    `uniform`: float64 [items - 1]. A part ends before each of the `parts` - 1 items with the smallest ones.
    """
    cuts = np.sort(np.argsort(uniform, kind="stable")[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [items]]))


def holes(rules: SpanRules, sample: int) -> npt.NDArray[np.bool_]:
    """Which tokens of a sample are in holes, bool [tokens]. It begins with what is kept, and ends with a hole."""
    uniform = draws(rules.seed, SPANS, sample, rules.tokens - 2)
    hidden = lengths(rules.hidden, rules.spans, uniform[: rules.hidden - 1])
    shown = lengths(rules.tokens - rules.hidden, rules.spans, uniform[rules.hidden - 1 :])
    return np.repeat(np.tile([False, True], rules.spans), np.stack([shown, hidden], axis=1).ravel())


def corrupt(text: Text, hole: npt.NDArray[np.bool_], rules: SpanRules) -> tuple[Ids, Ids, Ids, Ids, Ids]:
    """What the encoder reads, what the decoder has written, its labels, and the documents of both.

    `hole`: bool [tokens], with `rules.spans` runs of True.
    """
    begins = hole & ~np.concatenate([[False], hole[:-1]])
    sentinel = rules.vocabulary - 1 + np.cumsum(begins)
    document = np.cumsum(text.ids == rules.end_of_text)
    read = ~hole | begins
    source = np.where(begins, sentinel, text.ids)[read]
    # Each token of a hole once, and the first one of each twice: as its sentinel, then as itself.
    hidden = np.flatnonzero(hole)
    twice = 1 + begins[hidden]
    at = np.repeat(hidden, twice)
    as_sentinel = np.zeros(len(at), dtype=np.bool_)
    as_sentinel[(np.cumsum(twice) - twice)[begins[hidden]]] = True
    target = np.append(np.where(as_sentinel, sentinel[at], text.ids[at]), rules.end_of_text)
    labels = np.where(np.append(text.kept[at], text.kept.any()), target, IGNORED)
    written = np.concatenate([[rules.end_of_text], target[:-1]])
    return source, written, labels, document[read], np.concatenate([document[at[:1]], document[at]])


def batch(texts: Sequence[Text], numbers: Sequence[int], rules: SpanRules) -> Spans:
    """The samples with these numbers, whose texts are given."""
    rows = [corrupt(text, holes(rules, number), rules) for text, number in zip(texts, numbers, strict=True)]
    ids, written, labels, read, wrote = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
    return Spans(
        ids=ids,
        written=written,
        labels=labels,
        documents=read if rules.apart else None,
        written_documents=wrote if rules.apart else None,
        targets=int((labels != IGNORED).sum()),
    )


def loss(
    model: EncoderDecoder, some: Spans, *, z_loss: float = 0.0, chunk_tokens: int | None = None, compiled: bool = False
) -> Loss:
    """The loss of what is to be written. Parameters: as those of `loss.next_token_loss`."""
    apart = some.documents is not None and some.written_documents is not None
    documents = (some.documents, some.written_documents) if apart else None
    hidden = model.hidden(some.ids, some.written, documents).flatten(0, 1)  # type: ignore[arg-type]
    return targets_loss(model, hidden, some.labels.flatten(), z_loss=z_loss, chunk_tokens=chunk_tokens, compiled=compiled)
