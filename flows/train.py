"""Train the bundled GPT on a corpus, and let it speak.

Guarantee: the settings are those of the corpus's config with overrides over them; the output is `model/` in its folder.
Cost: imports torch (1.4 s).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flows.building import CONFIG
from pipeline import config
from pipeline.errors import NotBuilt
from pipeline.work import Progress


def run(root: Path, settings: Mapping[str, str], progress: Progress) -> None:
    """Train, or go on training. Raises NotBuilt, StaleInput, ConfigError."""
    from model.train import train

    if not (root / CONFIG).is_file():
        raise NotBuilt(f"{root} holds no corpus; run `tokenmill build` with --out {root} first")
    train(root, config.load(root / CONFIG, settings).train, progress)


def speak(root: Path, prompt: str, *, tokens: int, temperature: float, top_k: int, seed: int) -> str:
    """The prompt and what the model makes of it. Raises NotBuilt."""
    from model.sample import sample

    return sample(root, prompt, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed)
