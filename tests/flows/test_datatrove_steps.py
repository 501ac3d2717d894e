"""Our stages in pipelines of datatrove's: they decide as a build does, and their files are those of datatrove's own steps."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dill
import pyarrow.parquet as pq
import pytest
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer, TokensCounter
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger

import tokenmill as tm
from tokenmill.flows import presets
from tokenmill.flows.datatrove import (
    DedupFilter,
    DedupSignatures,
    DedupVerdicts,
    LanguageFilter,
    QualityFilter,
    TokenCounter,
    TokenWriter,
)
from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.errors import ConfigError, InputError, Misaligned, NotBuilt
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.stages import settings, table
from tokenmill.pipeline.stages.step import StageStep, Work, perform

COMMON = (
    "the of and to in that is was he for it with as his on be at by had not are but from or have an they which one you were"
)
OTHERS = "time house river mountain people water light morning story garden winter summer window letter music answer question"
WORDS = (f"{COMMON} " * 2 + OTHERS).split()
HOSTILE = ["", " ", "é" * 40, "\x00\x01 \u2028 \ud7ff", "中文 " * 80, "🦎 " * 60, "a\r\nb\rc\n" * 30, "a" * 3_000, "\u0301" * 9]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger.disable("datatrove")
    yield
    logger.enable("datatrove")


def sentences(seed: int, count: int) -> str:
    draw = random.Random(seed)
    return "\n".join(" ".join(draw.choices(WORDS, k=draw.randint(6, 12))).capitalize() + "." for _ in range(count))


def texts() -> list[str]:
    """Good texts, exact and near duplicates of them, texts that rules drop or shorten, and hostile ones."""
    good = [sentences(seed, 20) for seed in range(12)]
    near = [good[3].replace("the", "our", 1), good[5] + "\nAnd one more line.", good[4]]
    lines = [
        good[7] + "\nRead more",
        good[8] + "\nPlease turn on javascript.",
        good[9].replace(".", ""),
        "{ " + good[10] + " }",
    ]
    german = "Der schnelle braune Fuchs springt über den faulen Hund, und alle Kinder lachen darüber sehr laut."
    return [*good, *near, *lines, german, "short", *HOSTILE]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder of three files with the texts, dealt out in turn."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        rows = [json.dumps({"text": text}) for text in texts()[number::3]]
        (tmp_path / "in" / f"{number}.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path / "in"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Runs a pipeline by datatrove's local executor. Returns its statistics, one dictionary for each step."""

    def made(*pipeline: PipelineStep, tasks: int = 2) -> list[dict[str, Any]]:
        logs = tmp_path / f"logs-{len(list(tmp_path.glob('logs-*')))}"
        executor = LocalPipelineExecutor(list(pipeline), tasks=tasks, workers=1, logging_dir=str(logs))
        stats = executor.run()
        return [{name: value.total for name, value in step.stats.items()} for step in stats.stats]

    return made


