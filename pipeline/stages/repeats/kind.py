"""The entry of the stage `repeats` in the table of stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import count, number
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.kind import Finished, Rebuild, StageKind
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.step import Estimate, Resolver


@dataclass(frozen=True, kw_only=True)
class RepeatsFacts:
    """Results for one source."""

    needed_documents: int
    """A unit counts as repeated if at least this many documents contain it."""
    repeated_units: int
    """Number of distinct repeated units."""
    filter_fill: float | None = None
    """With a Bloom filter: the share of its counters that are not 0 (0 to 1)."""
    filter_error: float | None = None
    """With a Bloom filter: the expected share of rare units that pass it (0 to 1)."""


def _make(config: Config) -> Resolver:
    # It imports the kind of a stage.
    from tokenmill.pipeline.stages.censor import censor_of
    from tokenmill.pipeline.stages.repeats.stage import Repeats

    return Repeats(config=REPEATS.settings(config), censor=censor_of(config))


def _words(made: Manifest) -> str:
    scoring, deciding = made.config["scoring"], made.config["deciding"]
    share = f" and in at least {number(100 * deciding['min_share'])} % of them" if deciding["min_share"] else ""
    kept = " The first document keeps it." if deciding["keep_first"] else ""
    return (
        f"Every {scoring['unit'][:-1]} of at least {count(scoring['min_characters'])} characters that occurs in at least "
        f"{count(deciding['min_documents'])} documents of its source{share} was removed from them.{kept}"
    )


def _problems(finished: Finished) -> Iterator[str]:
    from tokenmill.pipeline.stages.repeats.check import problems

    yield from problems(finished.root, finished.manifest, finished.before, finished.after)


def _needs_build(asked: Rebuild[RepeatsConfig]) -> str:
    return "repeats: repeated units are counted over whole sources; only `tokenmill build` can do that"


REPEATS = StageKind(
    name="repeats",
    section=RepeatsConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=50_000_000, disk_per_text=0.35),
    words=_words,
    facts=Mapping[str, RepeatsFacts],
    problems=_problems,
    needs_build=_needs_build,
    counts_rows=True,
)
