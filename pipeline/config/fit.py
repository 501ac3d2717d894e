"""What a config must fulfil to be used, beyond what makes it valid: its weights fit its sources.

Purpose: a corpus that was built with other weights stays readable, while a new build or training run of it is refused.
Guarantee: the message says what to write instead. Cost: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import lookup, toml
from tokenmill.pipeline.config.settings import Config


def require_weights(config: Config) -> None:
    """Raises ConfigError unless `train.weights` is empty, or names every source of the config and weights one above 0."""
    weights, sources = config.train.weights, [source.name for source in config.collect.all_sources]
    for name in weights:
        if name not in sources:
            raise ConfigError(f"train.weights: there is no source {name!r}; {lookup.hint(name, sources, 'sources')}")
    missing = [name for name in sources if name not in weights]
    if weights and missing:
        whole = {**weights, **dict.fromkeys(missing, 1.0)}
        raise ConfigError(
            f"train.weights has no weight for {_some(missing)}: training would never read it; give every source one, for "
            f"example {toml.argument('train.weights', {name: whole[name] for name in sources})} (0 leaves a source out)"
        )
    if weights and not any(weights.values()):
        raise ConfigError(
            "train.weights: all weights are 0, so there is nothing to read; for example "
            f"{toml.argument('train.weights', dict.fromkeys(sources, 1.0))}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
