"""Two corpora side by side: what differs in their settings, and what became of their documents.

Purpose: answers what a change did: which settings differ, what each stage kept and dropped, which documents changed sides and
why, and what that makes of sources, languages and tokens. A is what is compared, B what it is compared with.
Guarantee: writes nothing. Counts come from manifests and tables whose hashes are compared. A corpus that is being built again
is read as it was published. Text of forgotten documents is not shown.
Cost: see `documents`; then one read of the languages, and of the shards that hold the documents shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenmill.pipeline.ask.diff import shares
from tokenmill.pipeline.ask.diff.documents import PairedDocuments, compare
from tokenmill.pipeline.ask.diff.samples import shown
from tokenmill.pipeline.ask.fates import Fate
from tokenmill.pipeline.ask.whatif import differences
from tokenmill.pipeline.base import versions
from tokenmill.pipeline.base.errors import NotBuilt
from tokenmill.pipeline.base.formats import MANIFEST
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.corpus import CorpusFolder, so_far

SAMPLES = 3
"""Documents shown of each group that changed sides."""


def diff(
    a: CorpusFolder, b: CorpusFolder, *, samples: int = SAMPLES, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """The answer as JSON values. `samples`: number of example documents per group; `seed` draws them.

    Raises CorruptFile, StaleInput, Misaligned.
    """
    found = compare(a, b, samples=samples, seed=seed, progress=progress or Silent())
    return {
        "corpora": {"a": _corpus(a), "b": _corpus(b)},
        "same": [made.hash for made in a.steps] == [made.hash for made in b.steps],
        "settings": _settings(a, b),
        "steps": shares.steps(a, b),
        "funnel": shares.funnel(a, b),
        "reasons": shares.reasons(a, b),
        "documents": found.overlap.plain(),
        "changes": _changes(a, b, found),
        "sources": shares.sources(a, b),
        "languages": shares.languages(a, b),
        "tokens": shares.tokens(a, b),
    }


def _corpus(corpus: CorpusFolder) -> dict[str, Any]:
    unfinished = corpus.known_settings is None
    # A version that was named itself is not the one that readers see now.
    held = corpus.published != corpus.root
    return {
        "folder": str(corpus.root),
        "version": int(corpus.published.name) if held and corpus.published.name.isdecimal() else None,
        "finished": not unfinished,
        "newer_build_unfinished": not unfinished and versions.is_unfinished(corpus.root),
        "format": int(corpus.collect.header.get("format", MANIFEST.number)),
    }


def _settings(a: CorpusFolder, b: CorpusFolder) -> dict[str, dict[str, Any]]:
    """Every setting that differs, with both values; of an unfinished corpus, the settings of the steps that both have."""
    if a.known_settings is not None and b.known_settings is not None:
        found = differences(a.known_settings, b.known_settings)
        return {name: {"a": values["before"], "b": values["after"]} for name, values in found.items()}
    return shares.step_settings(a, b)


def _changes(a: CorpusFolder, b: CorpusFolder, found: PairedDocuments) -> list[dict[str, Any]]:
    """Groups of documents of which A and B made something else. Those that changed sides come first, the largest first."""
    of_group = shown(a, b, found)
    order = sorted(found.groups, key=lambda key: (_side(*key), -found.groups[key].documents, key))
    return [
        {
            "now": _side(*key),
            "a": _fate(key[0]),
            "b": _fate(key[1]),
            "documents": found.groups[key].documents,
            "samples": of_group[key],
        }
        for key in order
    ]


def _side(a: Fate, b: Fate) -> str:
    """Where documents that A and B treat otherwise stand in B: "dropped" (kept in A), "kept" (not in A), or "neither"."""
    if not a.stage:
        return "dropped"
    return "kept" if not b.stage else "neither"


def _fate(fate: Fate) -> dict[str, Any]:
    return {"kept": not fate.stage, "stage": fate.stage or None, "reason": fate.reason or None}


def opened(folder: Path) -> CorpusFolder:
    """The corpus in a folder, as readers see it; where none was ever finished, its finished steps. Raises NotBuilt."""
    if folder.exists() and not folder.is_dir():
        raise NotBuilt(f"{folder} is no folder; give the folder of a corpus, as --out of `tokenmill build` named it")
    return so_far(folder)
