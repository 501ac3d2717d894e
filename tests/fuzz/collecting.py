"""Mutated input files through collection, many in one folder, with whole neighbours before and after them.

What must hold, whatever the files are:

- The step ends well; with a ceiling of 1 no file may end it.
- Rows are conserved, in every shard and in the tables that are published.
- Each file has a document or a record that says why not.
- The neighbours' documents are those of a collection without mutants.
- Of a file that is only damaged, every document is there or a record says that something was lost.
- Each whole line of a JSON Lines file is a document.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from tests.fuzz.mutate import Mutant
from tests.fuzz.seeds import Seed
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.collect import installed
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig
from tokenmill.pipeline.stages.step import Work, perform

NEIGHBOURS = {"!first.jsonl": b'{"text": "first 1"}\n{"text": "first 2"}\n', "~last.txt": b"last\n"}
"""Their names sort before and after those of all mutants."""


@dataclass(kw_only=True)
class Found:
    """What a collection made of each file, by the file's name."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    """Those of the rejected records whose id another record had before, in this or in another mutant."""
    open_ended: set[str] = field(default_factory=set)
    """Files that may have lost more records than anybody can know."""


def collected(sources: Sequence[Mapping[str, object]], out: Path) -> Found:
    """Collect, and read what is published. Raises AssertionError where the tables do not hold the rows that were counted."""
    step = CollectStep(config=CollectConfig.model_validate({"quarantine_ceiling": 1.0, "sources": sources}))
    done = perform(step, Work(root=out, before=(), executor=InProcess()), downstream=()).manifest
    found, rows = Found(), Counter[str]()
    for name, _ in done.entries():
        table = pq.read_table(out / name)
        for row in table.to_pylist():
            # A fault that takes more records with it is one row.
            rows[name.partition("/")[0]] += row.get("rows", 1)
            if "text" in row:
                found.texts.setdefault(json.loads(row["metadata"])["path"], []).append(row["text"])
                continue
            path = row["position"].partition("#")[0]
            found.rejected[path] += row["rows"]
            found.repeated[path] += row["reason"] == "duplicate_id"
            if row["at_least"]:
                found.open_ended.add(path)
    counts = done.counts
    wanted = {"documents": counts.kept, "collect": sum(counts.dropped.values()), "quarantine": counts.quarantined}
    assert {name: rows[name] for name in wanted} == wanted, f"the tables hold {rows}, counted were {wanted}"
    return found


def whole(seeds: Sequence[Seed], folder: Path) -> list[str]:
    """For each seed, undamaged, its texts as a list in JSON."""
    texts = []
    for number, seed in enumerate(seeds):
        source = folder / str(number)
        source.mkdir(parents=True)
        (source / f"s{seed.ending}").write_bytes(seed.file)
        found = collected([{"kind": "files", "name": "s", "paths": [str(source)]}], folder / f"{number}.out")
        texts.append(json.dumps(found.texts.get(f"s{seed.ending}", [])))
    return texts


def check(mutants: Sequence[Mutant], texts: Mapping[Seed, list[str]], folder: Path) -> list[str]:
    """Collect the mutants beside whole neighbours. Returns what is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    source = folder / "in"
    source.mkdir(parents=True)
    names = [f"m{number:04d}{one.seed.ending}" for number, one in enumerate(mutants)]
    for name, data in (*NEIGHBOURS.items(), *zip(names, (one.data for one in mutants), strict=True)):
        (source / name).write_bytes(data)
    found = collected([{"kind": "files", "name": "s", "paths": [str(source)]}], folder / "out")
    problems = []
    neighbours = [*found.texts.get("!first.jsonl", []), *found.texts.get("~last.txt", [])]
    if neighbours != ["first 1", "first 2", "last\n"]:
        problems.append(f"of the neighbours' documents these are there: {neighbours}")
    for name, one in zip(names, mutants, strict=True):
        problems += [f"{one.how}: {problem}" for problem in _losses(one, found, name, Counter(texts.get(one.seed, ())))]
    return problems


def _losses(one: Mutant, found: Found, name: str, before: Counter[str]) -> Iterator[str]:
    now, rejected = Counter(found.texts.get(name, [])), found.rejected[name]
    if not now and not rejected and "warc" not in one.seed.format:
        yield "the file gave no document and no record that says why"
    if one.seed.format == "jsonl" and b"\r" not in one.data:
        wanted = Counter(_texts_by_line(one.data))
        if (wanted - now).total() > found.repeated[name]:
            yield f"{(wanted - now).total()} of {wanted.total()} whole lines are no documents"
    if not one.damaged or name in found.open_ended:
        return
    if one.seed.sealed and now != before and not rejected:
        yield f"{(before - now).total()} of {before.total()} documents are lost or changed, and no record says so"
    elif one.seed.format == "parquet" and now.total() + rejected < before.total():
        yield f"{before.total() - now.total()} of {before.total()} documents are lost, and records say {rejected}"


def _texts_by_line(data: bytes) -> Iterator[str]:
    """A plain reader of JSON Lines, for lines that nothing is wrong with."""
    ids = set()
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        try:
            row = json.loads(line.decode(), parse_constant=int)
            text = row["text"]
            text.encode()
            json.dumps([row.get("url"), row.get("id")], ensure_ascii=False).encode()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
        own = row["id"] if isinstance(row.get("id"), str | int) else None
        if isinstance(text, str) and text and not text.isspace() and (own is None or own not in ids):
            ids.add(own)
            yield text


def check_installed(mutants: Sequence[Mutant], folder: Path) -> list[str]:
    """Read each mutant as a module, or as a distribution's description or list of files, of an installation of their own."""
    shutil.rmtree(folder, ignore_errors=True)
    modules = 1
    for number, one in enumerate(mutants):
        path = folder / one.seed.ending.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        for beside in ("METADATA", "RECORD") if path.suffix != ".py" else ():
            (path.parent / beside).write_bytes(b"Name: whole\n\nWords.\n" if beside == "METADATA" else b"a.py,,\n")
        path.write_bytes(one.data)
        modules += path.suffix == ".py"
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib/whole.py").write_text('"""Whole words."""\n')
    places = installed.Places(stdlib=folder / "lib", site=(folder / "site",), share_doc=folder / "none")
    # This process was forked for this batch alone.
    installed.places = lambda: places
    found = collected([{"kind": "installed", "name": "i"}], folder / "out")
    seen = {name for name in (*found.texts, *found.rejected) if name.startswith("stdlib/")}
    if found.texts.get("stdlib/whole.py") != ["Whole words."] or len(seen) != modules:
        return [
            f"of {modules} modules {len(seen)} are documents or say why not; whole.py: {found.texts.get('stdlib/whole.py')}"
        ]
    return []


def check_datasets(mutants: Sequence[Mutant], folder: Path) -> list[str]:
    """Read each mutant as a file of a data set of its own, beside a whole one. A data set that cannot be opened is refused."""
    shutil.rmtree(folder, ignore_errors=True)
    problems: list[str] = []
    for number, one in enumerate(mutants):
        source = folder / str(number)
        source.mkdir(parents=True)
        (source / one.seed.ending).write_bytes(one.data)
        if one.seed.ending == "README.md":
            (source / "data-1.jsonl").write_bytes(NEIGHBOURS["!first.jsonl"])
        try:
            collected([{"kind": "dataset", "name": "d", "path": str(source)}], folder / f"{number}.out")
        except InputError as error:
            if one.how == "whole":
                problems.append(f"a whole data set is refused: {error}")
    return problems
