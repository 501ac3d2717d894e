"""A run of the fuzzer: batches of mutants, each batch in a process of its own, until a count or a time is reached.

Guarantee: the mutants depend on the seed and the format alone. A batch that fails is divided until the files that fail alone
are found; they are saved.
Cost: what the readers cost, and one fork for each batch.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import child
from tests.fuzz.mutate import Mutant, mutant
from tests.fuzz.seeds import Seed

Check = Callable[[Sequence[Mutant], Path], list[str]]
"""What is done with a batch, in a process of its own. Returns what is wrong."""
Make = Callable[[Seed, Sequence[Seed], random.Random], Mutant]
SECONDS = 60.0
"""CPU seconds that one hostile file may take in all."""
WALL_SECONDS = 900.0
"""When a batch counts as hanging."""
PEAK_BYTES = 512 << 20
"""Memory that hostile files may take beyond what the same batch of whole files takes."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A mutant that fails alone, or the first of a batch that fails together only."""

    format: str
    how: str
    problem: str
    saved: Path


@dataclass(kw_only=True)
class Figures:
    """What became of the mutants of one format."""

    format: str
    inputs: int = 0
    failures: list[Failure] = field(default_factory=list)
    cpu_seconds: float = 0.0
    worst_seconds: float = 0.0
    """The most CPU seconds of a single file, or of a batch where no file of it was looked at alone."""
    peak_bytes: int = 0
    """The largest resident memory beyond that of a batch of whole files."""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """How one format is fuzzed. `seeds`: what is mutated; `others`: what may be spliced in."""

    format: str
    seeds: Sequence[Seed]
    others: Sequence[Seed]
    check: Check
    batch: int
    folder: Path
    saved: Path
    make: Make = mutant
    harmless: Sequence[Seed] | None = None
    """Files whose memory is the measure. Without them the seeds are; with them the seeds are hostile themselves."""

    def run(self, *, seed: int, inputs: int | None = None, seconds: float | None = None) -> Figures:
        """Run until so many inputs or so many seconds of wall time, whichever comes first; at least one batch."""
        figures = Figures(format=self.format)
        whole = [_whole(one) for one in self.harmless or self.seeds]
        base = self._ended(whole)
        if wrong := _problems(base):
            self._fail(figures, whole[:1], wrong)
        begun = time.monotonic()
        for one in self.seeds if self.harmless else ():
            self._judge(figures, [_whole(one)], base.peak_bytes, first=True)
        for batch in self._batches(seed):
            self._judge(figures, batch if inputs is None else batch[: inputs - figures.inputs], base.peak_bytes, first=True)
            if (inputs is not None and figures.inputs >= inputs) or (
                seconds is not None and time.monotonic() - begun > seconds
            ):
                return figures
        return figures

    def _batches(self, seed: int) -> Iterator[list[Mutant]]:
        draw = random.Random(f"{self.format}:{seed}")
        while True:
            yield [self.make(draw.choice(self.seeds), self.others, draw) for _ in range(self.batch)]

    def _judge(self, figures: Figures, batch: Sequence[Mutant], base_bytes: int, *, first: bool) -> None:
        ended = self._ended(batch)
        alone = len(batch) == 1
        more = max(0, ended.peak_bytes - base_bytes)
        problems = _problems(ended)
        if ended.cpu_seconds > SECONDS:
            problems.append(f"took {ended.cpu_seconds:.1f} s of CPU")
        if more > PEAK_BYTES:
            problems.append(f"took {more >> 20} MiB of memory")
        if first:
            figures.inputs += len(batch)
            figures.cpu_seconds += ended.cpu_seconds
        if not problems or alone:
            figures.worst_seconds = max(figures.worst_seconds, ended.cpu_seconds)
            figures.peak_bytes = max(figures.peak_bytes, more)
        if not problems:
            return
        if alone:
            self._fail(figures, batch, problems)
            return
        before = len(figures.failures)
        for part in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            self._judge(figures, part, base_bytes, first=False)
        if _problems(ended) and len(figures.failures) == before:
            self._fail(figures, batch, [f"only in a batch of {len(batch)}", *problems])

    def _ended(self, batch: Sequence[Mutant]) -> child.Ended:
        return child.run(
            lambda: self.check(batch, self.folder / "batch"),
            wall_seconds=WALL_SECONDS,
            cpu_seconds=int(60 + 2 * len(batch)),
            log=self.folder / "log",
        )

    def _fail(self, figures: Figures, batch: Sequence[Mutant], problems: Sequence[str]) -> None:
        self.saved.mkdir(parents=True, exist_ok=True)
        one = batch[0]
        saved = self.saved / f"{self.format}-{len(figures.failures):04d}-{one.seed.ending.strip('.').replace('/', '_')}"
        for number, each in enumerate(batch):
            (saved if len(batch) == 1 else saved.with_name(f"{number:03d}-{saved.name}")).write_bytes(each.data)
        text = "\n".join(problems)
        figures.failures.append(Failure(format=self.format, how=one.how, problem=text, saved=saved))


def _whole(seed: Seed) -> Mutant:
    return Mutant(seed=seed, data=seed.file, how="whole", damaged=False)


def _problems(ended: child.Ended) -> list[str]:
    return [ended.problem] if ended.problem else ended.answer


def table(all_figures: Sequence[Figures]) -> str:
    """The figures as text, one line a format."""
    lines = [f"{'format':12} {'inputs':>7} {'failures':>8} {'CPU s':>8} {'worst s':>8} {'peak MiB':>8}"]
    for one in all_figures:
        lines.append(
            f"{one.format:12} {one.inputs:7} {len(one.failures):8} {one.cpu_seconds:8.1f} {one.worst_seconds:8.2f} "
            f"{one.peak_bytes >> 20:8}"
        )
    total = sum(one.inputs for one in all_figures), sum(len(one.failures) for one in all_figures)
    return "\n".join([*lines, f"{'all':12} {total[0]:7} {total[1]:8}"])


def kinds_of(figures: Figures) -> Mapping[str, list[Failure]]:
    """The failures by the last line of their problem, since many mutants find the same fault."""
    found: dict[str, list[Failure]] = {}
    for one in figures.failures:
        found.setdefault(one.problem.strip().rpartition("\n")[2][:160], []).append(one)
    return found
