"""Trains a quality classifier on two sets of documents.

Purpose: the work of `tokenmill quality train`.
Guarantee: the readers of collection read the documents, into a temporary folder beside the model. Records that gave no document
are counted, and too many broken records stop the run.
Cost: one collection of the documents, and the training (`tokenmill.pipeline.stages.quality.train`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.shards import View, views
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig, FilesSource
from tokenmill.pipeline.stages.quality.train import Measured, Training
from tokenmill.pipeline.stages.quality.train import train as train_model
from tokenmill.pipeline.stages.step import Work, perform

SIDES = ("positive", "negative")


def train(positive: str, negative: str, out: Path, *, text_field: str, training: Training, progress: Progress) -> Measured:
    """Train on the documents of two paths (each a file, a folder or a glob), and write the model to `out`.

    Raises InputError, QuarantineCeiling, ConfigError.
    """
    sources = tuple(
        FilesSource(name=name, paths=(path,), text_field=text_field)
        for name, path in zip(SIDES, (positive, negative), strict=True)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        work = Work(root=Path(folder), before=(), executor=InProcess(), progress=progress)
        collected = perform(CollectStep(CollectConfig(sources=sources)), work, downstream=()).manifest
        counts = collected.counts
        if counts.quarantined or counts.dropped:
            left_out = {**counts.dropped, "broken": counts.quarantined}
            progress.say("left out: " + ", ".join(f"{reason} {count:,}" for reason, count in left_out.items() if count))
        progress.say(f"training: {counts.kept:,} documents, {training.epochs} epochs, one thread")
        sides = {name: [view for view in views(work.root, [collected]) if view.source == name] for name in SIDES}
        return train_model(_texts(sides["positive"]), _texts(sides["negative"]), out, training)


def _texts(side: list[View]) -> Iterator[str]:
    for view in side:
        yield from view.read().table["text"].to_pylist()
