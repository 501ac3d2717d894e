"""The samples of a token store as a map-style dataset of PyTorch.

Guarantee: item i is a pure function of the store, the seed and i, so workers that fork or spawn read the same ids. What is
pickled is a path and numbers, and a worker refuses a store that has changed since. Forgotten documents bring no loss.
Cost: 5 us an item from the page cache.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tokenmill.pipeline.base.errors import ConfigError, InputError, StaleInput
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import Samples, samples

IGNORED = -100
"""The label of tokens that no loss is taken of: what `torch.nn.CrossEntropyLoss` ignores."""


class TokenDataset(Dataset[dict[str, Tensor]]):
    """One epoch of samples, or the share of one of several ranks. Made by `tokenmill.Tokens.dataset`."""

    def __init__(self, store: Path, *, length: int, seed: int, epoch: int = 0, rank: int = 0, ranks: int = 1) -> None:
        if not 0 <= rank < ranks:
            raise ConfigError(f"{rank=} is none of {ranks=}")
        if epoch < 0:
            raise ConfigError(f"{epoch=}: epochs are counted from 0")
        opened = TokenStore.open(store)
        # The folder that was opened: a worker must not open a version that was published since.
        self._store, self._hash = opened.folder, opened.hash
        self._length, self._seed, self._epoch = length, seed, epoch
        self._rank, self._ranks = rank, ranks
        self.__dict__["_samples"] = samples(opened, length=length, seed=seed)
        self._items = self._samples.windows // ranks
        if not self._items:
            raise InputError(f"{store}: {self._samples.windows:,} samples are fewer than {ranks=}")

    @functools.cached_property
    def _samples(self) -> Samples:
        """Opened anew in each process. Raises StaleInput where the store is no longer the one that was pickled."""
        opened = TokenStore.open(self._store)
        if opened.hash != self._hash:
            raise StaleInput(f"{self._store}: was {self._hash} when the dataset was made, and is {opened.hash} now")
        return samples(opened, length=self._length, seed=self._seed)

    def __len__(self) -> int:
        return self._items

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`input_ids` and `labels`, int64 [length]: labels are the next tokens already. Raises IndexError, CorruptFile."""
        if not -self._items <= index < self._items:
            raise IndexError(f"item {index} of {self._items}")
        first = self._epoch * self._samples.windows
        batch = self._samples.read(first + index % self._items * self._ranks + self._rank, 1)
        ids, kept = batch.ids[0].astype(np.int64), batch.kept[0]
        labels = np.where(kept[1:], ids[1:], IGNORED)
        return {"input_ids": torch.from_numpy(ids[:-1].copy()), "labels": torch.from_numpy(labels)}

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_samples"}

    def __repr__(self) -> str:
        rank = f", rank {self._rank} of {self._ranks}" if self._ranks > 1 else ""
        return f"TokenDataset({str(self._store)!r}): {self._items:,} items of {self._length} tokens{rank}"
