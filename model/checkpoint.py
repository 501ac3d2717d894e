"""Checkpoints: weights and optimizer as safetensors, all else as JSON.

Purpose: `publish` writes `step-N.weights.safetensors`, `step-N.optimizer.safetensors` and, last, `step-N.json`, which
names the hashes of the other two and holds one of itself; `newest` finds the last one that is whole.
Guarantee: a checkpoint with its JSON is whole, or it is refused with the name of the file at fault; the one before it
is kept until the new one is published. Loading never unpickles, and the JSON alone says how to build the model.
Cost: 12 bytes per parameter on disk for each of the two checkpoints kept, and as much memory again while one is written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from model.gpt import GPT, Shape
from pipeline import files
from pipeline.errors import CorruptFile, StaleInput
from pipeline.files import FileEntry
from pipeline.work import Progress

FORMAT = 1
KEPT = 2
"""So many checkpoints stay: the last, and one to fall back on."""
NAME = re.compile(r"step-(\d{8})\.(json|(?:weights|optimizer)\.safetensors)")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Validation at one step: mean cross-entropy in nats per token over `tokens` tokens."""

    step: int
    tokens: int
    loss: float
    bits_per_byte: float | None = None
    """Only where the whole split was read and the store says how many bytes of text it is."""


@dataclass(frozen=True, kw_only=True)
class State:
    """A run after `step` updates: where its reader stands, what it was made from, what was measured on the way."""

    step: int
    samples: int
    store: str
    tokenizer: str
    seed: int
    end_of_text: int
    shape: Shape
    config: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published checkpoint in `folder`, and the bytes its files hold."""

    folder: Path
    state: State
    files: Mapping[str, FileEntry] = field(default_factory=dict)

    @property
    def json_name(self) -> str:
        return f"{_stem(self.state.step)}.json"


def publish(folder: Path, state: State, model: GPT, optimizer: torch.optim.AdamW) -> Checkpoint:
    """Write a checkpoint, then remove all but the last two. Raises OSError as the operating system does."""
    stem = _stem(state.step)
    # One that was refused may stand under this name: it goes before the first file it names is replaced.
    files.remove(folder / f"{stem}.json")
    tensors = {"weights": model.state_dict(), "optimizer": _optimizer_tensors(model, optimizer)}
    entries = {
        f"{stem}.{kind}.safetensors": files.write_bytes(
            folder / f"{stem}.{kind}.safetensors", safetensors.torch.save({name: t.contiguous() for name, t in part.items()})
        )
        for kind, part in tensors.items()
    }
    plain = _plain(state, entries)
    files.write_json(folder / f"{stem}.json", {**plain, "hash": _hash(plain)})
    for step in _published(folder)[KEPT:]:
        _remove(folder, step)
    return Checkpoint(folder=folder, state=state, files=entries)


def newest(folder: Path, progress: Progress) -> Checkpoint | None:
    """The last checkpoint that is whole, or None where none was ever published.

    One that is cut or changed is said and passed over. Raises CorruptFile when there are some but none is whole.
    """
    refused: CorruptFile | None = None
    for step in _published(folder):
        try:
            return _read(folder, step)
        except CorruptFile as error:
            progress.say(f"{error}; trying the checkpoint before it")
            refused = error
    if refused is not None:
        raise CorruptFile(f"{folder}: no checkpoint is whole; train anew without resuming") from refused
    return None


def require_same(checkpoint: Checkpoint, *, store: str, tokenizer: str, shape: Shape, seed: int) -> None:
    """Raises StaleInput, with both values, when a run on these inputs cannot go on from `checkpoint`."""
    was = checkpoint.state
    pairs = {"store": (was.store, store), "tokenizer": (was.tokenizer, tokenizer), "seed": (was.seed, seed)}
    pairs |= {
        f"shape.{name}": (value, getattr(shape, name))
        for name, value in dataclasses.asdict(was.shape).items()
    }  # fmt: skip
    differing = "; ".join(f"{name} was {old!r} and is {new!r}" for name, (old, new) in pairs.items() if old != new)
    if differing:
        raise StaleInput(
            f"{checkpoint.folder / checkpoint.json_name}: the run cannot go on, because its {differing}; "
            "bring the old values back, or train anew without resuming"
        )


def build(checkpoint: Checkpoint, *, dropout: float = 0.0) -> GPT:
    """The model of a checkpoint, on the CPU. Raises CorruptFile."""
    model = GPT(checkpoint.state.shape, dropout=dropout)
    model.load_state_dict(_tensors(checkpoint, "weights"))
    return model


def restore_optimizer(checkpoint: Checkpoint, model: GPT, optimizer: torch.optim.AdamW) -> None:
    """Put the checkpoint's moments into `optimizer`, whose parameters are those of `model`. Raises CorruptFile."""
    saved = _tensors(checkpoint, "optimizer")
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            key: saved[f"{name}.{key}"].to(parameter.device) for key in ("step", "exp_avg", "exp_avg_sq")
        }


def remove_all(folder: Path) -> None:
    """Remove every checkpoint."""
    for step in _published(folder):
        _remove(folder, step)


def _read(folder: Path, step: int) -> Checkpoint:
    """Read one checkpoint's JSON and compare every byte it names. Raises CorruptFile with the name of the file at fault."""
    path = folder / f"{_stem(step)}.json"
    try:
        data = path.read_bytes()
        plain = json.loads(data)
        claimed = plain.pop("hash")
        whole = claimed == _hash(plain) and data == files.canonical_json({**plain, "hash": claimed})
        if not whole or plain.pop("format") != FORMAT:
            raise CorruptFile(f"{path}: its bytes are not those that were written")
        entries = {name: FileEntry(**entry) for name, entry in plain.pop("files").items()}
        shape = Shape(**plain.pop("shape"))
        evaluations = tuple(Evaluation(**evaluation) for evaluation in plain.pop("evaluations"))
        state = State(**plain, shape=shape, evaluations=evaluations)
    except OSError as error:
        raise CorruptFile(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{path}: is no checkpoint of format {FORMAT}") from error
    for name, entry in entries.items():
        files.inside(folder, name)
        if not files.holds(folder, name, entry):
            raise CorruptFile(f"{folder / name}: is missing, cut, or holds other bytes than {path.name} names")
    return Checkpoint(folder=folder, state=state, files=entries)


def _tensors(checkpoint: Checkpoint, kind: str) -> dict[str, Tensor]:
    name = f"{_stem(checkpoint.state.step)}.{kind}.safetensors"
    data = files.read_verified(checkpoint.folder, name, checkpoint.files[name])
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise CorruptFile(f"{checkpoint.folder / name}: is no safetensors file ({error})") from error


def _optimizer_tensors(model: GPT, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value for name, parameter in model.named_parameters() for key, value in optimizer.state[parameter].items()
    }


def _published(folder: Path) -> list[int]:
    """The steps with a JSON, the last first. What has none was never published."""
    found = (NAME.fullmatch(path.name) for path in folder.glob("step-*.json"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def _remove(folder: Path, step: int) -> None:
    for ending in ("json", "weights.safetensors", "optimizer.safetensors"):
        files.remove(folder / f"{_stem(step)}.{ending}")


def _stem(step: int) -> str:
    return f"step-{step:08d}"


def _plain(state: State, entries: Mapping[str, FileEntry]) -> dict[str, Any]:
    named = {name: dataclasses.asdict(entry) for name, entry in entries.items()}
    return {**dataclasses.asdict(state), "format": FORMAT, "files": named}


def _hash(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(files.canonical_json(plain)).hexdigest()
