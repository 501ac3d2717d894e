"""The training run of a corpus, for questions about which sample and step read what.

Guarantee: seed, windows and batches come from the last checkpoint, or, where nothing was trained yet, from the settings of the
corpus; a run on another store is refused. Cost: the state of one checkpoint.
"""

from __future__ import annotations

import numpy as np

from tokenmill.model import checkpoint
from tokenmill.pipeline.ask.trace import TrainingRun
from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.base.manifest import MODEL
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import samples_of


def run_of(corpus: CorpusFolder, store: TokenStore) -> TrainingRun:
    """The run. Raises StaleInput where it read another store, InputError where settings changed on the way."""
    folder = corpus.root / MODEL
    found = checkpoint.newest(folder / checkpoint.FOLDER, Silent())
    if found is None:
        return _as_run(store, corpus.settings.train, steps=None)
    state = found.state
    if state.step == 0:
        return _as_run(store, TrainConfig.model_validate(dict(state.config)), steps=None)
    if state.store != store.hash:
        raise StaleInput(
            f"{folder}: this run read the store {state.store}, and the corpus now holds {store.hash}; its samples can only be "
            "told from the store that it read"
        )
    run = _as_run(store, TrainConfig.model_validate(dict(state.config)), steps=state.step)
    if state.samples != run.firsts[-1] or state.order != run.samples.order:
        raise InputError(
            f"{folder}: {state.step} steps read {state.samples} samples, which the settings of its last step do not explain: "
            "they changed on the way, so which sample belongs to which step is not known"
        )
    return run


def _as_run(store: TokenStore, wanted: TrainConfig, *, steps: int | None) -> TrainingRun:
    last = steps or wanted.steps
    batches = np.array([0, *map(wanted.batches, range(last))], dtype=np.int64)
    return TrainingRun(samples=samples_of(store, wanted), firsts=np.cumsum(batches) * wanted.batch_windows, steps=steps)
