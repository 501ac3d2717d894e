"""Personal data that is planted everywhere in the input appears on no surface of a corpus with the stage `personal`.

Values stand in texts that are kept, dropped by a rule, duplicates, near duplicates, repeated lines and rejected records, in
URLs, in metadata and in names of files; each in one place only, so that a leak says where it is from.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tokenmill as tm
from tests.command import tokenmill
from tests.faults.builds import QUESTION
from tokenmill.pipeline.base.errors import InputError, QuarantineCeiling
from tokenmill.pipeline.stages.table import STAGES
from tokenmill.pipeline.tokens import TokenStore

WORDS = "light keeper ship harbour morning letter table window water stairs lamp wall boat sail line coast storm night"
SETTINGS: dict[str, Any] = {
    "repeats.min_documents": 5,
    "repeats.min_characters": 10,
    "repeats.min_share": 0.0,
    "quality.recipe": "docs@1",
    "quality.min_words": 20,
    "quality.min_stop_words": 0,
    "quality.max_short_lines": 1.0,
    "quality.max_top_2gram": 1.0,
    "tokenizer.vocabulary": 600,
    "pack.validation_fraction": 0.1,
}
ORDERS = {
    "alone": ["personal"],
    "first": ["personal", *(kind.name for kind in STAGES if kind.name not in ("personal", "language"))],
    "last": [*(kind.name for kind in STAGES if kind.name not in ("personal", "language")), "personal"],
    "short": ["personal", "quality"],
}
KINDS = ("e-mail", "address", "card", "IBAN", "SSN", "key")
AS_IT_CAME = ("documents", "collect", "quarantine", ".state", ".versions")
"""What may hold the text as it came. Below `.versions`, names of these folders may."""


class Planted:
    """Makes values of all kinds that appear once each, and knows them."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def all(self, place: str, most: int = 6) -> str:
        """Sentences with a value of each kind, or of the first ones."""
        return " ".join(f"The {kind} is {self.one(kind, place)} there." for kind in KINDS[:most])

    def one(self, kind: str, place: str) -> str:
        number = len(self.values)
        value = {
            "e-mail": f"mail.{number}@{place}.planted.org",
            "address": f"81.{number // 200 + 2}.{number % 200 + 3}.77",
            "card": with_luhn(f"4{number * 7919 % 10**7:07}5550123"),
            "IBAN": with_mod_97(f"{number * 104729 % 10**9:09}532013000"[:18]),
            "SSN": f"{123 + number}-45-6789",
            "key": f"AKIA{''.join(random.Random(number).choices('ABCDEFGHJKLMNPQRSTUVWXYZ234567', k=16))}",
        }[kind]
        self.values[value] = f"{kind} {place}"
        return value


def with_luhn(digits: str) -> str:
    doubled = (int(one) * (2 - at % 2) for at, one in enumerate(reversed(digits)))
    return f"{digits}{-sum(one // 10 + one % 10 for one in doubled) % 10}"


def with_mod_97(digits: str) -> str:
    return f"DE{98 - int(f'{digits}131400') % 97:02}{digits}"


def a_text(number: int, lines: int = 6) -> str:
    chosen = random.Random(number)
    return "\n".join(f"The {' '.join(chosen.choices(WORDS.split(), k=12))} of number {number}." for _ in range(lines))


def write_input(folder: Path) -> Planted:
    planted = Planted()
    folder.mkdir(parents=True)
    repeated = f"Write to {planted.one('e-mail', 'repeated')} for more of this."
    records: list[dict[str, Any]] = []

    def add(place: str, text: str) -> None:
        mail = planted.one("e-mail", f"{place}url")
        hidden = planted.one("e-mail", f"{place}quoted").replace("@", "%40")
        records.append(
            {
                "text": text,
                "url": f"https://site.example/{mail}/{len(records)}?to={hidden}",
                "author": planted.one("e-mail", f"{place}author"),
                "SSN": planted.one("SSN", f"{place}ssn"),
                "people": [{"mail": planted.one("e-mail", f"{place}nested"), "ip": [planted.one("address", f"{place}list")]}],
                "card": int(planted.one("card", f"{place}number")),
                "account": planted.one("IBAN", f"{place}account"),
            }
        )

    for number in range(6):
        add("kept", f"{a_text(number)}\n{repeated}\n{planted.all('kept')}\n{a_text(100 + number)}")
    twin = f"{a_text(40)}\n{planted.all('twin')}"
    add("twin", twin)
    add("twin", twin)
    add("near", f"{a_text(41, 20)}\n{planted.all('near')}")
    add("near", f"{a_text(41, 20)}\n{planted.all('near')}")
    add("short", planted.all("short"))
    add("quiz", f"{a_text(42)}\n{planted.all('quiz')} {QUESTION} {planted.all('asked')}")
    folder.with_name("quiz.txt").write_text(QUESTION + "\n")
    listed = planted.one("address", "listed")
    records.append({"text": a_text(43), "url": f"http://{listed}/page"})
    folder.with_name("hosts.txt").write_text("blocked.example\n")
    records.append(
        {
            "text": f"{a_text(44)}\n{planted.all('blocked')}",
            "url": f"https://blocked.example/{planted.one('e-mail', 'blockedurl')}",
        }
    )
    add("empty", "")
    records.append({"text": f"{a_text(70)}\n{planted.all('host')}", "url": f"http://{planted.one('address', 'host')}/page"})
    records[0][planted.one("e-mail", "column")] = "too long for the metadata " * 20
    lines = [json.dumps(record) for record in records]
    lines.append('{"text": "broken ' + planted.all("broken", 4))
    lines.append(json.dumps({"text": 7, "contact": planted.one("e-mail", "notext")}))
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    mailbox = folder / planted.one("e-mail", "folder")
    mailbox.mkdir()
    (mailbox / "letter.txt").write_text(f"{a_text(60)}\n{planted.all('letter')}\n")
    # The value begins inside what is kept of a record that is too long.
    (folder / "wide.txt").write_bytes(planted.all("utf16", 2).encode("utf-16-le") + b"\xd8" * 31)
    return planted


