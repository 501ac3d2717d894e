"""`diff` against `whatif`, against plain Python, and over corpora that have little in common."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

import tokenmill as tm
from tests.ask.judged import SETTINGS, built
from tests.command import tokenmill
from tests.folders import smallest, write_corpus
from tests.formats.test_formats import unpacked
from tests.report.pages import CONTROLS, HOSTILE, STYLE, Page, hash_of
from tokenmill.flows.build import build, building, outline
from tokenmill.flows.cli.draw.diff import show
from tokenmill.pipeline.ask.diff import diff, opened
from tokenmill.pipeline.ask.diff.documents import ABSENT, PairedDocuments
from tokenmill.pipeline.ask.diff.rows import DocumentRows, digests
from tokenmill.pipeline.ask.fates import SURVIVED, Fate
from tokenmill.pipeline.base.errors import NotBuilt
from tokenmill.pipeline.base.formats import MANIFEST
from tokenmill.pipeline.base.schema import DOC_ID
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.report.comparison import render

ALL = 1_000
"""More samples than there are documents."""


def moved(answer: dict[str, Any], *sides: str) -> set[str]:
    """The ids of the documents of these groups, all of which are shown."""
    groups = [group for group in answer["changes"] if group["now"] in sides]
    found = [sample["doc_id"] for group in groups for sample in group["samples"]]
    assert len(found) == len(set(found)) == sum(group["documents"] for group in groups)
    return set(found)


@pytest.fixture(scope="module")
def stricter(corpus: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus with one threshold that is another."""
    root = tmp_path_factory.mktemp("corpora") / "stricter"
    shutil.copytree(corpus, root)
    built(source, root, {**SETTINGS, "quality.min_words": "80"})
    return root


def test_the_documents_that_change_sides_are_those_that_whatif_names(corpus: Path, stricter: Path) -> None:
    for one, other, words, side in ((corpus, stricter, 80, "dropped"), (stricter, corpus, 60, "kept")):
        named = tm.open(one).whatif({"quality.min_words": words}, samples=ALL)
        answer = tm.open(one).diff(other, samples=ALL)
        assert answer["settings"] == {"quality.min_words": {"a": 140 - words, "b": words}}
        ids = {sample["doc_id"] for sample in named["samples"]}
        assert moved(answer, "dropped", "kept") == ids
        (group,) = answer["changes"]
        (change,) = named["changes"]
        assert (group["now"], group["documents"]) == (side, change["documents"])
        gone = group["b"] if side == "dropped" else group["a"]
        assert gone == {"kept": False, "stage": "quality", "reason": change["reason"]}
        assert kept(one) ^ kept(other) == ids
        assert answer["documents"]["kept"]["in_both"] == len(kept(one) & kept(other))


def kept(root: Path) -> set[str]:
    return set(tm.open(root).texts().read_all()["doc_id"].to_pylist())


def test_a_threshold_of_an_early_stage_also_moves_what_later_ones_dropped(corpus: Path, source: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "other")
    built(source, tmp_path / "other", {**SETTINGS, "language.threshold": "0.999"})
    named = tm.open(corpus).whatif({"language.threshold": 0.999}, samples=ALL)
    answer = tm.open(corpus).diff(tmp_path / "other", samples=ALL)
    ids = {sample["doc_id"] for sample in named["samples"]}
    assert named["documents"]["unknown"] == 0
    assert moved(answer, "dropped", "kept", "neither") == ids
    assert moved(answer, "dropped") == kept(corpus) - kept(tmp_path / "other") < ids
    assert moved(answer, "kept") == set()


def test_samples_say_what_was_measured_and_against_what(corpus: Path, stricter: Path) -> None:
    answer = diff(open_corpus(corpus), open_corpus(stricter), samples=2)
    (group,) = answer["changes"]
    assert len(group["samples"]) == 2 < group["documents"]
    for sample in group["samples"]:
        (a,), (b,) = sample["a"], sample["b"]
        assert 60 <= a["value"] == b["value"] < 80
        assert (a["setting"], a["threshold"], a["passed"]) == ("quality.min_words", 60, True)
        assert (b["setting"], b["threshold"], b["passed"]) == ("quality.min_words", 80, False)
    assert diff(open_corpus(corpus), open_corpus(stricter), samples=2) == answer
    other = diff(open_corpus(corpus), open_corpus(stricter), samples=2, seed=1)
    assert other["changes"] != answer["changes"]
    assert json.loads(json.dumps(other)) == other


