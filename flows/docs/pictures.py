"""Draws the pictures of the README and of the site from a finished corpus.

Purpose: `make pictures`. The funnel is the chart of the report, with the colours of its page. The other picture is the head of
the report as Chromium shows it.
Guarantee: the funnel is drawn from the manifests alone, byte for byte the same each time. Cost: three seconds.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.resources import files as resources
from pathlib import Path

from tokenmill.pipeline.base import files
from tokenmill.pipeline.corpus import REPORT, CorpusFolder, open_corpus
from tokenmill.pipeline.report import figures, funnel

PICTURES = Path(__file__).parent / "pages" / "pictures"
WIDTH, MARGIN = 760, 16
"""Pixels of the funnel."""
WINDOW = "1100,1250"
"""Pixels of the report."""
RULES = re.compile(r"^(?::root|@media \(prefers-color-scheme: dark\)) \{(?s:.*?)^\}|^svg .*$", re.MULTILINE)
BROWSER = ("chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WINDOW}")


def draw_funnel(corpus: CorpusFolder) -> str:
    """The report's chart of documents by step as a file of its own, with what the report's style says of colours and charts."""
    chart = str(figures.funnel_charts(funnel.rows(corpus))[0].chart)
    height = int(re.findall(r'height="(\d+)"', chart)[0])
    style = (resources("tokenmill.pipeline.report") / "style.css").read_text(encoding="utf-8")
    rules = "\n".join(found[0] for found in RULES.finditer(style))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height + 2 * MARGIN}" font-family="sans-serif">\n'
        f"<style>\n{rules}\n</style>\n"
        '<rect width="100%" height="100%" style="fill: var(--page)"/>\n'
        f'<svg x="{MARGIN}" y="{MARGIN}" width="{WIDTH - 2 * MARGIN}" height="{height}">{chart}</svg>\n</svg>\n'
    )


def photograph(report: Path) -> bytes:
    """The head of a page as PNG. Raises CalledProcessError, and FileNotFoundError where there is no Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "report.png"
        command = [*BROWSER, f"--user-data-dir={folder}/profile", f"--screenshot={picture}", report.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        return picture.read_bytes()


def main() -> None:
    """Draw both pictures from the corpus in the folder that the command line names."""
    root = Path(sys.argv[1])
    files.write_bytes(PICTURES / "funnel.svg", draw_funnel(open_corpus(root)).encode())
    files.write_bytes(PICTURES / "report.png", photograph(root / REPORT))


if __name__ == "__main__":
    main()
