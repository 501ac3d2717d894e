"""The documentation says what is there: commands, names, tests, files; and the README stays short."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import tokenmill as tm
from tests.flows.docs import tutorial
from tests.flows.docs.tutorial import PAGES
from tokenmill.flows import presets
from tokenmill.flows.cli import options
from tokenmill.flows.cli.application import app
from tokenmill.flows.cli.commands import COMMANDS
from tokenmill.flows.docs import commands, notebook, settings
from tokenmill.pipeline.config import describe
from tokenmill.pipeline.stages import table as stages
from tokenmill.pipeline.stages.settings import config_type

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
WRITTEN = [README, *sorted(PAGES.rglob("*.md"))]
MOST_WORDS = 900
MOST_PICTURE_BYTES = 300_000
ENDS = ("|", "||", ">", "2>&1", "&")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)|<img[^>]* src=\"([^\"]+)\"")


def typed(page: str) -> Iterator[list[str]]:
    """The commands of ours that the blocks of a page show, as words, without what a shell does with their output."""
    for block in tutorial.blocks(page):
        if block.kind in ("sh", ""):
            for line in block.text.replace("\\\n", " ").splitlines():
                if line.startswith("tokenmill "):
                    words = shlex.split(line, comments=True)
                    end = next((number for number, word in enumerate(words) if word in ENDS), len(words))
                    yield words[1:end]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_commands_are_written_as_the_parser_takes_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The parser fetches what an address names.
    monkeypatch.setattr(options, "_mirror", lambda *_, **__: Path("copy"))
    for words in typed(path.read_text()):
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_commands_that_the_parser_refuses_are_found() -> None:
    (words,) = typed("```sh\ntokenmill status corpora/mine --jsno | jq .\n```\n")
    assert words == ["status", "corpora/mine", "--jsno"]
    with pytest.raises(Exception, match="jsno"):
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_the_reference_has_every_command_once_under_its_heading() -> None:
    page = commands.page()
    headings = re.findall(r"^(#{2,3}) (?:tokenmill )?(.+)$", page, re.MULTILINE)
    assert headings == [
        found for heading, entries in COMMANDS.items() for found in [("##", heading), *(("###", one.name) for one in entries)]
    ]
    assert "* `--dry-run`" in page
    assert "```sh\ntokenmill build docs\n" in page
    assert not re.search(r"^ {4}\S", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE), (
        "a block that is not fenced"
    )


def test_the_reference_has_every_setting_and_preset() -> None:
    page = settings.page()
    for one in describe.settings(config_type(stages.STAGES)):
        rows = [
            line for line in page.splitlines() if line.startswith(f"| `{one.key}` | {one.sentence.replace('|', chr(92) + '|')}")
        ]
        assert any(one.accepted[1:].replace("|", "\\|") in row for row in rows), one.name
    assert re.findall(r"^## (.+)$", page, re.MULTILINE)[:2] == ["At the top of the file", "collect"]
    assert "gopher@1` 50" in page
    for name in presets.names():
        assert (presets.FOLDER / f"{name}.toml").read_text() in page


def test_the_reference_of_python_has_every_name_of_the_front_door() -> None:
    page = (PAGES / "reference" / "python.md").read_text()
    shown = re.findall(r"^::: tokenmill\.(?:pipeline\.base\.errors|(\w+))", page, re.MULTILINE)
    assert {*shown, "TokenmillError"} >= set(tm.__all__)


def test_the_tests_that_hold_promises_are_there() -> None:
    rows = re.findall(r"^\| .+ \| (.+) \|$", (PAGES / "concepts" / "promises.md").read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(tests/[^`]+)`", row)]
    assert len(rows) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    made = {PAGES / "reference" / "commands.md", PAGES / "reference" / "settings.md", *notebooks()}
    links = [first or second for first, second in LINK.findall(path.read_text())]
    gone = [link for link in links if not link.startswith("https://") and not (path.parent / link).exists()]
    assert [link for link in gone if (path.parent / link).resolve() not in made] == []


def notebooks() -> list[Path]:
    return [PAGES / name for name in notebook.made(PAGES)]


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    text = README.read_text()
    assert len(text.split()) <= MOST_WORDS
    pictures = [name for names in LINK.findall(text) for name in names if name.endswith((".svg", ".png"))]
    assert len(pictures) >= 2
    assert [name for name in pictures if (README.parent / name).stat().st_size > MOST_PICTURE_BYTES] == []


def test_what_the_site_needs_is_an_extra_with_pins() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["docs"]
    pins = {line.partition("==")[0] for line in (ROOT / ".ci" / "constraints.txt").read_text().splitlines()}
    assert {re.split(r"[\[<>=]", one)[0] for one in extra} <= pins


def test_the_notebook_has_the_cells_of_its_page(tmp_path: Path) -> None:
    made = notebook.of_page("# Title\n\nWords of `code`.\n\n```python\nx = 1\nprint(x)\n```\n\n```text\n1\n```\n\nMore.\n")
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in made["cells"]] == [
        ("markdown", "# Title\n\nWords of `code`."),
        ("code", "x = 1\nprint(x)"),
        ("markdown", "More."),
    ]