def test_numbers_are_those_of_both_corpora(corpus: Path, stricter: Path) -> None:
    answer = tm.open(corpus).diff(tm.open(stricter))
    for side, root in (("a", corpus), ("b", stricter)):
        opened_, state = tm.open(root), tm.open(root).status()
        assert answer["documents"]["kept"][side] == state.documents == len(kept(root))
        assert {row["stage"]: row[side]["kept"] for row in answer["funnel"]} == {row.stage: row.kept for row in state.stages}
        assert answer["tokens"][side]["tokens"] == state.tokens
        (source,) = answer["sources"]
        assert (source[side]["kept"], source[side]["share_of_tokens"]) == (state.documents, 1)
        labels = Counter(
            label
            for label, reason in zip(
                opened_.scores("language").read_all()["language"].to_pylist(),
                opened_.verdicts("quality").read_all()["reason"].to_pylist(),
                strict=True,
            )
            if reason == ""
        )
        assert {row["language"]: row[side]["documents"] for row in answer["languages"] if row[side]["documents"]} == labels
    both = answer["tokens"]["in_both"]
    assert both["documents"] == len(kept(corpus) & kept(stricter)) == len(kept(stricter))
    # All that the stricter one packed is in both, so that B's tokens are those of its whole store.
    assert both["b"]["tokens"] == answer["tokens"]["b"]["tokens"] != both["a"]["tokens"] < answer["tokens"]["a"]["tokens"]
    assert [row["step"] for row in answer["steps"] if not row["same"]] == ["quality", "tokenizer", "pack"]


def test_a_corpus_and_itself(corpus: Path) -> None:
    answer = tm.open(corpus).diff(corpus)
    assert answer["same"]
    assert (answer["settings"], answer["changes"]) == ({}, [])
    assert answer["documents"]["collected"]["in_both"] == answer["documents"]["collected"]["a"] == 122
    assert "None: both keep the same documents" in render(dict(answer))


FATES = (SURVIVED, ABSENT, Fate("language", "x"), Fate("quality", "y"))


def columns(documents: Sequence[tuple[bytes, str, int]]) -> DocumentRows:
    """Documents as (id, text, number of a fate)."""
    count = len(documents)
    return DocumentRows(
        ids=pa.array([one[0] for one in documents], DOC_ID.type),
        fates=np.array([one[2] for one in documents], dtype=np.int64),
        shards=np.zeros(count, dtype=np.int64),
        rows=np.arange(count, dtype=np.int64),
        texts=digests(pa.array([one[1] for one in documents], pa.large_string())),
    )


def plainly(a: Sequence[tuple[bytes, str, int]], b: Sequence[tuple[bytes, str, int]]) -> Counter[tuple[Fate, Fate]]:
    """The groups by plain Python: pairs by id, then by text, kept ones first."""
    pairs: list[tuple[int, int]] = []
    ids = {one[0]: one for one in b}
    pairs += [(one[2], ids[one[0]][2]) for one in a if one[0] in ids]
    alone = [one for one in a if one[0] not in ids], [one for one in b if one[0] not in {one[0] for one in a}]
    by_text: tuple[dict[str, list[int]], dict[str, list[int]]] = (defaultdict(list), defaultdict(list))
    for side, found in zip(alone, by_text, strict=True):
        for doc_id, text, fate in sorted(side, key=lambda one: (one[2] != 0, np.frombuffer(one[0], dtype="<u8").tolist())):
            assert doc_id
            found[text].append(fate)
    for text in {**by_text[0], **by_text[1]}:
        first, second = by_text[0][text], by_text[1][text]
        both = min(len(first), len(second))
        pairs += zip(first[:both], second[:both], strict=True)
        pairs += [(fate, 1) for fate in first[both:] if fate == 0]
        pairs += [(1, fate) for fate in second[both:] if fate == 0]
    return Counter((FATES[one], FATES[other]) for one, other in pairs if one != other)


@pytest.mark.parametrize("seed", range(20))
def test_documents_are_paired_as_plain_python_pairs_them(seed: int) -> None:
    draw = random.Random(seed)
    pool = [bytes(draw.randbytes(16)) for _ in range(60)]
    a, b = (
        [(one, draw.choice("uvwxyz\u0130"), draw.choice((0, 0, 2, 3))) for one in draw.sample(pool, draw.randrange(40))]
        for _ in "ab"
    )
    found = PairedDocuments(samples=ALL, seed=0)
    found.numbers = {fate: number for number, fate in enumerate(FATES)}
    found.add_others(columns(a), columns(b))
    assert Counter({pair: group.documents for pair, group in found.groups.items()}) == plainly(a, b)
    assert all(len(group.picks) == group.documents for group in found.groups.values())
    assert found.overlap.by_id == len({one[0] for one in a} & {one[0] for one in b})


