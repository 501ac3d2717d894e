"""The entry of the stage `urls` in the table of stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import count, many
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.kind import Finished, StageKind
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.step import Estimate
from tokenmill.pipeline.stages.urls.settings import UrlsConfig


def _make(config: Config) -> Stage:
    from tokenmill.pipeline.stages.urls.stage import Urls

    return Urls(config=URLS.settings(config))


def _words(made: Manifest) -> str:
    deciding = made.config["deciding"]
    said = []
    for use, verb in (("allow", "keeps"), ("block", "drops")):
        for name, given in sorted(deciding["lists"].items()):
            if given["use"] == use:
                often = f" more than {many(given['max_hits'], 'time')}" if given["max_hits"] else ""
                entries = count(made.facts[name]["entries"])
                said.append(f"The list {name} (entries: {entries}) {verb} documents whose URLs it hits{often}.")
    rest = "No other document was kept." if deciding["only_allowed"] else ""
    without = "Documents without a URL were dropped." if deciding["without_url"] == "drop" else ""
    return " ".join(one for one in (*said, rest, without) if one) or "No list was named, so every document was kept."


def _problems(finished: Finished) -> Iterator[str]:
    from tokenmill.pipeline.stages.urls.check import problems

    yield from problems(finished)


URLS = StageKind(
    name="urls",
    section=UrlsConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=400_000_000, disk_per_text=0.01),
    words=_words,
    facts=Mapping[str, Mapping[str, Any]],
    problems=_problems,
)