def written(folder: Path) -> dict[str, dict[str, Any]]:
    """What a writer of datatrove's wrote, by id."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().split("\n") if line]
    rows = [json.loads(line) for line in lines]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def built(root: Path, inputs: Path, **sections: Any) -> dict[bytes, tuple[str, str]]:
    """Collection and stages as a build runs them: by id the reason of each document, and its text after the last stage."""
    source = {"kind": "datatrove", "name": "datatrove", "reader": "JsonlReader", "paths": [str(inputs)]}
    plain = {"stages": list(sections), "collect": {"quarantine_ceiling": 1, "sources": [source]}, **sections}
    config = settings.parse(plain, where="here")
    work = Work(root=root, before=(), executor=InProcess())
    before = [perform(CollectStep(config.collect), work, downstream=()).manifest]
    found: dict[bytes, tuple[str, str]] = {}
    for name in sections:
        work = Work(root=root, before=tuple(before), executor=InProcess())
        before.append(perform(StageStep(table.kind_of(name).make(config)), work, downstream=()).manifest)
        for shard in before[-1].shards:
            (named,) = (one for one in shard.files.items() if "/verdicts/" in one[0])
            for row in shards.read(root, named).to_pylist():
                found[row["doc_id"]] = (row["reason"], "")
    for view in views(root, before):
        for row in view.read().table.to_pylist():
            found[row["doc_id"]] = (found[row["doc_id"]][0], row["text"])
    return found


def writer(folder: Path) -> JsonlWriter:
    return JsonlWriter(str(folder), compression=None)


def named(identity: str) -> bytes:
    return schema.doc_id("datatrove", identity)


@pytest.mark.parametrize("recipe", ["gopher@1", "c4@1", "fineweb@1"])
def test_quality_decides_and_shortens_as_a_build(recipe, inputs, tmp_path, run):
    wanted = built(tmp_path / "corpus", inputs, quality={"recipe": recipe})
    *_, stats, _ = run(
        JsonlReader(str(inputs)),
        QualityFilter(recipe, exclusion_writer=writer(tmp_path / "dropped"), batch_size=4),
        writer(tmp_path / "kept"),
    )
    kept, dropped = written(tmp_path / "kept"), written(tmp_path / "dropped")
    for identity, row in kept.items():
        if (name := named(identity)) in wanted:
            assert wanted[name] == ("", row["text"].replace("\r\n", "\n").replace("\r", "\n"))
    for identity, row in dropped.items():
        if (name := named(identity)) in wanted:
            assert wanted[name][0] == row["metadata"]["filter_reason"]
    # Collection drops what holds no text; the reader of a pipeline leaves out only what is empty.
    assert set(wanted) <= {named(identity) for identity in (*kept, *dropped)}
    assert len(kept) + len(dropped) == len(texts()) - 1 == stats["total"]
    assert stats["forwarded"] == len(kept) > 5
    assert sum(count for name, count in stats.items() if name.startswith("dropped_")) == stats["dropped"] == len(dropped) > 5


def test_language_decides_as_a_build(inputs, tmp_path, run):
    wanted = built(tmp_path / "corpus", inputs, language={"keep": ["en"], "threshold": 0.3})
    run(
        JsonlReader(str(inputs)),
        LanguageFilter("en", {"threshold": 0.3}, writer(tmp_path / "dropped")),
        writer(tmp_path / "kept"),
    )
    kept, dropped = written(tmp_path / "kept"), written(tmp_path / "dropped")
    found = {named(name): "" for name in kept} | {
        named(name): row["metadata"]["filter_reason"] for name, row in dropped.items()
    }
    assert {name: reason for name, (reason, _) in wanted.items()}.items() <= found.items()
    assert set(found.values()) == {"", "language"}
    labels = tm.language.identify([row["text"] for row in kept.values()])
    assert [row["metadata"]["language"] for row in kept.values()] == labels["language"].to_pylist()
    assert [row["metadata"]["language_score"] for row in kept.values()] == labels["language_score"].to_pylist()


def test_labels_alone_drop_nothing_and_change_no_text(inputs, tmp_path, run):
    run(
        JsonlReader(str(inputs)),
        LanguageFilter(["de"], label_only=True),
        QualityFilter("c4@1", label_only=True),
        writer(tmp_path / "kept"),
        tasks=1,
    )
    kept = list(written(tmp_path / "kept").values())
    assert sorted(row["text"] for row in kept) == sorted(filter(None, texts()))
    judged = tm.quality.score([row["text"] for row in kept], "c4@1")["reason"].to_pylist()
    assert [row["metadata"]["quality_reason"] for row in kept] == judged
    assert {row["metadata"]["language_reason"] for row in kept} == {"", "language"}


def deduplicated(folder: Path, inputs: Path, run: Callable[..., Any], tasks: int, **settings: Any) -> tuple[set[str], dict]:
    """The ids that stay, and what was dropped, by id."""
    run(JsonlReader(str(inputs)), DedupSignatures(folder / "work", settings), tasks=tasks)
    (stats,) = run(DedupVerdicts(folder / "work", settings), tasks=1)
    run(JsonlReader(str(inputs)), DedupFilter(folder / "work", writer(folder / "out")), writer(folder / "kept"), tasks=tasks)
    kept, dropped = written(folder / "kept"), written(folder / "out")
    assert (stats["total"], stats["forwarded"]) == (len(kept) + len(dropped), len(kept))
    return set(kept), dropped


def test_duplicates_are_those_of_a_build_for_any_number_of_tasks(inputs, tmp_path, run):
    (inputs / "2.jsonl").write_text((inputs / "2.jsonl").read_text().replace("\\r\\n", "\\n").replace("\\r", "\\n"))
    wanted = built(tmp_path / "corpus", inputs, dedup={})
    first = deduplicated(tmp_path / "one", inputs, run, 1)
    assert deduplicated(tmp_path / "four", inputs, run, 4) == first
    kept, dropped = first
    reasons = {named(name): "" for name in kept}
    reasons |= {named(name): row["metadata"]["filter_reason"] for name, row in dropped.items()}
    assert {name: reason for name, (reason, _) in wanted.items()}.items() <= reasons.items()
    assert Counter(reasons.values()) == {"": 22, "exact_duplicate": 1, "near_duplicate": 6}
    for row in dropped.values():
        assert row["metadata"]["jaccard"] >= 0.8
        assert row["metadata"]["kept_doc_id"] in {named(name).hex() for name in kept}


def test_settings_of_deduplication(inputs, tmp_path, run):
    _, dropped = deduplicated(tmp_path / "strict", inputs, run, 2, threshold=1.0, exact="off", revisions=False)
    assert {(row["metadata"]["filter_reason"], row["metadata"]["jaccard"]) for row in dropped.values()} == {
        ("near_duplicate", 1.0)
    }
    with pytest.raises(ConfigError, match="dedup: treshold"):
        DedupSignatures(tmp_path / "work", {"treshold": 0.9})
    with pytest.raises(ConfigError, match="without URLs and metadata"):
        DedupSignatures(tmp_path / "work", {"keys": ["url"]})


def test_what_does_not_fit_together_is_refused(inputs, tmp_path, run):
    folder = tmp_path / "work"
    for step in (DedupVerdicts(folder), DedupFilter(folder)):
        with pytest.raises(NotBuilt, match=r"DedupSignatures|DedupVerdicts"):
            list(step.run(iter([Document(text="a", id="a")])))
    pairs = [[Document(text="one", id="a"), Document(text="two", id="b")], [Document(text="one", id="c")]]

    def signed(rank: int, documents: Sequence[Document], tasks: int = 2) -> None:
        assert list(DedupSignatures(folder).run(iter(documents), rank, tasks)) == documents

    signed(0, pairs[0])
    with pytest.raises(NotBuilt, match="task 1 has not stored"):
        list(DedupVerdicts(folder).run(None))
    signed(1, pairs[1], tasks=3)
    with pytest.raises(InputError, match="task 1 was one of 3, task 0 one of 2"):
        list(DedupVerdicts(folder).run(None))
    signed(1, [Document(text="three", id="a")])
    with pytest.raises(InputError, match="1 ids belong to several documents"):
        list(DedupVerdicts(folder).run(None))
    signed(1, pairs[1])
    list(DedupVerdicts(folder).run(None))
    with pytest.raises(NotBuilt, match="2 tasks were signed, and 1 run now"):
        list(DedupFilter(folder).run(iter(pairs[0]), 0, 1))
    for wrong in (pairs[0][::-1], [*pairs[0], *pairs[1]]):
        with pytest.raises(Misaligned, match="not the one that was signed"):
            list(DedupFilter(folder).run(iter(wrong), 0, 2))
    with pytest.raises(Misaligned, match="1 documents of those that were signed are not there"):
        list(DedupFilter(folder).run(iter(pairs[0][:1]), 0, 2))
    assert [document.id for document in DedupFilter(folder).run(iter(pairs[0]), 0, 2)] == ["a", "b"]
    assert list(DedupFilter(folder).run(iter(pairs[1]), 1, 2)) == []


def test_tasks_without_documents(tmp_path):
    for rank in range(2):
        assert list(DedupSignatures(tmp_path).run(iter(()), rank, 2)) == []
    assert list(DedupVerdicts(tmp_path).run(None)) == []
    assert [list(DedupFilter(tmp_path).run(iter(()), rank, 2)) for rank in range(2)] == [[], []]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tm.tokenizer.train(texts(), vocabulary=400, out=path)
    return path


@pytest.mark.parametrize("options", [{"shuffle_documents": False}, {"seed": 7}, {"seed": 7, "shuffle_chunk_size": 64}])
def test_token_files_are_those_of_datatrove(options, tokenizer, inputs, tmp_path, run):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    (mine,) = run(JsonlReader(str(inputs)), TokenWriter(str(ours), tokenizer, batch_size=5, **options))[1:]
    (other,) = run(
        JsonlReader(str(inputs)), DocumentTokenizer(str(theirs), str(tokenizer), eos_token="<|endoftext|>", **options)
    )[1:]
    assert mine == other
    names = sorted(path.name for path in theirs.iterdir())
    assert names == sorted(path.name for path in ours.iterdir())
    assert len(names) == 6
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_counts_are_those_of_datatrove(tokenizer, inputs, tmp_path, run):
    for folder, step in (("ours", TokenCounter(tokenizer)), ("theirs", TokensCounter(str(tokenizer)))):
        run(JsonlReader(str(inputs)), step, writer(tmp_path / folder))
    assert written(tmp_path / "ours") == written(tmp_path / "theirs")
    (one,) = TokenCounter(tokenizer, count_end_of_text=True).run(iter([Document(text="", id="a")]))
    assert one.metadata == {"token_count": 1}


def test_half_of_a_surrogate_pair_costs_its_document(tokenizer, tmp_path):
    def pair() -> list[Document]:
        return [Document(text="half \ud800 of a pair", id="a"), Document(text=sentences(1, 20), id="b")]

    for step in (QualityFilter(), LanguageFilter()):
        assert [document.id for document in step.run(iter(pair()))] == ["b"]
        assert step.stats["dropped_unpaired_surrogate"].total == 1
    assert len(list(DedupSignatures(tmp_path).run(iter(pair())))) == 2
    with pytest.raises(InputError, match="'a' holds half of a surrogate pair"):
        list(TokenCounter(tokenizer).run(iter(pair())))


def test_steps_travel_to_tasks_and_refuse_wrong_settings_at_once(tokenizer, tmp_path):
    steps = [
        LanguageFilter("en"),
        QualityFilter("c4@1"),
        DedupSignatures(tmp_path),
        DedupVerdicts(tmp_path),
        DedupFilter(tmp_path),
        TokenCounter(tokenizer),
        TokenWriter(str(tmp_path), tokenizer),
    ]
    sizes = [len(dill.dumps(step)) for step in steps]
    assert max(sizes) < 20_000
    again = dill.loads(dill.dumps(steps[0]))  # noqa: S301 -- as datatrove does in each task
    assert [document.id for document in again.run(iter([Document(text=sentences(1, 20), id="a")]))] == ["a"]
    for wrong in (
        lambda: LanguageFilter("xq"),
        lambda: LanguageFilter(settings={"treshold": 1}),
        lambda: QualityFilter("goffer"),
    ):
        with pytest.raises(ConfigError):
            wrong()
    with pytest.raises(NotBuilt):
        TokenCounter(tmp_path / "none.json")


def test_the_column_for_every_source_is_an_argument_of_the_reader(tmp_path):
    path = tmp_path / "two.toml"
    source = '[[collect.sources]]\nkind = "datatrove"\nname = "{0}"\nreader = "JsonlReader"\npaths = ["in"]\n{1}\n'
    path.write_text(
        source.format("a", 'arguments = { id_key = "key" }') + source.format("b", 'arguments = { text_key = "mine" }')
    )
    changed = presets.resolve(str(path), presets.with_text_field(str(path), {}, "body")).collect.sources
    assert [dict(one.arguments) for one in changed] == [{"id_key": "key", "text_key": "body"}, {"text_key": "mine"}]


def test_a_corpus_reads_what_a_pipeline_wrote(inputs, tmp_path, run):
    run(JsonlReader(str(inputs)), QualityFilter(), JsonlWriter(str(tmp_path / "kept")))
    source = {"kind": "datatrove", "name": "kept", "reader": "JsonlReader", "paths": [str(tmp_path / "kept")]}
    step = CollectStep(settings.parse({"collect": {"sources": [source]}}, where="here").collect)
    made = perform(step, Work(root=tmp_path / "corpus", before=(), executor=InProcess()), downstream=()).manifest
    rows = [
        row for shard in made.shards for name in shard.files for row in pq.read_table(tmp_path / "corpus" / name).to_pylist()
    ]
    theirs = {document.id: document for document in JsonlReader(str(tmp_path / "kept"))()}
    assert {row["doc_id"]: row["text"] for row in rows} == {
        schema.doc_id("kept", name): document.text for name, document in theirs.items()
    }
    assert {"0.jsonl/0", "1.jsonl/0"} <= set(theirs)
