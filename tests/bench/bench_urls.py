"""Lists of hosts, addresses and words beside datatrove's URLFilter with the same lists.

MB here are of URLs: 1 MB are about 20,000 of them. Lists and URLs are made up: 200,000 hosts, 20,000 addresses, 150 words, 60
soft words of which two count, and 150 subwords. A tenth of the URLs hits each list of addresses. Both sides drop the same URLs.
datatrove's own list of public suffixes is the one that tldextract carries, so that nothing is fetched. Each side gets the URLs
as its readers hand them on: record batches, and documents.
"""

from __future__ import annotations

import functools
import random
import statistics
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from tests.bench.run import Row, significant
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.stages.urls.settings import UrlsConfig
from tokenmill.pipeline.stages.urls.stage import Urls

STAGE = "urls"
URLS = 40_000
PEER_URLS = 4_000
BATCH = 5_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@functools.cache
def lists() -> dict[str, list[str]]:
    """What each list holds."""
    chosen = random.Random(1)

    def words(count: int, size: int) -> list[str]:
        return ["".join(chosen.choices(LETTERS, k=size + number % 5)) for number in range(count)]

    hosts = [f"{name}.com" for name in words(200_000, 8)]
    addresses = [f"https://{name}.org/{path}" for name, path in zip(words(20_000, 8), words(20_000, 5), strict=True)]
    return {"hosts": hosts, "addresses": addresses, "words": words(150, 5), "soft": words(60, 5), "subwords": words(150, 6)}


@functools.cache
def urls() -> list[str]:
    """Some hit lists, most do not."""
    chosen, held = random.Random(2), lists()
    found = []
    for number in range(URLS):
        path = "/".join("".join(chosen.choices(LETTERS, k=chosen.randint(2, 9))) for _ in range(chosen.randint(1, 4)))
        host = f"www.{''.join(chosen.choices(LETTERS, k=9))}.net"
        match number % 20:
            case 0 | 1:
                host = f"{chosen.choice(('', 'www.', 'a.b.'))}{chosen.choice(held['hosts'])}"
            case 2 | 3:
                found.append(chosen.choice(held["addresses"]))
                continue
            case 4:
                path += f"/{chosen.choice(held['words'])}-x"
            case 5:
                path += f"/{chosen.choice(held['soft'])}-{chosen.choice(held['soft'])}"
            case 6:
                path += f"/{chosen.choice(held['soft'])}"
            case 7:
                path += f"/x{chosen.choice(held['subwords'])}y"
        found.append(f"https://{host}/{path}?id={number}")
    return found


def stage(folder: Path) -> Urls:
    """Ours, with its indexes."""
    given = {}
    for name, lines in lists().items():
        files.write_bytes(folder / name, "\n".join(lines).encode())
        kind = {"words": "words", "soft": "words", "subwords": "subwords"}.get(name, "addresses")
        given[name] = {"paths": [str(folder / name)], "kind": kind, "max_hits": int(name == "soft")}
    config = UrlsConfig.model_validate({"lists": given})
    found = Urls(config=config).provide(Work(root=folder / "corpus", before=(), executor=InProcess())).stage
    assert isinstance(found, Urls)
    return found


def ours(made: Urls, batches: list[pa.RecordBatch]) -> list[pa.Array]:
    """The reason for which each URL is dropped; "" for those that are kept."""
    return [made.decide(made.score(batch))["reason"] for batch in batches]


def batches(wanted: list[str]) -> list[pa.RecordBatch]:
    return [pa.record_batch({"url": wanted[at : at + BATCH]}) for at in range(0, len(wanted), BATCH)]


def peer(wanted: list[str]) -> Callable[[], list[bool]] | None:
    """datatrove's filter: which URLs are kept; None if it or what it needs is not installed."""
    try:
        import tldextract
        from datatrove.data import Document
        from datatrove.pipeline.filters import URLFilter

        held = lists()
        made = URLFilter(
            extra_domains=held["hosts"],
            extra_urls=held["addresses"],
            banned_words=held["words"],
            soft_banned_words=held["soft"],
            banned_subwords=held["subwords"],
            use_integrated_lists=False,
        )
    except ImportError:
        return None
    made.tldextractor = tldextract.TLDExtract(suffix_list_urls=())

    documents = [Document(text="", id="", metadata={"url": url}) for url in wanted]
    return lambda: [made.filter(document) is True for document in documents]


def measure(folder: Path, *, rounds: int, clock: Callable[[], float]) -> tuple[list[Row], list[str]]:
    """One row. `clock`: seconds."""
    sample = urls()[:PEER_URLS]
    made, theirs, mine = stage(folder), peer(sample), batches(urls())
    kept = [reason == "" for reasons in ours(made, batches(sample)) for reason in reasons.to_pylist()]
    sizes = {"ours": sum(map(len, urls())) / 1e6, "theirs": sum(map(len, sample)) / 1e6}
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    if theirs is not None and theirs() != kept:
        raise AssertionError("the two sides keep other URLs")
    for _ in range(rounds):
        begun = clock()
        ours(made, mine)
        taken["ours"].append(clock() - begun)
        if theirs is not None:
            begun = clock()
            theirs()
            taken["theirs"].append(clock() - begun)
    rate = sizes["ours"] / statistics.median(taken["ours"])
    if theirs is None:
        return [Row(stage=STAGE, ours_mb_s=significant(rate))], ["datatrove"]
    their = sizes["theirs"] / statistics.median(taken["theirs"])
    rates = {"ours_mb_s": significant(rate), "peer_mb_s": significant(their), "ratio": significant(rate / their)}
    return [Row(stage=STAGE, peer="datatrove", **rates)], []
