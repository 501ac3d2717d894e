"""`compact --personal`, cut off at any file operation: readers see a whole corpus, and doing it again makes the same bytes."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from tests.faults.builds import published
from tests.faults.cuts import cut_off
from tests.flows.test_personal_surfaces import build, files_of, leaks, write_input
from tokenmill.flows import forgetting, masking
from tokenmill.pipeline.ask.verify import problems
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.export.source import ExportSource
from tokenmill.tokenizer.encode import of_corpus

FEW = 2
"""Cuts in the quick test."""


def texts(root: Path) -> list[dict[str, object]]:
    source = ExportSource(corpus=open_corpus(root), licence=None)
    return [row for view in source.views for row in source.texts(view)[0].to_pylist()]


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])])
def test_masking_that_is_cut_off_is_finished_by_the_next(tmp_path: Path, every: bool) -> None:
    planted = write_input(tmp_path / "input")
    whole = tmp_path / "whole" / "corpus"
    build(tmp_path, "last", out=whole)
    wanted_texts = texts(whole)

    def fresh() -> Path:
        disk = tmp_path / "disk"
        shutil.rmtree(disk, ignore_errors=True)
        shutil.copytree(whole.parent, disk)
        return disk / "corpus"

    root = fresh()
    files.inject(None)
    forgetting.compact(root, Silent(), personal=True)
    operations, wanted = files.operations(), published(root)
    for number, at in enumerate(range(operations) if every else range(operations // 3, operations, operations // FEW)):
        for how in ("kill", "power", "eio") if every else (("kill", "power")[number % 2],):
            root = fresh()
            if how == "eio":
                files.inject(Fault(at=at, kind="eio"))
                with contextlib.suppress(TokenmillError, OSError):
                    forgetting.compact(root, Silent(), personal=True)
                files.inject(None)
            else:
                with cut_off(root, at, number if how == "power" else None):
                    forgetting.compact(root, Silent(), personal=True)
            assert texts(root) == wanted_texts, at
            forgetting.compact(root, Silent(), personal=True)
            assert published(root) == wanted, at
            assert leaks(planted, ((name, data.decode(errors="replace")) for name, data in files_of(root))) == [], at
    assert list(problems(root, Silent(), of_corpus)) == []


@pytest.mark.soak
def test_masking_in_place_and_a_build_after_it_was_cut_off(tmp_path: Path) -> None:
    planted = write_input(tmp_path / "input")
    root = tmp_path / "disk" / "corpus"
    build(tmp_path, "last", out=root, in_place=True)
    before, wanted = published(root), texts(root)
    files.inject(None)
    with cut_off(root, 10**9, None):
        forgetting.compact(root, Silent(), personal=True)
    operations, masked = files.operations(), published(root)
    for at in (operations // 2, operations - 30, operations - 10):
        shutil.rmtree(root)
        build(tmp_path, "last", out=root, in_place=True)
        with cut_off(root, at, None) as cut:
            forgetting.compact(root, Silent(), personal=True)
        assert cut.short
        forgetting.compact(root, Silent(), personal=True)
        assert published(root) == masked
        assert texts(root) == wanted
    with cut_off(root, operations // 2, None):
        forgetting.compact(root, Silent(), personal=True)
    # The input brings the text back, and what stood ready beside the corpus is gone.
    assert leaks(planted, ((name, data.decode(errors="replace")) for name, data in files_of(root))) == []
    (tmp_path / "input" / "more.txt").write_text("One more text of the input.")
    build(tmp_path, "last", out=root, in_place=True)
    (tmp_path / "input" / "more.txt").unlink()
    build(tmp_path, "last", out=root, in_place=True)
    assert published(root) == before
    assert not (root / masking.BESIDE).exists() or not list((root / masking.BESIDE).rglob("*.parquet"))


@pytest.mark.soak
def test_forgotten_documents_go_and_the_others_are_masked(tmp_path: Path) -> None:
    planted = write_input(tmp_path / "input")
    root = tmp_path / "corpus"
    corpus = build(tmp_path, "first", out=root)
    gone = texts(root)[0]["doc_id"]
    corpus.forget(doc_ids=[str(gone)])
    done = corpus.compact(personal=True)
    assert done is not None
    assert done.documents == 1
    assert gone not in {row["doc_id"] for row in texts(root)}
    assert corpus.verify() == ()
    assert leaks(planted, ((name, data.decode(errors="replace")) for name, data in files_of(root))) == []
    again = build(tmp_path, "first", out=root)
    assert {row.recomputed_shards for row in again.funnel()} == {0}
    assert corpus.compact(personal=True) is not None
