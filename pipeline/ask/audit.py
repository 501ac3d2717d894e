"""Measures the tokens of a store shard by shard, and finds outlier shards.

Purpose: shows before training what hashes cannot show: text that the tokenizer does not know (single-byte tokens), ids too
rare to be learnt, shards of little variety, and text that repeats.
Guarantee: every token is counted. Only windows are sampled: those whose fingerprint ends in a certain number of zero bits. So
all copies of a window are sampled or none (Gibbons 2001, "Distinct sampling"), and the estimated share of repeated windows has
no bias.
Cost: two passes over the payload, about 30 ns per token, most of it for windows; memory is one table of the vocabulary and
`WINDOWS` fingerprints, however large the store is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import CorruptFile, InputError
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder
from tokenmill.pipeline.kernels.bpe.token_ids import count_ids, window_fingerprints
from tokenmill.pipeline.tokens.encoder import Encoder, EncoderOf
from tokenmill.pipeline.tokens.format import Ids
from tokenmill.pipeline.tokens.shard import TokenShard
from tokenmill.pipeline.tokens.store import Split, TokenStore

WIDTH = 50
"""Tokens per window. Lee et al. 2022 ("Deduplicating Training Data Makes Language Models Better") count 50 as a repetition."""
RARE_BELOW = 100
"""Ids that occur in the store, but less often than this, are rare."""
WINDOWS = 2**20
"""Most fingerprints held at a time; beyond it, sampling halves their number."""
MOST_REPEATED = 10
"""Number of repeated windows to name for each split."""
CHUNK_TOKENS = 2**20
"""Tokens read at a time."""
FEWEST_SHARDS = 5
"""With fewer shards to compare, no shard is called an outlier."""
UNLIKE = 3.5
"""A shard is an outlier if a robust z-score is beyond this (Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers")."""
MEASURES = ("entropy_bits", "distance_bits", "single_byte", "rare", "repeated", "tokens_per_document", "bytes_per_token")


@dataclass(frozen=True, kw_only=True)
class ShardAudit:
    """One token shard. Shares (0 to 1) are of its tokens; `repeated` is a share of its windows."""

    shard: str
    source: str
    documents: int
    ended: float
    """Share of documents that end with end-of-text and hold no other one."""
    tokens: int
    entropy_bits: float
    """Shannon entropy of its ids, in bits per token."""
    distance_bits: float
    """Kullback-Leibler divergence of its ids from the ids of its split, in bits per token."""
    single_byte: float
    rare: float
    repeated: float
    """Share of windows that occur more than once in the split."""
    tokens_per_document: float
    bytes_per_token: float
    unlike: Mapping[str, float]
    """Robust z-scores beyond `UNLIKE`, by measure. Peers are the shards of its source, or of its split if these are too few."""


@dataclass(frozen=True, kw_only=True)
class RepeatedWindow:
    """A repeated window. `place` is its first token (`train/00000:17`); `times` is how often it occurs, or a lower bound."""

    place: str
    times: int


@dataclass(frozen=True, kw_only=True, repr=False)
class SplitAudit:
    """One split. `unused_ids` leaves out end-of-text; `sampled` is the share of windows that were compared (0 to 1)."""

    split: str
    tokens: int
    ended: float
    """Share of documents that end with end-of-text and hold no other one."""
    unused_ids: int
    rare_ids: int
    single_byte: float
    rare: float
    repeated: float
    sampled: float
    shards: tuple[ShardAudit, ...]
    most_repeated: tuple[RepeatedWindow, ...]

    def __repr__(self) -> str:
        unlike = sum(bool(shard.unlike) for shard in self.shards)
        return f"SplitAudit {self.split}: {self.tokens:,} tokens in {len(self.shards):,} shards, {unlike:,} unlike the rest"


def audit(corpus: CorpusFolder, encoder_of: EncoderOf, progress: Progress) -> list[SplitAudit]:
    """Measure the tokens of a corpus. Raises NotBuilt, StaleInput if another tokenizer made the store, CorruptFile."""
    encoder = encoder_of(corpus.published, corpus.require(TOKENIZER))
    store = TokenStore.of(corpus.published / TOKENS, tokenizer=encoder.fingerprint)
    return audit_store(store, _single_bytes(encoder), progress)


def _single_bytes(encoder: Encoder) -> npt.NDArray[np.bool_]:
    """Which ids stand for one byte, bool [vocabulary]. Ids that the tokenizer does not use do not."""
    found = np.zeros(encoder.vocabulary, dtype=np.bool_)
    for number in range(encoder.vocabulary):
        try:
            found[number] = len(encoder.decode_bytes([number])) == 1
        except InputError:
            continue
    return found


def audit_store(store: TokenStore, single_byte: npt.NDArray[np.bool_], progress: Progress) -> list[SplitAudit]:
    """Measure every split that has tokens. `single_byte`: which ids stand for one byte of text, bool [vocabulary].

    Raises CorruptFile, also for ids beyond the vocabulary.
    """
    splits = [split for split in store.splits if split.shards]
    progress.begin("audit", 2 * sum(split.tokens for split in splits), "tokens")
    seen = [_read(split, store, progress) for split in splits]
    every = np.sum([total for total, _, _ in seen], axis=0)
    rare = (every > 0) & (every < RARE_BELOW)
    found = [
        _split(split, total, windows, times, single_byte, rare, store.end_of_text, progress)
        for split, (total, windows, times) in zip(splits, seen, strict=True)
    ]
    progress.end(f"{sum(len(one.shards) for one in found)} token shards, {sum(one.tokens for one in found):,} tokens")
    return found


def _read(
    split: Split, store: TokenStore, progress: Progress
) -> tuple[npt.NDArray[np.int64], _WindowFingerprints, npt.NDArray[np.int64]]:
    """How often each id occurs [vocabulary], the sampled windows, and how often each window occurs [rows of windows]."""
    total = np.zeros(store.vocabulary, dtype=np.int64)
    windows = _WindowFingerprints()
    for number, shard in enumerate(split.shards):
        for start in range(0, shard.tokens, CHUNK_TOKENS):
            before = min(start, WIDTH - 1)
            ids = shard.read(start - before, min(start + CHUNK_TOKENS, shard.tokens))
            _count(shard, ids[before:], total)
            windows.add(number, start - before, ids, store.end_of_text)
            progress.advance(len(ids) - before)
    return total, windows, windows.finish()


def _split(
    split: Split,
    total: npt.NDArray[np.int64],
    windows: _WindowFingerprints,
    times: npt.NDArray[np.int64],
    single_byte: npt.NDArray[np.bool_],
    rare: npt.NDArray[np.bool_],
    end_of_text: int,
    progress: Progress,
) -> SplitAudit:
    found = []
    for number, shard in enumerate(split.shards):
        counts, ends = np.zeros(len(total), dtype=np.int64), []
        for start in range(0, shard.tokens, CHUNK_TOKENS):
            ids = shard.read(start, min(start + CHUNK_TOKENS, shard.tokens))
            _count(shard, ids, counts)
            ends.append(start + np.flatnonzero(ids == end_of_text))
            progress.advance(len(ids))
        mine = windows.rows["shard"] == number
        repeated = _share(windows.rows["times"][mine & (times > 1)].sum(), windows.rows["times"][mine].sum())
        found.append(
            _shard(shard, counts, np.concatenate([np.zeros(0, dtype=np.int64), *ends]), total, single_byte, rare, repeated)
        )
    return SplitAudit(
        split=split.name,
        tokens=int(total.sum()),
        ended=sum(one.ended * one.documents for one in found) / sum(one.documents for one in found),
        unused_ids=int((np.delete(total, end_of_text) == 0).sum()),
        rare_ids=int((rare & (total > 0)).sum()),
        single_byte=_share(total[single_byte].sum(), total.sum()),
        rare=_share(total[rare].sum(), total.sum()),
        repeated=_share(windows.rows["times"][times > 1].sum(), windows.rows["times"].sum()),
        sampled=2.0**-windows.level,
        shards=_compared(found),
        most_repeated=_most_repeated(split, windows.rows, times),
    )


def _count(shard: TokenShard, ids: Ids, counts: npt.NDArray[np.int64]) -> None:
    if count_ids(ids, counts):
        raise CorruptFile(f"{shard.path}: holds id {int(ids.max())}, the vocabulary is {len(counts)}")


def _shard(
    shard: TokenShard,
    counts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    total: npt.NDArray[np.int64],
    single_byte: npt.NDArray[np.bool_],
    rare: npt.NDArray[np.bool_],
    repeated: float,
) -> ShardAudit:
    table = shards.read(shard.root, shard.documents, ["source", "text_bytes", "token_offset", "tokens"])
    first = table["token_offset"].to_numpy()
    last = first + table["tokens"].to_numpy() - 1
    # The first end-of-text of a document is its last token, if it ends as it should.
    behind = np.append(ends, -1)[np.searchsorted(ends, first)]
    there = counts > 0
    shares, usual = counts[there] / counts.sum(), total[there] / total.sum()
    return ShardAudit(
        shard=f"{shard.path.parent.name}/{shard.path.stem}",
        source=", ".join(sorted(table["source"].unique().to_pylist())),
        documents=table.num_rows,
        ended=float((behind == last).mean()),
        tokens=shard.tokens,
        entropy_bits=float(-(shares * np.log2(shares)).sum()),
        distance_bits=float((shares * np.log2(shares / usual)).sum()),
        single_byte=_share(counts[single_byte].sum(), counts.sum()),
        rare=_share(counts[rare].sum(), counts.sum()),
        repeated=repeated,
        tokens_per_document=shard.tokens / table.num_rows,
        bytes_per_token=int(table["text_bytes"].to_numpy().sum()) / shard.tokens,
        unlike={},
    )


class _WindowFingerprints:
    """Fingerprints of sampled windows by shard. Sampling halves them when they are too many. `rows`: one per pair of
    fingerprint and shard."""

    ROW = np.dtype([("fingerprint", "u8"), ("shard", "i4"), ("place", "i8"), ("times", "i8")])

    def __init__(self) -> None:
        self.level = 0
        self.rows = np.empty(0, self.ROW)
        self._fresh: list[npt.NDArray[np.void]] = []
        self._buffers = np.empty(CHUNK_TOKENS + WIDTH, np.uint64), np.empty(CHUNK_TOKENS + WIDTH, np.int64)

    def add(self, shard: int, start: int, ids: Ids, end_of_text: int) -> None:
        """Add the windows of `ids`, the tokens of a shard from `start` on. Shards and tokens come in ascending order."""
        fingerprints, places = self._buffers
        chosen = window_fingerprints(ids, end_of_text, WIDTH, self.level, fingerprints, places)
        rows = np.empty(chosen, self.ROW)
        rows["fingerprint"], rows["place"] = fingerprints[:chosen], places[:chosen] + start
        rows["shard"], rows["times"] = shard, 1
        self._fresh.append(rows)
        if sum(map(len, self._fresh)) > WINDOWS:
            self._unite()

    def finish(self) -> npt.NDArray[np.int64]:
        """How often the window of each of `rows` occurs in all shards. int64 [rows]"""
        self._unite()
        _, which = np.unique(self.rows["fingerprint"], return_inverse=True)
        return np.bincount(which, weights=self.rows["times"]).astype(np.int64)[which]

    def _unite(self) -> None:
        rows = np.concatenate([self.rows, *self._fresh])
        self._fresh = []
        # A stable sort keeps the rows of a fingerprint in the order in which they came.
        rows = rows[np.argsort(rows["fingerprint"], kind="stable")]
        same = (rows["fingerprint"][1:] == rows["fingerprint"][:-1]) & (rows["shard"][1:] == rows["shard"][:-1])
        first = np.flatnonzero(np.append(True, ~same)[: len(rows)])
        times = np.add.reduceat(rows["times"], first) if len(first) else np.zeros(0, np.int64)
        rows = rows[first]
        rows["times"] = times
        while len(rows) > WINDOWS:
            self.level += 1
            rows = rows[rows["fingerprint"] & np.uint64((1 << self.level) - 1) == 0]
        self.rows = rows


def _most_repeated(split: Split, rows: npt.NDArray[np.void], times: npt.NDArray[np.int64]) -> tuple[RepeatedWindow, ...]:
    """The windows that occur most often. Of overlapping windows, only one is named."""
    found: list[tuple[int, int, int]] = []
    _, firsts = np.unique(rows["fingerprint"], return_index=True)
    for row in firsts[np.lexsort((rows["place"][firsts], rows["shard"][firsts], -times[firsts]))].tolist():
        if times[row] < 2 or len(found) == MOST_REPEATED:
            break
        shard, place, often = int(rows["shard"][row]), int(rows["place"][row]), int(times[row])
        if all(shard != other or abs(place - at) >= WIDTH for other, at, _ in found):
            found.append((shard, place, often))
    named = [f"{split.shards[shard].path.parent.name}/{split.shards[shard].path.stem}:{place}" for shard, place, _ in found]
    return tuple(RepeatedWindow(place=place, times=often) for place, (_, _, often) in zip(named, found, strict=True))


def _compared(found: Sequence[ShardAudit]) -> tuple[ShardAudit, ...]:
    """The shards with `unlike` filled in."""
    unlike: list[dict[str, float]] = [{} for _ in found]
    for source in sorted({one.source for one in found}):
        own = [at for at, one in enumerate(found) if one.source == source]
        peers = own if len(own) >= FEWEST_SHARDS else list(range(len(found)))
        if len(peers) < FEWEST_SHARDS:
            continue
        for measure in MEASURES:
            scores = robust_z(np.array([getattr(found[at], measure) for at in peers]))
            for at, score in zip(peers, scores.tolist(), strict=True):
                if at in own and abs(score) > UNLIKE:
                    unlike[at][measure] = score
    return tuple(dataclasses.replace(one, unlike=scores) for one, scores in zip(found, unlike, strict=True))


def robust_z(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Modified z-scores: distances from the median, in units of a spread that outliers hardly change. float64 [values]

    The spread is the median of the distances, or their mean if more than half of the values are equal (Iglewicz and Hoaglin
    1993). If all values are equal, all scores are 0.
    """
    distances = values - np.median(values)
    spread = np.median(np.abs(distances)) / 0.6745 or np.abs(distances).mean() * 1.253314
    return distances / spread if spread > 0 else np.zeros(len(values))


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0
