"""Which process does what, and which settings several processes refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.model.runs import Tiny
from tokenmill.model.parallel.layout import ALONE, ProcessLayout, joined, layout_of, require
from tokenmill.model.shape import shape_of
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.tokens.samples import slice_of

CPU = torch.device("cpu")


def test_each_process_has_a_place_and_slices_cover_the_samples() -> None:
    places = [ProcessLayout(pipeline=2, replicate=2, shard=3, tensor=2, rank=rank) for rank in range(24)]
    assert [one.ranks for one in places] == [24] * 24
    assert [one.stage for one in places] == [0] * 12 + [1] * 12
    assert [one.data_rank for one in places] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5] * 2
    slices = {slice_of(60, 12, rank=one.data_rank, ranks=one.data_ranks) for one in places}
    assert sorted(slices) == [(60 + 2 * k, 2) for k in range(6)]
    assert [one.rank for one in places if one.first] == [0]
    assert str(places[0]) == "24 processes: pipeline 2 x replicate 2 x shard 3 x tensor 2"


def test_copies_take_what_other_dimensions_leave(tiny: Tiny) -> None:
    made = layout_of(tiny(shard=2, tensor_parallel=2), 5, 8)
    assert made == ProcessLayout(replicate=2, shard=2, tensor=2, rank=5)
    assert layout_of(tiny(), 0, 1) == ALONE
    with pytest.raises(ConfigError, match=r"shard=3 .* are not the 4 processes .*--nproc-per-node=3 "):
        layout_of(tiny(shard=3), 0, 4)
    with pytest.raises(ConfigError, match=r"data_parallel=2 x .* are not the 4 processes"):
        layout_of(tiny(data_parallel=2), 0, 4)
    with pytest.raises(ConfigError, match=r"not the 1 process of this run; start it with `torchrun .*=2 -m tokenmill train"):
        layout_of(tiny(pipeline_parallel=2), 0, 1)


@pytest.mark.parametrize(
    ("sizes", "changes", "message"),
    [
        ({"replicate": 2}, {"dropout": 0.1}, r"dropout=0\.1 must be 0"),
        ({"replicate": 2}, {"device": "cuda:1"}, "device=cuda:1: several processes need auto, cpu or cuda"),
        ({"replicate": 2}, {"batch_windows": 3}, "batch_windows=3 x accumulate=1 must be a multiple of the 2 slices"),
        ({"shard": 2}, {"batch_windows": 1, "accumulate": 4, "ramp_steps": 3}, "with ramp_steps, batch_windows=1 must be"),
        ({"tensor": 4}, {}, "tensor_parallel=4 must divide heads=2"),
        ({"tensor": 2}, {"kv_heads": 1}, "tensor_parallel=2 must divide kv_heads=1"),
        ({"tensor": 2}, {"hidden": 33}, "tensor_parallel=2 must divide hidden=33"),
        ({"tensor": 3}, {"heads": 3, "width": 18, "hidden": 72}, "tensor_parallel=3 must divide padded vocabulary=128"),
        ({"tensor": 2}, {"compile": True}, "compile=true does not work with tensor_parallel"),
        ({"pipeline": 2}, {"accumulate": 2, "compile": True}, "compile=true does not work with pipeline_parallel"),
        ({"pipeline": 2}, {"accumulate": 2, "ramp_steps": 2}, "ramp_steps does not work with pipeline_parallel"),
        ({"pipeline": 3}, {"accumulate": 3}, "layers=2 must be at least pipeline_parallel=3"),
        ({"pipeline": 2}, {}, "accumulate=1 must be a multiple of data_parallel x shard = 1, and at least 2"),
        ({"pipeline": 2, "replicate": 2}, {"accumulate": 5}, "accumulate=5 must be a multiple of .* = 2, and at least 4"),
    ],
)
def test_what_does_not_work_is_refused(sizes: dict[str, int], changes: dict[str, Any], message: str, tiny: Tiny) -> None:
    config = tiny(**{"dropout": 0.0} | changes)
    with pytest.raises(ConfigError, match=f"^train.{message}"):
        require(ProcessLayout(**sizes), config, shape_of(config, 50), CPU)
    require(ALONE, config, shape_of(config, 50), CPU)


def test_apples_gpus_are_refused(tiny: Tiny) -> None:
    config = tiny(dropout=0.0, device="mps")
    with pytest.raises(ConfigError, match="device=mps: several processes need auto, cpu or cuda"):
        require(ProcessLayout(replicate=2), config, shape_of(config, 50), torch.device("mps"))


def test_one_process_needs_no_group(tiny: Tiny) -> None:
    with joined(tiny()) as layout:
        assert layout == ALONE
        assert (layout.largest(7), layout.sum(8), layout.told([1, "x"])) == (7, 8, [1, "x"])


@pytest.mark.parametrize(("batches", "slices", "made"), [(1, 1, 1), (4, 2, 2), (3, 2, 2), (1, 4, 1), (5, 5, 1)])
def test_batches_of_a_slice(batches: int, slices: int, made: int) -> None:
    assert ProcessLayout(replicate=slices).batches(batches) == made
