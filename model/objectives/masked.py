"""Masked language modelling with next-sentence pairs (Devlin et al. 2019, "BERT", section 3.1 and appendix A.2).

Purpose: a sample is `[CLS] first [SEP] second [SEP]`. A share of its tokens is chosen, and the model says what they were: 80 %
of them read as [MASK], 10 % as another id, 10 % as they are. From [CLS] it says whether `second` follows `first`.
Guarantee: a sample is a pure function of (store, seed, its number). Samples 2i and 2i + 1 keep their second halves, or swap
them, so each token of an epoch is in exactly one sample, and no place is filled up. No end-of-text and no forgotten token is
chosen, and a text is never cut where a document ends. With attention within documents, the two documents at the cut are one.
Cost: 100 us a sample, on the thread that reads ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its usual name

from tokenmill.model.encoders import TextEncoder
from tokenmill.model.loss import IGNORED, Loss, targets_loss
from tokenmill.model.objectives.draws import MASKS, PAIRS, Floats, draws

EXTRA_IDS = 3
"""[CLS], [SEP] and [MASK], in this order, after the ids of the tokenizer."""
MARKS = 3
"""[CLS] and twice [SEP]."""
AS_MASK, AS_OTHER = 0.8, 0.9
"""Draws below the first read as [MASK]; those from it to the second as another id; the rest as they are."""
FOLLOWS, FOREIGN = 0, 1

Ids = npt.NDArray[np.int64]


class Text(NamedTuple):
    """One window of the store: ids, int64 [tokens], and whether each is kept, bool [tokens]."""

    ids: Ids
    kept: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MaskRules:
    """What decides the samples besides their texts."""

    seed: int
    vocabulary: int
    """Of the tokenizer: [CLS] is the id of this number."""
    end_of_text: int
    chosen: int
    """Tokens of a sample that are chosen, where it has so many."""
    apart: bool
    """Whether attention stays within documents."""


@dataclass(frozen=True, kw_only=True)
class Masked:
    """A batch of B samples of T tokens, of which N are chosen."""

    ids: Tensor
    """int64 [B, T]"""
    segments: Tensor
    """int64 [B, T]: 0 up to the first [SEP], then 1."""
    documents: Tensor | None
    """int64 [B, T]: the number of each token's document in its row; None if attention crosses documents."""
    places: Tensor
    """int64 [B, N]: which tokens are chosen."""
    labels: Tensor
    """int64 [B, N]: what they were; -100 where a sample has fewer."""
    follows: Tensor
    """int64 [B]: 0 if the second text follows the first, 1 if it is foreign, -100 if nobody knows."""
    targets: int
    """How many labels count."""


def chosen_of(tokens: int, share: float) -> int:
    """How many of a sample's `tokens`, marks included, are chosen: at least 1."""
    return max(1, round(share * (tokens - MARKS)))


