"""Documents taken out of a corpus: put on the list, and taken out of the token shards.

Guarantee: both hold the lock of the corpus. After compaction the corpus is published again as after a build: the report and
the manifest of the whole name the store as it is now, and no raw input is read for it.
Cost: forgetting reads the documents tables of the store; compacting reads the store twice, and the tables for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tokenmill.flows.build import CONFIG, MODEL, publish, step_names
from tokenmill.flows.cli.draw.terminal import amount
from tokenmill.pipeline import config
from tokenmill.pipeline.ask.whatif import preview
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, InputError, NotBuilt
from tokenmill.pipeline.base.manifest import CORPUS
from tokenmill.pipeline.base.progress import Progress
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


def forget(root: Path, asked: Sequence[Request], *, dry_run: bool) -> list[Found]:
    """Put documents on the list of the corpus. Raises InputError, NotBuilt, CorruptFile, StaleInput, Locked."""
    _require_corpus(root)
    with files.lock(root):
        files.sweep(root)
        return put_on_list(root, asked, dry_run=dry_run)


def compact(root: Path, progress: Progress) -> Compacted:
    """Take forgotten documents out of the store and publish the corpus again.

    Raises InputError when nothing was forgotten; NotBuilt where the corpus is not whole, CorruptFile, StaleInput, Locked.
    """
    _require_corpus(root)
    with files.lock(root):
        files.sweep(root)
        _require_config(root)
        done = compact_store(root, downstream=(CORPUS, MODEL), progress=progress)
        corpus = manifest.find(root, CORPUS)
        if corpus is None or corpus.inputs.get("pack") != done.manifest.hash:
            steps = step_names(config.load(root / CONFIG, {}))
            publish(root, (root / CONFIG).read_bytes(), [manifest.load(root, name) for name in steps])
        shards = "1 token shard" if done.shards == 1 else f"{done.shards:,} token shards"
        progress.end(f"{shards} changed; out of the store: {_documents(done.documents)}")
        return done


def _require_corpus(root: Path) -> None:
    """Raises NotBuilt without the settings that the corpus is published by: before a lock would make the folder."""
    if not (root / CONFIG).is_file():
        raise NotBuilt(f"{root} holds no corpus; run `tokenmill build` with --out {root} first")


def _require_config(root: Path) -> None:
    """Raises CorruptFile when the settings are not those that the corpus was published by."""
    corpus = manifest.find(root, CORPUS)
    if corpus is not None and not files.holds(root, CONFIG, corpus.files[CONFIG]):
        raise CorruptFile(f"{root / CONFIG}: other bytes than its manifest names; run the build again")


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count:,} documents"


def show(found: Sequence[Found], console: Console, *, dry_run: bool) -> None:
    """Print what was asked and how much of the store it is."""
    for one in found:
        asked = f"ids_file, whose ids have the SHA-256 {one.value}" if one.by == "ids_file" else f"{one.by} {one.value}"
        console.print(Text(preview(asked, None), style="bold"))
        said = f"  {_documents(one.documents)} of {one.tokens:,} tokens"
        said += f", {one.known:,} forgotten before" if one.known else ""
        console.print(said + (f"; {one.absent:,} ids are not in the store" if one.absent else ""))
    tokens = amount(sum(one.tokens for one in found), "tokens")
    if dry_run:
        console.print(f"\nNothing was written; {tokens} would be masked.")
    else:
        console.print(f"\n{tokens} are masked for every reader from now on; `tokenmill compact` takes them out of the files.")
        console.print("Exports made before still hold them: after compaction, make those again.")
