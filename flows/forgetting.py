"""Forgets documents of a corpus, removes them from the token shards, and masks the documents that stay.

Purpose: `forget` adds documents to the list of the corpus; `compact` rewrites the token shards without them, and with
`personal` the documents (`flows.masking`).
Guarantee: both hold the lock of the corpus. After compaction the corpus is published again as after a build: the report and
the manifest of the corpus describe the new store. No raw input is read.
Cost: forgetting reads the documents tables of the store; compacting reads the store twice, and the tables for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from tokenmill.flows import housekeeping, masking
from tokenmill.flows.build import outline, publish
from tokenmill.pipeline.base import files, manifest, shards, versions
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt, StaleInput
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.manifest import CORPUS, MODELS, PACK
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.utf8 import as_utf8
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CONFIG, TOKENS, CorpusFolder, being_published, open_corpus
from tokenmill.pipeline.stages import settings
from tokenmill.pipeline.tokens.compact import Compacted
from tokenmill.pipeline.tokens.compact import compact as compact_store
from tokenmill.pipeline.tokens.forget import Found, Request, load, request_ids
from tokenmill.pipeline.tokens.forget import forget as put_on_list


def requests(
    doc_ids: Sequence[str], url_prefixes: Sequence[str], sources: Sequence[str], ids_file: Path | None
) -> list[Request]:
    """The requests of the command line. Raises ConfigError if there is none, InputError for an invalid id."""
    if isinstance(doc_ids, str) or isinstance(url_prefixes, str) or isinstance(sources, str):
        raise ConfigError("give lists of ids, of beginnings of URLs and of sources, not single strings")
    asked = [request_ids("doc_id", doc_id, [doc_id]) for doc_id in doc_ids]
    asked += [Request(by="url_prefix", value=prefix) for prefix in url_prefixes]
    asked += [Request(by="source", value=source) for source in sources]
    for request in asked:
        as_utf8(request.value, where=f"forget by {request.by}")
    if ids_file is not None:
        try:
            lines = ids_file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--ids-file {ids_file}: cannot be read ({error})") from error
        if not lines:
            raise InputError(f"--ids-file {ids_file}: holds no id")
        asked.append(request_ids("ids_file", str(ids_file), lines))
    if not asked or any(not request.value for request in asked):
        raise ConfigError("say what to forget: --doc-id, --url-prefix, --source or --ids-file, none of them empty")
    return asked


def forget(root: Path, asked: Sequence[Request], *, dry_run: bool = False) -> list[Found]:
    """Put documents on the list of the corpus. Raises InputError, NotBuilt, CorruptFile, StaleInput, Locked."""
    corpus = open_corpus(root)
    asked = [_by_stored_url(corpus, one) if one.by == "url_prefix" else one for one in asked]
    if dry_run:
        return put_on_list(root, asked, dry_run=True)
    with housekeeping.at_work(root):
        return put_on_list(root, asked)


def _by_stored_url(corpus: CorpusFolder, asked: Request) -> Request:
    """A request for a beginning of URLs, by ids if these URLs are masked in the store."""
    hidden = corpus.censor.value(asked.value)
    if hidden == asked.value:
        return asked
    tables = (shards.read(corpus.published, shard.documents, ["doc_id", "url"]) for shard in corpus.shards)
    ids = [table["doc_id"].filter(pc.fill_null(pc.starts_with(table["url"], asked.value), False)) for table in tables]
    return Request(by="doc_id", value=hidden, ids=tuple(sorted(one for column in ids for one in column.to_pylist())))


def compact(root: Path, progress: Progress, *, personal: bool = False) -> Compacted | None:
    """Remove forgotten documents from the store, and publish the corpus again. Also finishes an interrupted compaction.

    Where a newer build is unfinished, the version that readers see is compacted; the next build begins from there. `personal`:
    write the documents masked too. Returns None where only that was done.

    Raises InputError if nothing was forgotten and `personal` is not asked for, ConfigError if it is and the corpus has no stage
    `personal`, NotBuilt if the corpus is not complete, CorruptFile, StaleInput, Locked.
    """
    if not (root / CONFIG).is_file() and versions.reading(root).published is None:
        raise NotBuilt(f"{root} holds no corpus; run `tokenmill build` with --out {root} first")
    with housekeeping.at_work(root), housekeeping.without_training(root):
        found = files.marker(root)
        in_place = found is None or found.published is None
        if personal or load(root / TOKENS) is not None:
            _put_back(root, progress)
        if personal and masking.is_begun(root):
            masking.publish(root)
        # An interrupted compaction has withdrawn the manifest that vouches for the settings, so they are read from the file.
        finished = manifest.path_of(root, CORPUS).exists()
        config = open_corpus(root).settings if finished else settings.load(root / CONFIG)
        if not finished:
            _require_made_by(config, root)
        done = None
        if not personal or load(root / TOKENS) is not None:
            done = compact_store(root, downstream=(CORPUS, *MODELS), progress=progress)
        if personal:
            steps = tuple(manifest.load(root, name) for name in outline(config))
            masking.mask(being_published(root, steps, config), progress)
        whole = manifest.find(root, CORPUS)
        if whole is None or whole.inputs.get(PACK) != manifest.load(root, PACK).hash:
            publish(root, config, tuple(manifest.load(root, name) for name in outline(config)), InProcess())
        if not in_place:
            versions.publish(root, purge=True)
            for name in versions.foreign(root):
                progress.say(f"{root / name} is not of tokenmill and stays; what was forgotten may be in it")
        if done is None:
            return None
        shards = "1 token shard" if done.shards == 1 else f"{done.shards:,} token shards"
        documents = "1 document" if done.documents == 1 else f"{done.documents:,} documents"
        progress.end(f"{shards} changed; {documents} removed from the store")
        return done


def _put_back(root: Path, progress: Progress) -> None:
    """Put the last finished version in the place of an unfinished build, if there are both.

    Raises StaleInput if `config.toml`, which would be replaced, was edited.
    """
    now = versions.reading(root)
    if now.published is None or not versions.is_unfinished(root):
        return
    progress.say(f"a newer build of {root} is unfinished: the last finished version is compacted, and put in its place")
    whole = manifest.load(now.folder, CORPUS)
    if (root / CONFIG).exists() and not files.holds(root, CONFIG, whole.files[CONFIG]):
        raise StaleInput(
            f"{root / CONFIG}: is not the one of the last finished version, which would be put in its place; move it out of "
            "the corpus and compact again, or run the build to its end"
        )
    versions.restore(root)


def _require_made_by(config: Config, root: Path) -> None:
    """Raises NotBuilt if a finished step was made with other settings: then it is a build that stopped, not a compaction."""
    for name, make in outline(config).items():
        made = manifest.find(root, name)
        if made is not None and files.canonical_json(made.config) != files.canonical_json(make(root).config()):
            raise NotBuilt(f"{root}: a newer build is unfinished; run it to its end, which also leaves out forgotten documents")
