"""Plans of trainings, and benches, as tables and as JSON values. Cost: none."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from tokenmill.model.bench import PARTS, Bench, Timing
from tokenmill.model.plan import GOOD_EPOCHS, ROOM, Optimum, Repetition, TrainingPlan
from tokenmill.pipeline.base.words import amount, many

BAR = 32
"""Characters of the longest bar."""
DURATIONS = {"years": 365 * 86_400, "days": 86_400, "hours": 3_600, "minutes": 60}


def drawn(plan: TrainingPlan, folder: Path | None) -> tuple[Table, Text]:
    """A row for each thing that is planned, and the command to copy."""
    shape, config = plan.shape, plan.config
    exact = plan.tokens * shape.flops_per_token
    rows = {
        "model": f"{shape.parameters:,} parameters: {many(shape.layers, 'layer')}, {many(shape.heads, 'head')}, width "
        f"{shape.width:,} (preset {config.model}, vocabulary {shape.vocabulary:,})",
        "tokens": f"{number(plan.tokens)}, {plan.tokens / shape.parameters:.3g} for each parameter",
        "operations": f"{plan.flops:.3g}: 6 x parameters x tokens ({exact:.3g} with attention and without look-ups)",
        "Chinchilla": f"{_optimum(plan.chinchilla)} for these operations: 20 tokens a parameter (Hoffmann et al. 2022)",
        "Kaplan": f"{_optimum(plan.kaplan)}: 1.3e9 C^0.73 parameters without embeddings, 2e10 C^0.27 tokens, C in "
        "petaflop/s-days (Kaplan et al. 2020)",
        "batch": f"{number(plan.batch_tokens)} tokens: {config.batch_windows} x {config.accumulate} windows of "
        f"{config.context_tokens:,}; {config.steps:,} updates (0.292 C^0.327 tokens, C in operations: Bi et al. 2024)",
        "learning rate": f"{config.learning_rate:g}, of AdamW (0.312 C^-0.125, at most 3e-3: Bi et al. 2024)"
        + ("; Muon's stays, and `tokenmill range-test` tries others" if config.optimizer == "muon" else ""),
        "memory": _memory(plan),
        "time": _time(plan),
    }
    if plan.corpus is not None:
        rows["corpus"] = _corpus(plan.corpus)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, said in rows.items():
        table.add_row(name, said)
    given = " ".join(f"--set {name}={_toml(value)}" for name, value in plan.settings.items())
    return table, Text(f"\ntokenmill train {folder or 'CORPUS'} {given}")


def as_plain(plan: TrainingPlan) -> dict[str, Any]:
    """The plan as JSON values: counts as numbers, memory in bytes, time in seconds."""
    return {
        "parameters": plan.shape.parameters,
        "shape": dataclasses.asdict(plan.shape),
        "tokens": plan.tokens,
        "tokens_per_parameter": plan.tokens / plan.shape.parameters,
        "flops": plan.flops,
        "flops_per_token": plan.shape.flops_per_token,
        "chinchilla": dataclasses.asdict(plan.chinchilla),
        "kaplan": dataclasses.asdict(plan.kaplan),
        "batch_tokens": plan.batch_tokens,
        "steps": plan.config.steps,
        "learning_rate": plan.config.learning_rate,
        "fits": plan.fits,
        "memory": None if plan.memory is None else {**dataclasses.asdict(plan.memory), "total": plan.memory.total},
        "memory_bytes": plan.memory_bytes,
        "rate": None if plan.rate is None else dataclasses.asdict(plan.rate),
        "seconds": plan.seconds,
        "corpus": None if plan.corpus is None else dataclasses.asdict(plan.corpus),
        "settings": plan.settings,
    }


def measured(found: Bench) -> list[Table | Text]:
    """What ran and how fast, a row for each phase and part of an update, and the verdict."""
    windows = found.config.batch_windows * found.config.accumulate
    said = [
        f"{found.device}, {found.precision}: {found.shape.parameters:,} parameters, {many(windows, 'window')} of "
        f"{found.config.context_tokens:,} tokens for each update",
        f"{found.timing.tokens_per_second:,.0f} tokens/s, {found.teraflops:.3g} teraflops: {found.flops_per_token:,} "
        f"operations a token, {percent(found.head_flops)} of them in the head",
        f"a plain matrix product reaches {found.product_teraflops:.3g} teraflops here",
    ]
    if found.mfu is not None:
        said.append(f"MFU {percent(found.mfu)} of a peak of {found.peak_teraflops:,.3g} teraflops")
    if found.real is not None:
        speed = found.synthetic.tokens_per_second
        said.append(
            f"ids at random: {speed:,.0f} tokens/s; the corpus: {percent(found.real.tokens_per_second / speed)} of that, with "
            f"{percent(found.real.phases['data'] / found.real.seconds)} of an update spent waiting for it"
        )
    return [*map(Text, said), _times(found.timing), Text(f"{found.verdict}.")]


def measured_plain(found: Bench) -> dict[str, Any]:
    """The bench as JSON values: times in seconds."""
    plain = dataclasses.asdict(found) | {"config": found.config.model_dump(mode="json", exclude_none=True)}
    for name, timing in (("synthetic", found.synthetic), ("real", found.real)):
        if timing is not None:
            plain[name]["covered"] = timing.covered
    summary = {"tokens_per_second": found.timing.tokens_per_second, "teraflops": found.teraflops, "mfu": found.mfu}
    return {**plain, **summary, "verdict": found.verdict}


def number(value: float) -> str:
    """1234567 -> 1.23 million; below a million with commas."""
    for name, size in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if value >= size:
            return f"{value / size:,.3g} {name}"
    return f"{value:,.0f}"


def percent(part: float) -> str:
    """0.4912 -> 49.1 %"""
    return f"{100 * part:.3g} %"


def duration(seconds: float) -> str:
    """9000 -> 2.5 hours"""
    name, size = next(((name, size) for name, size in DURATIONS.items() if seconds >= 2 * size), ("seconds", 1))
    return f"{seconds / size:,.3g} {name}"


def _optimum(of: Optimum) -> str:
    return f"{number(of.parameters)} parameters, {number(of.tokens)} tokens"


def _times(timing: Timing) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("an update")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    parts = {
        f"  {said}": timing.parts[name] for name, said in PARTS.items() if name in timing.parts and name not in timing.phases
    }
    for name, seconds in {**timing.phases, "of which": math.nan, **parts}.items():
        if math.isnan(seconds):
            table.add_row(name)
            continue
        share = seconds / timing.seconds
        table.add_row(name, f"{1000 * seconds:.2f}", percent(share), "█" * round(BAR * share))
    table.add_row("phases together", f"{1000 * sum(timing.phases.values()):.2f}", percent(timing.covered))
    return table


def _memory(plan: TrainingPlan) -> str:
    if not plan.fits:
        takes = "weights and activations alone take" if plan.memory is None else f"{plan.memory} are"
        return (
            f"does not fit: {takes} more than the {amount(plan.memory_bytes)} there are; take a larger device (--memory-gb), "
            "several of them, or a smaller budget"
        )
    again = ", activations computed again" if plan.config.recompute else ""
    return f"{plan.memory}{again}; of {amount(plan.memory_bytes)} a plan takes at most {percent(ROOM)}"


def _time(plan: TrainingPlan) -> str:
    if plan.rate is None or plan.seconds is None:
        return "unknown; give --rate TOKENS/S (`tokenmill bench-train` measures it), or --peak-teraflops and --mfu"
    return f"{duration(plan.seconds)} ({plan.rate.source})"


def _corpus(found: Repetition) -> str:
    if found.epochs <= 1:
        said = f"{found.tokens:,} tokens, of which {percent(found.epochs)} are read: nothing is repeated"
    else:
        said = f"{found.tokens:,} tokens, read {found.epochs:,.3g} times: worth {number(found.worth_tokens)} new tokens"
        if found.epochs > GOOD_EPOCHS:
            said += f"; add text, or plan for --tokens {GOOD_EPOCHS * found.tokens:.2g}"
        said += f" (up to {GOOD_EPOCHS} times are nearly as good as new text: Muennighoff et al. 2023)"
    return said + "".join(f"; {name} {epochs:,.3g} times" for name, epochs in found.sources.items())


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
