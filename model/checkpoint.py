"""Checkpoints: weights and optimizer state as safetensors, everything else as JSON.

Purpose: `publish` writes `step-N.weights.safetensors`, `step-N.optimizer.safetensors` and, last, `step-N.json`, which
names the hashes of the other two and holds a hash of itself; `newest` finds the last checkpoint that is whole.
Guarantee: a checkpoint that has its JSON is either whole or refused, with the name of the damaged file; the previous checkpoint
is kept until the new one is published. Loading never unpickles, and the JSON alone says how to build the model. A checkpoint
of step 0, of an imported model, has no optimizer's file: any run on the same tokenizer may begin with it.
Cost: 12 bytes per parameter on disk, 8 for those of Muon, for each of the two checkpoints kept, and as much memory while one is
written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from torch import Tensor

from tokenmill.model import older
from tokenmill.model.encoders import Model, model_of
from tokenmill.model.gpt import GPT
from tokenmill.model.optim import Optimizers, Scale, prepare
from tokenmill.model.parallel.exchange import Tensors
from tokenmill.model.state import OBJECTIVES, SPEAKING, State, changed, of_plain, place_of
from tokenmill.pipeline.base import files, formats
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.progress import Progress

FOLDER = "checkpoints"
"""Below the folder of the model."""
KEPT = 2
"""How many checkpoints are kept: the last one, and one to fall back on."""
KINDS = ("weights", "optimizer")
FLOAT32_BYTES = 4
"""Of one parameter in a file. The optimizer's file has one or two such numbers for each."""
NAME = re.compile(r"step-(\d{8,})\.(json|(?:weights|optimizer)\.safetensors)")


_ENTRIES = TypeAdapter(dict[str, FileEntry])
"""It checks the types of what a JSON holds."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published checkpoint."""

    folder: Path
    state: State
    files: Mapping[str, FileEntry]
    """All its files, the JSON included, by their names in `folder`."""

    @property
    def weights(self) -> str:
        """SHA-256 in hex of the file of its weights."""
        return self.files[f"{_stem(self.state.step)}.weights.safetensors"].sha256


def publish(
    folder: Path,
    state: State,
    model: Model,
    optimizers: Optimizers | None,
    scale: Scale | None = None,
    *,
    gathered: Callable[[Tensors], Tensors | None] = lambda tensors: tensors,
) -> Checkpoint:
    """Write a checkpoint of `model`, `optimizers` and the `scale` of the loss to `folder`, then remove all but the last two.

    `optimizers`: None at step 0. `gathered`: makes whole tensors of those that lie in several processes. Where it gives None,
    another process writes them, and the checkpoint that is returned names no files. Raises OSError.
    """
    whole = gathered(tensors_of(model, optimizers, scale))
    if whole is None:
        return Checkpoint(folder=folder, state=state, files={})
    stem = _stem(state.step)
    # A refused checkpoint may have this name: remove its JSON before the first file that it names is replaced.
    files.remove(folder / f"{stem}.json")
    entries: dict[str, FileEntry] = {}
    for kind in _kinds(state.step):
        name = f"{stem}.{kind}.safetensors"
        entries[name] = files.write_bytes(folder / name, safetensors.torch.save(whole[kind]))
    json_entry = files.write_json(folder / f"{stem}.json", formats.sealed(_plain(state, entries)))
    prune(folder)
    return Checkpoint(folder=folder, state=state, files={**entries, f"{stem}.json": json_entry})


def tensors_of(model: Model, optimizers: Optimizers | None, scale: Scale | None) -> Tensors:
    """What a checkpoint holds of numbers, by kind and name; of a model in several processes, the part of this one."""
    optimizer = {} if optimizers is None else {"optimizer": _optimizer_tensors(model, optimizers, scale)}
    return {"weights": model.state_dict(), **optimizer}


def newest(folder: Path, progress: Progress) -> Checkpoint | None:
    """The last checkpoint in `folder` that is whole; None if none was ever published.

    A checkpoint that is cut or changed is reported to `progress` and skipped. Raises CorruptFile if there are checkpoints but
    none is whole; NewerFormat for one of a newer tokenmill.
    """
    refused: CorruptFile | None = None
    for step in published(folder):
        try:
            return _read(folder, step)
        except CorruptFile as error:
            progress.say(f"{error}; trying the checkpoint before it")
            refused = error
    if refused is not None:
        raise CorruptFile(
            f"{folder}: no checkpoint is whole; begin anew with `tokenmill train --restart`, or restore the files"
        ) from refused
    return None


