"""The command that looks for evaluation items in what is finished: `decontaminate`. Cost: see `pipeline.ask.contaminated`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AsJson, CorpusAnew, Settings, err, no_options, out, pairs
from tokenmill.pipeline.base.errors import ConfigError, TokenmillError


def decontaminate(
    sets: Annotated[
        list[str],
        Parameter(
            name="SET",
            negative="",
            validator=no_options,
            help="Evaluation sets: files, folders or globs, or NAME=PATH. Default: those in the settings of the corpus.",
        ),
    ] = [],  # noqa: B006
    /,
    *,
    check: Annotated[
        CorpusAnew, Parameter(help="The corpus to search, or a token store: its folder, or its address in an object store.")
    ],
    fields: Annotated[
        str, Parameter(help="The fields of an item, for example question,choices,answer. Default: see `decontamination.sets`.")
    ] = "",
    tokenizer: Annotated[
        Path | None, Parameter(help="The tokenizer of a token store without its corpus: its file, or its folder.")
    ] = None,
    settings: Settings = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Look for the items of evaluation sets in a finished corpus, or in a token store.

    What is searched is the text that is packed: with all edits, and without forgotten documents. An item is found if most of
    its words stand in one passage, whatever its case, punctuation and line breaks. The table has a row for each set. The
    command exits with code 1 if any document holds an item, and with 0 if none does. --set changes the section
    `decontamination`, for example its `threshold`. A token store without its corpus is decoded, which needs --tokenizer.

    For example:

        tokenmill decontaminate mmlu/test.jsonl --check corpora/docs

        tokenmill decontaminate gsm8k=gsm8k/main --check corpora/docs --fields question --set decontamination.threshold=0.7

        tokenmill decontaminate evals/*.jsonl --check /copies/tokens --tokenizer tokenizer.json --json | jq .sets
    """
    import dataclasses

    from tokenmill.flows.cli.draw.contaminated import show
    from tokenmill.pipeline.ask.contaminated import of_corpus, of_store, search
    from tokenmill.pipeline.base import manifest
    from tokenmill.pipeline.corpus import open_corpus
    from tokenmill.pipeline.stages.settings import parse, plain
    from tokenmill.pipeline.tokens import TokenStore
    from tokenmill.tokenizer.encode import load

    section: dict[str, Any] = {"sets": _named(sets, fields)}
    if manifest.stage_in(check) == manifest.PACK:
        if tokenizer is None:
            raise ConfigError(f"{check} is a token store without its corpus: name its tokenizer with --tokenizer")
        encoder = load(tokenizer)
        texts = of_store(TokenStore.open(check, tokenizer=encoder.fingerprint), encoder)
    else:
        corpus = open_corpus(check)
        if not sets:
            section = plain(corpus.settings)["decontamination"]
        texts = of_corpus(corpus)
    if not section["sets"]:
        raise ConfigError("name the evaluation sets to look for: files, folders, or NAME=PATH")
    asked = {"collect": {"paths": [str(check)]}, "decontamination": section}
    config = parse(asked, where="the command line", overrides=pairs(settings))
    found = search(texts, getattr(config, "decontamination"), draw.Terminal(err if as_json else out))  # noqa: B009
    if as_json:
        out.out(json.dumps(dataclasses.asdict(found)))
    else:
        show(found, out)
    if found.documents:
        raise TokenmillError(f"{len(found.documents):,} of {found.searched:,} documents hold items of evaluation sets")


def _named(sets: Sequence[str], fields: str) -> dict[str, Any]:
    """The sets by name. A set without a name is called as its file or folder. Raises ConfigError if two have one name."""
    found: dict[str, Any] = {}
    for one in sets:
        name, _, path = one.rpartition("=") if not Path(one).exists() else ("", "", one)
        name = name or re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(path).name.partition(".")[0]).lstrip("_.-") or "set"
        if name in found:
            raise ConfigError(f"two sets are called {name!r}: give them names, as in {name}2={path}")
        found[name] = {"path": path, **({"fields": [part.strip() for part in fields.split(",")]} if fields else {})}
    return found
