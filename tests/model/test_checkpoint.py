"""Checkpoints: whole or refused by name, the last two kept, nothing in them runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch

from tests.model.runs import windows_of
from tokenmill.model import checkpoint, optim
from tokenmill.model.checkpoint import Checkpoint
from tokenmill.model.evaluate import Evaluation
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.optim import Optimizers
from tokenmill.model.shape import Shape
from tokenmill.model.state import State
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile, StaleInput
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

SHAPE = Shape(layers=1, heads=2, width=8, context_tokens=8, vocabulary=20)
STATE = State(
    step=0,
    samples=0,
    store="s",
    tokenizer="t",
    seed=3,
    order="o",
    end_of_text=19,
    shape=SHAPE,
    config={"learning_rate": 0.1},
    evaluations=(Evaluation(step=0, tokens=8, loss=0.1 + 0.2),),
)


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def at(step: int) -> State:
    return dataclasses.replace(STATE, step=step, samples=10 * step)


def trained(steps: int) -> tuple[GPT, Optimizers]:
    model = GPT(SHAPE)
    optimizer = optim.optimizers(model, TrainConfig())
    for _ in range(steps):
        advance(model, optimizer)
    return model, optimizer


def advance(model: GPT, optimizer: Optimizers) -> None:
    loss = next_token_loss(model, windows_of(torch.arange(18).reshape(2, 9).tolist())).nats
    loss.backward()  # type: ignore[no-untyped-call]
    optim.update(optimizer, loss.detach(), rate=1.0, clip_norm=1.0, halted=torch.zeros(()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of steps 1 and 2."""
    model, optimizer = trained(1)
    checkpoint.publish(tmp_path / "c", at(1), model, optimizer)
    advance(model, optimizer)
    checkpoint.publish(tmp_path / "c", at(2), model, optimizer)
    return tmp_path / "c"


def test_what_is_published_comes_back(folder: Path) -> None:
    model, optimizer = trained(2)
    found = checkpoint.newest(folder, Silent())
    assert found is not None
    assert found.state == at(2)
    other = GPT(SHAPE, seed=9)
    moments = optim.optimizers(other, TrainConfig())
    checkpoint.restore(found, other, moments)
    advance(model, optimizer)
    advance(other, moments)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert all(files.holds(folder, name, entry) for name, entry in found.files.items())


def test_the_last_two_are_kept_and_strays_removed(folder: Path) -> None:
    (folder / "step-00000001.json").unlink()  # a crash while step 1 was removed
    (folder / "step-00000009.weights.safetensors").write_bytes(b"never published")
    (folder / "notes.txt").write_text("not ours")
    checkpoint.publish(folder, at(3), *trained(3))
    assert sorted({path.name.partition(".")[0] for path in folder.iterdir()}) == ["notes", "step-00000002", "step-00000003"]
    assert len(list(folder.glob("step-*"))) == 6


