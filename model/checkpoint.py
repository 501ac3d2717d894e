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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from tokenmill.model.evaluate import Evaluation
from tokenmill.model.gpt import GPT, Shape
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile, StaleInput
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.progress import Progress

FORMAT = 3
FOLDER = "checkpoints"
"""Below the folder of the model."""
KEPT = 2
"""So many checkpoints stay: the last, and one to fall back on."""
KINDS = ("weights", "optimizer")
NAME = re.compile(r"step-(\d{8,})\.(json|(?:weights|optimizer)\.safetensors)")


@dataclass(frozen=True, kw_only=True)
class State:
    """A run after `step` updates: where its reader stands, what it was made from, what was measured on the way."""

    step: int
    samples: int
    store: str
    tokenizer: str
    seed: int
    order: str
    """Of the samples, beside the seed (`tokenmill.pipeline.tokens.samples`)."""
    end_of_text: int
    shape: Shape
    config: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published checkpoint: all its files, by their names in `folder`, and the bytes they hold."""

    folder: Path
    state: State
    files: Mapping[str, FileEntry]


def publish(folder: Path, state: State, model: GPT, optimizer: torch.optim.AdamW) -> Checkpoint:
    """Write a checkpoint, then remove all but the last two. Raises OSError as the operating system does."""
    stem = _stem(state.step)
    # One that was refused may stand under this name: it goes before the first file it names is replaced.
    files.remove(folder / f"{stem}.json")
    entries: dict[str, FileEntry] = {}
    for kind, tensors in zip(KINDS, (model.state_dict(), _optimizer_tensors(model, optimizer)), strict=True):
        name = f"{stem}.{kind}.safetensors"
        entries[name] = files.write_bytes(folder / name, safetensors.torch.save(tensors))
    plain = _plain(state, entries)
    json_entry = files.write_json(folder / f"{stem}.json", {**plain, "hash": _hash(plain)})
    prune(folder)
    return Checkpoint(folder=folder, state=state, files={**entries, f"{stem}.json": json_entry})


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
        raise CorruptFile(
            f"{folder}: no checkpoint is whole; train anew without resuming (as after removing {folder.parent})"
        ) from refused
    return None


def require_same(found: Checkpoint, wanted: State) -> None:
    """Raises StaleInput, with both values, when `found` is no earlier state of a run that begins as `wanted` does."""
    was, now = _identity(found.state), _identity(wanted)
    differing = "; ".join(f"{name} was {was[name]!r} and is {now[name]!r}" for name in was if was[name] != now[name])
    if differing:
        raise StaleInput(
            f"{found.folder / _stem(found.state.step)}.json: the run cannot go on, because its {differing}; "
            f"bring the old values back, or train anew without resuming (as after removing {found.folder.parent})"
        )


def _identity(state: State) -> dict[str, Any]:
    """What stays the same over a run: the samples and their order, and which tensors there are."""
    shape = {f"shape.{name}": value for name, value in dataclasses.asdict(state.shape).items()}
    return {"store": state.store, "tokenizer": state.tokenizer, "seed": state.seed, **shape, "order": state.order}


def load_model(found: Checkpoint) -> GPT:
    """The model of a checkpoint, on the CPU. Raises CorruptFile."""
    model = GPT(found.state.shape)
    model.load_state_dict(_tensors(found, "weights", model.state_dict()))
    return model


def restore(found: Checkpoint, model: GPT, optimizer: torch.optim.AdamW) -> None:
    """Put the checkpoint's weights and moments into `model` and the `optimizer` of its parameters. Raises CorruptFile."""
    model.load_state_dict(_tensors(found, "weights", model.state_dict()))
    for parameter in model.parameters():
        moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}
    state = _optimizer_tensors(model, optimizer)
    for name, value in _tensors(found, "optimizer", state).items():
        state[name].copy_(value)


def prune(folder: Path) -> None:
    """Remove the files of all steps but the last two that were published; nothing where that is done."""
    kept = _published(folder)[:KEPT]
    _remove(folder, lambda step: step not in kept)


def remove_after(folder: Path, step: int) -> None:
    """Remove what a run that goes on from `step` will make anew: all files of later steps."""
    _remove(folder, lambda later: later > step)


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
        if state.step != step or set(entries) != {f"{_stem(step)}.{kind}.safetensors" for kind in KINDS}:
            raise CorruptFile(f"{path}: is of another step, or names other files than its own")
    except OSError as error:
        raise CorruptFile(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{path}: is no checkpoint of format {FORMAT}") from error
    for name, entry in entries.items():
        if not files.holds(folder, name, entry):
            raise CorruptFile(f"{folder / name}: is missing, cut, or holds other bytes than {path.name} names")
    json_entry = FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return Checkpoint(folder=folder, state=state, files={**entries, path.name: json_entry})


def _tensors(found: Checkpoint, kind: str, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one file, with the names, shapes and types of `like`."""
    name = f"{_stem(found.state.step)}.{kind}.safetensors"
    data = files.read_verified(found.folder, name, found.files[name])
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CorruptFile(f"{found.folder / name}: is no safetensors file ({error})") from error
    held, wanted = ({key: (value.shape, value.dtype) for key, value in part.items()} for part in (tensors, like))
    if held != wanted:
        raise CorruptFile(f"{found.folder / name}: holds other tensors than a model of {found.state.shape} has")
    return tensors


def _optimizer_tensors(model: GPT, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _published(folder: Path) -> list[int]:
    """The steps with a JSON, the last first. What has none was never published."""
    found = (NAME.fullmatch(path.name) for path in folder.glob("step-*.json"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def _remove(folder: Path, which: Callable[[int], bool]) -> None:
    """Remove the files of the steps that `which` names; of each step the JSON first, since it is the first by name."""
    for path in sorted(folder.glob("step-*")):
        match = NAME.fullmatch(path.name)
        if match and which(int(match[1])):
            files.remove(path)


def _stem(step: int) -> str:
    return f"step-{step:08d}"


def _plain(state: State, entries: Mapping[str, FileEntry]) -> dict[str, Any]:
    named = {name: dataclasses.asdict(entry) for name, entry in entries.items()}
    return {**dataclasses.asdict(state), "format": FORMAT, "files": named}


def _hash(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(files.canonical_json(plain)).hexdigest()
