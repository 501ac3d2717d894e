"""Corpora whose stages are committed by hand, hostile text for them, and a reader of the page made of one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.folders import folder_of, settings
from tokenmill.pipeline.base import manifest, schema, shards
from tokenmill.pipeline.base.manifest import Counts, Manifest, Shard
from tokenmill.pipeline.corpus import so_far
from tokenmill.pipeline.report import write
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.stages.table import kind_of

MakeCorpus = Callable[..., Work]

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
BIDI = "safe \u202egnp.exe\u202c \u2066isolated\u2069"
CONTROLS = "NUL \x00, escape \x1b[31m, next line \x85, tag \U000e0041"
STYLE = "</style></title></textarea>--><svg onload=alert(3)>"
TEMPLATE = "{{ 7 * 7 }} {% raw %} {# c #}"
HOSTILE = (SCRIPT, IMAGE, BIDI, CONTROLS, STYLE, TEMPLATE)


class Page(HTMLParser):
    """Tags with their attributes, headings, and the text that a reader sees."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        self.text += "" if tag in ("span", "code") else " "

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    @property
    def policies(self) -> list[str | None]:
        return [tag["content"] for _, tag in self.tags if tag.get("http-equiv") == "Content-Security-Policy"]


def own(tag: str, source: str) -> str:
    """The text of the one `style` or `script` of a page."""
    (text,) = [part.split(f"</{tag}>")[0] for part in source.split(f"<{tag}>")[1:]]
    return text