def cut_of(texts: Sequence[Text], rules: MaskRules, number: int) -> int | None:
    """Where all `texts`, of one length, can be cut: in their middle half, and in none at the edge of a document.

    None if there is no such place. `number`: of the first of the samples that share the cut.
    """
    tokens = len(texts[0].ids)
    places = np.arange(max(1, tokens // 4), max(2, tokens - tokens // 4))
    fits = np.ones(len(places), dtype=np.bool_)
    for text in texts:
        inside = text.kept & (text.ids != rules.end_of_text)
        fits &= inside[places - 1] & inside[places]
    found = places[fits]
    return int(found[int(draws(rules.seed, PAIRS, number, 2)[0] * len(found))]) if len(found) else None


def swaps(rules: MaskRules, number: int) -> bool:
    """Whether two samples swap their second halves. `number`: of the first of them."""
    return bool(draws(rules.seed, PAIRS, number, 2)[1] < 0.5)


def choose(ids: Ids, able: npt.NDArray[np.bool_], uniform: Floats, rules: MaskRules) -> tuple[Ids, Ids, Ids]:
    """Choose tokens and change what they read as.

    Parameters
    ----------
    ids
        int64 [T], with marks.
    able
        bool [T]: which tokens may be chosen.
    uniform
        float64 [3, T]: those with the smallest of the first are chosen; the second says how a token then reads, the third as
        which other id.

    Returns
    -------
    tuple
        What is read, int64 [T]; the places chosen and their labels, int64 [N] each, -100 where too few are able.
    """
    places = np.argsort(np.where(able, uniform[0], 1.0), kind="stable")[: rules.chosen]
    able_there = able[places]
    labels = np.where(able_there, ids[places], IGNORED)
    how, other = uniform[1, places], (uniform[2, places] * rules.vocabulary).astype(np.int64)
    changed = np.where(how < AS_MASK, rules.vocabulary + 2, np.where(how < AS_OTHER, other, ids[places]))
    read = ids.copy()
    read[places] = np.where(able_there, changed, ids[places])
    return read, places, labels


def batch(
    texts: Callable[[int], Text], numbers: Sequence[int], partner: Callable[[int], int | None], rules: MaskRules
) -> Masked:
    """The samples with these numbers. `partner`: the other sample of each one's pair, or None if it has none."""
    rows = [_row(texts, number, partner(number), rules) for number in numbers]
    *columns, follows = zip(*rows, strict=True)
    ids, segments, documents, places, labels = (torch.from_numpy(np.stack(column)) for column in columns)
    return Masked(
        ids=ids,
        segments=segments,
        documents=documents if rules.apart else None,
        places=places,
        labels=labels,
        follows=torch.tensor(follows),
        targets=int((labels != IGNORED).sum()),
    )


def _row(
    texts: Callable[[int], Text], number: int, partner: int | None, rules: MaskRules
) -> tuple[Ids, Ids, Ids, Ids, Ids, int]:
    """Ids, segments, documents, places, labels and whether it follows, of one sample."""
    mine = texts(number)
    first, follows = min(number, number if partner is None else partner), IGNORED
    other = mine if partner is None else texts(partner)
    cut = cut_of([mine, other], rules, first)
    second = mine
    if cut is None:
        cut = len(mine.ids) // 2
    else:
        # Where both are of the same text, a swap changes nothing.
        foreign = swaps(rules, first) and not np.array_equal(mine.ids[cut:], other.ids[cut:])
        second, follows = (other, FOREIGN) if foreign else (mine, FOLLOWS)
    mark = np.array([rules.vocabulary, rules.vocabulary + 1])
    text = np.concatenate([mine.ids[:cut], second.ids[cut:]])
    ids = np.concatenate([mark[:1], text[:cut], mark[1:], text[cut:], mark[1:]])
    kept = np.concatenate([mine.kept[:cut], second.kept[cut:]]) & (text != rules.end_of_text)
    able = np.concatenate([[False], kept[:cut], [False], kept[cut:], [False]])
    read, places, labels = choose(ids, able, draws(rules.seed, MASKS, number, 3 * len(ids)).reshape(3, -1), rules)
    # A document begins with the end-of-text before it; [CLS] belongs to the one that is cut.
    documents = np.cumsum(ids == rules.end_of_text)
    documents[0] = documents[cut + 1]
    segments = np.repeat([0, 1], [cut + 2, len(ids) - cut - 2])
    return read, segments, documents, places, labels, follows


def loss(
    model: TextEncoder, some: Masked, *, z_loss: float = 0.0, chunk_tokens: int | None = None, compiled: bool = False
) -> Loss:
    """The loss of a batch: that of its chosen tokens, and that of its pairs.

    A pair weighs as the chosen tokens of a sample do together: divided by their number, the sum is that of BERT's two means.
    Parameters: as those of `loss.next_token_loss`.
    """
    hidden = model.hidden(some.ids, some.segments, some.documents)
    picked = hidden.gather(1, some.places[..., None].expand(-1, -1, hidden.shape[2])).flatten(0, 1)
    found = targets_loss(model, picked, some.labels.flatten(), z_loss=z_loss, chunk_tokens=chunk_tokens, compiled=compiled)
    pairs = F.cross_entropy(model.pair(hidden[:, 0]).float(), some.follows, ignore_index=IGNORED, reduction="sum")
    return Loss(found.nats + some.places.shape[1] * pairs, found.penalty)
