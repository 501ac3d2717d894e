"""What a training begins with: device, precision, model, optimizers.

Guarantee: a first model depends on the settings and the tokens alone; one that goes on has the numbers of its checkpoint.
Cost: with `unigram_offset`, one pass over the tokens (1 GB/s) before the first update.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed

from tokenmill.model import checkpoint, optim
from tokenmill.model.checkpoint import Checkpoint
from tokenmill.model.encoders import Model, model_of, stack_of
from tokenmill.model.optim import Optimizers, Scale
from tokenmill.model.parallel.divided import Divided
from tokenmill.model.parallel.exchange import Tensors
from tokenmill.model.parallel.layout import ALONE, ProcessLayout
from tokenmill.model.parallel.prepare import buffers_of
from tokenmill.model.parallel.prepare import prepare as divide
from tokenmill.model.shape import Shape
from tokenmill.pipeline.base import files, manifest, versions
from tokenmill.pipeline.base.errors import ConfigError, StaleInput
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import Split, TokenStore
from tokenmill.pipeline.tokens.facts import TokenizerFacts

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
COMPILERS = {"cpu": ("g++",), "cuda": ("gcc", "clang", "cc"), "mps": ("g++", "clang++")}
"""What torch's compiler calls, by the type of the device; one is enough."""
COUNTED_AT_ONCE = 1 << 22
"""Tokens."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the first update of a call needs."""

    model: Model
    optimizers: Optimizers
    scale: Scale | None
    """Of the loss, in float16."""
    divided: Divided
    """The model as it lies in several processes, or in this one alone."""


def prepare(
    store: TokenStore,
    shape: Shape,
    config: TrainConfig,
    *,
    device: torch.device,
    precision: torch.dtype,
    found: Checkpoint | None = None,
    base: Checkpoint | None = None,
    layout: ProcessLayout = ALONE,
) -> Prepared:
    """A new model, or one with the weights of `base`, or that of the checkpoint `found`, on `device`.

    In several processes the first one makes it in the memory of its host, and the others get their parts of it. Raises
    ConfigError, CorruptFile.
    """
    require_compiler(config, device)
    scale = Scale.first(device) if precision == torch.float16 else None
    whole: Tensors | None = None
    if layout.first:
        model = model_of(shape, dropout=config.dropout, seed=config.seed, recompute=config.recompute)
        stack = stack_of(model)
        if found is None and base is not None:
            tensors = checkpoint.load_model(base).state_dict()
            stack.load_state_dict({name: tensors[name] for name in stack.state_dict()})
        elif found is None and shape.unigram_offset:
            stack.offset[: store.vocabulary] = log_frequencies(store.split("train"), store.vocabulary)
            # An id that stands in no text is taken for an average one.
            stack.offset[store.vocabulary : shape.vocabulary] = -math.log(store.vocabulary)
        optimizers = optim.optimizers(model.to("cpu" if layout.grouped else device), config)
        if found is not None:
            checkpoint.restore(found, model, optimizers, scale)
        elif layout.grouped:
            optim.prepare(optimizers)
        whole = checkpoint.tensors_of(model, optimizers, scale) | {"buffers": buffers_of(model)}
    if layout.grouped:
        made, optimizers = divide(layout, shape, config, whole, device=device, precision=precision, scale=scale)
        return Prepared(model=made.model, optimizers=optimizers, scale=scale, divided=made)
    if config.compile:
        for block in model.blocks:
            block.compile()
    return Prepared(model=model, optimizers=optimizers, scale=scale, divided=Divided(model=model))


def require_compiler(config: TrainConfig, device: torch.device) -> None:
    """Raises ConfigError where layers are to be compiled and nothing is installed that compiles for `device`."""
    if config.compile and not any(map(shutil.which, COMPILERS[device.type])):
        wanted = ", ".join(COMPILERS[device.type])
        raise ConfigError(f"train.compile=true, but there is none of {wanted} here; install one, or set train.compile=false")


def log_frequencies(split: Split, vocabulary: int) -> Tensor:
    """The logarithm of how often each id occurs in a split, as if each occurred once more: float32 [vocabulary].

    Forgotten documents do not count.
    """
    counts = np.ones(vocabulary)
    for first in range(0, split.tokens, COUNTED_AT_ONCE):
        last = min(first + COUNTED_AT_ONCE, split.tokens)
        counts += np.bincount(split.read(first, last)[split.kept(first, last)], minlength=vocabulary)
    return torch.from_numpy(np.log(counts / counts.sum())).float()


def require_tokenizer(root: Path, store: TokenStore) -> None:
    """Check that the store was packed with the tokenizer of the corpus, which decodes what the model says.

    A corpus without one is a store alone. Raises StaleInput, with both hashes, and CorruptFile.
    """
    folder = versions.reading(root).folder
    made = manifest.find(folder, TOKENIZER)
    if made is None:
        return
    held = manifest.facts(made, TokenizerFacts).fingerprint
    if held != store.tokenizer:
        raise StaleInput(
            f"{store.folder}: was packed with the tokenizer {store.tokenizer}, but the corpus has {held}; run the build again, "
            "which packs the text anew"
        )
    for name, entry in made.entries():
        files.read_verified(folder, name, entry)


def device_of(name: str, layout: ProcessLayout = ALONE) -> torch.device:
    """The device named `name`; "auto" chooses a GPU if there is one. Raises ConfigError if it does not exist.

    Of several processes on a machine, each has the GPU of its number there.
    """
    if layout.grouped and torch.cuda.is_available() and name in ("auto", "cuda"):
        number, gpus = distributed.get_node_local_rank(fallback_rank=layout.rank), torch.cuda.device_count()
        if number >= gpus:
            raise ConfigError(f"process {number} of this machine has no GPU, for there are {gpus}; start at most {gpus} on it")
        torch.cuda.set_device(number)
        return torch.device("cuda", number)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not {"cpu": True, "mps": torch.backends.mps.is_available()}.get(name, (device.index or 0) < gpus):
        raise ConfigError(f"train.device={name}: this machine has no such device; set train.device to auto or cpu")
    return device


def precision_of(name: str, device: torch.device) -> torch.dtype:
    """The type of matrix products. "auto" chooses bfloat16 on a GPU that has it.

    Raises ConfigError for bfloat16 on a GPU that would only imitate it.
    """
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" and has_bfloat16(device) else "float32"
    elif name == "bfloat16" and device.type == "cuda" and not has_bfloat16(device):
        raise ConfigError(
            f"train.precision=bfloat16: {torch.cuda.get_device_name(device)} has no bfloat16; set train.precision to float16, "
            "float32 or auto"
        )
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    return PRECISIONS[name]


def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU computes in bfloat16 itself."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
