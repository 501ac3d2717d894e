"""Every tutorial does what its page says, block by block."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.docs import tutorial

TUTORIALS = sorted(path.stem for path in (tutorial.PAGES / "tutorials").glob("*.md") if path.stem != "index")


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_as_its_page_says(name: str, tmp_path: Path) -> None:
    tutorial.run(tutorial.PAGES / "tutorials" / f"{name}.md", tmp_path)


@pytest.mark.parametrize("name", ["duplicates", "urls", "personal"])
def test_a_page_of_the_guide_runs_as_it_says(name: str, tmp_path: Path) -> None:
    tutorial.run(tutorial.PAGES / "guide" / f"{name}.md", tmp_path)


def page(tmp_path: Path, *parts: str) -> Path:
    """A page made of blocks."""
    path = tmp_path / "page.md"
    path.write_text("# A page\n\n" + "\n".join(f"Words.\n\n```{part}```\n" for part in parts))
    return path


def test_blocks_run_in_order_in_one_folder_and_one_namespace(tmp_path: Path) -> None:
    parts = [
        'toml title="a.toml"\nx = 1\n',
        "python\nfrom pathlib import Path\n",
        "python\nprint(Path('a.toml').read_text())\n",
        "text\nx = ...\n\n",
    ]
    tutorial.run(page(tmp_path, *parts, "sh\ncat a.toml\n", "text\nx = 1\n"), tmp_path)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (["sh\necho 1\n", "text\n2\n"], r"page.md:12: the page says\n\n2\n\nand this was printed:\n\n1"),
        (["sh\nfalse | cat\n"], "page.md:6: exit code 1"),
        (["toml\nx = 1\n"], "page.md:6: 'toml' without a title is neither run nor written"),
        (["text\n1\n"], "page.md:6: stands below no block that prints"),
        (["python\nassert False, 'wrong'\n"], "wrong"),
    ],
)
def test_a_page_that_says_something_else_is_found(parts: list[str], fault: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=fault):
        tutorial.run(page(tmp_path, *parts), tmp_path)