def test_a_renamed_source_moves_nothing_but_its_ids(tmp_path: Path) -> None:
    texts = [f"text {number // 2}" for number in range(20)]
    write_corpus(tmp_path / "a", {"web/0": texts, "same/0": ["the same", "here"]})
    write_corpus(tmp_path / "b", {"net/0": texts[:6], "net/1": texts[6:], "same/0": ["the same", "here"]})
    answer = diff(opened(tmp_path / "a"), opened(tmp_path / "b"))
    assert answer["documents"]["collected"] == {
        "a": 22,
        "b": 22,
        "in_both": 22,
        "by_id": 2,
        "changed_text": 0,
        "by_text": 20,
        "only_a": 0,
        "only_b": 0,
    }
    assert answer["changes"] == []
    assert [(row["source"], row["a"] is None, row["b"] is None) for row in answer["sources"]] == [
        ("web", False, True),
        ("same", False, False),
        ("net", True, False),
    ]


def test_corpora_that_are_not_finished_and_lack_what_the_other_has(corpus: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "a", {"web/0": ["one", "two", "changed"], "web/1": []})
    write_corpus(tmp_path / "b", {"web/0": ["one", "two", "changed!"], "gone/0": []})
    answer = diff(opened(tmp_path / "a"), opened(tmp_path / "b"))
    assert answer["documents"]["collected"]["changed_text"] == 1
    assert (answer["languages"], answer["tokens"]) == (None, {"a": None, "b": None, "in_both": None})
    assert not answer["corpora"]["a"]["finished"]
    answer = diff(opened(tmp_path / "a"), open_corpus(corpus))
    assert [(group["now"], group["a"]["reason"], group["b"]["reason"]) for group in answer["changes"]] == [
        ("dropped", None, "not_collected"),
        ("kept", "not_collected", None),
    ]
    assert [row["stage"] for row in answer["funnel"] if row["a"] is None] == ["language", "dedup", "quality", "pack"]
    assert {row["a"] for row in answer["reasons"]} == {None}
    Page(render(answer))
    done = tokenmill("diff", tmp_path / "a", corpus)
    assert done.returncode == 0, done.stderr
    assert "not finished: its steps so far" in done.stdout
    with pytest.raises(NotBuilt):
        opened(tmp_path)


