"""What two corpora are like in numbers: steps, funnel, reasons, sources, languages and tokens.

Guarantee: a number that a corpus does not have is None, never 0. Cost: manifests, two columns for languages, and three of the
token store, of which 100 bytes for each document are in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.ask.fates import forgotten_in, labels_by_source
from tokenmill.pipeline.ask.whatif import differing
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import PACK, TOKENIZER, Manifest, facts
from tokenmill.pipeline.base.schema import DOC_ID
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report.compression import DOCUMENTS
from tokenmill.pipeline.stages.language.kind import LANGUAGE
from tokenmill.pipeline.tokens.facts import PackFacts, TokenizerFacts

Row = dict[str, Any]


def _names(*of: Iterable[str]) -> list[str]:
    """All names in the order of the first, then of the second."""
    return list(dict.fromkeys(name for names in of for name in names))


def _order(a: CorpusFolder, b: CorpusFolder) -> list[str]:
    """The steps of both: those of B that A lacks stand behind the step that they follow in B."""
    order = [made.stage for made in a.steps]
    for at, made in enumerate(b.steps):
        if made.stage not in order:
            order.insert(order.index(b.steps[at - 1].stage) + 1 if at else 0, made.stage)
    return order


def steps(a: CorpusFolder, b: CorpusFolder) -> list[Row]:
    """Every step with its version and the hash of its result in both."""
    found = []
    for name in _order(a, b):
        mine, theirs = a.step(name), b.step(name)
        same = mine is not None and theirs is not None and mine.hash == theirs.hash
        found.append({"step": name, "same": same, "a": _version(mine), "b": _version(theirs)})
    return found


def _version(made: Manifest | None) -> Row | None:
    return None if made is None else {"version": made.version, "hash": made.hash}


def step_settings(a: CorpusFolder, b: CorpusFolder) -> dict[str, Row]:
    """Settings that differ in the steps that both have, as their manifests name them."""
    found: dict[str, Row] = {}
    for name in _order(a, b):
        mine, theirs = a.step(name), b.step(name)
        if mine is None or theirs is None:
            continue
        for setting, first, second in differing(dict(mine.config), dict(theirs.config), name):
            found[setting] = {"a": first, "b": second}
    return found


def funnel(a: CorpusFolder, b: CorpusFolder) -> list[Row]:
    """What each step that counts documents read, kept, dropped and quarantined in both."""
    return [
        {"stage": name, "a": _counts(a.step(name)), "b": _counts(b.step(name))} for name in _order(a, b) if name != TOKENIZER
    ]


def _counts(made: Manifest | None) -> Row | None:
    if made is None:
        return None
    counts = made.counts
    return {
        "read": counts.read,
        "kept": counts.kept,
        "dropped": sum(counts.dropped.values()),
        "quarantined": counts.quarantined,
        "bytes_kept": counts.bytes_kept,
    }


def reasons(a: CorpusFolder, b: CorpusFolder) -> list[Row]:
    """How many documents each step dropped for each reason in both; None where a corpus lacks the step."""
    found = []
    for name in _order(a, b):
        mine, theirs = a.step(name), b.step(name)
        dropped = [made.counts.dropped if made is not None else None for made in (mine, theirs)]
        for reason in sorted(_names(*(one or {} for one in dropped))):
            numbers = [None if one is None else one.get(reason, 0) for one in dropped]
            found.append({"stage": name, "reason": reason, "a": numbers[0], "b": numbers[1]})
    return found


def sources(a: CorpusFolder, b: CorpusFolder) -> list[Row]:
    """Documents, text and tokens of each source in both, and its shares of them."""
    mine, theirs = _of_sources(a), _of_sources(b)
    return [{"source": name, "a": mine.get(name), "b": theirs.get(name)} for name in _names(mine, theirs)]


def _of_sources(corpus: CorpusFolder) -> dict[str, Row]:
    """By source: documents collected and kept, bytes of kept text, tokens; and shares of the whole corpus."""
    kept = corpus.deciding[-1].by_source()
    pack = corpus.step(PACK)
    packed = PackFacts.of(pack).by_source() if pack is not None else {}
    found: dict[str, Row] = {}
    for name, collected in corpus.collect.by_source().items():
        tokens = packed[name].tokens if name in packed else 0
        found[name] = {
            "collected": collected.kept,
            "kept": kept[name].kept,
            "bytes_kept": kept[name].bytes_kept,
            "tokens": tokens if pack is not None else None,
        }
    for number, share in (("kept", "share_of_kept"), ("bytes_kept", "share_of_text"), ("tokens", "share_of_tokens")):
        whole = sum(one[number] or 0 for one in found.values())
        for one in found.values():
            one[share] = one[number] / whole if whole and one[number] is not None else None
    return found


def languages(a: CorpusFolder, b: CorpusFolder) -> list[Row] | None:
    """Kept documents by label of their language in both, the most frequent first; None where neither has labels."""
    mine, theirs = _of_languages(a), _of_languages(b)
    if mine is None and theirs is None:
        return None
    most = Counter(mine or {}) | Counter(theirs or {})
    names = sorted(most, key=lambda name: (-most[name], name))
    return [{"language": name, "a": _share(mine, name), "b": _share(theirs, name)} for name in names]


def _share(of: Mapping[str, int] | None, name: str) -> Row | None:
    if of is None:
        return None
    whole = sum(of.values())
    return {"documents": of.get(name, 0), "share": of.get(name, 0) / whole if whole else None}


def _of_languages(corpus: CorpusFolder) -> dict[str, int] | None:
    """Kept documents by label; None where the corpus has none."""
    if corpus.step(LANGUAGE.name) is None:
        return None
    return sum(labels_by_source(corpus).values(), Counter())


def tokens(a: CorpusFolder, b: CorpusFolder) -> Row:
    """The tokenizers, what they make of the text that each corpus holds itself, and what of the documents that both hold."""
    return {"a": _of_tokens(a), "b": _of_tokens(b), "in_both": _in_both(a, b)}


def _in_both(a: CorpusFolder, b: CorpusFolder) -> Row | None:
    """The tokens that A and B make of the documents that both packed: of one id, and of as many bytes."""
    if a.step(PACK) is None or b.step(PACK) is None:
        return None
    mine, theirs = _packed(a), _packed(b)
    places = pc.index_in(mine["doc_id"].combine_chunks(), value_set=theirs["doc_id"].combine_chunks())
    mine = mine.filter(places.is_valid())
    theirs = theirs.take(places.drop_null())
    same = pc.equal(mine["text_bytes"], theirs["text_bytes"])
    mine, theirs = mine.filter(same), theirs.filter(same)
    size = pc.sum(mine["text_bytes"]).as_py() or 0
    found: Row = {"documents": mine.num_rows, "text_bytes": size}
    for side, table in (("a", mine), ("b", theirs)):
        number = pc.sum(table["tokens"]).as_py() or 0
        found[side] = {"tokens": number, "bytes_per_token": size / number if number else None}
    return found


def _packed(corpus: CorpusFolder) -> pa.Table:
    """`doc_id`, `tokens` and `text_bytes` of every packed document: about 40 bytes of memory each."""
    columns = ["doc_id", "tokens", "text_bytes"]
    named = [one for one in corpus.require(PACK).entries() if one[0].endswith(DOCUMENTS)]
    tables = [shards.read(corpus.published, one, columns) for one in named]
    return (
        pa.concat_tables(tables) if tables else pa.table({"doc_id": pa.array([], DOC_ID.type), "tokens": [], "text_bytes": []})
    )


def _of_tokens(corpus: CorpusFolder) -> Row | None:
    tokenizer, pack = corpus.step(TOKENIZER), corpus.step(PACK)
    if tokenizer is None:
        return None
    made = facts(tokenizer, TokenizerFacts)
    found: Row = {
        "vocabulary": made.vocabulary,
        "pattern": made.pattern or made.own_pattern,
        "fingerprint": made.fingerprint,
        "documents": None,
        "tokens": None,
        "text_bytes": None,
        "bytes_per_token": None,
        "forgotten": len(forgotten_in(corpus)),
        "splits": {},
    }
    if pack is not None:
        packed = PackFacts.of(pack)
        found["splits"] = {name: split.tokens for name, split in packed.splits.items()}
        found["documents"] = packed.documents
        found["tokens"] = packed.tokens
        found["text_bytes"] = packed.text_bytes
        found["bytes_per_token"] = packed.text_bytes / packed.tokens if packed.tokens else None
    return found