def last(root: Path, tokenizer: str, progress: Progress, *, objective: str = "causal") -> Checkpoint:
    """The last whole checkpoint of the corpus in `root`, if its model reads ids of the `tokenizer` with this fingerprint.

    Raises NotBuilt if nothing was trained, StaleInput for a model of another tokenizer, and as `newest` does.
    """
    folder = root / place_of(objective) / FOLDER
    found = newest(folder, progress)
    if found is None:
        others = [one for one in OBJECTIVES if (root / place_of(one) / FOLDER).is_dir() and one != objective]
        hint = f"; its models have other objectives: {', '.join(others)}" if others else ""
        kind = "trained model" if objective == "causal" else f"trained model of the objective {objective}"
        raise NotBuilt(f"{root} has no {kind}: there is no checkpoint in {folder}{hint}; train it first")
    if found.state.tokenizer != tokenizer:
        raise StaleInput(
            f"{folder}: was trained with the tokenizer {found.state.tokenizer}, but the corpus now has {tokenizer}; train "
            "again (train --restart), or build the corpus with the settings of before"
        )
    return found


def speaking(root: Path, tokenizer: str, progress: Progress, *, objective: str | None = None) -> Checkpoint:
    """The last checkpoint of a model that continues texts: that of `objective`, instructions or causal.

    None: the one that was fine-tuned on instructions, if it began with the causal model that is there now, or if that is gone;
    else the causal one. Raises ConfigError for an objective whose models do not continue texts, and as `last` does.
    """
    if objective is not None:
        if objective not in SPEAKING:
            raise ConfigError(
                f"a model of the objective {objective} does not continue texts; take one of: {', '.join(SPEAKING)}"
            )
        return last(root, tokenizer, progress, objective=objective)
    tuned, causal = (newest(root / place_of(one) / FOLDER, progress) for one in ("instructions", "causal"))
    fits = tuned is not None and (causal is None or tuned.state.base == causal.weights)
    return last(root, tokenizer, progress, objective="instructions" if fits else "causal")


def require_same(found: Checkpoint, wanted: State) -> None:
    """Check that `found` is a state of the run that begins as `wanted` does.

    Raises StaleInput, with both values, if the store, the tokenizer, the seed, the order of the samples, the shape or the
    optimizer differs.
    """
    remedy = "begin anew with `tokenmill train --restart-if-stale`"
    if found.state.imported is not None:
        remedy = "import the model again (`tokenmill import-model`)"
    differing = changed(found.state, wanted)
    if differing:
        raise StaleInput(
            f"{found.folder / _stem(found.state.step)}.json: the run cannot go on, because its {differing}; "
            f"restore the old values, or {remedy}"
        )


def load_model(found: Checkpoint) -> GPT:
    """Build the decoder of a checkpoint, in float32 on the CPU. Raises CorruptFile if its weights are damaged."""
    model = load(found)
    if not isinstance(model, GPT):
        raise ConfigError(f"{found.folder}: is a model of the objective {found.state.objective}, which does not continue texts")
    return model


def load(found: Checkpoint) -> Model:
    """Build the model of a checkpoint, in float32 on the CPU. Raises CorruptFile if its weights are damaged."""
    model = model_of(found.state.shape)
    model.load_state_dict(_tensors(found, "weights", model.state_dict()))
    return model


def restore(found: Checkpoint, model: Model, optimizers: Optimizers, scale: Scale | None = None) -> None:
    """Load the checkpoint's weights into `model`, its moments into the `optimizers`, its `scale` of the loss into that.

    A run that goes on in float16 begins with the first scale. Raises CorruptFile if a file is damaged or holds tensors of other
    names, shapes or dtypes.
    """
    model.load_state_dict(_tensors(found, "weights", model.state_dict()))
    prepare(optimizers)
    if found.state.step == 0:
        return
    was_scaled = found.state.config.get("precision") == "float16"
    kept = (scale or Scale.first(torch.device("cpu"))) if was_scaled else None
    state = _optimizer_tensors(model, optimizers, kept)
    for name, value in _tensors(found, "optimizer", state).items():
        state[name].copy_(value)


