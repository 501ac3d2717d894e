"""What a run learns: how its samples become tensors, and what the loss of them is.

Purpose: `objective_of` makes of the settings what the loop needs. To the loop, one objective is as another.
Guarantee: a batch is a pure function of (store or examples, settings, numbers of its samples). Fine-tuning begins with the last
checkpoint of the corpus's causal model, and keeps its sizes and parts; a run goes on only on the same checkpoint and examples.
Cost: of fine-tuning, encoding the examples; otherwise none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tokenmill.model import checkpoint, data
from tokenmill.model.chat import ChatTemplate
from tokenmill.model.checkpoint import Checkpoint
from tokenmill.model.loss import Loss, next_token_loss
from tokenmill.model.objectives import classes, examples, instructions, masked, spans
from tokenmill.model.objectives.masked import Text
from tokenmill.model.objectives.packing import Example, Rows, packed
from tokenmill.model.sample import encoder_of
from tokenmill.model.shape import Shape, shape_of
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.words import count, many
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import Split, TokenStore
from tokenmill.pipeline.tokens.samples import Batch, Samples, consecutive, samples_of

Numbers = npt.NDArray[np.int64]
NAMED_DIGITS = 12
"""Of hashes, in what is said and in the order of a run."""
FEWEST_MASKED_TOKENS = 8
"""Of a sample of the objective `masked`: three are marks, and both texts need some."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Objective:
    """What a run learns."""

    config: TrainConfig
    """The settings, with the context of the model that is fine-tuned."""
    shape: Shape
    order: str
    """What decides which sample is which, besides store and seed."""
    windows: int
    """Samples of an epoch."""
    read: Callable[[int, int], Any]
    """Gives the samples from a number on, so many, as a batch."""
    loss: Callable[..., Loss]
    """Of a model and a batch, with the parameters of `loss.next_token_loss`."""
    held_out: int
    """Samples for validation."""
    validation: Callable[[Numbers], Any] | None
    """Gives those of some numbers as a batch; None if validation reads windows of the store, by source and in bits per byte."""
    right: Callable[[Any, Any], Tensor] | None = None
    """How many targets of a batch a model gets right, an int64 scalar; None if nobody asks."""
    samples: Samples | None = None
    """Those of the store; None if examples are read."""
    source: str = ""
    """Of examples: what they are, in words."""
    base: Checkpoint | None = None
    """The model to begin with."""
    labels: tuple[str, ...] = ()
    """The names of the classes."""


def objective_of(root: Path, store: TokenStore, config: TrainConfig, progress: Progress) -> Objective:
    """The objective that the settings ask for, on the corpus in `root`.

    Raises
    ------
    ConfigError
        The settings do not fit together, or the weights of the sources are impossible.
    InputError
        The store is too small, or a line of the examples is none.
    NotBuilt, StaleInput, CorruptFile
        There is no model to fine-tune, none of this tokenizer, or none that is whole.
    """
    made = {"causal": _causal, "masked": _masked, "spans": _spans}.get(config.objective)
    return _tuned(root, config, progress) if made is None else made(store, config)


def _causal(store: TokenStore, config: TrainConfig) -> Objective:
    samples = samples_of(store, config)
    return Objective(
        config=config,
        shape=shape_of(config, store.vocabulary),
        order=samples.order,
        windows=samples.windows,
        read=data.reader(samples, config.attention),
        loss=next_token_loss,
        held_out=store.split("val").windows(config.context_tokens),
        validation=None,
        samples=samples,
    )


def _masked(store: TokenStore, config: TrainConfig) -> Objective:
    tokens = config.context_tokens
    if tokens < FEWEST_MASKED_TOKENS:
        raise ConfigError(f"train.objective=masked: train.context_tokens={tokens} must be at least {FEWEST_MASKED_TOKENS}")
    rules = masked.MaskRules(
        seed=config.seed,
        vocabulary=store.vocabulary,
        end_of_text=store.end_of_text,
        chosen=masked.chosen_of(tokens, config.masked_share),
        apart=config.attention == "document",
    )
    # Marks fill the context up.
    length, validation = tokens - masked.MARKS, store.split("val")
    samples = samples_of(store, config.model_copy(update={"context_tokens": length}))
    held_out = validation.windows(length)
    half = held_out // 2

    def across(number: int) -> int | None:
        """Neighbours in a split are of one document, so a sample swaps with one that is half a split away."""
        return None if number >= 2 * half else (number + half) % (2 * half)

    def read(first: int, count: int) -> masked.Masked:
        return masked.batch(lambda k: _text(samples.read(k, 1), 0), range(first, first + count), lambda k: k ^ 1, rules)

    def validate(numbers: Numbers) -> masked.Masked:
        return masked.batch(lambda k: _text(_windows(validation, [k], length), 0), numbers.tolist(), across, rules)

    shape = shape_of(config, store.vocabulary + masked.EXTRA_IDS, architecture="encoder", target_tokens=rules.chosen)
    return Objective(
        config=config,
        shape=shape,
        order=samples.order,
        windows=samples.windows,
        read=read,
        loss=masked.loss,
        held_out=held_out,
        validation=validate,
        samples=samples,
    )


