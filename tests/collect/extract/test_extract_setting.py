"""The settings `collect.extract` and `collect.extract_...`, through the parsers that read pages."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.collect.html import choose
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.html.main import FEW, MainText, main_text
from tokenmill.pipeline.collect.html.recall import of_page
from tokenmill.pipeline.config import CollectConfig

PROSE = (
    "The quick brown fox jumps over the lazy dog, and <b>不</b>是 the end &amp; more. It goes on for a while, as articles "
    "do, and says a lot."
)
PAGE = f"""<html><body><nav><ul><li><a href=/>Home</a><li><a href=/about>About</a></ul></nav>
<article><h1>A story</h1>{f"<p>{PROSE}</p>" * 6}<ul><li>one <li>two</ul></article><footer>Imprint</footer></body></html>"""
SHORT = "<html><body><p>A page with a few words.</p></body></html>"
LONG = (
    "It is long. It goes on for a while, as articles do, and says things that a reader of the page sees at once, and then "
    "some more of these things."
)


def write(folder: Path, **pages: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("extract", "menu"), [("blocks", False), ("none", True), ("resiliparse", False), ("trafilatura", False)]
)
def test_a_source_says_what_extracts_its_text(collect, tmp_path: Path, extract: str, menu: bool) -> None:
    if extract == "trafilatura":
        pytest.importorskip("trafilatura")
    source = {"name": "pages", "paths": [write(tmp_path / "in", a=PAGE)], "extract": extract}
    (document,) = collect(sources=[source], extract="resiliparse").documents()
    text = document["text"]
    assert text.count("quick brown fox") == (1 if extract == "trafilatura" else 6)  # it leaves out what is repeated
    assert ("About" in text) == menu
    if extract != "resiliparse":
        assert "不是 the end & more" in text
    # Of six equal paragraphs one counts.
    assert json.loads(document["metadata"])["extract_recall"] == 1


def test_the_default_is_blocks_in_all_places(collect, tmp_path: Path) -> None:
    source = {"name": "pages", "paths": [write(tmp_path / "in", a=PAGE)]}
    (text,) = collect(sources=[source]).texts()
    assert text == main_text(PAGE).text == main_text(PAGE, Extraction(extract="blocks")).text
    assert CollectConfig.model_validate({"paths": ["a"]}).all_sources[0].extract == Extraction().extract == "blocks"


def test_markdown_is_a_setting_of_a_source(collect, tmp_path: Path) -> None:
    source = {"name": "pages", "paths": [write(tmp_path / "in", a=PAGE)], "extract_format": "markdown", "extract": "none"}
    (text,) = collect(sources=[source]).texts()
    assert text.startswith("- Home\n- About\n\n# A story\n\nThe quick")
    assert "- one\n- two" in text
    (plain,) = collect(sources=[source | {"extract_format": "text"}], extract_format="markdown", out="plain").texts()
    assert "#" not in plain


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extract": "resiliparse", "extract_format": "markdown"}, 'source files: .*needs extract = "blocks" or "none"'),
        ({"extract": "none", "extract_bias": 1}, 'source files: .*needs extract = "blocks", not "none"'),
        ({"extract_bias": 21}, "less than or equal to 20"),
        ({"extract_recall": 1.1}, "less than or equal to 1"),
        ({"extract_format": "html"}, "'text' or 'markdown'"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CollectConfig.model_validate({"paths": ["in"], **settings})


def test_a_missing_library_is_named_before_any_work(collect, tmp_path: Path, monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trafilatura" else found(name))
    with pytest.raises(ConfigError, match=r"pip install 'tokenmill\[trafilatura\]'"):
        collect(sources=[{"name": "pages", "paths": [write(tmp_path / "in", a=PAGE)], "extract": "trafilatura"}])


def test_bias_moves_precision_against_recall() -> None:
    lengths = [len(main_text(PAGE, Extraction(extract_bias=bias)).text) for bias in (-20, -2, 0, 2, 20)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1] == len(main_text(PAGE, Extraction(extract="none")).text)


def test_a_page_of_which_little_came_out_is_dropped_with_a_reason_and_counted(collect, tmp_path: Path) -> None:
    # libxml2 gives up trees as deep as this, so trafilatura finds nothing.
    pytest.importorskip("trafilatura")
    pages = {"deep": "<div>" * 600 + PAGE, "good": PAGE, "void": "<script>no()</script>", "short": SHORT}
    source = {"name": "pages", "paths": [write(tmp_path / "in", **pages)], "extract": "trafilatura"}
    done = collect(sources=[source])
    assert done.dropped() == [("deep.html", "extract_recall"), ("void.html", "empty")]
    assert done.counts.dropped == {"extract_recall": 1, "empty": 1}
    assert len(done.texts()) == 2
    # No share makes a document of nothing.
    done = collect(sources=[source], extract_recall=0.0, out="again")
    assert done.counts.dropped == {"extract_recall": 1, "empty": 1}


def test_prose_is_what_stands_in_long_paragraphs_with_few_links() -> None:
    chars = len("".join(LONG.split()))
    assert of_page(f"<p>{LONG}</p><p>short") == (chars + 5, chars)
    assert of_page(f"<p><a href=x>{LONG}</a></p>") == (chars, 0)
    assert of_page(f"<p>{LONG}</p><div><p>{LONG}</p></div>") == (2 * chars, chars)
    assert of_page(f"<p hidden>{LONG}</p>") == (0, 0)
    assert of_page("<p>" + "漢" * 40) == (40, 40)
    assert of_page("") == (0, 0)


@pytest.mark.parametrize(
    ("characters", "prose", "visible", "least", "lost"),
    [
        (0, 0, 0, 0.1, False),
        (0, 0, 5, 0.0, True),
        (99, 1_000, 2_000, 0.1, True),
        (100, 1_000, 2_000, 0.1, False),
        (99, 1_000, 2_000, 0.0, False),
        (1, FEW, FEW, 0.9, False),
    ],
)
def test_what_is_lost(characters: int, prose: int, visible: int, least: float, lost: bool) -> None:
    found = MainText(text="x" * characters, characters=characters, prose=prose, visible=visible)
    assert (found.lost(least) is not None) == lost


def test_who_builds_says_that_pages_are_read_by_code_that_is_compiled_first(tmp_path: Path, monkeypatch) -> None:
    from tests.collect.conftest import collected

    said, prepared = [], []
    monkeypatch.setattr(choose, "is_compiled", lambda: False)
    monkeypatch.setattr(choose, "prepare", lambda: prepared.append(1))
    monkeypatch.setattr("tokenmill.pipeline.base.progress.Silent.say", lambda self, line: said.append(line))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("text")
    collected(tmp_path / "out", tmp_path / "in")
    assert not prepared
    collected(tmp_path / "out", Path(write(tmp_path / "in", a=PAGE)))
    assert prepared == [1]
    assert any("compiling" in line for line in said)


LATE = """
import importlib, pkgutil
from numba.core.dispatcher import Dispatcher
from tokenmill.pipeline.collect import html
from tokenmill.pipeline.collect.html import choose
choose.prepare()
for module in pkgutil.iter_modules(html.__path__):
    for name, kernel in vars(importlib.import_module(f"{html.__name__}.{module.name}")).items():
        if isinstance(kernel, Dispatcher):
            print(module.name, name, "ready" if kernel.signatures else "late")
"""


def test_no_kernel_is_loaded_when_a_parser_is_confined() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    states = [line.rpartition(" ") for line in done.stdout.splitlines()]
    assert len(states) >= 6
    assert [name for name, _, state in states if state != "ready"] == []
