"""What another `extract_bias` would keep of web pages, from the stored scores of their blocks.

Purpose: moves precision against recall without reading a page again.
Guarantee: blocks are chosen by the code that a build runs, so documents, blocks and characters are those of a build. What the
scores cannot tell is counted apart: a page whose text may then come from its data (`undecided`), and one that was dropped for
`extract_recall`, of which no scores are stored (`not_scored`). Characters are those of plain text without white space.
Cost: one read of the scores, and 0.1 ms a page. Memory: one shard of scores, and 24 bytes for each text that changes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.ask.replay import Group, Replayed
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile
from tokenmill.pipeline.base.manifest import Shard
from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.collect import scores
from tokenmill.pipeline.collect.html import choose, embedded
from tokenmill.pipeline.collect.html.candidates import NOTHING, PageScores
from tokenmill.pipeline.collect.html.extraction import model_digest
from tokenmill.pipeline.collect.html.main import MainText
from tokenmill.pipeline.collect.split import VERSION
from tokenmill.pipeline.config import CollectConfig, Config, FilesSource, InstalledSource
from tokenmill.pipeline.corpus import CorpusFolder

RECALL = "extract_recall"
UNDECIDED = "undecided"
UNCHANGED = "unchanged"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A source's bias before and after, and its `extract_recall`."""

    before: float
    after: float
    least: float


@dataclass(kw_only=True)
class BiasTally:
    """Pages by what becomes of them, their characters before and after, and their blocks."""

    pages: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    blocks: Counter[str] = field(default_factory=Counter)

    def plain(self) -> dict[str, Any]:
        """As JSON values. before == unchanged + changed + undecided + sum(dropped)."""
        dropped = {name: self.pages[name] for name in (RECALL, "empty") if self.pages[name]}
        pages = {name: self.pages[name] for name in (UNCHANGED, "changed", UNDECIDED)}
        return {
            "pages": {"before": sum(self.pages.values()), **pages, "dropped": dropped},
            "characters": {name: self.characters[name] for name in ("before", "after", UNDECIDED)},
            "blocks": {name: self.blocks[name] for name in ("before", "added", "dropped", UNDECIDED)},
        }


def questions(old: CollectConfig, new: CollectConfig) -> dict[str, Asked] | None:
    """The sources whose bias differs, by name; None if something else differs too."""
    if _unbiased(old) != _unbiased(new):
        return None
    return {
        before.name: Asked(before=before.extract_bias, after=after.extract_bias, least=after.extract_recall)
        for before, after in zip(old.all_sources, new.all_sources, strict=True)
        if isinstance(before, FilesSource | InstalledSource)
        and isinstance(after, FilesSource | InstalledSource)
        # `all_sources` fills in what a source leaves to the section.
        and before.extract_bias is not None
        and after.extract_bias is not None
        and after.extract_recall is not None
        and before.extract_bias != after.extract_bias
    }


def _unbiased(config: CollectConfig) -> dict[str, Any]:
    plain = config.model_dump(mode="json", exclude={"extract_bias"})
    return {**plain, "sources": [{**source, "extract_bias": None} for source in plain["sources"]]}


def choose_again(corpus: CorpusFolder, asked: Mapping[str, Asked]) -> tuple[Replayed, dict[str, Any]]:
    """Collection under the other bias, and what it does to texts as JSON values. Raises ConfigError, CorruptFile."""
    _check(corpus, asked)
    made = corpus.collect
    tallies: dict[str, BiasTally] = defaultdict(BiasTally)
    done = Replayed(stage=made.stage, read=made.counts.read)
    for number, shard in enumerate(made.shards):
        if shard.source in asked:
            done.groups += _of_shard(corpus, number, shard, asked[shard.source], tallies[shard.source])
    lost: Counter[str] = Counter()
    for tally in tallies.values():
        lost.update({reason: tally.pages[reason] for reason in (RECALL, "empty")})
        done.undecided += tally.pages[UNDECIDED]
    by_source = made.by_source()
    done.not_scored = sum(by_source[source].dropped.get(RECALL, 0) for source in tallies)
    done.kept = made.counts.kept - done.undecided - lost.total()
    done.dropped = +(Counter(made.counts.dropped) + lost - Counter({RECALL: done.not_scored}))
    sources = {
        source: {"bias": {"before": asked[source].before, "after": asked[source].after}, **tally.plain()}
        for source, tally in tallies.items()
    }
    total = BiasTally()
    for tally in tallies.values():
        total.pages += tally.pages
        total.characters += tally.characters
        total.blocks += tally.blocks
    return done, {**total.plain(), "sources": sources, "not_known": list(_not_known(corpus.settings, done, asked))}


