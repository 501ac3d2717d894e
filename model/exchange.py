"""A model of Hugging Face's transformers as the first checkpoint of a corpus: the way back of `export`.

Purpose: `train` continues a published GPT-2 or Llama on the text of a corpus; `sample`, `chat` and `export-model` use it.
Guarantee: the weights are those of the folder, exactly, and the logits those of transformers to 1e-4. Whatever the folder's
`config.json` asks for that our parts do not have is refused by name, and so is a tokenizer that gives other ids than the one
that the corpus was packed with. Nothing of the folder runs: weights are read from safetensors alone.
Cost: the weights three times in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tokenmill.model import checkpoint
from tokenmill.model.export import PADDED, name_of
from tokenmill.model.foreign import read_config
from tokenmill.model.gpt import GPT
from tokenmill.model.sample import encoder_of
from tokenmill.model.setup import require_tokenizer
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.model.state import State
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.base.manifest import MODEL
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.config.train import Preset
from tokenmill.pipeline.corpus import TOKENS
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.tokenizer.encode import load

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
"""Files of weights whose reading runs what they hold."""
TYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Float32 holds all numbers of each."""
FIXED = r"\.attn\.(masked_)?bias$|\.rotary_emb\.inv_freq$"
"""Tensors that some folders hold though they follow from the shape: masks, and how positions turn."""
ROWS = (*PADDED, "position.weight")
"""Tensors whose last rows may be of no use."""
THIRDS = {"attention.query": 0, "attention.key": 1, "attention.value": 2}
"""Which part of GPT-2's one matrix they are."""
SHOWN = 5
"""Names in a message."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What `import_model` made."""

    architecture: str
    shape: Shape


def import_model(
    root: Path,
    source: Path,
    config: TrainConfig,
    progress: Progress,
    *,
    context_tokens: int | None = None,
    replace: bool = False,
) -> Imported:
    """Make the model in the folder `source` the checkpoint of step 0 of the corpus in `root`. Call it under the model's lock.

    Parameters
    ----------
    config
        The settings of training; the shape that they name does not matter.
    context_tokens
        A shorter context length than that of the model.
    replace
        Whether an earlier model of the corpus may be lost.

    Raises
    ------
    InputError
        The folder is no GPT-2 or Llama in safetensors, or one that our parts cannot hold; or the corpus has a model.
    StaleInput
        The corpus was packed with a tokenizer that gives other ids.
    NotBuilt
        There is no token store, or the folder has no tokenizer.
    ConfigError
        The folder's tokenizer is no byte-level BPE.
    CorruptFile
        The store is damaged.
    """
    store = TokenStore.open(root / TOKENS)
    require_tokenizer(root, store)
    folder = root / MODEL / checkpoint.FOLDER
    if any(checkpoint.published(folder)) and not replace:
        raise InputError(f"{folder}: holds a model that was trained; give --replace to lose it")
    architecture, shape, dropped = read_config(source, store.vocabulary, context_tokens)
    encoder, _held = encoder_of(root)
    if not load(source, encoder.pattern).gives_ids_of(encoder):
        raise StaleInput(
            f"{source}: its tokenizer gives other ids than the one that {root} was packed with; build the corpus again with "
            f"--set tokenizer.path={source}"
        )
    model = _model(source, architecture, shape)
    for line in dropped:
        progress.say(line)
    state = State(
        step=0,
        samples=0,
        store=store.hash,
        tokenizer=store.tokenizer,
        seed=config.seed,
        order="",
        end_of_text=store.end_of_text,
        shape=shape,
        config=TrainConfig.model_validate(config.model_dump() | settings_of(shape)).model_dump(
            mode="json", exclude={"device", "tensorboard"}
        ),
        imported=architecture,
    )
    manifest.withdraw(root, [MODEL])
    checkpoint.remove_after(folder, -1)
    checkpoint.publish(folder, state, model, None)
    progress.end(f"{architecture} with {shape.parameters:,} parameters in {folder}")
    return Imported(architecture=architecture, shape=shape)


def brought(root: Path) -> dict[str, Any] | None:
    """The settings of the shape of the corpus's model, if it was imported. Raises CorruptFile, NewerFormat."""
    found = checkpoint.newest(root / MODEL / checkpoint.FOLDER, Silent())
    return None if found is None or found.state.imported is None else settings_of(found.state.shape)


def settings_of(shape: Shape) -> dict[str, Any]:
    """The settings of the section `train` that give an imported model's shape; None for what is as in the preset."""
    preset: Preset = "gpt2" if shape.norm == "layer" else "llama"
    usual = {**{name: field.default for name, field in Shape.__dataclass_fields__.items()}, **PRESETS[preset]}
    parts = [name for name in usual if name in TrainConfig.model_fields]
    return {"model": preset} | {name: None if getattr(shape, name) == usual[name] else getattr(shape, name) for name in parts}


