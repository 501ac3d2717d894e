"""The plan of a training: a budget of tokens, of computation or of hours becomes a model, its batches and its settings.

Purpose: says before a run how large the model should be, how long it takes, whether it fits, and how often it reads a corpus.
Guarantee: each number is one formula of a paper, named where it is computed, or the trainer's own count.
Cost: the estimates of memory, some seconds for large models (`memory`).

Sources. Chinchilla: Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models": about 20 tokens for each parameter.
Kaplan: Kaplan et al. 2020, "Scaling Laws for Neural Language Models", appendix A. Its models are larger and read less; Hoffmann
et al. found the cause in learning rates that had not fallen to the end. Batch and learning rate: Bi et al. 2024, "DeepSeek
LLM", section 3.1, fitted on 10^17 to 2 * 10^19 operations. Repetition: Muennighoff et al. 2023, "Scaling Data-Constrained
Language Models": up to 4 epochs are nearly as good as new text.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tokenmill.model import memory
from tokenmill.model.memory import Memory
from tokenmill.model.rate import MeasuredRate
from tokenmill.model.shape import Shape
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import TrainConfig

TOKENS_PER_PARAMETER = 20
FLOPS_PER_PRODUCT = 6
"""Operations for each parameter and token: 2 forward, 4 backward (Kaplan et al. 2020, section 2.1)."""
MOST_TOKENS = 1e18
PETAFLOP_DAY = 1e15 * 86_400
HIGHEST_RATE = 3e-3
"""Of learning rates. The formula goes on rising below the budgets that it was fitted on."""
GOOD_EPOCHS = 4
WORTH_EPOCHS = 15.39
"""R*_D of Muennighoff et al. 2023: how fast the worth of text decays as it is repeated."""
HEAD_WIDTH = 64
MOST_HEADS = 192
TINY = (16, 32)
"""Widths below that of a usual head."""
SLIMMEST, WIDEST = 48, 96
"""Width per layer. GPT-2 has 27 to 64, GPT-3 64 to 128 (Kaplan et al. 2020, section 3.1: the loss hardly depends on it)."""
ROOM = 0.9
"""The part of the memory that a plan may fill."""
WARMUP = 0.02
"""The part of the updates in which the learning rate rises."""


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """Parameters and tokens that a law advises for a budget."""

    parameters: float
    tokens: float


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """What a corpus gives for the tokens of a plan."""

    tokens: int
    """Of its training split."""
    epochs: float
    """How often each is read; with weights see `sources`."""
    worth_tokens: float
    """New tokens that would teach as much (Muennighoff et al. 2023, equation 5)."""
    sources: Mapping[str, float]
    """Epochs of each source, where the settings weigh sources."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A training that uses a budget well."""

    shape: Shape
    config: TrainConfig
    """The settings of the run."""
    given: Mapping[str, str]
    """Settings that were asked for, as they were written."""
    tokens: float
    flops: float
    """6 * parameters * tokens, as the papers count."""
    chinchilla: Optimum
    """For these operations."""
    kaplan: Optimum
    memory: Memory | None
    """Of an update; None where weights and activations alone are more than there is."""
    memory_bytes: float
    """What there is."""
    rate: MeasuredRate | None
    seconds: float | None
    corpus: Repetition | None

    @property
    def fits(self) -> bool:
        """Whether an update fits into the memory."""
        return self.memory is not None and self.memory.total <= self.memory_bytes

    @property
    def batch_tokens(self) -> int:
        """Tokens of an update."""
        return self.config.batch_windows * self.config.accumulate * self.config.context_tokens

    @property
    def settings(self) -> dict[str, Any]:
        """The settings to give to `train`, by their names there."""
        names = ["model", "layers", "heads", "width", "context_tokens", "batch_windows", "accumulate", "steps"]
        names += ["warmup_steps", "optimizer", "learning_rate", "min_learning_rate"]
        names += [name for name in ("hidden", "kv_heads", "recompute") if getattr(self.config, name)]
        return {**self.given, **{f"train.{name}": getattr(self.config, name) for name in names}}


