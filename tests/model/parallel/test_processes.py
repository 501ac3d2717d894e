"""Several processes, started by torchrun, train what one process trains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.model.runs import Make, StopAt, Stopped, Tiny, log_of
from tokenmill.model.train import train
from tokenmill.pipeline.base import files, manifest, schema
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import forget

pytestmark = pytest.mark.soak

REPOSITORY = Path(__file__).parents[3]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
TWO = {
    "copies": {"data_parallel": 2},
    "shards": {"shard": 2},
    "tensors": {"tensor_parallel": 2},
    "pipeline": {"pipeline_parallel": 2},
}
FOUR = {
    "copies": {},
    "shards": {"shard": 4},
    "copies of shards": {"shard": 2, "data_parallel": 2},
    "tensors": {"tensor_parallel": 4},
    "copies of tensors": {"tensor_parallel": 2},
    "shards of tensors": {"tensor_parallel": 2, "shard": 2},
    "pipeline": {"pipeline_parallel": 4},
    "copies of pipelines": {"pipeline_parallel": 2},
    "pipelines of shards": {"pipeline_parallel": 2, "shard": 2},
    "pipelines of tensors": {"pipeline_parallel": 2, "tensor_parallel": 2},
}
MODELS = {
    "gpt2": {"model": "gpt2"},
    "modern": {"model": "modern", "optimizer": "muon", "sliding_window": 7},
    "llama": {"model": "llama", "optimizer": "muon", "heads": 8, "kv_heads": 4, "attention": "window"},
}


class Torchrun(subprocess.Popen[str]):
    """torchrun, in a session of its own, on this machine only."""

    def __init__(self, processes: int, *arguments: str) -> None:
        # A pipe would stay open as long as a helper of torch's compiler lives.
        self.printed = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- `ended` closes it
        command = [*TORCHRUN, f"--nproc-per-node={processes}", *arguments]
        super().__init__(command, cwd=REPOSITORY, start_new_session=True, stdout=self.printed, stderr=subprocess.STDOUT)

    def ended(self) -> str:
        """What it printed. Nothing of it is left: torchrun ends its processes if it is asked to."""
        try:
            self.wait(timeout=240)
        finally:
            if self.poll() is None:
                self.terminate()
                self.wait(timeout=50)
        with self.printed:
            self.printed.seek(0)
            return self.printed.read()


def together(processes: int, jobs: Sequence[dict[str, Any]], folder: Path) -> str:
    (folder / "jobs.json").write_text(json.dumps(jobs))
    running = Torchrun(processes, "-m", "tests.model.parallel.worker", str(folder / "jobs.json"))
    printed = running.ended()
    assert running.returncode == 0 or any(signal.SIGKILL in (job.get("stop") or ()) for job in jobs), printed[-4000:]
    return printed


def job(root: Path, config: TrainConfig, layout: dict[str, Any], stop: Sequence[int] | None = None) -> dict[str, Any]:
    return {"root": str(root), "config": config.model_dump(mode="json") | layout, "stop": stop}


def tensors_of(root: Path, kind: str = "weights") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(max((root / "model/checkpoints").glob(f"*.{kind}.safetensors")))


def masked(root: Path) -> Path:
    """Without every seventh document."""
    gone = [schema.doc_id("train", str(row)).hex() for row in range(0, 30, 7)]
    forget.forget(root, [forget.request_ids("ids_file", "gone", gone)])
    return root


def require_equal(root: Path, whole: Path, *, loss: float = 1e-6, weights: float = 1e-4) -> None:
    """Losses, norms, weights and moments are those of the run in one process, and so are the samples of each update."""
    ours, theirs = log_of(root), log_of(whole)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for name in one.keys() & {"loss", "validation_loss", "bits_per_byte"}:
            assert one[name] == pytest.approx(other[name], rel=loss), f"{name} of step {one['step']}"
        if "gradient_norm" in one:
            assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=100 * loss)
    for kind in ("weights", "optimizer"):
        made, wanted = (tensors_of(one, kind) for one in (root, whole))
        assert made.keys() == wanted.keys()
        for name, value in made.items():
            torch.testing.assert_close(value, wanted[name], rtol=0, atol=weights, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("processes", "layouts"), [(2, TWO), (4, FOUR)])
def test_every_layout_trains_what_one_process_trains(
    processes: int, layouts: dict[str, dict[str, int]], model: str, make_store: Make, tiny: Tiny, tmp_path: Path
) -> None:
    sizes: dict[str, Any] = {"layers": 4, "heads": 4, "width": 32, "batch_windows": 1, "accumulate": 8}
    config = tiny(**sizes | MODELS[model], dropout=0.0, steps=5)
    whole = masked(make_store(folder="whole"))
    train(whole, config, Silent())
    roots = {name: masked(make_store(folder=name)) for name in layouts}
    together(processes, [job(roots[name], config, layout) for name, layout in layouts.items()], tmp_path)
    for name, root in roots.items():
        require_equal(root, whole)
        assert not list(manifest.problems(root, manifest.load(root, "model"))), name
        slices = processes // (layouts[name].get("tensor_parallel", 1) * layouts[name].get("pipeline_parallel", 1))
        reads = {tuple(one) for rank in range(processes) for one in json.loads((root / f"reads-{rank}.json").read_text())}
        wanted = {(first, 1) for first in range(5 * 8)}
        # Batches are read ahead of the last update.
        assert {one for one in reads if one[0] < 40} == wanted, name
        for rank in range(processes):
            ours = [tuple(one) for one in json.loads((root / f"reads-{rank}.json").read_text())]
            assert [one for one in ours if one[0] < 40] == sorted(set(ours) & wanted), name
            assert len(set(ours) & wanted) == 40 // slices, name


@pytest.mark.parametrize(
    ("changes", "loss", "weights"),
    [
        ({"recompute": True, "loss_chunk_tokens": 7, "z_loss": 1e-2}, 1e-6, 1e-4),
        # One matrix product becomes two, each of which is rounded.
        ({"precision": "bfloat16"}, 1e-4, 1e-2),
        ({"precision": "float16"}, 1e-5, 1e-2),
    ],
)
def test_options_hold_in_every_layout(
    changes: dict[str, Any], loss: float, weights: float, make_store: Make, tiny: Tiny, tmp_path: Path
) -> None:
    config = tiny(model="modern", optimizer="muon", dropout=0.0, batch_windows=2, accumulate=2, steps=4, **changes)
    whole = masked(make_store(folder="whole"))
    train(whole, config, Silent())
    roots = {name: masked(make_store(folder=name)) for name in TWO}
    together(2, [job(roots[name], config, layout) for name, layout in TWO.items()], tmp_path)
    for root in roots.values():
        require_equal(root, whole, loss=loss, weights=weights)


def test_a_growing_batch_is_divided(make_store: Make, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(dropout=0.0, batch_windows=2, accumulate=3, ramp_steps=5, steps=8)
    whole, root = make_store(folder="whole"), make_store(folder="copies")
    train(whole, config, Silent())
    together(2, [job(root, config, {})], tmp_path)
    require_equal(root, whole)


@pytest.mark.filterwarnings("ignore")  # Torch's compiler uses what torch deprecates, and fails where that is an error.
def test_compiled_layers_are_copied_and_sharded(make_store: Make, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(model="modern", optimizer="muon", dropout=0.0, steps=3, compile=True)
    whole = make_store(folder="whole")
    train(whole, config, Silent())
    roots = {name: make_store(folder=name) for name in ("copies", "shards")}
    together(2, [job(roots[name], config, TWO[name]) for name in roots], tmp_path)
    for root in roots.values():
        require_equal(root, whole)


def test_a_run_killed_in_four_processes_goes_on_in_two_and_ends_in_one(make_store: Make, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(model="modern", optimizer="muon", dropout=0.0, batch_windows=2, accumulate=4, layers=4)
    whole, root = make_store(folder="whole"), make_store(folder="stopped")
    train(whole, config, Silent())
    printed = together(4, [job(root, config, FOUR["shards of tensors"], [2, 6, signal.SIGKILL])], tmp_path)
    assert "WorkerDied: train: process" in printed
    assert [path.name for path in (root / "model/checkpoints").glob("*.json")] == ["step-00000004.json"]
    # One process is asked to stop, and all do.
    printed = together(2, [job(root, config, TWO["pipeline"], [1, 5, signal.SIGTERM])], tmp_path)
    assert all(f"rank {rank}, signal {int(signal.SIGTERM)}: stopped after step 9" in printed for rank in range(2))
    assert max((root / "model/checkpoints").glob("*.json")).name == "step-00000009.json"
    together(2, [job(root, config, TWO["tensors"], [0, 2, signal.SIGINT])], tmp_path)
    assert train(root, config, Silent()).steps_now == 1
    for kind in ("weights", "optimizer"):
        made, wanted = (tensors_of(one, kind) for one in (root, whole))
        for name, value in made.items():
            torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-4)


def test_a_run_of_one_process_goes_on_in_four(make_store: Make, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(dropout=0.0, batch_windows=2, accumulate=4)
    whole, root = make_store(folder="whole"), make_store(folder="stopped")
    train(whole, config, Silent())
    with pytest.raises(Stopped):
        train(root, config, StopAt(7))
    together(4, [job(root, config, FOUR["pipelines of tensors"]), job(root, config, FOUR["copies"])], tmp_path)
    for kind in ("weights", "optimizer"):
        made, wanted = (tensors_of(one, kind) for one in (root, whole))
        for name, value in made.items():
            torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_under_torchrun_stops_with_a_checkpoint_and_goes_on(built: Path, number: signal.Signals) -> None:
    """SIGTERM goes to torchrun, which sends it on; Ctrl-C goes to all processes of a terminal."""
    settings = {"context_tokens": 8, "batch_windows": 2, "layers": 2, "width": 16, "shard": 2, "checkpoint_every": 10_000}
    settings |= {"steps": 100_000, "evaluate_every": 100_000, "sample_tokens": 0}
    options = [f"--set=train.{name}={value}" for name, value in settings.items()]
    log = built / "model/log.jsonl"
    log.unlink(missing_ok=True)
    running = Torchrun(2, "-m", "tokenmill", "train", str(built), "--restart", "--set=train.device=cpu", *options)
    printed: list[str] = []
    try:
        while not log.exists() or log.read_text().count("gradient_norm") < 20:
            assert running.poll() is None, running.ended()
        if number == signal.SIGTERM:
            running.send_signal(number)
        else:
            os.killpg(running.pid, number)
    finally:
        printed.append(running.ended())
    assert printed[0].count("stopping after this update") == 1, printed
    assert printed[0].count("2 processes: shard 2") == 1
    (made,) = (built / "model/checkpoints").glob("*.json")
    steps = json.loads(made.read_bytes())["step"]
    assert f"stopped after step {steps}" in printed[0]
    with files.lock(built / "model"):
        pass
    again = ["train", str(built), "--set=train.device=cpu", *options, f"--set=train.steps={steps + 5}"]
    done = Torchrun(2, "-m", "tokenmill", *again).ended()
    assert "curves, samples and settings" in done
    assert len({line["step"] for line in log_of(built) if "loss" in line}) == steps + 5
    assert manifest.load(built, "model").facts["step"] == steps + 5


def test_refusals_are_said(built: Path) -> None:
    refused = Torchrun(2, "-m", "tokenmill", "train", str(built), "--set=train.tensor_parallel=4")
    printed = refused.ended()
    assert refused.returncode != 0
    assert "are not the 2 processes of this run; start it with `torchrun --standalone --nproc-per-node=4 -m" in printed
