"""The packed tokens of a corpus in Python: samples as NumPy arrays, and a dataset for PyTorch.

Guarantee: what is read was compared with its manifest; documents that were forgotten are masked.
Cost: opening reads no payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokenmill.pipeline.tokens import Split, TokenStore
from tokenmill.pipeline.tokens.samples import Samples, samples

if TYPE_CHECKING:
    from tokenmill.model.dataset import TokenDataset


class Tokens:
    """The packed tokens of a corpus. Made by `Corpus.tokens`.

    Examples
    --------
    >>> tokens = corpus.tokens
    >>> tokens.count > 0
    True
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    @property
    def count(self) -> int:
        """Tokens of all splits, end-of-text included."""
        return self._store.facts.tokens

    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        return self._store.vocabulary

    @property
    def end_of_text(self) -> int:
        """The id that ends each document."""
        return self._store.end_of_text

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, `train` and `val`, for reading tokens and documents one by one."""
        return {split.name: split for split in self._store.splits}

    def samples(self, *, length: int, seed: int, weights: Mapping[str, float] | None = None, aligned: bool = False) -> Samples:
        """The samples of the split `train` in the order of a seed, as NumPy arrays.

        Parameters
        ----------
        length
            Tokens of a sample; each has `length + 1` ids, inputs and, one further on, targets.
        seed
            Orders the windows of each epoch. Sample k is a pure function of the store, the seed and these settings.
        weights
            Of sources, in any proportion to each other. Default: all text as often as the rest.
        aligned
            Windows begin where documents begin.

        Returns
        -------
        Samples
            `read(first, count)` gives a batch whose `ids` are [count, length + 1]; `np.asarray(batch)` is the same.

        Raises
        ------
        InputError
            The store holds fewer tokens than one sample needs.

        Examples
        --------
        >>> corpus.tokens.samples(length=16, seed=0).read(0, 8).ids.shape
        (8, 17)
        """
        return samples(self._store, length=length, seed=seed, weights=weights, aligned=aligned)

    def dataset(self, *, length: int, seed: int, epoch: int = 0, rank: int = 0, ranks: int = 1) -> TokenDataset:
        """The samples of one epoch as a map-style dataset for `torch.utils.data.DataLoader`.

        Parameters
        ----------
        length, seed
            As in `samples`.
        epoch
            Which epoch; each has an order of its own.
        rank, ranks
            Item i of a rank is sample `i * ranks + rank`, so that ranks share the samples of every step.

        Returns
        -------
        torch.utils.data.Dataset
            `len(dataset)` items `{"input_ids", "labels"}`, int64 [length]; labels are the next tokens already, and -100
            where no loss is taken. It is picklable: workers that fork or spawn read the same ids.

        Examples
        --------
        >>> item = corpus.tokens.dataset(length=16, seed=0)[0]
        >>> bool((item["input_ids"][1:] == item["labels"][:-1]).all())
        True
        """
        from tokenmill.model.dataset import TokenDataset

        return TokenDataset(self._store.folder, length=length, seed=seed, epoch=epoch, rank=rank, ranks=ranks)

    def __repr__(self) -> str:
        splits = ", ".join(f"{split.name} {split.tokens:,}" for split in self._store.splits)
        return f"Tokens({str(self._store.folder)!r}): {splits}; vocabulary {self.vocabulary:,}"
