"""What the input of a collection is when somebody looks: the files of each source, and what they hold.

Purpose: a build lists its input, hears whether it has changed, and collects what was listed then.
Guarantee: the digest of a source depends only on the names of its files and on what they hold. Cost: see `listing`, `inputs`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.collect import dataset, hub, inputs, installed, listing, remote
from tokenmill.pipeline.collect.entries import REASONS, Reason
from tokenmill.pipeline.collect.inputs import Identity
from tokenmill.pipeline.collect.listing import InputFile, Listing
from tokenmill.pipeline.config import AnySource, DatasetSource, DatatroveSource, FilesSource, InstalledSource

Sources = tuple[tuple[AnySource, Listing], ...]
"""Each source with its files."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The input when its identity was computed. `identities`: those of the files, by path."""

    sources: Sources
    identities: Mapping[str, Identity]

    def digest(self, source: AnySource, found: Listing) -> str:
        """What identifies a source: its files, or, for a data set without files here, its name on the hub."""
        if isinstance(source, DatasetSource) and not found.files:
            return inputs.digest([("hub", hub.identity(source))])
        return self.digest_of(found.files)

    def digest_of(self, found: Iterable[InputFile]) -> str:
        """One hash of the names and the contents of files."""
        return inputs.digest((file.name, self.identities[file.path].sha256) for file in found)


def listed(sources: Iterable[AnySource], own: Path | None) -> Sources:
    """Each source with its files. `own`: the folder of the corpus, which is no input. Raises InputError, ConfigError."""
    return tuple((source, _listing(source, own)) for source in sources)


def _listing(source: AnySource, own: Path | None) -> Listing:
    if isinstance(source, FilesSource) and source.is_remote:
        return remote.listing(source)
    if isinstance(source, FilesSource | DatatroveSource):
        return listing.listing(source, own)
    if isinstance(source, InstalledSource):
        return installed.listing(installed.places())
    if os.path.isdir(source.path):
        return dataset.listing(source, own)
    hub.check(source)
    return Listing(files=())


def left_out(sources: Sources) -> dict[Reason, int]:
    """Entries that were seen and not read, by reason."""
    total: Counter[Reason] = Counter()
    for _, found in sources:
        total.update(found.left_out)
    return dict(sorted(total.items()))


def say_left_out(sources: Sources, progress: Progress) -> None:
    """Report what was left out. The corpus built here is said, not counted: at the first build it is not there yet."""
    counts, own = left_out(sources), any(found.own_corpus for _, found in sources)
    for reason, words in REASONS.items():
        count = counts.get(reason, 0) + (own and reason == "corpus")
        if count and reason != "unknown_kind":
            progress.say(f"collect: {count:,} {words}")