def test_a_corpus_that_is_being_built_again_is_compared_as_readers_see_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(6):
        (tmp_path / "in" / f"{number}.txt").write_text(f"text number {number}")
    build(smallest(tmp_path), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    held = tm.open(tmp_path / "b")
    (tmp_path / "in" / "7.txt").write_text("one more")
    changed = smallest(tmp_path)
    with building(changed, tmp_path / "b", workers=1) as half:
        half.perform(next(iter(outline(changed))))
        answer = tm.open(tmp_path / "a").diff(tmp_path / "b")
        assert answer["documents"]["collected"]["only_b"] == 0
        assert answer["corpora"]["b"]["newer_build_unfinished"]
        assert "being built again" in render(dict(answer))
    build(changed, tmp_path / "b")
    answer = tm.open(tmp_path / "a").diff(tmp_path / "b")
    assert answer["documents"]["kept"]["only_b"] == 1
    # The older version is there while somebody holds it.
    versions = tmp_path / "b" / ".versions"
    assert sorted(path.name for path in versions.iterdir()) == ["1", "2"]
    done = tokenmill("diff", versions / "1", tmp_path / "b", "--json")
    answer = json.loads(done.stdout)
    assert [answer["corpora"][side]["version"] for side in "ab"] == [1, 2]
    assert answer["documents"]["kept"] == {"a": 6, "b": 7, "in_both": 6, "only_a": 0, "only_b": 1}
    assert held.status().documents == 6


def test_a_forgotten_document_is_dropped_and_its_text_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(6):
        (tmp_path / "in" / f"{number}.txt").write_text(f"secret number {number}")
    build(smallest(tmp_path), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    forgotten = tm.open(tmp_path / "b").texts().read_all()["doc_id"][2].as_py()
    tm.open(tmp_path / "b").forget(doc_ids=[forgotten])
    for first, second, side in (("a", "b", "dropped"), ("b", "a", "kept")):
        answer = tm.open(tmp_path / first).diff(tmp_path / second)
        (group,) = answer["changes"]
        assert (group["now"], group["documents"]) == (side, 1)
        assert group["b" if side == "dropped" else "a"] == {"kept": False, "stage": "pack", "reason": "forgotten"}
        assert group["samples"][0]["doc_id"] == forgotten
        assert group["samples"][0]["text"] is None
        assert "secret" not in json.dumps(dict(answer)) + render(dict(answer))
    assert "the text is forgotten" in tokenmill("diff", tmp_path / "a", tmp_path / "b").stdout


def test_a_corpus_of_an_older_format(corpus: Path, tmp_path: Path) -> None:
    old = unpacked("1", tmp_path)
    answer = tm.open(old).diff(corpus, samples=1)
    assert [answer["corpora"][side]["format"] for side in "ab"] == [1, MANIFEST.number]
    assert answer["documents"]["collected"]["in_both"] == 0
    assert "repeats" in {row["stage"] for row in answer["funnel"] if row["b"] is None}
    again = tm.open(corpus).diff(old, samples=1)
    assert again["documents"]["kept"]["only_a"] == answer["documents"]["kept"]["only_b"]
    Page(render(dict(answer)))


def test_hostile_texts_steer_neither_a_terminal_nor_a_page(tmp_path: Path) -> None:
    write_corpus(tmp_path / "a", {"web/0": list(HOSTILE)})
    write_corpus(tmp_path / "b", {"web/1": ["harmless"]})
    answer = diff(opened(tmp_path / "a"), opened(tmp_path / "b"), samples=ALL)
    answer["settings"] = {f"x.{one}": {"a": one, "b": [one]} for one in HOSTILE}
    answer["reasons"] = [{"stage": one, "reason": one, "a": 1, "b": 2} for one in HOSTILE]
    answer["languages"] = [
        {"language": one, "a": {"documents": 1, "share": 1.0}, "b": {"documents": 0, "share": None}} for one in HOSTILE
    ]
    answer["sources"] = [{**answer["sources"][0], "source": one} for one in HOSTILE]
    answer["corpora"]["a"]["folder"], answer["corpora"]["b"]["folder"] = CONTROLS, STYLE
    page = render(answer)
    shown = Page(page)
    assert {tag for tag, _ in shown.tags} & {"script", "img", "iframe", "object", "a"} <= {"a"}
    assert not any(name.startswith("on") or name == "style" for _, given in shown.tags for name in given)
    assert shown.policies == [f"default-src 'none'; style-src {hash_of('style', page)}; base-uri 'none'; form-action 'none'"]
    assert all(str(given.get("href")).startswith("#") for tag, given in shown.tags if tag == "a")
    assert not any(character in page for character in "\x00\x1b\x85\u202e\u2066")
    drawn = io.StringIO()
    show(answer, Console(width=50, file=drawn))
    assert "\n" in drawn.getvalue()
    assert not any(character in drawn.getvalue() for character in "\x00\x1b\x85\u202e\u2066\r")


def test_the_command(corpus: Path, stricter: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for root in (corpus, stricter) for path in root.rglob("*")}
    page = tmp_path / "pages" / "diff.html"
    done = tokenmill("diff", corpus, stricter, "--html", page, "--samples", "1")
    assert done.returncode == 0, done.stderr
    assert "quality.min_words: 60 -> 80" in done.stdout
    assert "kept in A, not in B" in done.stdout
    assert "\x1b" not in done.stdout
    assert "quality: too_few_words" in Page(page.read_text()).words
    assert json.loads(tokenmill("diff", corpus, stricter, "--json", "--samples", "0").stdout)["changes"][0]["samples"] == []
    assert {path: path.stat().st_mtime_ns for root in (corpus, stricter) for path in root.rglob("*")} == before
    (tmp_path / "link").symlink_to(page)
    for arguments, code, message in (
        ([corpus, "nowhere"], 1, "nowhere"),
        ([corpus], 2, "B"),
        ([corpus, stricter, "--samples", "-1"], 2, "--samples"),
        ([corpus, stricter, "--html", corpus / "diff.html"], 1, "lies in the corpus"),
        ([corpus, stricter, "--html", tmp_path], 1, "is a folder"),
        ([corpus, stricter, "--html", tmp_path / "link"], 1, "is a link or a device"),
        ([corpus, stricter, "--html", "/dev/null"], 1, "is a link or a device"),
        ([corpus, page], 1, "is no folder"),
    ):
        done = tokenmill("diff", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert message in done.stderr
