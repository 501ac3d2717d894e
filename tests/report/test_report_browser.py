"""The report in a browser: search, permalinks, drill-down, sorting, and that nothing else runs or is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.folders import folder_of, write_corpus
from tests.report.browser import Tab, tab
from tests.report.pages import HOSTILE, decide, rewrite_collect
from tokenmill.pipeline.ask.diff import diff, opened
from tokenmill.pipeline.report import write
from tokenmill.pipeline.report.comparison import render
from tokenmill.pipeline.report.expectations import insert

pytestmark = pytest.mark.soak

HOSTS = ("one.example", "two.example", '"><img src=x onerror=alert(1)>.example')
SHOWN = "[...document.querySelectorAll('.sample')].filter((one) => one.getClientRects().length)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in a folder whose name needs quotes in a shell."""
    root = tmp_path_factory.mktemp("corpora") / "it's mine"
    texts = [f"document {row} {'needle' if row == 9 else 'straw'} {HOSTILE[row % 6]}\nline\nline\n" for row in range(24)]
    work = write_corpus(root, {"a/0": texts})
    work = rewrite_collect(work, urls={"a/0": [f"https://{HOSTS[row % 3]}/{row}" for row in range(24)]})
    words = [row * 5 for row in range(24)]
    config = {"deciding": {"thresholds": {"min_words": 50, "max_duplicate_lines": 0.3}}}
    columns = {"words": pa.array(words, pa.int32()), "duplicate_lines": pa.array([0.25] * 23 + [0.4])}
    reasons = ["too_few_words" if count < 50 else "" for count in words[:23]] + ["duplicate_lines"]
    work = decide(work, "quality", lambda _, row: reasons[row], scores=lambda _: columns, config=config)
    write(folder_of(work))
    return root


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("profile")) as found:
        yield found


def address(folder: Path, fragment: str = "") -> str:
    return (folder / "report.html").as_uri() + fragment


def shown(browser: Tab) -> list[str]:
    return list(browser.run(f"{SHOWN}.map((one) => one.dataset.place)"))


def test_search_finds_samples_and_rules_and_its_address_finds_them_again(folder: Path, browser: Tab) -> None:
    browser.open(address(folder))
    assert browser.run("document.getElementById('finder').hidden") is False
    browser.run("document.getElementById('search').focus()")
    browser.call("Input.insertText", text="Needle")
    browser.wait("location.hash === '#?q=Needle'")
    browser.wait("document.body.classList.contains('filtered')")
    # It stands in the list of samples or at the border of a rule, or in both.
    assert set(browser.run(f"{SHOWN}.map((one) => one.textContent.includes('document 9 needle'))")) == {True}
    assert "“Needle”: 1 document, 0 rules" in browser.run("document.getElementById('found').textContent")
    assert browser.run("document.getElementById('funnel').hidden") is True
    browser.open("about:blank")
    browser.open(address(folder, "#?q=Needle"))
    assert 1 <= len(shown(browser)) <= 2
    assert browser.run("document.getElementById('search').value") == "Needle"
    browser.run("document.getElementById('clear').click()")
    browser.wait("!document.body.classList.contains('filtered')")
    assert browser.run("document.getElementById('funnel').hidden") is False
    browser.open(address(folder, "#?q=repeat+an+earlier"))
    cards = "[...document.querySelectorAll('.card')].filter((one) => one.getClientRects().length).map((one) => one.id)"
    assert browser.run(cards) == ["rule-quality.max_duplicate_lines"]


def test_a_place_shows_only_its_samples(folder: Path, browser: Tab) -> None:
    for host in HOSTS:
        browser.open(address(folder, "#places"))
        browser.run(
            f"[...document.querySelectorAll('#places a')].find((one) => one.dataset.place === {json.dumps(host)}).click()"
        )
        browser.wait("document.body.classList.contains('filtered')")
        assert set(shown(browser)) == {host}
        assert browser.run("new URLSearchParams(location.hash.slice(2)).get('place')") == host
    browser.open(address(folder))
    browser.run("[...document.querySelectorAll('#rules td a')].find((one) => one.textContent === 'duplicate_lines').click()")
    browser.wait("document.body.classList.contains('filtered')")
    reasons = browser.run(
        "[...document.querySelectorAll('.sample')].filter((one) => !one.hidden).map((one) => one.dataset.reason)"
    )
    assert set(reasons) == {"quality: duplicate_lines"}