def hash_of(tag: str, source: str) -> str:
    """The hash of that text, as a policy spells it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(own(tag, source).encode()).digest()).decode()}'"


def english(rows: int) -> dict[str, pa.Array]:
    """Scores of the stage `language` where a test does not care."""
    return {"language": pa.array(["en"] * rows, pa.string()), "language_score": pa.array([0.9] * rows, pa.float64())}


def decide(work: Work, stage: str, fate: Callable[[str, int], str | None], **more: object) -> Work:
    """Commit a stage by hand: `fate(shard, row)` is the reason of a row, "" to keep it."""
    made_by = kind_of(stage).make(settings())
    config: dict[str, object] = {"scoring": dict(made_by.scoring), "deciding": dict(made_by.deciding)}
    for part, values in more.get("config", {}).items():  # type: ignore[attr-defined]
        config[part] = {**config.get(part, {}), **values}  # type: ignore[dict-item]
    facts = more.get("facts", {})
    scores, evidence = more.get("scores"), more.get("evidence")
    made = []
    before = work.before[-1]
    alive = {shard.name: _alive(work.root, before, shard.name) for shard in work.before[0].shards}
    for shard in work.before[0].shards:
        table = pq.read_table(work.root / f"documents/{shard.name}.parquet", columns=["doc_id", "text"])
        sizes = [len(text.encode()) for text in table["text"].to_pylist()]
        reasons = [fate(shard.name, row) if here else None for row, here in enumerate(alive[shard.name])]
        columns = {"doc_id": table["doc_id"], "reason": schema.reasons(reasons)}
        columns |= evidence(shard.name) if callable(evidence) else {}
        name = f"{stage}/verdicts/{shard.name}.parquet"
        entries = {name: shards.write(work.root, name, pa.table(columns))}
        columns = scores(shard.name) if callable(scores) else english(len(sizes)) if stage == "language" else {}
        name = f"{stage}/scores/{shard.name}.parquet"
        entries[name] = shards.write(work.root, name, pa.table({"doc_id": table["doc_id"], **columns}))
        dropped = {reason: reasons.count(reason) for reason in sorted({reason for reason in reasons if reason})}
        counts = Counts(
            read=sum(alive[shard.name]),
            kept=reasons.count(""),
            dropped=dropped,
            bytes_in=sum(size for size, reason in zip(sizes, reasons, strict=True) if reason is not None),
            bytes_kept=sum(size for size, reason in zip(sizes, reasons, strict=True) if reason == ""),
        )
        made.append(Shard(name=shard.name, files=entries, counts=counts))
    inputs = {one.stage: one.hash for one in work.before}
    version = more.get("version", 1)
    done = Manifest(stage=stage, version=version, config=config, inputs=inputs, shards=tuple(made), facts=facts)  # type: ignore[arg-type]
    manifest.commit(work.root, done)
    return Work(root=work.root, before=(*work.before, done), executor=work.executor)


def _alive(root: Path, before: Manifest, shard: str) -> Sequence[bool]:
    if before.stage == "collect":
        return [True] * pq.read_metadata(root / f"documents/{shard}.parquet").num_rows
    table = pq.read_table(root / f"{before.stage}/verdicts/{shard}.parquet")
    return [bool(kept) for kept in schema.alive(table["reason"])]


def rewrite_collect(work: Work, *, urls: Mapping[str, Sequence[str | None]], rejected: Sequence[tuple[str, ...]] = ()) -> Work:
    """The collection again, with URLs, and with records that were dropped and quarantined."""
    collect = work.before[0]
    made = []
    for shard in collect.shards:
        name = f"documents/{shard.name}.parquet"
        table = pq.read_table(work.root / name).cast(schema.DOCUMENTS)
        if shard.name in urls:
            table = table.set_column(2, "url", pa.array(urls[shard.name], pa.string()))
        extra = len(rejected) if shard is collect.shards[0] else 0
        counts = Counts(
            read=shard.counts.kept + 2 * extra,
            kept=shard.counts.kept,
            dropped={"no_text": extra} if extra else {},
            quarantined=extra,
            bytes_in=shard.counts.bytes_in,
            bytes_kept=shard.counts.bytes_kept,
        )
        made.append(Shard(name=shard.name, files={name: shards.write(work.root, name, table)}, counts=counts))
    numbers = {"rows": 1, "unread_bytes": 0, "at_least": False}
    names = [name for name in schema.REJECTED.names if name not in numbers]
    rows = [{**dict(zip(names, record, strict=True)), **numbers} for record in rejected]
    records = pa.Table.from_pylist([{**row, "preview": row["preview"].encode()} for row in rows], schema=schema.REJECTED)
    published = {name: shards.write(work.root, name, records) for name in ("collect/dropped.parquet", "quarantine/a.parquet")}
    again = Manifest(stage="collect", version=1, config={}, inputs={}, shards=tuple(made), files=published)
    manifest.commit(work.root, again)
    return Work(root=work.root, before=(again,), executor=work.executor)


def render(work: Work, **sections: object) -> tuple[str, Page]:
    """The page of an unfinished corpus, or of one with these settings."""
    entry = write(folder_of(work, **sections) if sections else so_far(work.root))
    data = (work.root / "report.html").read_bytes()
    assert entry.bytes == len(data)
    source = data.decode()
    return source, Page(source)


def hostile_corpus(make_corpus: MakeCorpus) -> Work:
    """Every column that people can fill holds hostile text; every row is shown somewhere."""
    texts = [f"{text} {number}" for number, text in enumerate(HOSTILE)]
    urls = [f"https://me:hunter2@example.org/{text.replace('?', '').replace('#', '')}?key=hunter2#hunter2" for text in HOSTILE]
    rejected = [("a", f"{text}.jsonl:3", text, text, text) for text in HOSTILE]
    work = rewrite_collect(make_corpus({"a/0": texts}), urls={"a/0": urls}, rejected=rejected)
    labels = {"language": pa.array(HOSTILE), "language_score": pa.array([0.9] * len(HOSTILE))}
    work = decide(
        work, "language", lambda shard, row: "", scores=lambda shard: labels, config={"deciding": {"keep": list(HOSTILE)}}
    )
    config = {"deciding": {"recipe": IMAGE, SCRIPT: BIDI}}
    return decide(work, "quality", lambda shard, row: HOSTILE[row], scores=lambda shard: {}, config=config)
