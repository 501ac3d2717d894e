"""What a corpus folder holds: manifests joined with the record of the last run.

Guarantee: counts come from manifests alone; seconds and recomputed shards from `runs/`.
Cost: one read of the manifests.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import NotBuilt
from tokenmill.pipeline.base.manifest import CORPUS, Manifest
from tokenmill.pipeline.config import MIDDLE
from tokenmill.pipeline.report import retention


def published(root: Path) -> list[Manifest]:
    """The manifests of a corpus, in the order of its steps. Raises NotBuilt, CorruptFile."""
    corpus = manifest.load(root, CORPUS)
    return [manifest.load(root, name) for name in corpus.facts["steps"]]


def status(root: Path) -> dict[str, Any]:
    """The funnel, the totals and what is alarming, as JSON values. Steps that are not finished yet are left out.

    Raises NotBuilt where there is none at all, CorruptFile, ConfigError.
    """
    made = []
    for name in ("collect", *MIDDLE, "pack"):
        with contextlib.suppress(NotBuilt):
            made.append(manifest.load(root, name))
    if not made:
        raise NotBuilt(f"{root} holds no corpus; run `tokenmill build` with --out {root} first")
    # A step names all steps before it as its inputs.
    made.sort(key=lambda one: 0 if one.stage == "collect" else len(one.inputs))
    runs = _last_run(root)
    stages = []
    for one in made:
        counts, run = one.counts, runs.get(one.stage, {})
        stages.append(
            {
                "stage": one.stage,
                "read": counts.read,
                "kept": counts.kept,
                "dropped": dict(counts.dropped),
                "quarantined": counts.quarantined,
                "bytes_in": counts.bytes_in,
                "bytes_kept": counts.bytes_kept,
                "seconds": run.get("seconds"),
                "recomputed_shards": run.get("recomputed_shards"),
            }
        )
    pack, tokenizer = manifest.find(root, "pack"), manifest.find(root, "tokenizer")
    dedup = manifest.find(root, "dedup")
    return {
        "stages": stages,
        "alarms": retention.alarms(root, dedup) if dedup else [],
        "tokens": sum(split["tokens"] for split in pack.facts["splits"].values()) if pack else None,
        "documents": pack.counts.kept if pack else None,
        "vocabulary": tokenizer.facts["vocabulary"] if tokenizer else None,
    }


def _last_run(root: Path) -> dict[str, Any]:
    """The steps of the newest record that can be read."""
    for path in sorted((root / "runs").glob("*.json"), reverse=True):
        try:
            return dict(json.loads(path.read_bytes())["steps"])
        except (OSError, ValueError, KeyError):
            continue
    return {}