def _spans(store: TokenStore, config: TrainConfig) -> Objective:
    length, validation = config.context_tokens, store.split("val")
    rules = spans.rules_of(
        length,
        share=config.masked_share,
        span_tokens=config.span_tokens,
        seed=config.seed,
        vocabulary=store.vocabulary,
        end_of_text=store.end_of_text,
        apart=config.attention == "document",
    )
    samples = samples_of(store, config)

    def batch(held: Batch, numbers: Numbers) -> spans.Spans:
        return spans.batch([_text(held, row) for row in range(len(numbers))], numbers.tolist(), rules)

    shape = shape_of(
        config,
        store.vocabulary + spans.EXTRA_IDS,
        architecture="encoder-decoder",
        source_tokens=rules.source,
        target_tokens=rules.target,
    )
    return Objective(
        config=config,
        shape=shape,
        order=samples.order,
        windows=samples.windows,
        read=lambda first, count: batch(samples.read(first, count), np.arange(first, first + count)),
        loss=spans.loss,
        held_out=validation.windows(length),
        validation=lambda numbers: batch(_windows(validation, numbers, length), numbers),
        samples=samples,
    )


def _tuned(root: Path, config: TrainConfig, progress: Progress) -> Objective:
    """Fine-tuning of the causal model, on examples. Attention stays within each, whatever the settings say."""
    # The version is held while its tokenizer is read.
    encoder, _held = encoder_of(root)
    base = checkpoint.last(root, encoder.fingerprint, progress)
    shape, end_of_text = base.state.shape, base.state.end_of_text
    assert config.examples is not None
    path, most = Path(config.examples), shape.context_tokens - 1
    config = config.model_copy(update={"context_tokens": shape.context_tokens})

    def rows_of(made: list[Example]) -> Rows:
        return packed(made, length=shape.context_tokens, seed=config.seed, end_of_text=end_of_text)

    labels: tuple[str, ...] = ()
    if config.objective == "instructions":
        conversations, digest = examples.conversations(path)
        template = ChatTemplate.parse(config.template)
        parts = [
            instructions.examples_of(some, template, encoder, most=most)
            for some in examples.divided(conversations, config.held_out)
        ]
        rows, held_out = (rows_of(made) for made, _ in parts)
        common: dict[str, Any] = {
            "read": lambda first, count: data.windows_of(rows.batch(rows.numbers(first, count)), "document"),
            "validation": lambda numbers: data.windows_of(held_out.batch(numbers), "document"),
            "loss": next_token_loss,
        }
    else:
        texts, digest = examples.labelled(path)
        labels = tuple(sorted({one.label for one in texts}))
        if len(labels) < 2:
            raise ConfigError(f"train.examples={path}: all labels are {labels[0]!r}; there is nothing to tell apart")
        parts = [classes.examples_of(some, labels, encoder, most=most) for some in examples.divided(texts, config.held_out)]
        rows, held_out = (rows_of(made) for made, _ in parts)
        shape = dataclasses.replace(shape, classes=len(labels))
        common = {
            "read": lambda first, count: classes.batch(rows, rows.numbers(first, count)),
            "validation": lambda numbers: classes.batch(held_out, numbers),
            "loss": classes.loss,
            "right": classes.right,
        }
    learned, cut = sum(len(one) for one in rows.ends), sum(cut for _, cut in parts)
    if not learned:
        raise ConfigError(f"train.examples={path}: no example is left to learn from; lower train.held_out={config.held_out}")
    rows_named = f"rows of {shape.context_tokens} targets"
    source = f"{many(learned, 'example')} in {many(len(rows), 'row')}, {rows.filled:.0%} full"
    progress.say(f"examples: {source}; {count(sum(len(one) for one in held_out.ends))} held out")
    if cut:
        progress.say(f"examples: {count(cut)} longer than the context of {shape.context_tokens} tokens were cut there")
    return Objective(
        config=config,
        shape=shape,
        order=f"{rows_named} of the examples {digest[:NAMED_DIGITS]} after the model {base.weights[:NAMED_DIGITS]}",
        windows=len(rows),
        held_out=len(held_out),
        source=source,
        base=base,
        labels=labels,
        **common,
    )


def _windows(split: Split, numbers: Numbers | list[int], length: int) -> Batch:
    return consecutive(split, np.asarray(numbers, dtype=np.int64), length)


def _text(held: Batch, row: int) -> Text:
    """The targets of a window: in an epoch, every token is one of them once."""
    return Text(held.ids[row, 1:].astype(np.int64), held.kept[row, 1:])