def prune(folder: Path) -> None:
    """Remove the files of all steps except the last two published ones. Raises OSError."""
    kept = published(folder)[:KEPT]
    _remove(folder, lambda step: step not in kept)


def remove_after(folder: Path, step: int) -> None:
    """Remove all files of steps after `step`; a run that resumes there will write them again. -1: of all. Raises OSError."""
    _remove(folder, lambda later: later > step)


def _read(folder: Path, step: int) -> Checkpoint:
    """Read one checkpoint's JSON and verify every file that it names.

    Raises CorruptFile with the name of the damaged file; NewerFormat for one of a newer tokenmill.
    """
    path = folder / f"{_stem(step)}.json"
    try:
        data = files.read_bytes(path)
        plain = formats.opened(data, formats.CHECKPOINT, path)
        entries = _ENTRIES.validate_python(plain.pop("files"))
        state = of_plain(plain)
        if state.step != step or set(entries) != {f"{_stem(step)}.{kind}.safetensors" for kind in _kinds(step)}:
            raise CorruptFile(f"{path}: belongs to another step, or names other files than its own")
        # Before a model of this shape takes memory.
        if any(entry.bytes < FLOAT32_BYTES * state.shape.parameters for entry in entries.values()):
            raise CorruptFile(
                f"{path}: names a model of {state.shape.parameters:,} parameters, its files are too small for one"
            )
    except OSError as error:
        raise CorruptFile(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{path}: is not a checkpoint of format {formats.CHECKPOINT.number}") from error
    for name, entry in entries.items():
        if not files.holds(folder, name, entry):
            raise CorruptFile(f"{folder / name}: is missing, cut, or holds other bytes than {path.name} names")
    json_entry = FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return Checkpoint(folder=folder, state=state, files={**entries, path.name: json_entry})


def _tensors(found: Checkpoint, kind: str, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Load the tensors of one file. Raises CorruptFile unless they have the names, shapes and dtypes of `like`."""
    name = f"{_stem(found.state.step)}.{kind}.safetensors"
    data = files.read_verified(found.folder, name, found.files[name])
    try:
        # A file of safetensors holds names, shapes and numbers: unlike torch.load, this runs nothing of it.
        tensors = older.renamed(safetensors.torch.load(data))
    except (SafetensorError, KeyError, ValueError) as error:  # a KeyError: for a dtype that torch has not
        raise CorruptFile(f"{found.folder / name}: is not a safetensors file ({error})") from error
    held, wanted = ({key: (value.shape, value.dtype) for key, value in part.items()} for part in (tensors, like))
    if held != wanted:
        raise CorruptFile(f"{found.folder / name}: holds other tensors than a model of {found.state.shape} has")
    return tensors


def _optimizer_tensors(model: Model, optimizers: Optimizers, scale: Scale | None) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors = {
        f"{names[parameter]}.{key}": value
        for optimizer in optimizers.each.values()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
    return tensors if scale is None else tensors | {"scale": scale.value, "scale.good": scale.good}


def published(folder: Path) -> list[int]:
    """The steps that have a JSON, the last one first; whether they are whole is not known."""
    found = (NAME.fullmatch(path.name) for path in folder.glob("step-*.json"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def _remove(folder: Path, which: Callable[[int], bool]) -> None:
    """Remove the files of the steps for which `which` is true; the JSON of a step goes first, since it sorts first by name."""
    for path in sorted(folder.glob("step-*")):
        match = NAME.fullmatch(path.name)
        if match and which(int(match[1])):
            files.remove(path)


def _kinds(step: int) -> tuple[str, ...]:
    """The files of tensors of a step. Before the first update, the optimizers have nothing to keep."""
    return KINDS if step else KINDS[:1]


def _stem(step: int) -> str:
    return f"step-{step:08d}"


def _plain(state: State, entries: Mapping[str, FileEntry]) -> dict[str, Any]:
    named = {name: dataclasses.asdict(entry) for name, entry in entries.items()}
    return {**formats.CHECKPOINT.header, **dataclasses.asdict(state), "files": named}
