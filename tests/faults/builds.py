"""A small build, and a process that runs it in forked children, each with a fault of its own.

A child costs the build alone: imports and kernels are loaded once, before the forks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.faults.environments import Environment
from tests.faults.power import PowerLoss
from tokenmill.flows.build import Building, build, outline
from tokenmill.pipeline import config
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.stages import settings as settings_of
from tokenmill.pipeline.stages import table

WORDS = ("the", "of", "and", "that", "corpus", "token", "shard", "text", "model", "data", "byte", "word", "line", "merge")
QUESTION = "Which word of this list stands at the end of every line that was ever merged?"
MENU = "Home | News | About this corpus\n"
UNPUBLISHED = ("runs", "model", "export")
ENDED_SECONDS = 100
"""After so long, a build without memory is ended."""


def write_input(folder: Path) -> None:
    """A few files with duplicates, a line that repeats, a broken record, and enough words for a tokenizer; also e-mail
    addresses, a host on a list, and an item of a quiz, whose files stand beside the folder."""
    chosen = random.Random(0)
    folder.mkdir(parents=True)
    texts = [" ".join(chosen.choices(WORDS, k=120)) + f".\n{MENU}" for _ in range(13)]
    for number, text in enumerate(texts[:8]):
        (folder / f"{number}.txt").write_text(f"{text}Write to author{number}@example.org.\n")
    (folder / "same.txt").write_text(f"{texts[0]}Write to author0@example.org.\n")
    (folder / "near.txt").write_text(texts[1] + "one more line.\n")
    (folder / "quiz.txt").write_text(f"{texts[12]}{QUESTION}\n")
    hosts = ("bad.example", "good.example", "good.example", "good.example")
    records = [{"text": text, "url": f"https://{host}/"} for text, host in zip(texts[8:12], hosts, strict=True)]
    lines = [json.dumps(record) for record in records] + ['{"text": "cut']
    folder.with_name("quiz").write_text(QUESTION + "\n")
    folder.with_name("hosts").write_text("bad.example\n")
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")


def settings(source: Path) -> config.Config:
    plain = {
        "stages": [kind.name for kind in table.STAGES],
        "collect": {"paths": [str(source)], "shard_bytes": 6000, "quarantine_ceiling": 0.2},
        "urls": {"lists": {"hosts": {"paths": [str(source.with_name("hosts"))]}}},
        "decontamination": {"sets": {"quiz": {"path": str(source.with_name("quiz"))}}, "action": "cut"},
        "language": {"threshold": 0.0},
        "repeats": {"min_documents": 3, "counts": "bloom", "expected_units": 100},
        "quality": {"recipe": "docs@1"},
        "tokenizer": {"vocabulary": 300, "min_frequency": 1},
        "pack": {"shard_tokens": 1000, "validation_fraction": 0.2},
    }
    return settings_of.parse(plain, where="test")


def published(root: Path) -> dict[str, str]:
    """What is published: SHA-256 by name; records of runs and hidden files are not."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {part for part in path.relative_to(root).parts if part.startswith(".") or part in UNPUBLISHED}
    }


@dataclass(frozen=True, kw_only=True)
class LittleMemory:
    """Let the build take no more than this beyond what its process has at the start: some allocation in it fails."""

    more_bytes: int

    def arm(self) -> None:
        """Limit this process."""
        has = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + self.more_bytes, has + self.more_bytes))
        # Python waits for ever for a thread that finds no memory before it can say that it has begun.
        signal.alarm(ENDED_SECONDS)


def names(root: Path) -> set[str]:
    """The names of all files below a corpus but the records of runs: hidden and temporary ones too.

    A build that is resumed may publish another number of version; then it is the only one.
    """
    every = [path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.parent != root / "runs"]
    numbers = {path.parts[1] for path in every if path.parts[0] == ".versions"}
    number = numbers.pop() if len(numbers) == 1 else None
    return {re.sub(rf"^[.]versions/{number}/", ".versions/1/", path.as_posix()) for path in every}


AnyFault = Fault | PowerLoss | LittleMemory | Environment


def quietly(source: Path, root: Path, fault: AnyFault | None, workers: int, answer: Connection) -> None:
    """In a child: a build. An error of ours, of the operating system or of an allocation is printed, and ends it with 1."""
    lose = fault.arm(root.parent) if isinstance(fault, PowerLoss) else None
    files.inject(fault if isinstance(fault, Fault) else None)
    if isinstance(fault, LittleMemory):
        fault.arm()
    try:
        if isinstance(fault, Environment):
            fault.run(root, lambda: build(settings(source), root, workers=workers))
        else:
            build(settings(source), root, workers=workers)
    except (TokenmillError, OSError, MemoryError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if lose is not None:
        lose()
    answer.send(files.operations())


def serve(source: Path, warm: Path, asked: Connection) -> None:
    """In a process of its own: load the kernels once, then fork for each (root, fault, workers) asked for a child that builds.

    Answers with the child's number, then with its exit code and how many file operations it took. Ends with who asks.
    """
    # No machine loses power here (`PowerLoss` is a model of that), so nothing waits for the disk.
    os.fsync = lambda descriptor: None
    first = Building(config=settings(source), root=warm, executor=InProcess(), progress=Silent())
    # All but packing: threads of the encoder would not survive the fork.
    for name in list(outline(first.config))[:-1]:
        first.perform(name)
    fork = multiprocessing.get_context("fork")
    with contextlib.suppress(EOFError):
        while True:
            here, there = fork.Pipe(duplex=False)
            child = fork.Process(target=quietly, args=(source, *asked.recv(), there))
            child.start()
            asked.send(child.pid)
            child.join()
            asked.send((child.exitcode, here.recv() if here.poll() else None))


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """The input, what a build of it leaves and publishes, how many file operations it took, and a server for more builds."""

    source: Path
    wanted: dict[str, str]
    names: set[str]
    operations: int
    server: Connection

    def start(self, root: Path, fault: AnyFault | None = None, *, workers: int = 1) -> int:
        """Start a build in a child, and return its process number. A power loss leaves what it leaves of `root.parent`."""
        self.server.send((root, fault, workers))
        return int(self.server.recv())

    def ended(self) -> int:
        """Wait for the child, and return its exit code."""
        return int(self.server.recv()[0])

    def build(self, root: Path, fault: AnyFault | None = None) -> int:
        """The exit code of a build in a child."""
        self.start(root, fault)
        return self.ended()