def build(folder: Path, order: str, out: Path | None = None, *, ceiling: float = 1.0, in_place: bool = False) -> tm.Corpus:
    settings = {"collect.paths": str(folder / "input"), "collect.quarantine_ceiling": ceiling, "stages": ORDERS[order]}
    settings |= {
        "urls.lists.hosts.paths": [str(folder / "hosts.txt")],
        "decontamination.sets.quiz.path": str(folder / "quiz.txt"),
    }
    return tm.build("text", out or folder / "corpus", settings | SETTINGS, workers=1, progress=False, in_place=in_place)


def files_of(root: Path, *, but: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """What the files of a corpus hold, tables as all their values, by name; without folders of these names."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        parts = name.parts[2:] if name.parts[0] == ".versions" else name.parts
        if path.is_file() and not {*parts[:1]} & {*but}:
            yield name.as_posix(), values_of(path)


def values_of(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".parquet":
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            data = repr(file.read().to_pylist()).encode()
    if path.suffix == ".html":
        data += re.sub(rb"<[^>]+>", b"", data)
    return data + data.replace(b"%40", b"@") + data.replace(b"\0", b"").replace(rb"\x00", b"").replace(b"U+0000", b"")


def surfaces(folder: Path, corpus: tm.Corpus) -> Iterator[tuple[str, str]]:
    """What every command and call shows of a corpus, by name."""
    root = corpus.root
    query = folder / "query.txt"
    query.write_text(a_text(41, 20))
    ids = [row["doc_id"] for row in corpus.texts().read_all().to_pylist()]
    commands: list[tuple[str | Path, ...]] = [
        ("status", root),
        ("status", root, "--json"),
        ("report", root),
        ("verify", root),
        ("audit", root, "--json"),
        ("trace", root, "train/00000:5"),
        *(("trace", root, "--doc-id", one, "--json") for one in ids[:4]),
    ]
    if "dedup" in corpus.settings["stages"]:
        commands += [("near", root, query, "--threshold", "0.3"), ("near", root, query, "--threshold", "0.3", "--json")]
        commands += [("whatif", root, "--set", "quality.min_words=1", "--json")]
        commands += [("whatif", root, "--set", "quality.min_words=500", "--samples", "50", "--json")]
    for command in commands:
        done = tokenmill(*command)
        assert done.returncode == 0, (command, done.stderr)
        yield " ".join(map(str, command)), done.stdout + done.stderr
    for place in range(0, TokenStore.open(root / "tokens").split("train").tokens, 101):
        yield f"trace {place}", repr(corpus.trace(f"train/00000:{place}"))
    yield "texts", repr(corpus.texts().read_all().to_pylist())
    for stage in corpus.settings["stages"]:
        yield f"verdicts {stage}", repr(corpus.verdicts(stage).read_all().to_pylist())
        yield f"scores {stage}", repr(corpus.scores(stage).read_all().to_pylist())
    yield "repr", repr(corpus)
    for to in ("jsonl", "parquet", "huggingface", "olmo", "nanotron", "megatron", "nanogpt"):
        out = corpus.export(to, folder / "exports" / to)
        yield from ((f"{to} {name}", data.decode(errors="replace")) for name, data in files_of(out))


def leaks(planted: Planted, shown: Iterator[tuple[str, str]]) -> list[str]:
    found = []
    for name, text in shown:
        text = text.replace("%40", "@")
        found += [f"{name}: {place}" for value, place in planted.values.items() if value in text]
    return found


@pytest.fixture(scope="module", params=["last", *(pytest.param(name, marks=pytest.mark.soak) for name in ("alone", "first"))])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planted, tm.Corpus]:
    folder = tmp_path_factory.mktemp(request.param)
    planted = write_input(folder / "input")
    return folder, planted, build(folder, request.param)


def test_no_surface_shows_a_value(built: tuple[Path, Planted, tm.Corpus]) -> None:
    folder, planted, corpus = built
    inside = "".join(data.decode(errors="replace") for _, data in files_of(corpus.root))
    missing = [place for value, place in planted.values.items() if value not in inside and " empty" not in place]
    assert not missing, "the input was not collected as it should be"
    assert leaks(planted, surfaces(folder, corpus)) == []
    published = ((name, data.decode(errors="replace")) for name, data in files_of(corpus.root, but=AS_IT_CAME))
    assert leaks(planted, published) == []
    # Nor does it know parts of them: the domain of all e-mail addresses would be in any vocabulary of the text as it came.
    assert b"planted" not in (corpus.root / "tokenizer/tokenizer.json").read_bytes()


def test_a_comparison_of_corpora_shows_none(built: tuple[Path, Planted, tm.Corpus], tmp_path: Path) -> None:
    folder, planted, corpus = built
    other = build(folder, "short", out=tmp_path / "other")
    for command in (
        ("diff", corpus.root, other.root),
        ("diff", corpus.root, other.root, "--json"),
        ("diff", other.root, corpus.root),
    ):
        shown = tokenmill(*command)
        assert shown.returncode == 0, shown.stderr
        assert leaks(planted, iter([("diff", shown.stdout)])) == []
    assert "[EMAIL]" in shown.stdout or order_of(corpus) == "alone"


def test_a_build_with_too_many_broken_records_shows_none(built: tuple[Path, Planted, tm.Corpus], tmp_path: Path) -> None:
    folder, planted, _ = built
    with pytest.raises(QuarantineCeiling) as told:
        build(folder, "last", out=tmp_path / "corpus", ceiling=0.0)
    assert leaks(planted, iter([("error", str(told.value))])) == []


def test_reveal_shows_a_document_as_it_came(built: tuple[Path, Planted, tm.Corpus]) -> None:
    _, planted, corpus = built
    doc_id = next(row["doc_id"] for row in corpus.texts().read_all().to_pylist() if "[EMAIL]" in (row["url"] or ""))
    hidden, shown = (repr(dict(corpus.trace(doc_id=doc_id, reveal=reveal))) for reveal in (False, True))
    assert leaks(planted, iter([("trace", hidden)])) == []
    said = {name.partition(": ")[2].partition(" ")[0] for name in leaks(planted, iter([("trace", shown)]))}
    assert said == {"e-mail", "SSN", "address", "card", "IBAN"}
    place = corpus.trace(doc_id=doc_id)["document"]
    tokens = range(place["first_token"], place["first_token"] + place["tokens"], 9)
    around = [corpus.trace(f"{place['token_shard']}:{token}", reveal=True)["text"] for token in tokens]
    assert any("AKIA" in one["stored"] + one["stored_before"] + one["stored_after"] for one in around)


def test_documents_are_forgotten_by_the_url_that_they_came_with(built: tuple[Path, Planted, tm.Corpus]) -> None:
    corpus = built[2]
    table = pq.read_table(next((corpus.root / "documents").rglob("*.parquet"))).to_pylist()
    kept = {row["doc_id"] for row in corpus.texts().read_all().to_pylist()}
    url = next(row["url"] for row in table if row["doc_id"].hex() in kept and "@kepturl" in (row["url"] or ""))
    (found,) = corpus.forget(url_prefixes=[url.partition("?")[0]], dry_run=True)
    assert (found.documents, found.absent) == (1, 0)
    with pytest.raises(InputError) as told:
        corpus.forget(url_prefixes=["https://site.example/nobody@planted.org"], dry_run=True)
    assert "nobody@" not in str(told.value)


def test_documents_are_stored_masked(built: tuple[Path, Planted, tm.Corpus], tmp_path: Path) -> None:
    folder, planted, _ = built
    root = tmp_path / "corpus"
    shutil.copytree(folder / "corpus", root, symlinks=True)
    before = tm.open(root)
    texts, tokens = before.texts().read_all(), tokens_of(root)
    verdicts = {stage: before.verdicts(stage).read_all() for stage in before.settings["stages"]}
    done = tokenmill("compact", root, "--personal")
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    after = tm.open(root)
    assert leaks(planted, ((name, data.decode(errors="replace")) for name, data in files_of(root))) == []
    assert after.verify() == ()
    assert after.texts().read_all() == texts
    assert tokens_of(root) == tokens
    assert {stage: after.verdicts(stage).read_all() for stage in verdicts} == verdicts
    # A build takes what stands there: no text comes back while the input is the same.
    runs = after.funnel()
    again = build(folder, order_of(before), out=root)
    assert [row.recomputed_shards for row in again.funnel()] == [0] * len(runs)
    assert again.texts().read_all() == texts


def order_of(corpus: tm.Corpus) -> str:
    return next(name for name, stages in ORDERS.items() if stages == list(corpus.settings["stages"]))


def tokens_of(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "tokens").rglob("*")) if path.suffix in (".bin", ".idx")}
