"""Checks everything that a corpus published.

Guarantee: it finds every changed, cut or missing byte of a published file, in the version that readers see and under the names
in the corpus folder (but for those of a newer build that is unfinished), every step that was made from another result of an
earlier step, evidence that is wrong, and a token store that contradicts itself. It names the file. Evidence is recomputed if
the version of the stage that made it is the one that runs, and the documents are as they came.
Cost: one read of everything (about 1 GB/s), and the similarities of removed documents (`pipeline.stages.dedup.check`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenmill.pipeline.base import files, manifest, versions
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, Misaligned, NotBuilt, StaleInput, TokenmillError
from tokenmill.pipeline.base.manifest import COLLECT, CORPUS, MODELS, PACK, TOKENIZER, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.corpus import CONFIG, TOKENS, step_names
from tokenmill.pipeline.stages import settings, table
from tokenmill.pipeline.stages.censor import MASKED
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.tokens import check as tokens_check
from tokenmill.pipeline.tokens.encoder import EncoderOf

MOST = 100_000
"""Number of removed documents whose text is compared with the kept ones by default."""


def problems(root: Path, progress: Progress, encoder_of: EncoderOf, *, most: int | None = MOST) -> Iterator[str]:
    """The problems, one line each, beginning with the path of the file. Raises NotBuilt if there is no finished corpus.

    `most`: see MOST; None compares all. A token store without its corpus is checked too, but not against the text.
    """
    if manifest.stage_in(root) == PACK:
        yield from tokens_check.problems(root)
        return
    now = versions.reading(root)
    if now.published is None:
        yield from _problems(root, root, progress, encoder_of, most)
        return
    if versions.is_unfinished(root):
        progress.say(f"a newer build of {root} is unfinished: what is checked is version {now.published.generation}")
        yield from _problems(now.folder, root, progress, encoder_of, most)
        return
    if versions.has_versions_alone(root):
        yield from _problems(now.folder, root, progress, encoder_of, most)
        return
    yield from _problems(root, root, progress, encoder_of, most)
    yield from _version_problems(root, now.folder)


def _version_problems(root: Path, folder: Path) -> Iterator[str]:
    """The files of a version that are not the very files of the corpus folder, and do not hold their bytes either."""
    try:
        whole = manifest.load(folder, CORPUS)
        steps = [manifest.load(folder, name) for name in step_names(whole)]
    except TokenmillError as error:
        yield f"{folder}: {error}"
        return
    for made in (*steps, whole):
        for name, entry in made.entries():
            if not versions.is_same(root / name, folder / name) and not files.holds(folder, name, entry):
                yield f"{folder / name}: other bytes than its manifest names"


def _problems(root: Path, home: Path, progress: Progress, encoder_of: EncoderOf, most: int | None) -> Iterator[str]:
    """`root`: the folder of the files, a version or the corpus `home` itself."""
    try:
        whole = manifest.load(root, CORPUS)
        steps = step_names(whole)
    except (CorruptFile, StaleInput) as error:
        yield f"{manifest.path_of(root, CORPUS)}: {error}"
        return
    progress.begin("verify", len(steps) + 1, "steps")
    before: list[Manifest] = []
    sound = True
    versions = _versions(root)
    for name in steps:
        try:
            made = manifest.load(root, name)
        except (CorruptFile, NotBuilt) as error:
            yield str(error)
            return
        if made.hash != whole.inputs[name]:
            yield f"{manifest.path_of(root, name)}: is not the one that the manifest of the corpus names"
        for earlier in before:
            if made.inputs.get(earlier.stage, earlier.hash) != earlier.hash:
                yield f"{manifest.path_of(root, name)}: was made from another result of {earlier.stage}"
        # Contents are checked only while all bytes so far are right: the first difference is the one worth reading.
        if made.stage == PACK:
            yield from _token_problems(root, before, encoder_of, sound=sound)
        else:
            wrong = list(manifest.problems(root, made))
            yield from wrong
            sound = sound and not wrong
            masked = MASKED in (*before, made)[0].facts
            if sound and masked and made.stage == COLLECT:
                progress.say(
                    f"{home}: documents were masked after the build, so evidence on the text as it came is not recomputed"
                )
            if sound and versions.get(name, made.version) != made.version:
                progress.say(
                    f"{name}: another version of the stage made it, so its evidence is not recomputed; a build makes it anew"
                )
            elif sound:
                yield from _content(root, made, before, most, evidence=not masked)
        before.append(made)
        progress.advance(1)
    yield from manifest.problems(root, whole)
    for name in MODELS:
        if manifest.path_of(home, name).exists():
            try:
                yield from manifest.problems(home, manifest.load(home, name))
            except CorruptFile as error:
                yield str(error)
    progress.end(f"{len(steps)} steps, their files, evidence and tokens")


def _versions(root: Path) -> dict[str, int]:
    """The versions of the stages that run now, with the settings of the corpus; without those that cannot be made from them."""
    found: dict[str, int] = {}
    with contextlib.suppress(TokenmillError):
        config = settings.load(root / CONFIG)
        for name in config.stages:
            with contextlib.suppress(ConfigError):
                found[name] = table.kind_of(name).make(config).version
    return found


def _content(root: Path, made: Manifest, before: Sequence[Manifest], most: int | None, *, evidence: bool) -> Iterator[str]:
    try:
        after = views(root, [*before, made])
        check = None if made.stage in (COLLECT, TOKENIZER) or not evidence else table.kind_of(made.stage).problems
        if check is None:
            for view in after:
                view.read(["doc_id"])
        else:
            yield from check(Finished(root=root, manifest=made, before=views(root, before), after=after, most=most))
    except (CorruptFile, Misaligned) as error:
        yield str(error)


def _token_problems(root: Path, before: Sequence[Manifest], encoder_of: EncoderOf, *, sound: bool) -> Iterator[str]:
    """Check the token store, including the hash of every byte. `sound`: the inputs are intact, so compare tokens with text."""
    if not sound:
        yield from tokens_check.problems(root / TOKENS)
        return
    encoder = encoder_of(root, next(made for made in before if made.stage == TOKENIZER))
    texts = {view.name: view for view in views(root, before)}
    anew = None if encoder.exact else encoder.encode
    yield from tokens_check.problems(
        root / TOKENS, decode=encoder.decode_bytes, tokenizer=encoder.fingerprint, texts=texts, encode=anew
    )
