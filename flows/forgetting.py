"""Documents taken out of a corpus: put on the list, and taken out of the token shards.

Guarantee: both hold the lock of the corpus. After compaction the corpus is published again as after a build: the report and
the manifest of the whole name the store as it is now, and no raw input is read for it.
Cost: forgetting reads the documents tables of the store; compacting reads the store twice, and the tables for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenmill.flows.build import outline, publish
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt
from tokenmill.pipeline.base.manifest import CORPUS, MODEL, PACK
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.corpus import CONFIG, is_ours, open_corpus
from tokenmill.pipeline.stages import settings
from tokenmill.pipeline.tokens.compact import Compacted
from tokenmill.pipeline.tokens.compact import compact as compact_store
from tokenmill.pipeline.tokens.forget import Found, Request, request_ids
from tokenmill.pipeline.tokens.forget import forget as put_on_list


def requests(
    doc_ids: Sequence[str], url_prefixes: Sequence[str], sources: Sequence[str], ids_file: Path | None
) -> list[Request]:
    """What was asked on the command line. Raises ConfigError when that is nothing, InputError for what is no id."""
    asked = [request_ids("doc_id", doc_id, [doc_id]) for doc_id in doc_ids]
    asked += [Request(by="url_prefix", value=prefix) for prefix in url_prefixes]
    asked += [Request(by="source", value=source) for source in sources]
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
    open_corpus(root)
    with files.lock(root):
        files.sweep(root)
        return put_on_list(root, asked, dry_run=dry_run)


def compact(root: Path, progress: Progress) -> Compacted:
    """Take forgotten documents out of the store and publish the corpus again, also after a compaction that was cut short.

    Raises InputError when nothing was forgotten; NotBuilt where the corpus is not whole, CorruptFile, StaleInput, Locked.
    """
    if not is_ours(root) or not (root / CONFIG).is_file():
        raise NotBuilt(f"{root} holds no corpus; run `tokenmill build` with --out {root} first")
    with files.lock(root):
        files.sweep(root)
        # A compaction that was cut short has withdrawn the manifest that vouches for the settings.
        config = open_corpus(root).settings if manifest.path_of(root, CORPUS).exists() else settings.load(root / CONFIG)
        done = compact_store(root, downstream=(CORPUS, MODEL), progress=progress)
        whole = manifest.find(root, CORPUS)
        if whole is None or whole.inputs.get(PACK) != done.manifest.hash:
            publish(root, config, tuple(manifest.load(root, name) for name in outline(config)))
        shards = "1 token shard" if done.shards == 1 else f"{done.shards:,} token shards"
        documents = "1 document" if done.documents == 1 else f"{done.documents:,} documents"
        progress.end(f"{shards} changed; out of the store: {documents}")
        return done
