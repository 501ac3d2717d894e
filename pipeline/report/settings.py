"""Shows the settings that stages ran with: as tables, and in plain sentences.

Guarantee: it reads only the config slices of manifests, which hold no path of a machine.
Cost: negligible.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tokenmill.pipeline.base.manifest import COLLECT, TOKENIZER, Manifest
from tokenmill.pipeline.base.words import count
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages import table


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as (dotted name, JSON value), sorted. Settings without a value are left out."""
    for key in sorted(config):
        value = config[key]
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False, sort_keys=True)


def in_words(corpus: CorpusFolder) -> list[tuple[str, str]]:
    """What was done, as one pair (step, sentences) per step."""
    sources = list(dict.fromkeys(shard.source for shard in corpus.shards))
    shown = ", ".join(sources[:6]) + (f" and {count(len(sources) - 6)} more" if len(sources) > 6 else "")
    said = [(COLLECT, f"Text was collected from {shown}." if sources else "No text was collected.")]
    said += [(made.stage, kind.words(made)) for kind, made in corpus.stages]
    said += [(kind.name, "This step was left out.") for kind in table.STAGES if corpus.step(kind.name) is None]
    tokenizer = corpus.step(TOKENIZER)
    if tokenizer is not None:
        said.append((TOKENIZER, _tokenizer(tokenizer)))
    return said


def _tokenizer(made: Manifest) -> str:
    vocabulary = made.facts.get("vocabulary")
    return f"Byte-level BPE with a vocabulary of {count(vocabulary)}." if isinstance(vocabulary, int) else "Byte-level BPE."
