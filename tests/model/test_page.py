"""What a training leaves to look at: its page, and events for TensorBoard."""

from __future__ import annotations

import json
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.model.runs import Make, SignalAt, StopAt, Stopped, Tiny, Told, log_of, published
from tokenmill.model import tensorboard
from tokenmill.model.log import TrainingLog
from tokenmill.model.train import train
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import Diverged, Interrupted
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.progress import Silent


def page_of(root: Path) -> str:
    return (root / "model/training.html").read_text()


def test_a_page_is_written_at_each_checkpoint_and_at_the_end(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    with pytest.raises(Stopped):
        train(root, tiny(), StopAt(6))
    assert "After 4 updates of 12 on 256 tokens" in page_of(root)
    assert "The run goes on" in page_of(root)
    train(root, tiny(), Silent())
    assert "After 12 updates on 768 tokens (1.26 epochs)" in page_of(root)
    assert "2 layers of width 16, 2 heads, a context of 16 tokens" in page_of(root)
    assert "600 tokens in 30 documents" in page_of(root)
    assert "The run goes on" not in page_of(root)


def test_a_run_that_ends_early_says_why(make_store: Make, tiny: Tiny) -> None:
    root, told = make_store(), SignalAt(3, signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(root, tiny(), told)
    assert "After 3 updates of 12" in page_of(root)
    assert "The run ended early.</strong> stopped after step 3; run the same command again" in page_of(root)
    train(root, tiny(), Silent())
    assert "ended early" not in page_of(root)
    lost, said = make_store(folder="lost"), Told()
    with pytest.raises(Diverged):
        train(lost, tiny(steps=60, learning_rate=50.0, min_learning_rate=50.0, warmup_steps=0, checkpoint_every=60), said)
    assert "The run ended early.</strong> train: the loss of the last" in page_of(lost)
    assert said.lines[-1] == f"what it learned until then: {lost}/model/training.html"


def test_a_full_disk_hides_no_other_error(make_store: Make, tiny: Tiny) -> None:
    """The page of a run that diverged cannot be written: the error is that it diverged."""
    root = make_store()
    settings = {"steps": 60, "learning_rate": 50.0, "min_learning_rate": 50.0, "warmup_steps": 0, "checkpoint_every": 60}
    files.inject(None)
    with pytest.raises(Diverged):
        train(root, tiny(**settings), Silent())
    last = files.operations()
    other = make_store(folder="other")
    files.inject(Fault(at=last - 1, kind="enospc"))
    try:
        with pytest.raises(Diverged):
            train(other, tiny(**settings), Silent())
    finally:
        files.inject(None)


def test_page_and_events_change_nothing_that_is_published(make_store: Make, tiny: Tiny) -> None:
    plain, shown = make_store(folder="plain"), make_store(folder="shown")
    train(plain, tiny(), Silent())
    train(shown, tiny(tensorboard=True), Silent())
    assert published(plain) == published(shown)
    assert not (plain / "model/tensorboard").exists()
    assert {"training.html", "tensorboard"} & {name.split("/")[1] for name in published(shown)} == set()


Field = tuple[int, Any]


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message of protocol buffers: number, and an int, 4 or 8 bytes as a float, or bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            piece = data[at : at + size]
            at += size
            yield number, struct.unpack({1: "<d", 5: "<f"}[kind], piece)[0] if kind in (1, 5) else piece


def slow_crc32c(data: bytes) -> int:
    """Bit by bit, as polynomials are divided."""
    value = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            low = (value ^ byte >> bit) & 1
            value = value >> 1 ^ (0x82F63B78 if low else 0)
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    value = slow_crc32c(data)
    return ((value >> 15 | value << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def events(path: Path) -> list[dict[str, Any]]:
    """The events of a file, read by hand, their checksums compared."""
    data, found = path.read_bytes(), []
    while data:
        size, check = struct.unpack("<QI", data[:12])
        event, data = data[12:], data[12 + size + 4 :]
        event, check_event = event[:size], struct.unpack("<I", event[size : size + 4])[0]
        assert (check, check_event) == (masked(struct.pack("<Q", size)), masked(event))
        parts = dict(fields(event))
        values = [dict(fields(value)) for number, value in fields(parts.get(5, b"")) if number == 1]
        scalars = {value[1].decode(): value[2] for value in values if 2 in value}
        texts = {value[1].decode(): dict(fields(value[8]))[8].decode() for value in values if 8 in value}
        assert all(dict(fields(value[9])) == {1: b"\x0a\x04text"} for value in values if 8 in value)
        session = dict(fields(parts[7]))[1] if 7 in parts else None
        found.append({"step": parts.get(2, 0), "version": parts.get(3), "session": session, **scalars, **texts})
        assert 1e9 < parts[1] < 1e11
    return found


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert tensorboard.crc32c(b"123456789") == slow_crc32c(b"123456789") == 0xE3069283
    assert tensorboard.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


def test_events_are_the_lines_of_the_log(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    train(root, tiny(tensorboard=True), Silent())
    (path,) = (root / "model/tensorboard").iterdir()
    first, start, *rest = events(path)
    assert (first["version"], start["session"], start["step"]) == (b"brain.Event:2", 1, 0)
    log = log_of(root)
    assert [one["step"] for one in rest] == [line["step"] for line in log]
    for one, line in zip(rest, log, strict=True):
        for name, tag in tensorboard.TAGS.items():
            assert one.get(tag) == (pytest.approx(line[name], rel=1e-6) if name in line else None)
    assert rest[-1]["validation_loss_by_source/val"] == pytest.approx(log[-1]["sources"]["val"], rel=1e-6)  # type: ignore[index]


def test_samples_and_numbers_too_large_are_events(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, step=0, events=True)
    log.append({"step": 300, "sample": "# no heading\n<b>é\u202e</b>"})
    log.append({"step": 2**40, "loss": 1e300, "seconds": {"data": 0.25}, "bits_per_byte": None, "skipped": True})
    log.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    _, _, sample, large = events(path)
    assert (sample["step"], sample["sample"]) == (300, "    # no heading\n    <b>é\u202e</b>")
    assert large["step"] == 2**40
    assert large["train/loss"] == pytest.approx(3.4028235e38)
    assert large["seconds_per_update/data"] == 0.25


def test_a_run_that_goes_on_takes_back_what_it_says_again(make_store: Make, tiny: Tiny) -> None:
    """Killed after step 6, it goes on after the checkpoint of step 4, in a file of its own."""
    root = make_store()
    with pytest.raises(Stopped):
        train(root, tiny(tensorboard=True, evaluate_every=3), StopAt(6))
    first, _ = train(root, tiny(tensorboard=True, evaluate_every=3), Silent()), None
    assert first.steps_now == 8
    before, after = sorted((root / "model/tensorboard").iterdir())
    assert max(one["step"] for one in events(before)) == 4
    start = events(after)[1]
    assert (start["session"], start["step"]) == (1, 5)


def test_tensorboard_itself_reads_them(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for step, cut in ((0, 20), (6, 0)):
        log = TrainingLog(tmp_path, step=step, events=True)
        for number in range(step + 1, step + 11):
            log.append({"step": number, "loss": float(number + step)})
        log.append({"step": step + 10, "sample": "text"})
        log.close()
        path = sorted((tmp_path / "tensorboard").iterdir())[-1]
        # A kill cuts the last event.
        path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    read.Reload()
    points = [(one.step, one.value) for one in read.Scalars("train/loss")]
    assert points == [*((step, step) for step in range(1, 7)), *((step, step + 6) for step in range(7, 17))]
    assert [one.tensor_proto.string_val[0] for one in read.Tensors("sample")] == [b"    text"]


def test_the_log_is_what_it_was_before(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, step=0, events=False)
    log.append({"step": 1, "loss": 2.0})
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 1, "loss": 2.0}