def _model(source: Path, architecture: str, shape: Shape) -> GPT:
    """Our model with the weights in `source`. Raises InputError."""
    paths = _files(source)
    # Before a model of this shape takes memory.
    if sum(path.stat().st_size for path in paths) < 2 * shape.parameters:
        raise InputError(f"{source}: config.json describes {shape.parameters:,} parameters, its weights are too small for them")
    theirs = _tensors(paths, architecture)
    head, embedding = theirs.get("lm_head.weight"), theirs.get(name_of("embedding.weight", architecture))
    if shape.tied and head is not None:
        if embedding is None or not torch.equal(head, embedding):
            raise InputError(f"{source}: config.json ties the head to the embedding, and lm_head.weight is another matrix")
        del theirs["lm_head.weight"]
    model = GPT(shape)
    made = {ours: _taken(theirs, ours, like, architecture, source) for ours, like in model.state_dict().items()}
    strange = sorted(theirs.keys() - {_place(ours, architecture)[0] for ours in made})
    if strange:
        raise InputError(f"{source}: has weights that {architecture} has no place for: {_some(strange)}")
    model.load_state_dict(made)
    return model


def _taken(theirs: Mapping[str, Tensor], ours: str, like: Tensor, architecture: str, source: Path) -> Tensor:
    """The tensor of our name `ours` out of `theirs`, in our layout, with padding: shape and dtype of `like`."""
    name, third = _place(ours, architecture)
    if name not in theirs:
        raise InputError(f"{source}: has no weights named {name}, which its config.json asks for")
    whole = theirs[name]
    if not torch.isfinite(whole).all():
        raise InputError(f"{source}: {name} holds numbers that are not finite")
    parts = whole.chunk(3, dim=-1) if third is not None and whole.dim() else (whole,)
    tensor = parts[(third or 0) % len(parts)]
    if architecture == "GPT2LMHeadModel" and whole.dim() == 2 and ".h." in name:
        tensor = tensor.T
    if ours in ROWS:
        # Rows of positions or ids that are not used, and those of our padding, which are 0.
        tensor = torch.cat([tensor[: len(like)], torch.zeros(max(0, len(like) - len(tensor)), *tensor.shape[1:])])
    if tensor.shape != like.shape:
        raise InputError(f"{source}: {name} has the shape {list(whole.shape)}, which is not what config.json describes")
    return tensor.contiguous()


def _place(ours: str, architecture: str) -> tuple[str, int | None]:
    """The name of the tensor that has ours, and which third of its columns ours is, if not all of them."""
    name = name_of(ours, architecture)
    if architecture == "GPT2LMHeadModel":
        for part, third in THIRDS.items():
            if part in name:
                return name.replace(part, "attn.c_attn"), third
    return name, None


def _files(source: Path) -> list[Path]:
    """The files of the weights. Raises InputError where they are a pickle, are missing, or stand elsewhere."""
    names = [WEIGHTS]
    if not (source / WEIGHTS).is_file() and (source / INDEX).is_file():
        try:
            names = sorted(set(map(str, json.loads(files.read_bytes(source / INDEX))["weight_map"].values())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{source / INDEX}: is no index of safetensors ({type(error).__name__})") from error
        if not names or not all(re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names):
            raise InputError(f"{source / INDEX}: names files that are no safetensors beside it")
    missing = [name for name in names if not (source / name).is_file()]
    pickles = sorted(path.name for kind in PICKLES for path in source.glob(kind))
    if missing and pickles:
        raise InputError(
            f"{source}: has {_some(pickles)}, a pickle, which runs what it holds when it is read, and no {missing[0]}; load it "
            "with transformers where you trust it, and save it with save_pretrained(DIR, safe_serialization=True)"
        )
    if missing:
        raise InputError(f"{source}: has no {_some(missing)}")
    return [source / name for name in names]


def _tensors(paths: Sequence[Path], architecture: str) -> dict[str, Tensor]:
    """All tensors in float32, by the names that transformers writes today. Raises InputError."""
    found: dict[str, Tensor] = {}
    for path in paths:
        try:
            with safe_open(path, framework="pt") as opened:
                held = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 -- it is no mapping
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(f"{path}: is not a safetensors file ({error})") from error
        for name, tensor in held.items():
            if re.search(FIXED, name):
                continue
            if tensor.dtype not in TYPES:
                raise InputError(f"{path}: {name} is {tensor.dtype}; weights are read from {', '.join(map(str, TYPES))}")
            # GPT-2's first folders have the names of the model without its head.
            if architecture == "GPT2LMHeadModel" and not name.startswith(("transformer.", "lm_head.")):
                name = f"transformer.{name}"
            if name in found:
                raise InputError(f"{path}: has {name}, as another file has; which one is meant is not known")
            found[name] = tensor.float()
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
