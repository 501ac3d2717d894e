"""Random sequences of operations on a corpus, each compared with a corpus in plain Python (`plain`).

Operations change the input or a setting, build, forget, compact, ask, verify, read and export. Some are killed at a random file
operation, fail there, or lose power. After each of them, what a reader of the corpus finds is what plain Python says: counts,
documents, the text behind every token, and nothing of a document that was forgotten.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import shutil
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from tests.faults.builds import published
from tests.faults.cuts import Cut, cut_off
from tests.faults.plain import NAMES, Plain, Seen, Whole, id_of, settings, text
from tokenmill.flows import forgetting
from tokenmill.flows.build import build
from tokenmill.pipeline.ask.status import funnel
from tokenmill.pipeline.ask.verify import problems
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.files import Fault, FaultKind
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import TOKENS, open_corpus
from tokenmill.pipeline.export import export
from tokenmill.pipeline.export.source import ExportSource
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import samples
from tokenmill.tokenizer.encode import FILE, of_corpus
from tokenmill.tokenizer.formats import byte_alphabet

SOAKED, SOAKED_AT_ONCE = 10_000, 250
FAULTS: tuple[FaultKind, ...] = ("eio", "enospc", "short", "memory")
LENGTH = 8
"""Tokens of a sample."""


class Reader:
    """Has the token store open, and knows what it must hold."""

    def __init__(self, root: Path, whole: Whole, forgotten: Set[str]) -> None:
        self.store = TokenStore.open(root / TOKENS)
        self.texts = {id_of(name): text for name, text in whole.packed.items()}
        self.masked = {id_of(name) for name in forgotten}
        byte_of = byte_alphabet()
        vocabulary = json.loads((self.store.folder.parent / FILE).read_bytes())["model"]["vocab"]
        self.bytes_of = {
            id_: bytes(byte_of[one] for one in token) for token, id_ in vocabulary.items() if {*token} <= {*byte_of}
        }

    def read(self, seed: int) -> None:
        """The text behind every token, and which tokens are masked; then all samples of an epoch."""
        found = {}
        for split in self.store.splits:
            at = 0
            for row in split.documents_table().to_pylist():
                ids, kept = split.read(at, at + row["tokens"]), split.kept(at, at + row["tokens"])
                at += row["tokens"]
                assert kept.any() == kept.all() == (row["doc_id"] not in self.masked)
                assert ids[-1] == self.store.end_of_text
                found[row["doc_id"]] = b"".join(self.bytes_of[id_] for id_ in ids[:-1].tolist()).decode()
            assert at == split.tokens
        assert found == self.texts
        if self.store.split("train").windows(LENGTH):
            order = samples(self.store, length=LENGTH, seed=seed, weights=None, aligned=False)
            batch = order.read(0, order.windows)
            assert (batch.ids[~batch.kept] == self.store.end_of_text).all()


class Sequence:
    """One corpus, and what plain Python says of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.draw = random.Random(seed)
        self.source, self.root, self.out = folder / "input", folder / "disk" / "corpus", folder / "out"
        self.plain = Plain()
        self.wholes: list[Whole] = []
        """What may stand there: the corpus of the last build, and after it those of builds that did not come to their end."""
        self.reader: Reader | None = None
        """Opened at some time, and still open."""
        self.file_operations = 0
        """Of the last build."""
        self.source.mkdir()
        self.root.parent.mkdir()
        for name in NAMES[:6]:
            self.write(name, text(self.draw))
        self.build()

    # The input and the settings.

    def write(self, name: str, content: str) -> None:
        self.plain.files[name] = content
        (self.source / name).write_text(content)

    def changed(self) -> str:
        """What an added or edited file holds: a new text, a copy of another, or nothing."""
        kind = self.draw.choices(("new", "copy", "blank"), (6, 2, 1))[0]
        return {"new": text(self.draw), "copy": self.plain.files[self.any_file()], "blank": " \n"}[kind]

    def any_file(self) -> str:
        return self.draw.choice(sorted(self.plain.files))

    def add(self) -> None:
        if absent := [name for name in NAMES if name not in self.plain.files]:
            self.write(self.draw.choice(absent), self.changed())

    def edit(self) -> None:
        self.write(self.any_file(), self.changed())

    def remove(self) -> None:
        if len(self.plain.files) > 3:
            name = self.any_file()
            del self.plain.files[name]
            (self.source / name).unlink()

    def threshold(self) -> None:
        self.plain.min_words = self.draw.randint(3, 25)

    # The corpus.

    def make(self) -> None:
        build(settings(self.source, self.plain.min_words), self.root, workers=1)

    def build(self) -> None:
        while not self.plain.suffices():
            self.write(
                self.draw.choice(sorted({*NAMES} - self.plain.forgotten)), text(self.draw) + " so that it is long enough"
            )
            self.plain.min_words = 3
        files.inject(None)
        self.make()
        self.file_operations = files.operations()
        self.wholes = [self.plain.build()]

    def cut_build(self) -> None:
        if self.plain.suffices():
            with self.cut_off(within=self.file_operations) as cut:
                self.make()
            self.wholes = [*(self.wholes if cut.short else ()), self.plain.build()]

    def failing_build(self) -> None:
        if self.plain.suffices():
            files.inject(Fault(at=self.draw.randrange(self.file_operations), kind=self.draw.choice(FAULTS)))
            with contextlib.suppress(TokenmillError, OSError, MemoryError):
                self.make()
            files.inject(None)
            self.wholes.append(self.plain.build())

    def forget(self) -> None:
        left = sorted({*self.whole.packed} - self.plain.forgotten)
        if len(left) < 3 or len(self.plain.forgotten) >= len(NAMES) // 2:
            return
        name = self.draw.choice(left)
        asked = forgetting.requests([id_of(name).hex()], [], [], None)
        with self.cut_off(within=20) as cut:
            forgetting.forget(self.root, asked)
        (found,) = forgetting.forget(self.root, asked)
        assert found.documents == 1
        assert found.known == 1 or cut.short
        self.plain.forgotten.add(name)

    def compact(self) -> None:
        if not self.plain.forgotten:
            return
        # Forgotten tokens are removed from older versions too, so a reader of one finds nothing more.
        self.reader = None
        with self.cut_off(within=200):
            forgetting.compact(self.root, Silent())
        done = forgetting.compact(self.root, Silent())
        assert done.documents == len(self.plain.forgotten & {*self.whole.kept()})
        self.wholes = [dataclasses.replace(self.whole, left_out=frozenset(self.plain.forgotten))]

    @contextlib.contextmanager
    def cut_off(self, *, within: int) -> Iterator[Cut]:
        power_seed = self.draw.choice((None, self.draw.randrange(10**6)))
        if power_seed is not None:
            self.reader = None
        with cut_off(self.root, self.draw.randrange(within), power_seed) as cut:
            yield cut

    # Questions to a corpus that stands.

    @property
    def whole(self) -> Whole:
        (whole,) = self.wholes
        return whole

    def whatif(self) -> None:
        least = self.draw.randint(3, 25)
        said = what_if(open_corpus(self.root), {"quality.min_words": least})["documents"]
        assert said == {"before": len(self.whole.kept()), "after": len(self.whole.kept(least)), "unknown": 0}

    def verify(self) -> None:
        assert list(problems(self.root, Silent(), of_corpus)) == []

    def export(self) -> None:
        wanted = self.whole.seen(self.plain.forgotten).texts
        assert export(open_corpus(self.root), self.out, "jsonl", Silent()) == len(wanted)
        lines = [json.loads(line) for path in self.out.rglob("*.jsonl") for line in path.read_text().splitlines()]
        assert {bytes.fromhex(line["doc_id"]): line["text"] for line in lines} == wanted

    def read(self) -> None:
        Reader(self.root, self.whole, self.plain.forgotten).read(self.draw.randrange(100))

    def hold(self) -> None:
        """Open a reader, or let one that was opened before read on: it sees the corpus that it was opened on."""
        if self.reader is None:
            self.reader = Reader(self.root, self.whole, self.plain.forgotten)
        else:
            self.reader.read(self.draw.randrange(100))
            self.reader = self.draw.choice((self.reader, None))

    # All of it.

    def seen(self) -> Seen:
        """What a reader finds now."""
        corpus = open_corpus(self.root)
        rows = {row.stage: row for row in funnel(corpus)}
        source = ExportSource(corpus=corpus, licence=None)
        texts = [row for view in source.views for row in source.texts(view)[0].to_pylist()]
        return Seen(
            collected=(rows["collect"].read, rows["collect"].kept),
            duplicates=rows["dedup"].dropped.get("exact_duplicate", 0),
            too_short=rows["quality"].dropped.get("too_few_words", 0),
            packed=rows["pack"].kept,
            texts={bytes.fromhex(row["doc_id"]): row["text"] for row in texts},
        )

    def look(self) -> None:
        if len(self.wholes) == 1:
            assert self.seen() == self.whole.seen(self.plain.forgotten)
            return
        # A build that did not come to its end has left the corpus as it was, or it had published the new one.
        assert self.seen() in [whole.seen(self.plain.forgotten) for whole in self.wholes]

    def step(self) -> None:
        """One operation. While no corpus stands for certain, only those come that lead to one."""
        outside = {"add": 12, "edit": 12, "remove": 8, "threshold": 8}
        builds = {"build": 9, "cut_build": 7, "failing_build": 4}
        standing = {"forget": 4, "compact": 4, "whatif": 10, "verify": 5, "read": 7, "hold": 7, "export": 4}
        weights = outside | builds | (standing if len(self.wholes) == 1 else {})
        name = self.draw.choices([*weights], [*weights.values()])[0]
        getattr(self, name)()
        if name not in outside:
            self.look()

    def end(self) -> None:
        """Bring the corpus up to date: the same bytes as a new one, but for tokens if documents were forgotten."""
        self.build()
        fresh = self.root.with_name("fresh")
        build(settings(self.source, self.plain.min_words), fresh, workers=1)
        found, wanted = published(self.root), published(fresh)
        if self.plain.forgotten:
            texts = ("documents/", "collect/", "dedup/", "quality/", "tokenizer/")
            found, wanted = ({n: h for n, h in one.items() if n.startswith(texts)} for one in (found, wanted))
        assert found == wanted
        shutil.rmtree(fresh)
        self.read()


def run(folder: Path, seed: int, operations: int) -> None:
    sequence = Sequence(folder, seed)
    for _ in range(operations):
        sequence.step()
    sequence.end()


def test_a_sequence_of_operations(tmp_path: Path) -> None:
    run(tmp_path, 0, 20)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(SOAKED // SOAKED_AT_ONCE))
def test_many_operations(tmp_path: Path, part: int) -> None:
    run(tmp_path, 1000 + part, SOAKED_AT_ONCE)
