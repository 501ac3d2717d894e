"""Where the time of an update goes: data, forward, backward, optimizer; and which part of the device's peak it uses.

Guarantee: on a GPU, times are those of its own clock, and the host does not wait for it. The share of the peak (MFU) counts the
operations that the model needs, not those that are made twice.
Cost: a microsecond for each phase.
"""

from __future__ import annotations

import itertools
import time

import torch

PEAKS = {
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "H200": 989.0,
    "B200": 2250.0,
    "A100": 312.0,
}
"""Dense matrix products in bfloat16 or float16, in 10^12 operations per second, by a part of the device's name (NVIDIA's data
sheets)."""


class Phases:
    """The seconds of each phase of the updates since they were last asked for."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[str, float | torch.cuda.Event]] = []

    def mark(self, phase: str) -> None:
        """What comes now belongs to `phase`, until the next mark; "" for nothing that counts."""
        if not self._on_gpu:
            self._marks.append((phase, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._marks.append((phase, event))

    def taken(self, updates: int) -> dict[str, float]:
        """Seconds of each phase, for each of `updates` updates. The device has reached the last mark; counting begins anew."""
        sums: dict[str, float] = {}
        for (phase, begun), (_, ended) in itertools.pairwise(self._marks):
            if phase:
                sums[phase] = sums.get(phase, 0.0) + _between(begun, ended)
        self._marks.clear()
        return {phase: round(seconds / max(1, updates), 6) for phase, seconds in sums.items()}


def peak_teraflops(device: torch.device, precision: torch.dtype) -> float | None:
    """What the device computes at most in `precision`; None if that is not known."""
    if device.type != "cuda" or precision == torch.float32:
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def _between(begun: float | torch.cuda.Event, ended: float | torch.cuda.Event) -> float:
    if isinstance(begun, float) and isinstance(ended, float):
        return ended - begun
    milliseconds: float = begun.elapsed_time(ended)  # type: ignore[union-attr, arg-type]
    return milliseconds / 1000
