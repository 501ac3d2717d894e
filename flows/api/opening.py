"""How a corpus comes into being in Python: built, or opened.

Guarantee: a corpus that is returned is finished and whole. Cost: building what is not up to date; opening reads the manifests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.corpus import Corpus
from tokenmill.flows import presets, remote
from tokenmill.flows.build import build as run_build
from tokenmill.flows.cli.environment import variable
from tokenmill.pipeline.base import secrets, store
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.executor.processes import require_count
from tokenmill.pipeline.config.read import from_python
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.questions import shown


def build(
    config: str | Path,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    text_field: str | None = None,
    workers: int | None = None,
    executor: str | Executor | None = None,
    address: str | None = None,
    memory: str | None = None,
    progress: bool = True,
    replace: bool = False,
    in_place: bool = False,
    work: str | Path | None = None,
) -> Corpus:
    """Build a corpus, or bring one up to date. What is up to date is not computed again.

    Parameters
    ----------
    config
        A preset (`docs`, `stories`, `text`, `web`) or the path of a TOML file.
    out
        The folder of the corpus, or an address in an object store, as `s3://bucket/prefix`: then it is built in `work` and
        published there. Default: `corpora/<name of the config>`.
    settings
        Settings over those of `config`, by dotted name: `{"dedup.threshold": 0.7}`.
    text_field
        The column with the text, in record files of every source that names none.
    workers
        Processes. Default: as many as this machine has cores for this process; on a cluster, as many as it has cores.
    executor
        Who does the work: `local`, `ray` or `dask`, or an executor of yours that runs already. Default: the section `execution`
        of the settings.
    address
        Where the Ray or Dask cluster is. Default: one starts here, and ends with the build.
    memory
        Memory of a machine that its workers take for data, together, as "24 GB". Default: half of what it has.
    progress
        Show steps, rates and time left on standard error.
    replace
        Replace a corpus that another preset or TOML file made; without it, that is refused.
    in_place
        Keep no older version for readers while the build runs. It needs less disk.
    work
        With an address as `out`: the folder to build in. Default: in `~/.cache/tokenmill/stores`.

    Raises
    ------
    TokenmillError
        The message says what, where and what to do.

    Examples
    --------
    >>> import tokenmill as tm
    >>> corpus = tm.build("text", folder / "corpus", {"collect.paths": str(folder / "texts"), **small}, progress=False)
    >>> corpus.funnel()[0].kept
    40
    """
    store_at = str(out) if out is not None and store.is_remote(out) else None
    root = Path("corpora", presets.name_of(str(config))) if out is None else Path(out)
    if store_at is not None:
        root = remote.work_folder(store_at, None) if work is None else Path(work)
    made_by = presets.made_by(str(config), root)
    changes = from_python(settings or {})
    if text_field is not None:
        changes = presets.with_text_field(str(config), changes, text_field)
    if workers is not None:
        require_count(workers)
    name = executor if isinstance(executor, str) else None
    by = {"executor": name, "address": address, "memory": memory, "workers": workers}
    changes |= from_python({f"execution.{key}": value for key, value in by.items() if value is not None})
    wanted = presets.resolve(str(config), changes)
    said = shown(progress)
    target = None if store_at is None else remote.target(store_at, root, made_by=made_by, replace=replace, in_place=in_place)
    if target is not None:
        target.begin()
    with contextlib.nullcontext() if target is None else target.after(said, grace_hours=wanted.publish.grace_hours):
        made = run_build(
            wanted,
            root,
            executor=None if isinstance(executor, str) else executor,
            progress=said,
            made_by=made_by,
            replace=replace,
            in_place=in_place,
        )
    return Corpus(made)


def open_(folder: str | Path, *, cache: str | Path | None = None) -> Corpus:
    """Open a finished corpus.

    Parameters
    ----------
    folder
        The folder of the corpus, or the address of one in an object store: then all of it is fetched.
    cache
        The folder that corpora of object stores are fetched to. Default: `~/.cache/tokenmill/stores`.

    Raises
    ------
    NotBuilt
        There is no finished corpus in the folder.
    StaleInput
        Its `config.toml` was edited after the build.
    CorruptFile
        A manifest holds other bytes than were written.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.open(folder / "corpus")
    Corpus('.../corpus'): 40 documents collected, 40 kept, ... tokens
    """
    secrets.read_by(variable)
    if store.is_remote(folder):
        folder = store.mirror(str(folder), cache=None if cache is None else Path(cache))
    return Corpus(open_corpus(Path(folder)))