def chinchilla(flops: float) -> Optimum:
    """With tokens = 20 * parameters and flops = 6 * parameters * tokens, parameters = sqrt(flops / 120)."""
    parameters = math.sqrt(flops / (FLOPS_PER_PRODUCT * TOKENS_PER_PARAMETER))
    return Optimum(parameters=parameters, tokens=TOKENS_PER_PARAMETER * parameters)


def kaplan(flops: float) -> Optimum:
    """1.3e9 * C^0.73 parameters, without embeddings, and 2e10 * C^0.27 tokens, for C in petaflop/s-days."""
    days = flops / PETAFLOP_DAY
    return Optimum(parameters=1.3e9 * math.pow(days, 0.73), tokens=2e10 * math.pow(days, 0.27))


def batch_tokens(flops: float) -> float:
    """Tokens of an update: 0.2920 * flops^0.3271 (Bi et al. 2024, equation 1)."""
    return 0.2920 * math.pow(flops, 0.3271)


def learning_rate(flops: float) -> float:
    """AdamW's peak: 0.3118 * flops^-0.1250 (Bi et al. 2024, equation 1), at most 3e-3. Two digits."""
    return float(f"{min(HIGHEST_RATE, 0.3118 * math.pow(flops, -0.1250)):.1e}")


def shape_near(parameters: float, like: Shape) -> Shape:
    """The shape whose size is nearest, with the parts of `like`, heads of 64, and 48 to 96 of width for each layer."""
    tried: list[Shape] = []
    for width in (*TINY, *range(HEAD_WIDTH, HEAD_WIDTH * MOST_HEADS + 1, HEAD_WIDTH)):
        heads = max(1, width // HEAD_WIDTH)
        if heads % (like.kv_heads or heads):
            continue
        depths = range(-(-width // WIDEST), max(1, width // SLIMMEST) + 1)
        tried += [dataclasses.replace(like, layers=layers, heads=heads, width=width, hidden=0) for layers in depths]
        if tried[-1].parameters > 4 * parameters:
            break
    return min(tried, default=like, key=lambda one: abs(math.log(one.parameters / parameters)))


def repetition(tokens: float, sources: Mapping[str, int], weights: Mapping[str, float]) -> Repetition:
    """How `tokens` are read from a corpus. `sources`: tokens of each source in the training split. Raises ConfigError."""
    if weights and not all(name in sources for name in weights):
        raise ConfigError(f"train.weights names {', '.join(sorted(weights.keys() - sources.keys()))}, which the corpus has not")
    held, weight = sum(sources.values()), sum(weights.values())
    each = {name: tokens * share / weight / max(1, sources[name]) for name, share in weights.items() if share}
    epochs = tokens / max(1, held)
    repeated = max(0.0, epochs - 1)
    worth = tokens if epochs <= 1 else held * (1 + WORTH_EPOCHS * (1 - math.exp(-repeated / WORTH_EPOCHS)))
    return Repetition(tokens=held, epochs=epochs, worth_tokens=worth, sources=each)


def budget(
    like: Shape,
    *,
    fixed: bool,
    tokens: float | None = None,
    flops: float | None = None,
    seconds: float | None = None,
    rate: MeasuredRate | None = None,
) -> tuple[Shape, float]:
    """The shape and the tokens of a budget, of which one is given: tokens, operations, or time at a rate.

    `like`: the parts of the model; `fixed`: and its sizes. Raises ConfigError for a time without a rate.
    """
    per_token: Callable[[Shape], float] = lambda shape: FLOPS_PER_PRODUCT * shape.parameters  # noqa: E731
    if seconds is not None:
        if rate is None:
            raise ConfigError(
                "--hours needs to know how fast the machine is: give --rate TOKENS/S (`tokenmill bench-train` measures it), "
                "--peak-teraflops with --mfu, or a corpus with the log of a training"
            )
        if rate.tokens_per_second is not None:
            tokens = rate.tokens_per_second * seconds
        else:
            flops, per_token = (rate.flops_per_second or 0.0) * seconds, lambda shape: shape.flops_per_token
    if tokens is None:
        assert flops is not None
        shape = like if fixed else shape_near(chinchilla(flops).parameters, like)
        return shape, flops / per_token(shape)
    return (like if fixed else shape_near(tokens / TOKENS_PER_PARAMETER, like)), tokens


def plan(
    shape: Shape,
    config: TrainConfig,
    *,
    tokens: float,
    rate: MeasuredRate | None,
    memory_bytes: float,
    device: torch.device,
    precision: torch.dtype,
    corpus: Repetition | None,
    given: Mapping[str, str] = {},
) -> TrainingPlan:
    """The plan for a model and its tokens. `config`: what else the run is like, with what was `given` in it.

    Raises ConfigError for a budget that is no training.
    """
    if not 1 <= tokens <= MOST_TOKENS:
        raise ConfigError(f"plan: the budget comes to {tokens:.3g} tokens; plans are made for 1 to {MOST_TOKENS:.0g}")
    flops = FLOPS_PER_PRODUCT * shape.parameters * tokens
    kept = {name.removeprefix("train.") for name in given}
    peak = config.learning_rate if "learning_rate" in kept else learning_rate(flops)
    least = min(config.min_learning_rate, peak) if "min_learning_rate" in kept else float(f"{peak / 10:.1e}")
    wanted = _with(
        config,
        **{name: getattr(shape, name) for name in ("layers", "heads", "width", "context_tokens")},
        hidden=shape.inner if config.hidden else None,
        kv_heads=shape.kv_heads or None,
        learning_rate=peak,
        min_learning_rate=least,
    )
    windows = max(1, round(batch_tokens(flops) / shape.context_tokens))
    if "batch_windows" not in kept:
        wanted = _fitted(shape, wanted, windows, ROOM * memory_bytes, device=device, precision=precision)
    accumulate = config.accumulate if "accumulate" in kept else max(1, round(windows / wanted.batch_windows))
    steps = max(1, round(tokens / (wanted.batch_windows * accumulate * shape.context_tokens)))
    warmup = config.warmup_steps if "warmup_steps" in kept else min(steps - 1, max(1, round(WARMUP * steps)))
    made = _with(wanted, accumulate=accumulate, steps=steps, warmup_steps=warmup)
    needed = _needed(shape, made, memory_bytes, device=device, precision=precision)
    return TrainingPlan(
        shape=shape,
        config=made,
        given=given,
        tokens=tokens,
        flops=flops,
        chinchilla=chinchilla(flops),
        kaplan=kaplan(flops),
        memory=needed,
        memory_bytes=memory_bytes,
        rate=rate,
        seconds=None if rate is None else rate.seconds(tokens, shape),
        corpus=corpus,
    )


def _fitted(
    shape: Shape, config: TrainConfig, windows: int, room: float, *, device: torch.device, precision: torch.dtype
) -> TrainConfig:
    """The settings with the largest batch, a power of 2 up to `windows`, whose update takes at most `room` bytes.

    Activations are computed again only where a batch of one window does not fit otherwise.
    """

    def takes(recompute: bool, rows: int) -> float:
        one = _with(config, recompute=recompute, batch_windows=rows, accumulate=-(-windows // rows))
        needed = _needed(shape, one, room, device=device, precision=precision)
        return math.inf if needed is None else needed.total

    recompute = config.recompute or takes(False, 1) > room
    least = takes(recompute, 1)
    if least > room or windows == 1:
        return _with(config, recompute=recompute, batch_windows=1)
    each = max(1, takes(recompute, 2) - least)
    rows = 2 ** int(math.log2(max(1, min(windows, 1 + (room - least) / each))))
    while rows > 1 and takes(recompute, rows) > room:
        rows //= 2
    return _with(config, recompute=recompute, batch_windows=rows)


def _needed(shape: Shape, config: TrainConfig, room: float, *, device: torch.device, precision: torch.dtype) -> Memory | None:
    """What an update takes; None if that is surely more than `room`."""
    # Sizes that no machine has would overflow.
    batch = config.batch_windows * shape.context_tokens
    if memory.FLOAT * (3 * shape.parameters + batch * shape.width * shape.layers) > room:
        return None
    # The second batch adds its gradients to those of the first; so do all others.
    return memory.estimate(shape, _with(config, accumulate=min(2, config.accumulate)), precision=precision, device=device)


def _with(config: TrainConfig, **changes: Any) -> TrainConfig:
    return TrainConfig.model_validate(config.model_dump() | changes)
