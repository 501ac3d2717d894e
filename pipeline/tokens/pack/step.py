"""The step `pack`: encode each shard of documents once, then lay the ids out as token shards, source by source.

Guarantee: the bytes are the same for any number of workers. Every surviving document is in exactly one split, and its row says
which document it is. A shard of documents that did not change is not encoded again.
Cost: the encoded shards stay below .state/pack and are as large as the token shards themselves. Thanks to them, a changed
input, another split or another shard size does not encode the rest again. The folder may be deleted; the next change then
encodes everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, state
from tokenmill.pipeline.base.manifest import PACK, Shard, plain_facts
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.step import Outcome, Work
from tokenmill.pipeline.tokens import BLOCK_BYTES, SPLITS, dtype_for, forget
from tokenmill.pipeline.tokens.encoder import Encoder
from tokenmill.pipeline.tokens.facts import PackFacts, SourceFacts, SplitFacts
from tokenmill.pipeline.tokens.forget import LeftOut, without
from tokenmill.pipeline.tokens.pack.encoded import VERSION, Encoded, EncodeTask, encode_shard
from tokenmill.pipeline.tokens.pack.packed import STATE, Packed, pack, plan

GATHERED = ".gathered"
"""The folder of gathered shards, while they are packed. No source name begins with a dot."""
FEW = 0.2
"""A validation fraction to propose where a smaller one gave nothing."""


class PackStep:
    """Publishes the token store."""

    name = PACK
    version = VERSION

    def __init__(self, *, config: PackConfig, encoder: Encoder, censor: Censor | None = None) -> None:
        """`censor`: hides personal data in the URLs of documents; None hides nothing."""
        self._config = config
        self._encoder = encoder
        self._censor = censor or Censor()

    def config(self) -> Mapping[str, Any]:
        return {**self._config.model_dump(), "tokenizer": self._encoder.fingerprint}

    def inputs(self, work: Work) -> Mapping[str, str]:
        return {made.stage: made.hash for made in work.before} | forget.inputs(work.root)

    def run(self, work: Work) -> Outcome:
        seen = views(work.root, work.before)
        sizes = [view.documents[1].bytes for view in seen]
        work.progress.begin(self.name, sum(sizes), "bytes")
        fraction, dtype = self._config.validation_fraction, dtype_for(self._encoder.vocabulary)
        tasks = [
            EncodeTask(view=view, encoder=self._encoder, validation_fraction=fraction, censor=self._censor) for view in seen
        ]
        encoded = work.executor.map(encode_shard, tasks, done=lambda number: work.progress.advance(sizes[number]))
        left_out = forget.left_out(work.root, {one.shard.name: one.documents for one in encoded})
        layout = list(plan(work.root, encoded, left_out, self._config, dtype))
        with runs.scratch(work.root / state.FOLDER / PACK / GATHERED) as folder:
            packed = pack(layout, work.means(folder))
        _remove_others(work.root, encoded, packed)
        splits: dict[str, SplitFacts] = {split: _totals([one for one in packed if one.split == split]) for split in SPLITS}
        if fraction and not splits["val"].tokens:
            work.progress.say(
                f"the validation split is empty: none of {splits['train'].documents:,} documents fell into "
                f"pack.validation_fraction = {fraction:g}; raise it, for example --set pack.validation_fraction={FEW}"
            )
        work.progress.end(", ".join(f"{totals.tokens:,} tokens for {split}" for split, totals in splits.items()))
        return Outcome(
            shards=tuple(_published(one.shard, left_out.get(one.shard.name)) for one in encoded),
            files={name: entry for one in packed for name, entry in one.shard.files.items()},
            facts=plain_facts(
                PackFacts(
                    dtype=dtype.name,
                    vocabulary=self._encoder.vocabulary,
                    tokenizer=self._encoder.fingerprint,
                    end_of_text=self._encoder.end_of_text,
                    block_bytes=BLOCK_BYTES,
                    splits=splits,
                )
            ),
            recomputed_shards=sum(one.recomputed for one in encoded),
        )


def _published(shard: Shard, left_out: LeftOut | None) -> Shard:
    """The entry of a shard of documents in the manifest."""
    counts = shard.counts if left_out is None else without(shard.counts, left_out)
    return Shard(name=shard.name, files={}, counts=counts)


def _totals(packed: Sequence[Packed]) -> SplitFacts:
    """The totals of one split, and of its sources in their order. The highest id is None if there are no tokens."""
    by_source: dict[str, list[Packed]] = {}
    for one in packed:
        by_source.setdefault(one.source, []).append(one)
    sources = tuple(SourceFacts(source=source, **_sums(mine)) for source, mine in by_source.items())
    return SplitFacts(**_sums(packed), highest_id=max((one.highest_id for one in packed), default=None), sources=sources)


def _sums(packed: Sequence[Packed]) -> dict[str, int]:
    return {
        "documents": sum(one.shard.counts.kept for one in packed),
        "tokens": sum(one.tokens for one in packed),
        "text_bytes": sum(one.shard.counts.bytes_kept for one in packed),
    }


def _remove_others(root: Path, encoded: Sequence[Encoded], packed: Sequence[Packed]) -> None:
    """Remove the stored state of shards that no longer exist."""
    current = {root / name for one in encoded for name in (one.payload, *one.shard.files)}
    current |= {state.path_of(root, PACK, one.shard.name) for one in encoded}
    current |= {state.path_of(root, STATE, one.shard.name) for one in packed}
    for folder in (PACK, STATE):
        files.clear(root / ".state" / folder, keep=current, durable=False)
