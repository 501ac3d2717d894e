"""The settings that stages ran with: as tables, as thresholds on scores, and in plain words.

Guarantee: it reads only the manifests' config slices, which hold no path of a machine.
Cost: negligible.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.config import MIDDLE
from tokenmill.pipeline.report.corpus import Corpus
from tokenmill.pipeline.report.histograms import Bound
from tokenmill.pipeline.report.words import count, number

DEMONSTRATION = {
    "docs@1": "docs@1 is a demonstration recipe, made for software documentation. It is not a recipe for text from the web, "
    "and rules made for the web keep little of documentation."
}


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as (dotted name, JSON value), sorted. Settings without a value are left out."""
    for key in sorted(config):
        value = config[key]
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False, sort_keys=True)


def setting(made: Manifest, name: str) -> Any:
    """The value of a setting, at whatever depth of the stage's slice it is; None if it is not there."""
    waiting: list[Any] = [made.config]
    while waiting:
        section = waiting.pop(0)
        if section.get(name) is not None:
            return section[name]
        waiting += [value for _, value in sorted(section.items()) if isinstance(value, Mapping)]
    return None


def thresholds(made: Manifest) -> dict[str, tuple[Bound, ...]]:
    """By score, the bounds that a kept row must respect. They come from settings named min_<score> and max_<score>."""
    found: dict[str, list[Bound]] = {}
    for name, text in flat(made.config):
        bound, _, score = name.rpartition(".")[2].partition("_")
        value = json.loads(text)
        if bound in ("min", "max") and score and isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(score, []).append(Bound(value=float(value), least=bound == "min"))
    return {score: tuple(sorted(bounds, key=lambda bound: bound.value)) for score, bounds in found.items()}


def in_words(corpus: Corpus) -> list[tuple[str, str]]:
    """What was done, as one (step, sentence) for each step."""
    sources = list(dict.fromkeys(shard.source for shard in corpus.shards))
    shown = ", ".join(sources[:6]) + (f" and {count(len(sources) - 6)} more" if len(sources) > 6 else "")
    said = [("collect", f"Text was collected from {shown}." if sources else "No text was collected.")]
    words = {"language": _language, "dedup": _dedup, "repeats": _repeats, "quality": _quality}
    said += [(made.stage, words[made.stage](made)) for made in corpus.middle]
    said += [(name, "This step was left out.") for name in MIDDLE if corpus.stage(name) is None]
    if corpus.tokenizer is not None:
        said.append(("tokenizer", _tokenizer(corpus.tokenizer)))
    return said


def _language(made: Manifest) -> str:
    keep, threshold, own = setting(made, "keep"), setting(made, "threshold"), setting(made, "thresholds")
    what = f"Documents in {', '.join(keep)} were kept" if keep else "Every language was kept"
    if not threshold and not own:
        return f"{what}."
    beside = "".join(f", {label}: {number(own[label])}" for label in sorted(own or {}))
    return f"{what}, where the model is sure of the language with a score of at least {number(threshold or 0)}{beside}."


def _dedup(made: Manifest) -> str:
    ngram, shingle, threshold = setting(made, "ngram"), setting(made, "shingle"), setting(made, "threshold")
    if ngram is None or shingle is None or threshold is None:
        return "Of documents that are alike, one was kept."
    unit = shingle.removesuffix("s")
    return (
        f"Of equal documents, and of documents whose sets of {unit} {ngram}-grams have a Jaccard similarity of at least "
        f"{number(threshold)}, one was kept. Every removed document names the kept one that stands in for it."
    )


def _repeats(made: Manifest) -> str:
    scoring, deciding = made.config["scoring"], made.config["deciding"]
    share = f" and in at least {number(100 * deciding['min_share'])} % of them" if deciding["min_share"] else ""
    kept = " The first document keeps it." if deciding["keep_first"] else ""
    return (
        f"Every {scoring['unit'][:-1]} of at least {count(scoring['min_characters'])} characters that stands in at least "
        f"{count(deciding['min_documents'])} documents of its source{share} was taken out of them.{kept}"
    )


def _quality(made: Manifest) -> str:
    recipe = setting(made, "recipe")
    said = (
        f"Documents had to pass the recipe {recipe}; its thresholds stand below." if recipe else "Documents had to pass rules."
    )
    return f"{said} {DEMONSTRATION[recipe]}" if recipe in DEMONSTRATION else said


def _tokenizer(made: Manifest) -> str:
    vocabulary = made.facts.get("vocabulary")
    return f"Byte-level BPE with a vocabulary of {count(vocabulary)}." if isinstance(vocabulary, int) else "Byte-level BPE."
