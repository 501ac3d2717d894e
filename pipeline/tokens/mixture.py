"""Mixtures: which source each sample comes from, by arithmetic.

Purpose: mix sources in given proportions, and limit how often each is repeated.
Guarantee: in every block of `BLOCK` samples a source gives the same number of samples, spread as evenly as whole samples can
be: among the first k samples its count differs from its share of k by less than the number of sources. The source of a sample,
and the sample's number within that source, are a pure function of the sample's number.
Cost: a table of 1 MB; a lookup is one step in it.

Sources: what a capped source cannot give goes to the others in proportion to their weights, which is water-filling (T. Cover,
J. Thomas, "Elements of Information Theory", section 9.4). N. Muennighoff et al., "Scaling Data-Constrained Language Models"
(2023), measured that a source that is read more than about four times teaches less each time.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.errors import ConfigError, InputError, Miscounted

BLOCK = 2**16
"""Samples per block. Shares are multiples of 1/BLOCK, 0.0015 %."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """The share of one source: `quota` of each `BLOCK` samples. `asked`: its share by weight alone, from 0 to 1.

    `epochs`: how often each of its windows is read in the run that the mixture was made for.
    """

    source: str
    asked: float
    quota: int
    epochs: float

    @property
    def given(self) -> float:
        """The final share, from 0 to 1. It is below `asked` if the cap limited it, and above if others were limited."""
        return self.quota / BLOCK


@dataclass(frozen=True)
class Mixture:
    """The shares of the sources. Their quotas sum to `BLOCK`."""

    shares: tuple[Share, ...]

    def __str__(self) -> str:
        """A summary in one line."""
        return ", ".join(
            f"{one.source} {one.given:.2%}"
            + (f" instead of {one.asked:.2%}" if abs(one.given - one.asked) > len(self.shares) / BLOCK else "")
            + f" ({one.epochs:.2f} epochs)"
            for one in self.shares
        )

    def places(self, samples: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The source of each of `samples`, as an index into `shares`, and the sample's number among those of its source.

        int64 [samples] each.
        """
        source, rank, quotas = self._table
        block, place = np.divmod(samples, BLOCK)
        return source[place], block * quotas[source[place]] + rank[place]

    @functools.cached_property
    def _table(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each place in a block, its source and its rank within that source; and the quotas.

        Sample j of a source with quota q has its target at (j + 1/2) / q of the block. The samples are sorted by their targets.
        """
        quotas = np.array([one.quota for one in self.shares], dtype=np.int64)
        if quotas.sum() != BLOCK:
            raise Miscounted(f"the quotas of a block sum to {quotas.sum()}, not {BLOCK}: {quotas=}")
        source = np.repeat(np.arange(len(quotas)), quotas)
        rank = np.arange(BLOCK) - np.repeat(np.cumsum(quotas) - quotas, quotas)
        # Integers, so that equal targets tie on every machine: numerators over 2 * BLOCK, rounded down.
        order = np.lexsort((source, (2 * rank + 1) * BLOCK // quotas[source]))
        return source[order], rank[order], quotas


def mixture(
    windows: Mapping[str, int], weights: Mapping[str, float], *, samples: int, most_epochs: float | None = None
) -> Mixture:
    """Shares by `weights` (above 0, of any sum) of sources with the given numbers of `windows`, for a run of `samples` samples.

    `most_epochs`: no source is read more often; what it cannot give goes to the others in proportion to their weights. Raises
    ConfigError for a source that does not exist, has no window, or has a weight that rounds to zero; InputError when all
    sources together cannot give that many samples.
    """
    for source, weight in weights.items():
        if not windows.get(source):
            known = ", ".join(name for name in windows if windows[name]) or "no source"
            raise ConfigError(f"{source!r} cannot be weighted, because it has no window in this store; there is {known}")
        if not 0 < weight < float("inf"):
            raise ConfigError(f"the weight of {source!r} must be a number above 0, but {weight=}")
    if not weights:
        raise ConfigError("a mixture needs the weight of at least one source")
    total = sum(weights.values())
    limits = {name: 1.0 if most_epochs is None else most_epochs * windows[name] / samples for name in weights}
    given = _levelled({name: weight / total for name, weight in weights.items()}, limits)
    if sum(given.values()) < 1 - 1e-9:
        most = int(sum(windows[name] for name in weights) * (most_epochs or 1))
        raise InputError(
            f"{samples} samples are wanted, but {most_epochs=} times the {sum(windows[name] for name in weights)} windows of "
            f"{', '.join(weights)} are {most}; take fewer steps, allow more epochs, or add text"
        )
    quotas = _rounded(given, limits)
    for name, quota in quotas.items():
        if quota == 0:
            raise ConfigError(f"the share of {name!r} is {given[name]:.2g}, below 1/{BLOCK}; leave it out or raise its weight")
    return Mixture(
        tuple(
            Share(
                source=name,
                asked=weights[name] / total,
                quota=quotas[name],
                epochs=samples * quotas[name] / BLOCK / windows[name],
            )
            for name in weights
        )
    )


def _levelled(asked: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Cap the shares `asked` at `limits`, and give the excess to the sources below their limits.

    The result sums to 1, or every source is at its limit.
    """
    full: dict[str, float] = {}
    while True:
        free = {name: share for name, share in asked.items() if name not in full}
        scale = (1 - sum(full.values())) / sum(free.values()) if free else 0.0
        over = {name: limits[name] for name, share in free.items() if share * scale > limits[name]}
        if not over:
            return {name: full[name] if name in full else asked[name] * scale for name in asked}
        full |= over


def _rounded(given: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, int]:
    """Quotas that sum to `BLOCK`: shares are rounded down, then the largest remainders are rounded up.

    Sources below their limits are rounded up first.
    """
    exact = {name: share * BLOCK for name, share in given.items()}
    quotas = {name: int(value) for name, value in exact.items()}
    order = sorted(exact, key=lambda name: (exact[name] >= limits[name] * BLOCK, quotas[name] - exact[name], name))
    for name in order[: BLOCK - sum(quotas.values())]:
        quotas[name] += 1
    return quotas
