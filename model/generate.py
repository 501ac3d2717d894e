"""Draws tokens from a model, one after the other, for any number of prompts at once.

Guarantee: the same weights, prompts, settings and seed give the same ids, with the cache or without it; ids of the vocabulary's
padding are never drawn.
Cost: one forward pass over one token for each token made, and one over half a context each time that the context is full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenmill.model.gpt import GPT
from tokenmill.model.parts import Cache
from tokenmill.pipeline.base.errors import ConfigError

COLDEST, HOTTEST = 1e-9, 1e9
"""Temperatures. Below, the most probable token has all the probability, if float32 can tell it from the others at all."""
FARTHEST_PENALTY = 1e3
"""And its inverse: no logit becomes infinite."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How the next token is chosen. Raises ConfigError for what is out of bounds."""

    temperature: float = 1.0
    """What logits are divided by; 0, and all below 1e-9, always takes the most probable token."""
    top_k: int | None = None
    """Choose among this many most probable tokens only."""
    top_p: float = 1.0
    """Choose among the fewest most probable tokens that have this much probability together (Holtzman et al. 2020)."""
    min_p: float = 0.0
    """Leave out tokens with less than this part of the probability of the most probable one (Nguyen et al. 2024)."""
    repetition_penalty: float = 1.0
    """What positive logits of tokens in the text are divided by, and negative ones multiplied (Keskar et al. 2019, 4.1)."""

    def __post_init__(self) -> None:
        bounds = {
            "temperature": (0 <= self.temperature <= HOTTEST, f"from 0 to {HOTTEST}"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_p": (0 <= self.min_p < 1, "at least 0 and below 1"),
            "repetition_penalty": (
                1 / FARTHEST_PENALTY <= self.repetition_penalty <= FARTHEST_PENALTY,
                f"from {1 / FARTHEST_PENALTY} to {FARTHEST_PENALTY}",
            ),
        }
        wrong = [f"{name}={getattr(self, name)} must be {said}" for name, (holds, said) in bounds.items() if not holds]
        if wrong:
            raise ConfigError(f"sample: {'; '.join(wrong)}")

    def of(self, logits: Tensor, text: Tensor, generator: torch.Generator) -> Tensor:
        """Choose an id for each row: float [B, V], and the ids so far, int64 [B, T] -> int64 [B]."""
        logits = logits.float()
        if self.repetition_penalty != 1:
            held = logits.gather(1, text)
            penalty = self.repetition_penalty
            logits = logits.scatter(1, text, torch.where(held > 0, held / penalty, held * penalty))
        if self.temperature < COLDEST:
            return logits.argmax(dim=1)
        values, ids = logits.topk(min(self.top_k or logits.shape[1], logits.shape[1]), dim=1)
        # Subtract the highest value first, so that no temperature produces an infinity.
        probabilities = ((values - values[:, :1]) / self.temperature).softmax(dim=1)
        # A token stays if those before it do not have `top_p` yet. The first one always does, also where float32 has no such
        # small number.
        stays = (probabilities.cumsum(dim=1) - probabilities < self.top_p) & (
            probabilities >= self.min_p * probabilities[:, :1]
        )
        stays[:, 0] = True
        drawn = torch.multinomial(probabilities * stays, 1, generator=generator)
        return ids.gather(1, drawn)[:, 0]


def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    tokens: int,
    choice: Choice,
    seed: int,
    end_of_text: int,
    cached: bool = True,
) -> Iterator[list[int | None]]:
    """Continue all prompts together: yield the next id of each, until all have ended, at most `tokens` times.

    The id of a text that has ended is None; the end-of-text that ends it is not given. When the context is full, the model goes
    on with its last half. `cached=False` computes everything anew for each token; the ids are the same.

    Parameters
    ----------
    prompts
        At least one, of at least one id each.
    """
    longest = max(map(len, prompts))
    # Filled up in front, with an id that the text has anyway: penalties count the ids of a row.
    device = model.embedding.weight.device
    text = torch.tensor([[one[0]] * (longest - len(one)) + list(one) for one in prompts])
    pads = torch.tensor([longest - len(one) for one in prompts])
    generator = torch.Generator().manual_seed(seed)
    ended = torch.zeros(len(prompts), dtype=torch.bool)
    first, cache = 0, None
    model.eval()
    for _ in range(tokens):
        held = text.shape[1] - first
        if held > model.shape.context_tokens:
            first, cache = text.shape[1] - max(1, model.shape.context_tokens // 2), None
        with torch.inference_mode():
            if cache is None:
                cache = Cache(model.shape, batch=len(prompts), device=device)
            new = text[:, first + cache.seen :]
            starts = (pads - first).clamp(min=0)[:, None].expand(-1, new.shape[1]) if bool((pads > first).any()) else None
            starts = None if starts is None else starts.to(device)
            # Chosen on the host: the same seed draws the same ids on every device.
            logits = model.logits(model.hidden(new.to(device), starts, cache)[:, -1]).cpu()
            if not cached:
                cache = None
            chosen = choice.of(logits, text, generator)
        ended |= chosen == end_of_text
        if bool(ended.all()):
            return
        yield [None if done else one for one, done in zip(chosen.tolist(), ended.tolist(), strict=True)]
        text = torch.cat([text, chosen.where(~ended, text[:, -1])[:, None]], dim=1)
