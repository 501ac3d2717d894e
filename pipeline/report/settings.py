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
from tokenmill.pipeline.stages.censor import COLUMNS

NAMED = 6
"""Sources that are named in a sentence."""


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as (dotted name, JSON value), sorted. Settings without a value are left out."""
    for key in sorted(config):
        value = config[key]
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False, sort_keys=True)


def facts(corpus: CorpusFolder, made: Manifest) -> dict[str, Any]:
    """The facts of a step as they are shown."""
    shown = dict(made.facts)
    if COLUMNS in shown:
        shown[COLUMNS] = corpus.censor.value(shown[COLUMNS])
    return shown


def in_words(corpus: CorpusFolder) -> list[tuple[str, str]]:
    """What was done, as one pair (step, sentences) per step."""
    said = [(COLLECT, _collected(corpus.collect))]
    said += [(made.stage, kind.words(made)) for kind, made in corpus.stages]
    said += [(kind.name, "This step was left out.") for kind in table.STAGES if corpus.step(kind.name) is None]
    tokenizer = corpus.step(TOKENIZER)
    if tokenizer is not None:
        said.append((TOKENIZER, _tokenizer(tokenizer)))
    return said


def _collected(made: Manifest) -> str:
    """Where the text is from: the sources that gave some, by name, and installed documentation as what it is."""
    names = list(dict.fromkeys(shard.source for shard in made.shards))
    kinds = {source["name"]: source["kind"] for source in made.config.get("sources", ())}
    installed = ["the documentation that is installed on the machine"] if "installed" in map(kinds.get, names) else []
    others = [name for name in names if kinds.get(name) != "installed"]
    shown = ", ".join(others[:NAMED]) + (f" and {count(len(others) - NAMED)} more" if len(others) > NAMED else "")
    named = [f"{'the source' if len(others) == 1 else 'the sources'} {shown}"] if others else []
    return f"Text was collected from {' and from '.join([*named, *installed])}." if names else "No text was collected."


def _tokenizer(made: Manifest) -> str:
    vocabulary, sample = made.facts.get("vocabulary"), made.facts.get("sample")
    kind = "WordPiece" if made.config.get("kind") == "wordpiece" else "Byte-level BPE"
    said = f"{kind} with a vocabulary of {count(vocabulary)}" if isinstance(vocabulary, int) else kind
    if sample is None:
        return f"{said}."
    return f"{said}, learned from {count(sample['documents'])} of {count(sample['of_documents'])} documents, chosen by a hash."