def _check(corpus: CorpusFolder, asked: Mapping[str, Asked]) -> None:
    """Raises ConfigError where scores are missing, or are not those that this version of tokenmill would make."""
    made = corpus.collect
    for shard in made.shards:
        if shard.source in asked and scores.name(shard.name) not in shard.files:
            raise ConfigError(
                f"extract_bias of source {shard.source}: no scores of blocks are stored. Set collect.extract_scores = true, or "
                "extract_scores of the source, and run `tokenmill build` once, which reads its pages again"
            )
    if asked and (made.version != VERSION or model_digest() not in made.config["extractors"]):
        raise ConfigError(
            "extract_bias: the scores of blocks were stored by another version of tokenmill, which chooses otherwise; "
            "`tokenmill build` makes them again"
        )


def _of_shard(corpus: CorpusFolder, number: int, shard: Shard, asked: Asked, tally: BiasTally) -> Iterator[Group]:
    """Count the pages of a shard. Gives the documents whose texts change or that are dropped, by what becomes of them."""
    documents, name = corpus.shards[number].documents, scores.name(shard.name)
    table = shards.read(corpus.published, (name, shard.files[name]))
    ids = shards.read(corpus.published, documents, ["doc_id"])["doc_id"]
    shards.align(documents, ids, (name, shard.files[name]), table["doc_id"])
    groups: dict[tuple[bool, str], list[tuple[int, int, int]]] = defaultdict(list)
    for row, page in enumerate(_pages(table, name)):
        if page is None:
            continue
        fate, before, after = _fate(page, asked, tally)
        if fate == KEPT:
            groups[True, "more_text" if after > before else "less_text" if after < before else "other_text"].append(
                (row, before, after)
            )
        elif fate in (RECALL, "empty"):
            groups[False, fate].append((row, before, after))
    for (kept, reason), found in sorted(groups.items()):
        values = np.array(found, np.int64)
        yield Group(
            shard=number,
            kept=kept,
            reason=reason,
            rows=values[:, 0],
            limit=None,
            values=np.full(len(values), np.nan),
            characters=values[:, 1:],
        )


def _pages(table: pa.Table, name: str) -> Iterator[PageScores | None]:
    """Raises CorruptFile for numbers that no build writes, which kernels must not see."""
    try:
        yield from scores.pages(table)
    except ValueError as error:
        raise CorruptFile(f"{name}: {error}; run the build again") from error


def _fate(page: PageScores, asked: Asked, tally: BiasTally) -> tuple[str, int, int]:
    """Count a page. Gives what becomes of it (`KEPT`: another text), and its characters before and after."""
    candidates = page.candidates()
    before, after = (choose.kept(candidates, bias) for bias in (asked.before, asked.after))
    now = int(page.shown[before].sum()) if page.embedded == NOTHING else page.embedded
    then = int(page.shown[after].sum())
    tally.characters["before"] += now
    tally.blocks["before"] += int(before.sum())
    if not page.shown[before != after].any():
        tally.pages[UNCHANGED] += 1
        tally.characters["after"] += now
        return UNCHANGED, now, now
    if _may_be_replaced(page, then):
        tally.pages[UNDECIDED] += 1
        tally.characters[UNDECIDED] += now
        tally.blocks[UNDECIDED] += int(before.sum())
        return UNDECIDED, now, then
    tally.blocks["added"] += int((after & ~before).sum())
    tally.blocks["dropped"] += int((before & ~after).sum())
    lost = MainText(text="", characters=then, prose=page.prose, visible=page.visible).lost(asked.least)
    if lost is not None or not then:
        fate = "empty" if lost is None else lost[0]
        tally.pages[fate] += 1
        return fate, now, then
    tally.pages["changed"] += 1
    tally.characters["after"] += then
    return KEPT, now, then


def _may_be_replaced(page: PageScores, characters: int) -> bool:
    """Whether data of the page might take the place of a text with so many characters, and white space that is not known."""
    if not characters:
        return page.rival != 0
    return characters < embedded.MOST_SHOWN and page.rival >= embedded.TIMES * characters


def _not_known(config: Config, done: Replayed, asked: Mapping[str, Asked]) -> Iterator[str]:
    """What a build would decide beyond this answer, as sentences."""
    if any(group.kept for group in done.groups):
        yield "Later stages are not replayed: their scores are of the texts as they are now."
    if done.not_scored:
        yield f"Pages dropped as {RECALL} may come back; no scores of them are stored: {done.not_scored:,}."
    if done.undecided:
        yield f"Pages whose text would be so short that data of the page may take its place: {done.undecided:,}."
    if config.collect.max_text_bytes is not None or config.collect.max_documents is not None:
        yield "The cap on the corpus may take other documents when texts change."
    if any(getattr(one, "extract_format", None) == "markdown" for one in config.collect.all_sources if one.name in asked):
        yield "The signs of Markdown are not counted as characters."
