"""A model of power loss: what a file system may leave of a folder when its machine stops at a file operation.

Purpose: `Power` watches the file operations of this process, and knows of each file and each name what has reached the disk. At
operation k it makes one state that a file system may leave, drawn by a seed. `PowerLoss` puts it in place and ends the process.
What it takes for granted: a file keeps the bytes that its last fsync saw, and a folder the names that its last fsync saw. All
else is open, each by itself, so in any order: a name may stand for each file that it has stood for since, or for none; a file
may be cut, or hold zeros or other bytes, from the end of its synced bytes on. A folder whose own name was not synced may be
gone with all that is in it.
Cost: one listing of a folder per operation, and an open descriptor for each file and folder that was ever there.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.files.faults import Operation

SECTOR = 512
"""Bytes that reach the disk together, or not at all."""


@dataclass
class _Node:
    """A file or a folder, whatever its names are. Its descriptor is kept open, so that its number is not given again."""

    descriptor: int
    is_folder: bool
    synced_bytes: int = 0
    names: dict[str, list[int | None]] = field(default_factory=dict)
    """Of a folder: what each name has stood for since the last fsync, by number, the synced value first; None for nothing."""


class Power:
    """Watches the operations of this process below the folder `disk`. What is there at the start counts as synced."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._nodes: dict[int, _Node] = {}
        self._syncing: Callable[[], None] | None = None
        self._top = self._number(disk)
        self._look_everywhere(disk)
        for node in self._nodes.values():
            _fsync(node)()

    def watch(self, operation: Operation, path: Path) -> None:
        """Note what the operation before this one has made durable, and what is there before this one."""
        self._settle()
        for folder in reversed([path, *path.parents]):
            if folder.is_relative_to(self._disk) and folder.is_dir():
                self._look(folder)
        if operation in ("fsync", "fsync_folder") and path.is_relative_to(self._disk):
            self._syncing = _fsync(self._nodes[path.stat().st_ino])

    def fail(self, after: Path, seed: int) -> None:
        """Lose power: make the folder `after` one of the states in which the disk may be left."""
        self._settle()
        self._look_everywhere(self._disk)
        self._leave(self._top, after, _Draw(random.Random(seed)), {})

    def close(self) -> None:
        """Let go of all files and folders."""
        for node in self._nodes.values():
            os.close(node.descriptor)

    def _settle(self) -> None:
        if self._syncing is not None:
            self._syncing()
            self._syncing = None

    def _number(self, path: Path) -> int:
        found = path.lstat()
        if found.st_ino not in self._nodes:
            is_folder = stat.S_ISDIR(found.st_mode)
            assert is_folder or stat.S_ISREG(found.st_mode), f"{path} is neither a file nor a folder"
            self._nodes[found.st_ino] = _Node(descriptor=os.open(path, os.O_RDONLY), is_folder=is_folder)
        return found.st_ino

    def _look(self, folder: Path) -> None:
        """Note what each name in a folder stands for now."""
        node = self._nodes[self._number(folder)]
        there = {name: self._number(folder / name) for name in os.listdir(folder)}
        for name in sorted({*there, *node.names}):
            values = node.names.setdefault(name, [None])
            if values[-1] != there.get(name):
                values.append(there.get(name))

    def _look_everywhere(self, folder: Path) -> None:
        for path, _, _ in os.walk(folder):
            self._look(Path(path))

    def _leave(self, number: int, path: Path, draw: _Draw, placed: dict[int, Path]) -> None:
        """Write one file or folder as it may be left. `placed`: where those already written are, by number."""
        node = self._nodes[number]
        if number in placed:
            # Two names of one file have the same bytes. A folder has one name: it stays where it was found first.
            if not node.is_folder:
                os.link(placed[number], path)
            return
        placed[number] = path
        if not node.is_folder:
            path.write_bytes(draw.content(node))
            path.chmod(stat.S_IMODE(os.fstat(node.descriptor).st_mode))
            return
        path.mkdir()
        for name, values in sorted(node.names.items()):
            chosen = draw.value(values)
            if chosen is not None:
                self._leave(chosen, path / name, draw, placed)


@dataclass
class _Draw:
    """Draws what is left. Some draws are of one kind throughout: nothing of the names was written yet, or all of them."""

    random: random.Random

    def __post_init__(self) -> None:
        self._newest = self.random.choice((0.0, 0.5, 0.9, 1.0))
        self._fate = self.random.choice(("whole", "synced", "zeros", "other", "any", "any"))

    def value(self, values: list[int | None]) -> int | None:
        return values[-1] if self.random.random() < self._newest else self.random.choice(values)

    def content(self, node: _Node) -> bytes:
        size = os.fstat(node.descriptor).st_size
        data = os.pread(node.descriptor, size, 0)
        head, tail = data[: node.synced_bytes], data[node.synced_bytes :]
        fate = self.random.choice(("whole", "synced", "zeros", "other", "sectors")) if self._fate == "any" else self._fate
        if fate == "whole":
            return data
        if fate == "synced":
            return head
        if fate == "zeros":
            return head + bytes(len(tail))
        if fate == "other":
            return head + self.random.randbytes(len(tail))
        parts = [tail[start : start + SECTOR] for start in range(0, len(tail), SECTOR)]
        kept = parts[: self.random.randint(0, len(parts))]
        return head + b"".join(self.random.choice((part, bytes(len(part)))) for part in kept)


def _fsync(node: _Node) -> Callable[[], None]:
    """Begin an fsync; call the result when it has ended. Only what is there now is certain to be on the disk then."""
    synced_bytes = 0 if node.is_folder else os.fstat(node.descriptor).st_size
    newest = {name: len(values) - 1 for name, values in node.names.items()}

    def ended() -> None:
        node.synced_bytes = synced_bytes
        for name, position in newest.items():
            del node.names[name][:position]

    return ended


@dataclass(frozen=True, kw_only=True)
class PowerLoss:
    """Power is lost at file operation `at` (from 0), or when the build has ended, if it takes fewer."""

    at: int
    seed: int

    def arm(self, disk: Path) -> Callable[[], None]:
        """Watch this process. Returns what loses power when the build has ended."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        power, after = Power(disk), disk.with_name(f"{disk.name}.after")
        # The model knows what is synced, and the process ends here: nothing has to wait for the real disk.
        os.fsync = lambda descriptor: None

        def lose() -> None:
            power.fail(after, self.seed)
            shutil.rmtree(disk)
            after.rename(disk)
            os._exit(files.EXIT_BY_FAULT)

        def watcher(operation: Operation, path: Path) -> None:
            power.watch(operation, path)
            if files.operations() == self.at:
                lose()

        files.watch(watcher)
        return lose
