"""Input that is cut, ambiguous or in the way: what it costs, and that it is said."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.collect import warc
from tokenmill.pipeline.collect.records import Limits, without_userinfo
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig
from tokenmill.pipeline.stages.step import Work, perform


class Heard(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def end(self, note: str) -> None:
        self.lines.append(note)


def build(folder: Path, out: Path, **settings: object) -> list[str]:
    heard = Heard()
    step = CollectStep(config=CollectConfig.model_validate({"paths": (str(folder),), **settings}))
    perform(step, Work(root=out, before=(), executor=InProcess(), progress=heard), downstream=())
    return heard.lines


def test_csv_that_is_cut_or_does_not_fit_its_header(tmp_path, collect):
    (tmp_path / "cut.csv").write_text('id,text\n4,whole\n5,"cut in the mid')
    (tmp_path / "garbage.csv").write_text('id,text\n1,"quoted"garbage\n2,next\n')
    (tmp_path / "long.csv").write_text("id,text\n1,one, two\n3,fits\n")
    (tmp_path / "repeated.csv").write_text("text,text\na,b\nc,d\n")
    (tmp_path / "unnamed.csv").write_text("text,,\nstays,,\n")
    done = collect(tmp_path)
    assert done.texts() == ["whole", "next", "fits", "stays"]
    assert done.broken() == [
        ("cut.csv#1", "broken_csv"),
        ("garbage.csv#0", "broken_csv"),
        ("long.csv#0", "broken_csv"),
        ("repeated.csv", "broken_csv"),
    ]
    messages = pq.read_table(done.root / "quarantine/files.parquet")["message"].to_pylist()
    assert "3 fields, the header 2 columns" in messages[2]
    assert "'text' more than once" in messages[3]


def test_a_damaged_csv_header_costs_its_file(tmp_path, collect):
    (tmp_path / "a.csv").write_text('"id"x,text\nid,text\n1,one\n')
    done = collect(tmp_path)
    assert (done.texts(), done.broken()) == ([], [("a.csv", "broken_csv")])


def test_a_dry_run_writes_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    os.utime(tmp_path / "a.txt", ns=(0, 10**18))
    step = CollectStep(config=CollectConfig(paths=(str(tmp_path / "a.txt"),)))
    work = Work(root=tmp_path / "corpus", before=(), executor=InProcess())
    step.inputs(work)
    step.plan()
    assert not work.root.exists()
    step.run(work)
    assert (work.root / ".state/inputs.json").exists()


def test_a_source_may_be_called_inputs(tmp_path, collect):
    (tmp_path / "a.txt").write_text("a")
    sources = [{"kind": "files", "name": name, "paths": [str(tmp_path / "a.txt")]} for name in ("inputs", "inputs.json")]
    assert collect(sources=sources[:1]).texts() == ["a"]
    assert collect(sources=sources[:1]).done.recomputed_shards == 0


@pytest.mark.parametrize("pattern", ["", "**", "**/*.txt", "*/*.txt", "**/b/*.txt"])
def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, collect, monkeypatch, pattern):
    (tmp_path / "in/b/closed").mkdir(parents=True)
    (tmp_path / "in/b/a.txt").write_text("a")
    (tmp_path / "in/a.txt").write_text("a")
    closed = "b" if pattern in ("*/*.txt", "**/b/*.txt") else "closed"
    refuse(monkeypatch, "scandir", closed)
    with pytest.raises(InputError, match=f"{closed}/?: the folder cannot be read"):
        collect(tmp_path / "in" / pattern)


def test_a_pattern_reads_no_folder_that_it_does_not_name(tmp_path, collect, monkeypatch):
    (tmp_path / "in/closed").mkdir(parents=True)
    (tmp_path / "in/a.txt").write_text("a")
    refuse(monkeypatch, "scandir", "closed")
    assert collect(tmp_path / "in/*.txt").texts() == ["a"]


def test_files_in_a_folder_that_may_only_be_listed_are_an_error(tmp_path, collect, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "in/b.txt").write_text("b")
    refuse(monkeypatch, "stat", "b.txt")
    with pytest.raises(InputError, match=r"b\.txt: Permission denied; make its folder readable"):
        collect(tmp_path / "in")


def refuse(monkeypatch, call, name):
    """Have `os.<call>` refuse paths that end in `name`, also for root."""
    real = getattr(os, call)

    def refusing(path, *arguments, **settings):
        if str(path).rstrip("/").endswith(name):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **settings)

    monkeypatch.setattr(os, call, refusing)


def test_what_is_left_out_is_counted_and_said(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "in/b.pdf").write_bytes(b"%PDF")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    lines = build(tmp_path / "in", tmp_path / "corpus")
    assert lines == ["collect: 1 links to folders not followed", "1 documents; 1 file of no known kind was left out"]
    facts = json.loads((tmp_path / "corpus/collect/manifest.json").read_bytes())["facts"]
    assert facts["ignored_files"] == 2
    (tmp_path / "in/b.pdf").unlink()
    (tmp_path / "in/loop").unlink()
    assert build(tmp_path / "in", tmp_path / "other") == ["1 documents"]


@pytest.mark.parametrize("pattern", ["", "**/*.*", "*"])
def test_a_corpus_below_its_input_is_no_input(tmp_path, pattern):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{broken\n')
    out, second = tmp_path / "corpora/one", tmp_path / "corpora/two"
    build(tmp_path / pattern, out, quarantine_ceiling=1.0)
    before = (out / "collect/manifest.json").read_bytes()
    build(tmp_path / pattern, out, quarantine_ceiling=1.0)
    assert (out / "collect/manifest.json").read_bytes() == before
    (out / "collect/manifest.json").unlink()
    lines = build(tmp_path / pattern, out, quarantine_ceiling=1.0)
    assert lines[0] == "collect: 1 folders among the input left out, as they are corpora"
    assert (out / "collect/manifest.json").read_bytes() == before
    build(tmp_path / pattern, second, quarantine_ceiling=1.0)
    after = manifest.load(second, "collect")
    # The first corpus is an entry that the second one leaves out; all else is the same.
    assert after.facts.pop("ignored_files") == after.facts["left_out"].pop("corpus") == 1
    first = manifest.load(out, "collect")
    assert first.facts.pop("ignored_files") == 0
    assert after == first


def test_a_corpus_as_the_only_input_is_refused(tmp_path, collect):
    (tmp_path / "a.txt").write_text("a")
    corpus = collect(tmp_path / "a.txt").root
    with pytest.raises(InputError, match="give its folder documents"):
        collect(corpus, out="other")


def test_files_that_are_not_of_the_step_stay(tmp_path, collect):
    (tmp_path / "a.txt").write_text("a")
    root = collect(tmp_path / "a.txt").root
    (root / "documents/notes.md").write_text("mine")
    (root / "documents/old.parquet").write_bytes(b"left by an earlier run")
    (root / "collect/manifest.json").unlink()
    collect(tmp_path / "a.txt")
    assert (root / "documents/notes.md").exists()
    assert not (root / "documents/old.parquet").exists()


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://u:p@a.org/x?q=1#f", "https://a.org/x?q=1#f"),
        (" \n\thttps://u:p@a.org/", "https://a.org/"),
        ("ht\ntps://u:\x00p@a.org/", "https://a.org/"),
        ("https://u:p@v@a.org", "https://a.org"),
        ("//u:p@a.org/x", "//a.org/x"),
        ("https:\\\\u:p@a.org", None),
        ("https://a.org\\@u:p@b.org", None),
        ("https:/u:p@a.org", None),
        ("https:u:p@a.org", None),
        ("https:///u:p@a.org", None),
        ("///u:p@a.org", None),
        ("u:p@a.org/x", None),
        ("view-source:https://u:p@a.org", None),
        ("https://b.org/web/https://u:p@a.org/", None),
        ("https://b.org/go?to=https:/u:p@a.org/", None),
        ("https://a.org/@name", "https://a.org/@name"),
        ("a.org/@name", "a.org/@name"),
        ("https://a.org:80/?mail=x@b.org", "https://a.org:80/?mail=x@b.org"),
        ("https://a.org/plain", "https://a.org/plain"),
        (" \n", None),
    ],
)
def test_no_user_or_password_stays_in_a_url(url, wanted):
    assert without_userinfo(url) == wanted


@pytest.mark.parametrize("noise", [":", "//", "/", "@", ":/", "a:"])
def test_long_urls_cost_linear_time(noise):
    begun = time.process_time()
    without_userinfo("https://a.org/@" + noise * 500_000)
    without_userinfo("@/" + noise * 500_000)
    assert time.process_time() - begun < 30


@pytest.mark.parametrize("noise", [b"WARC/\n", b"WARC/", b"WARC/\n\n", b"\n", b"WARC/1.0\r\n", b"W", b"x\n"])
def test_noise_in_a_web_archive_costs_linear_time(tmp_path, noise):
    path = tmp_path / "in.warc"
    path.write_bytes(noise * (1_200_000 // len(noise)))
    begun = time.process_time()
    with open(path, "rb") as handle:
        rejected = list(warc.read(handle, "", "in.warc", 0, 0, Limits(document_bytes=1_000)))
    assert time.process_time() - begun < 40
    assert bool(rejected) == (noise != b"\n")


def test_a_cut_header_spares_the_next_record(tmp_path, collect):
    body = b"plain words"
    whole = b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\n" + body + b"\r\n\r\n"
    cut = b"WARC/1.0\r\nWARC-Type: conv\r\n"
    (tmp_path / "in.warc").write_bytes(cut + whole + b"junk\n" + whole)
    done = collect(tmp_path / "in.warc")
    assert done.texts() == ["plain words"] * 2
    assert done.broken() == [("in.warc#0", "broken_warc"), (f"in.warc#{len(cut + whole)}", "broken_warc")]


@pytest.mark.parametrize(
    "kind",
    [pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string()), pa.large_string(), pa.string_view()],
)
def test_text_of_every_arrow_type_is_read(tmp_path, collect, kind):
    text = pa.array(["one", None, "two", "one"]).cast(kind)
    pq.write_table(pa.table({"text": text, "lang": text}), tmp_path / "in.parquet")
    done = collect(tmp_path / "in.parquet")
    assert done.texts() == ["one", "two", "one"]
    assert json.loads(done.documents()[0]["metadata"])["fields"] == {"lang": "one"}
    assert done.dropped() == [("in.parquet#1", "empty")]


def test_a_null_text_is_empty_in_json_lines_as_in_parquet(tmp_path, collect):
    (tmp_path / "in.jsonl").write_text('{"text": null}\n{"text": "here"}\n{}\n')
    done = collect(tmp_path / "in.jsonl")
    assert (done.dropped(), done.broken()) == ([("in.jsonl#0", "empty")], [("in.jsonl#2", "no_text")])
