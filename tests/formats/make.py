"""Makes the corpus that is kept for a released format: `python -m tests.formats.make tests/formats/2`, run at the release.

Purpose: a later version is tested with what this one wrote. The texts come from a seed; the corpus has a file of every kind
that tokenmill writes: tables, records of what was done, a tokenizer, tokens, a list of forgotten documents, a checkpoint.
Guarantee: one archive, `corpus.tar.xz`, with `texts/` and the `corpus/` that was built from them; no names, times or owners of
the machine in it.
Cost: some seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import os
import random
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import tokenmill as tm
from tokenmill.flows.training import run
from tokenmill.pipeline.base import state
from tokenmill.pipeline.base.progress import Silent

NAME = "corpus.tar.xz"
SETTINGS = {
    "stages": ["language", "dedup", "repeats", "quality"],
    "collect.paths": ["texts"],
    "collect.quarantine_ceiling": 0.1,
    "language.threshold": 0.0,
    "language.keep": [],
    "repeats.min_documents": 5,
    "quality.recipe": "docs@1",
    "quality.min_words": 30,
    "quality.min_stop_words": 0,
    "quality.max_short_lines": 1.0,
    "quality.max_top_2gram": 1.0,
    "tokenizer.vocabulary": 300,
    "pack.validation_fraction": 0.2,
    "train.layers": 1,
    "train.width": 4,
    "train.heads": 1,
    "train.context_tokens": 16,
    "train.batch_windows": 2,
    "train.steps": 4,
    "train.checkpoint_every": 4,
    "train.evaluate_every": 2,
    "train.device": "cpu",
}
"""Those with which the kept corpora were built. A later format may need more of them; none is taken away."""
WORDS = "light keeper ship harbour morning letter table window water stairs lamp wall boat sail line coast storm night"
MTIME = 1_700_000_000
NOTICE = "All rights of this page are with the harbour office of the coast."


def a_text(number: int) -> str:
    """Six lines of words that differ from text to text."""
    chosen = random.Random(number)
    return "\n".join(f"The {' '.join(chosen.choices(WORDS.split(), k=9))} of number {number}." for _ in range(6))


def write_texts(folder: Path) -> None:
    """Documents that differ, with a notice in some; two that are equal; one that is short; a record that is broken."""
    folder.mkdir()
    for number in range(16):
        (folder / f"{number:02}.txt").write_text(a_text(number) + (f"\n{NOTICE}" if number % 2 else ""))
    (folder / "same.txt").write_text(a_text(0))
    (folder / "short.txt").write_text("Too short.")
    records = [{"id": str(number), "url": f"https://example.org/{number}", "text": a_text(100 + number)} for number in range(8)]
    lines = [json.dumps(record) for record in records]
    (folder / "records.jsonl").write_text("\n".join([*lines, '{"id": "8", "text": ']) + "\n")
    for path in folder.iterdir():
        os.utime(path, (MTIME, MTIME))


def make(target: Path) -> None:
    """Build the corpus in a folder of its own, and write its archive to the folder `target`."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        root = Path("corpus")
        write_texts(Path("texts"))
        corpus = tm.build("text", root, SETTINGS, workers=1, progress=False)
        corpus.forget(url_prefixes=["https://example.org/3"])
        run(root, {}, Silent())
        shutil.rmtree(root / "runs")  # which says when, where and how fast
        known = state.load(root / ".state" / "inputs.json")
        plain = {f"/corpora/texts/{Path(name).name}": [*stat[:2], 0, *stat[3:]] for name, stat in known.items()}
        state.save(root / ".state" / "inputs.json", plain)
        target.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path in sorted((*Path("texts").rglob("*"), *root.rglob("*"))):
                if path.is_file() and path.name != ".lock":
                    archive.add(path, recursive=False, filter=_bare)
    (target / NAME).write_bytes(lzma.compress(data.getvalue(), preset=9))


def _bare(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


if __name__ == "__main__":
    make(Path(os.getcwd(), sys.argv[1]))
