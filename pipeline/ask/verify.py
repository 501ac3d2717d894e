"""Check everything that a corpus published.

Guarantee: a flipped, cut or missing byte of any published file is found and the file is named; so is a step that was made
from another result of the steps before it, evidence that does not hold, and a token store that disagrees with itself.
Cost: one read of everything (about 1 GB/s), and the similarities of removed documents: `pipeline.stages.dedup.check` states it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenmill.flows.build import MODEL
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import CorruptFile, Misaligned, NotBuilt
from tokenmill.pipeline.base.manifest import CORPUS, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.dedup import check as dedup_check
from tokenmill.pipeline.stages.repeats import check as repeats_check
from tokenmill.pipeline.tokens import check as tokens_check
from tokenmill.tokenizer.encode import of_corpus


def problems(root: Path, progress: Progress, *, all_duplicates: bool = False) -> Iterator[str]:
    """What is wrong, one line each, with the file's path first. Raises NotBuilt where there is no finished corpus.

    Of a token store without its corpus: all but that its tokens are those of the text.
    all_duplicates: compare the text of every removed duplicate, and not of a sample where there are very many.
    """
    if manifest.stage_in(root) == "pack":
        yield from tokens_check.problems(root)
        return
    try:
        corpus = manifest.load(root, CORPUS)
    except CorruptFile as error:
        yield str(error)
        return
    steps = corpus.facts["steps"]
    progress.begin("verify", len(steps) + 1, "steps")
    before: list[Manifest] = []
    sound = True
    for name in steps:
        try:
            made = manifest.load(root, name)
        except (CorruptFile, NotBuilt) as error:
            yield str(error)
            return
        if made.hash != corpus.inputs[name]:
            yield f"{manifest.path_of(root, name)}: is another one than the manifest of the corpus names"
        for earlier in before:
            if made.inputs.get(earlier.stage, earlier.hash) != earlier.hash:
                yield f"{manifest.path_of(root, name)}: was made from another result of {earlier.stage}"
        # What files say is compared only where all bytes so far are right: the first difference is the one worth reading.
        if made.stage == "pack":
            yield from _token_problems(root, before, sound)
        else:
            wrong = list(manifest.problems(root, made))
            yield from wrong
            sound = sound and not wrong
            if sound:
                yield from _content(root, made, before, None if all_duplicates else dedup_check.MOST)
        before.append(made)
        progress.advance(1)
    yield from manifest.problems(root, corpus)
    if manifest.path_of(root, MODEL).exists():
        try:
            yield from manifest.problems(root, manifest.load(root, MODEL))
        except CorruptFile as error:
            yield str(error)
    progress.end(f"{len(steps)} steps, their files, evidence and tokens")


def _content(root: Path, made: Manifest, before: list[Manifest], duplicates: int | None) -> Iterator[str]:
    try:
        if made.stage == "dedup":
            yield from dedup_check.problems(root, made, views(root, before), most=duplicates)
        elif made.stage == "repeats":
            yield from repeats_check.problems(root, made, views(root, before), views(root, [*before, made]))
        else:
            for view in views(root, [*before, made]):
                view.read(["doc_id"])
    except (CorruptFile, Misaligned) as error:
        yield str(error)


def _token_problems(root: Path, before: list[Manifest], sound: bool) -> Iterator[str]:
    """The check of the store hashes every byte itself. `sound`: what it was made from is whole, so tokens can be compared."""
    if not sound:
        yield from tokens_check.problems(root / "tokens")
        return
    encoder = of_corpus(root)
    texts = {view.name: view for view in views(root, before)}
    yield from tokens_check.problems(root / "tokens", decode=encoder.decode_bytes, tokenizer=encoder.fingerprint, texts=texts)