def test_none_was_ever_published(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nowhere", Silent()) is None
    (tmp_path / "step-00000001.weights.safetensors").write_bytes(b"cut by a crash")
    assert checkpoint.newest(tmp_path, Silent()) is None


@pytest.mark.parametrize("ending", ["json", "weights.safetensors", "optimizer.safetensors"])
def test_every_flip_and_cut_is_refused_by_name_and_the_one_before_is_used(folder: Path, ending: str) -> None:
    path = folder / f"step-00000002.{ending}"
    whole = path.read_bytes()
    places = range(0, len(whole), max(1, len(whole) // 25))
    broken = [whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :] for place in places]
    broken += [whole[:place] for place in places] + [whole[:-1], whole + b"\n"]
    for data in broken:
        path.write_bytes(data)
        told = Told()
        found = checkpoint.newest(folder, told)
        assert found is not None
        assert found.state == at(1)
        assert len(told.lines) == 1
        assert told.lines[0].startswith(f"{path}: ")
        assert told.lines[0].endswith("; trying the checkpoint before it")


def test_no_whole_checkpoint_is_an_error_and_not_a_fresh_start(folder: Path) -> None:
    for step in (1, 2):
        (folder / f"step-{step:08d}.weights.safetensors").unlink()
    with pytest.raises(CorruptFile, match="no checkpoint is whole; begin anew with `tokenmill train --restart`"):
        checkpoint.newest(folder, Silent())


def test_a_refused_checkpoint_is_replaced_by_the_run_that_goes_on(folder: Path) -> None:
    path = folder / "step-00000002.weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    checkpoint.publish(folder, at(2), *trained(2))
    assert path.read_bytes() == whole
    found = checkpoint.newest(folder, Silent())
    assert found is not None
    assert found.state.step == 2


def test_a_changed_file_is_found_again_when_it_is_loaded(folder: Path) -> None:
    found = checkpoint.newest(folder, Silent())
    assert found is not None
    path = folder / "step-00000002.weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match="step-00000002.weights.safetensors"):
        checkpoint.load_model(found)


def rewrite(folder: Path, **changes: object) -> None:
    """Step 2's JSON with other values and a hash that fits them: what someone who knows the format could make."""
    path = folder / "step-00000002.json"
    plain = {**json.loads(path.read_bytes()), **changes}
    del plain["hash"]
    plain["hash"] = hashlib.sha256(files.canonical_json(plain)).hexdigest()
    path.write_bytes(files.canonical_json(plain))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 1},
        {"files": {}},
        {"files": {"../../etc/passwd": {"bytes": 1, "sha256": "0" * 64, "rows": None}}},
        {"shape": {"layers": 1}},
        {"shape": {"layers": 1, "heads": 3, "width": 8, "context_tokens": 8, "vocabulary": 20}},
        {"step": 7},
        {"evaluations": [1]},
        {"samples": "many"},
        {"shape": {"layers": 0, "heads": 2, "width": 8, "context_tokens": 8, "vocabulary": 20}},
        {"shape": {"layers": 1, "heads": 0, "width": 8, "context_tokens": 8, "vocabulary": 20}},
        {"shape": {"layers": 2**40, "heads": 2, "width": 8, "context_tokens": 8, "vocabulary": 20}},
        {"shape": {"layers": 1, "heads": 2, "width": 8, "context_tokens": 8, "vocabulary": 2**40}},
        {"shape": {"layers": 1, "heads": 2, "width": 8, "context_tokens": 2**40, "vocabulary": 20, "positions": "sinusoidal"}},
    ],
)
def test_a_made_up_json_is_refused(folder: Path, changes: dict[str, object]) -> None:
    rewrite(folder, **changes)
    told = Told()
    found = checkpoint.newest(folder, told)
    assert found is not None
    assert found.state.step == 1
    assert "step-00000002.json" in told.lines[0]


def test_weights_of_another_shape_or_a_pickle_are_refused(folder: Path) -> None:
    path = folder / "step-00000002.weights.safetensors"
    entries = json.loads((folder / "step-00000002.json").read_bytes())["files"]
    torch.save({"wte.weight": torch.zeros(5_000)}, path)
    data = path.read_bytes()
    entries[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "rows": None}
    rewrite(folder, files=entries)
    found = checkpoint.newest(folder, Silent())
    assert found is not None
    with pytest.raises(CorruptFile, match="weights.safetensors: is not a safetensors file"):
        checkpoint.load_model(found)
    path.write_bytes((folder / "step-00000002.optimizer.safetensors").read_bytes())
    entries[path.name] = entries["step-00000002.optimizer.safetensors"]
    rewrite(folder, files=entries)
    found = checkpoint.newest(folder, Silent())
    assert found is not None
    with pytest.raises(CorruptFile, match="weights.safetensors: holds other tensors"):
        checkpoint.load_model(found)


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ({}, 2**63),
        ({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, None),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**60]}}, None),
        ({"a": {"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]}}, None),
        ({"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, None),
        (
            {
                "wte.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "h.0.attn.c_attn.weight": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
            },
            None,
        ),
    ],
)
def test_made_up_headers_of_weights_take_no_memory_and_are_refused(
    folder: Path, header: dict[str, object], length: int | None
) -> None:
    path = folder / "step-00000002.weights.safetensors"
    entries = json.loads((folder / "step-00000002.json").read_bytes())["files"]
    plain = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", length or len(plain)) + plain + bytes(8))
    entries[path.name] = {"bytes": 10**6, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": None}
    rewrite(folder, files=entries)
    found = checkpoint.newest(folder, Silent())
    assert found is not None
    assert found.state.step == 1, "the file is smaller than its entry"
    state = dataclasses.replace(found.state, step=2)
    named = {name: FileEntry(**entry) for name, entry in entries.items()}
    with pytest.raises(CorruptFile, match=r"weights.safetensors: (is not a safetensors file|holds other tensors)"):
        checkpoint.load_model(Checkpoint(folder=folder, state=state, files=named))


def test_another_run_is_refused_with_all_that_differs(folder: Path) -> None:
    found = checkpoint.newest(folder, Silent())
    assert found is not None
    checkpoint.require_same(found, dataclasses.replace(STATE, config={"learning_rate": 7}))
    other = dataclasses.replace(STATE, store="x", shape=dataclasses.replace(SHAPE, width=16))
    with pytest.raises(StaleInput, match=r"step-00000002.json: .* store was 's' and is 'x'; shape.width was 8 and is 16;"):
        checkpoint.require_same(found, other)