def test_a_permalink_opens_what_it_names(folder: Path, browser: Tab) -> None:
    browser.open(address(folder))
    name = browser.run("[...document.querySelectorAll('#samples .sample')].at(-1).id")
    browser.open("about:blank")
    browser.open(address(folder, f"#{name}"))
    browser.wait(f"document.getElementById('{name}').open")
    assert browser.run(f"document.getElementById('{name}').getClientRects().length") == 1
    for section in browser.run("[...document.querySelectorAll('section, .card')].map((one) => one.id)"):
        assert browser.run(f"document.querySelectorAll('[href=\"#' + {json.dumps(section)} + '\"]').length") >= 1, section


def test_tables_are_sorted_by_numbers(folder: Path, browser: Tab) -> None:
    browser.open(address(folder))
    column = "[...document.querySelectorAll('#places tbody tr')].map((row) => row.cells[2].textContent)"
    first = browser.run(column)
    head = "[...document.querySelectorAll('#places thead button')][2]"
    browser.run(f"{head}.click()")
    assert browser.run(column) == sorted(first, key=int, reverse=True)
    browser.run(f"{head}.click()")
    assert browser.run(column) == sorted(first, key=int)


def test_commands_name_the_folder_of_the_page(folder: Path, browser: Tab) -> None:
    browser.open(address(folder))
    quoted = "'" + str(folder).replace("'", "'\\''") + "'"
    commands = browser.run("[...document.querySelectorAll('.command code')].map((one) => one.textContent)")
    assert commands
    assert browser.run("[document.querySelector('h1').textContent, document.getElementById('kind').textContent]") == [
        "it's mine",
        "Corpus of a",
    ]
    assert all(command.startswith(f"tokenmill whatif {quoted} --set quality.") for command in commands)


def test_the_page_of_a_run_names_the_corpus_and_links_its_expectations(folder: Path, browser: Tab) -> None:
    row = {"metric": "tokens", "wanted": "> 1", "value": "2", "met": True, "earlier": ""}
    page = insert((folder / "report.html").read_text(), "a run", [row])
    assert page is not None
    (folder / "runs").mkdir()
    (folder / "runs" / "report.html").write_text(page)
    browser.open((folder / "runs" / "report.html").as_uri())
    commands = browser.run("[...document.querySelectorAll('.command code')].map((one) => one.textContent)")
    assert commands
    assert not [command for command in commands if "/runs" in command]
    assert browser.run("document.querySelector('h1').textContent") == "it's mine"
    assert browser.run("document.querySelectorAll('[href=\"#expectations\"]').length") == 1


def test_the_page_asks_for_nothing_and_runs_nothing_else(folder: Path, browser: Tab) -> None:
    browser.requests.clear()
    browser.complaints.clear()
    browser.open("about:blank")
    browser.open(address(folder, "#?q=<img src=x onerror=alert(1)>&place=<script>alert(1)</script>"))
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert [one for one in browser.requests if not one.startswith(("about:", "chrome"))] == [address(folder)]
    assert browser.complaints == []
    assert browser.run("document.querySelectorAll('img, script').length") == 1
    # What somebody writes into the page afterwards does not run either.
    added = "const one = document.createElement('script'); one.textContent = 'window.ran = 1'; document.body.append(one)"
    browser.run(f"(() => {{ {added} }})()")
    assert browser.run("window.ran === undefined") is True


@pytest.mark.parametrize("width", [400, 800, 1400])
def test_no_part_is_wider_than_the_window(folder: Path, browser: Tab, width: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.open(address(folder))
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
    assert browser.run(f"{wide}.filter((one) => !one.closest('.box, pre, .begins')).length") == 0


def test_it_prints_without_its_samples(folder: Path, browser: Tab, tmp_path: Path) -> None:
    browser.open(address(folder))
    browser.pdf(tmp_path / "report.pdf")
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes()))
    assert 1 < pages <= 6
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("document.getElementById('samples').getClientRects().length") == 0
    assert browser.run("document.querySelectorAll('.card svg')[0].getClientRects().length") == 1
    browser.call("Emulation.setEmulatedMedia", media="screen")


def test_the_comparison_is_drawn_as_its_policy_lets_it(browser: Tab, tmp_path: Path) -> None:
    for name in "ab":
        write_corpus(tmp_path / name, {f"{name}/0": list(HOSTILE)})
    page = tmp_path / "diff.html"
    page.write_text(render(diff(opened(tmp_path / "a"), opened(tmp_path / "b"))))
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page.as_uri())
    assert browser.run("getComputedStyle(document.body).maxWidth") == "1088px", "the style is not applied"
    assert browser.run("document.querySelectorAll('script').length") == 0
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []
