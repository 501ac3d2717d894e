"""`whatif` with another `extract_bias` against collections that are made with it."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.ask.judged import built
from tests.collect.conftest import Collected, collected
from tests.collect.web import response, warc
from tests.command import tokenmill
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.executor import LocalProcesses
from tokenmill.pipeline.collect import write
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.html.main import main_text
from tokenmill.pipeline.corpus import being_published, open_corpus
from tokenmill.pipeline.stages.settings import parse

SAID = "the of and that with have page reader writes long line about some nice thing, which is said. And more"
WORDS = SAID.split()
HOLLOW = '<p>few</p><script type="application/ld+json">{"@type": "Article", "articleBody": "%s"}</script>'
SETTINGS = {"stages": "[]", "collect.shard_bytes": "20_000", "tokenizer.vocabulary": "300", "pack.validation_fraction": "0.2"}
SOURCES = ("files", "web")


def page(seed: int) -> str:
    """An article among menus, comments, tables, code and related links, of random lengths; or a text that stands in data."""
    draw = random.Random(seed)

    def words(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))

    if seed % 10 == 0:
        return HOLLOW % words(60, 90) + f"<div class=comment><p>{words(4, 40)}</p></div>" * 2
    menu = "".join(f"<li><a href=/{number}>{words(1, 3)}</a>" for number in range(draw.randint(3, 12)))
    parts = [
        f"<p>{words(5, 80)}</p>",
        f"<h2>{words(1, 6)}</h2>",
        f"<ul><li>{words(1, 9)}<li>{words(1, 9)}<li><a href=x>{words(1, 9)}</a></ul>",
        f"<table><tr><td>{words(1, 3)}<td>1<tr><td>{words(1, 3)}<td>2</table>",
        f"<pre>{words(1, 9)}\n  {words(1, 9)}</pre>",
        f"<div class=comment><b>{words(1, 2)}</b><p>{words(3, 40)}</p></div>",
        f"<aside><p>{words(5, 30)}</p></aside>",
    ]
    body = "".join(draw.choices(parts, k=draw.randint(2, 14)))
    return f"<body><nav><ul>{menu}</ul></nav><article><h1>{words(2, 6)}</h1>{body}</article><footer>{words(3, 30)}</footer>"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    for at, name in enumerate(SOURCES):
        (root / name).mkdir()
        for number in range(40):
            (root / name / f"{number:02}.html").write_text(page(100 * at + number))
    (root / "files" / "plain.txt").write_text("This is no page.\n")
    return {name: root / name for name in SOURCES}


@pytest.fixture(scope="module")
def corpus(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bias") / "corpus"
    sources = f'[{{ name = "web", paths = ["{folders["web"]}"] }}]'
    scores = {"collect.extract_scores": "true", "collect.sources": sources}
    built(folders["files"], root, {**SETTINGS, **scores})
    return root


def made(folders: dict[str, Path], root: Path, **settings: Any) -> Collected:
    web = {"name": "web", "paths": [str(folders["web"])]} | settings.pop("web", {})
    return collected(root, folders["files"], sources=[web], shard_bytes=20_000, **settings)


def asked(done: Collected, settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The answer for a collection without stages, made with these settings of `collect`."""
    config = parse({"collect": {"quarantine_ceiling": 1.0, **settings}}, where="test")
    return what_if(being_published(done.root, (done.done.manifest,), config), changes)


def texts(root: Path) -> dict[tuple[str, str], str]:
    """The texts of a collection by source and place; those of the file without a page are left out."""
    rows = (row for path in sorted((root / "documents").rglob("*.parquet")) for row in pq.read_table(path).to_pylist())
    found = {(row["source"], json.loads(row["metadata"])["path"]): row["text"] for row in rows}
    return {key: text for key, text in found.items() if key[1].endswith(".html")}


def characters(found: dict[tuple[str, str], str]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for (source, _), text in found.items():
        sizes[source] += len("".join(text.split()))
    return sizes


@pytest.mark.parametrize("bias", [-20.0, -2.0, 1.5, 20.0])
def test_the_numbers_are_those_of_a_collection(bias: float, corpus: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    answer = what_if(open_corpus(corpus), {"collect.extract_bias": str(bias)}, samples=100)
    real = made(folders, tmp_path / "real", extract_bias=bias)
    old, new = texts(corpus), texts(real.root)
    found = answer["extraction"]
    assert answer["documents"] == {"before": 81, "after": real.counts.kept, "unknown": 0}
    (stage,) = answer["stages"]
    assert stage["after"]["dropped"] == dict(real.counts.dropped)
    assert found["pages"]["changed"] == sum(old[key] != new[key] for key in new) > 10
    assert found["pages"]["unchanged"] == sum(old[key] == new[key] for key in new)
    assert {name: one["characters"]["before"] for name, one in found["sources"].items()} == characters(old)
    assert {name: one["characters"]["after"] for name, one in found["sources"].items()} == characters(new)
    assert found["characters"]["after"] == characters(new).total()
    assert bool(found["blocks"]["added"]) >= (bias > 0)
    assert bool(found["blocks"]["dropped"]) >= (bias < 0)
    for sample in answer["samples"]:
        if sample["now"] == "changed":
            assert sample["reason"] == (
                "more_text" if sample["characters"]["before"] < sample["characters"]["after"] else "less_text"
            )
    sizes = sum(sample["characters"]["after"] - sample["characters"]["before"] for sample in answer["samples"])
    lost = sum(sample["characters"]["after"] for sample in answer["samples"] if sample["now"] == "dropped")
    assert sizes - lost == found["characters"]["after"] - found["characters"]["before"]


def test_every_page_is_counted_once(corpus: Path) -> None:
    for bias in ("-20", "-1", "3"):
        answer = what_if(open_corpus(corpus), {"collect.extract_bias": bias}, samples=0)
        for one in (answer["extraction"], *answer["extraction"]["sources"].values()):
            pages = one["pages"]
            assert pages["before"] == pages["unchanged"] + pages["changed"] + pages["undecided"] + sum(
                pages["dropped"].values()
            )
        (stage,) = answer["stages"]
        after = stage["after"]
        assert after["read"] == (
            after["kept"] + sum(after["dropped"].values()) + after["not_scored"] + after["undecided"] + after["quarantined"]
        )


def test_a_source_is_asked_about_by_its_name(corpus: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    answer = what_if(open_corpus(corpus), {"collect.sources.web.extract_bias": 2.0}, samples=0)
    assert answer["settings"] == {"collect.sources.web.extract_bias": {"before": None, "after": 2.0}}
    assert [*answer["extraction"]["sources"]] == ["web"]
    new = texts(made(folders, tmp_path / "real", web={"extract_bias": 2.0}).root)
    assert answer["extraction"]["characters"]["after"] == characters(new)["web"]
    # A source that says its own bias is not moved by that of all.
    settings = {
        "paths": [str(folders["files"])],
        "sources": [{"name": "web", "paths": [str(folders["web"])], "extract_bias": 1}],
    }
    done = made(folders, tmp_path / "own", web={"extract_bias": 1}, extract_scores=True)
    answer = asked(done, {**settings, "shard_bytes": 20_000, "extract_scores": True}, {"collect.extract_bias": 3})
    assert [*answer["extraction"]["sources"]] == ["files"]


def test_pages_that_scores_cannot_decide_are_counted_apart(folders: dict[str, Path], tmp_path: Path) -> None:
    settings = {"paths": [str(folders["files"])], "extract_bias": -20, "extract_scores": True, "extract_recall": 0.9}
    done = collected(tmp_path / "few", folders["files"], extract_bias=-20, extract_scores=True, extract_recall=0.9)
    dropped = done.counts.dropped["extract_recall"]
    answer = asked(done, settings, {"collect.extract_bias": 0})
    assert answer["documents"]["unknown"] == answer["stages"][0]["after"]["not_scored"] == dropped > 3
    assert "extract_recall" not in answer["stages"][0]["after"]["dropped"]
    assert any("may come back" in said for said in answer["extraction"]["not_known"])


def test_a_text_that_data_may_replace_is_undecided(tmp_path: Path) -> None:
    draw = random.Random(1)
    prose = [" ".join(draw.choices(WORDS, k=40)) for _ in range(6)]
    data = " ".join(draw.choices(WORDS[::-1], k=500))
    html = "".join(f"<div class=comment><p>{one}</p></div><nav><a href=x>menu</a></nav>" for one in prose) + HOLLOW % data
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.html").write_text(html)
    settings = {"paths": [str(tmp_path / "in")], "extract_scores": True, "extract_bias": 20}
    done = collected(tmp_path / "out", tmp_path / "in", extract_scores=True, extract_bias=20)
    answer = asked(done, settings, {"collect.extract_bias": -20})
    assert answer["extraction"]["pages"] == {"before": 1, "unchanged": 0, "changed": 0, "undecided": 1, "dropped": {}}
    assert answer["documents"] == {"before": 1, "after": 0, "unknown": 1}
    # Collected so, the data do replace it; from there the way back is known.
    done = collected(tmp_path / "low", tmp_path / "in", extract_scores=True, extract_bias=-20)
    assert "".join(done.texts()[0].split()) == "".join(data.split())
    answer = asked(done, settings | {"extract_bias": -20}, {"collect.extract_bias": 20})
    counts = {
        "before": len("".join(data.split())),
        "after": sum(len("".join(one.split())) for one in (*prose, *["menu"] * 6, "few")),
    }
    assert answer["extraction"]["characters"] == {**counts, "undecided": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"collect.extract_bias": "1", "quality.min_words": "3"}, "ask about it without the other settings"),
        ({"collect.extract_bias": "1", "collect.seed": "3"}, "only extract_bias can be tried"),
        ({"collect.extract_format": "markdown"}, "only extract_bias can be tried"),
        ({"collect.extract_bias": "21"}, "at most 20"),
        ({"collect.sources.wob.extract_bias": "1"}, "there: web"),
    ],
)
def test_what_scores_of_blocks_cannot_answer_is_refused(changes: dict[str, str], message: str, corpus: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        what_if(open_corpus(corpus), changes)


def test_without_scores_it_says_how_to_get_them(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"paths": [str(folders["files"])]}
    with pytest.raises(ConfigError, match=r"source files: no scores .* Set collect.extract_scores = true"):
        asked(collected(tmp_path / "out", folders["files"]), settings, {"collect.extract_bias": 1})
    done = collected(tmp_path / "out", folders["files"], extract_scores=True)
    monkeypatch.setattr("tokenmill.pipeline.ask.bias.model_digest", lambda: "another")
    with pytest.raises(ConfigError, match="another version of tokenmill"):
        asked(done, settings | {"extract_scores": True}, {"collect.extract_bias": 1})


def test_scores_are_the_same_for_any_number_of_workers_and_follow_their_documents(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    settings = {"extract_scores": True, "shard_bytes": 5_000}
    alone = collected(tmp_path / "alone", folders["files"], **settings)
    with LocalProcesses(2) as pool:
        both = collected(tmp_path / "both", folders["files"], executor=pool, **settings)
    assert alone.published() == both.published()
    assert sum(name.startswith("collect/scores/") for name in alone.published()) > 3
    published = alone.published()
    # Nothing is read again; a source without the setting has no scores any more.
    assert collected(tmp_path / "alone", folders["files"], **settings).done.recomputed_shards == 0
    without = collected(tmp_path / "alone", folders["files"], shard_bytes=5_000)
    assert not list((without.root / "collect").rglob("scores/**/*.parquet"))
    assert {name: data for name, data in published.items() if name.startswith("documents/")} == {
        name: data for name, data in without.published().items() if name.startswith("documents/")
    }


def test_a_document_whose_id_repeats_takes_its_scores_along(tmp_path: Path) -> None:
    records = [warc(response(body=page(seed).encode()), number=number) for seed, number in ((1, "1"), (2, "1"), (3, "2"))]
    (tmp_path / "a.warc").write_bytes(b"".join(records))
    done = collected(tmp_path / "out", tmp_path / "a.warc", extract_scores=True)
    assert [reason for _, reason in done.broken()] == ["duplicate_id"]
    (path,) = (done.root / "documents").rglob("*.parquet")
    beside = pq.read_table(done.root / "collect" / "scores" / path.relative_to(done.root / "documents"))
    assert beside["doc_id"].equals(pq.read_table(path)["doc_id"])
    assert done.texts() == [main_text(page(1)).text, main_text(page(3)).text]
    answer = asked(done, {"paths": [str(tmp_path / "a.warc")], "extract_scores": True}, {"collect.extract_bias": 20})
    counts = [len("".join(main_text(page(seed), Extraction(extract_bias=20)).text.split())) for seed in (1, 3)]
    assert answer["extraction"]["characters"]["after"] == sum(counts)


def test_many_scores_end_a_shard_as_much_text_does(folders: dict[str, Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(write, "MOST_SCORES", 0)
    done = collected(tmp_path / "out", folders["files"], extract_scores=True)
    assert done.counts.kept == 41
    assert len(done.done.manifest.shards) > 20
    assert asked(done, {"paths": [str(folders["files"])], "extract_scores": True}, {"collect.extract_bias": 1})["documents"][
        "after"
    ]


def test_the_command(corpus: Path) -> None:
    done = tokenmill("whatif", corpus, "--set", "collect.extract_bias=20", "--samples", "1")
    assert done.returncode == 0, done.stderr
    for said in (
        "collect.extract_bias: 0.0 -> 20",
        "Texts of web pages",
        "\nweb\n",
        "\nall\n",
        "Later stages are not replayed",
        "more_text",
    ):
        assert said in done.stdout
    done = tokenmill("whatif", corpus, "--set", "collect.sources.web.extract_bias=-20", "--json")
    assert [*json.loads(done.stdout)["extraction"]["sources"]] == ["web"]
