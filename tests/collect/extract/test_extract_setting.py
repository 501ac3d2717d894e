"""The setting `collect.extract`, through the parsers that read pages."""

from __future__ import annotations

from pathlib import Path

import pytest

PROSE = (
    "The quick brown fox jumps over the lazy dog, and <b>不</b>是 the end &amp; more. It goes on for a while, as articles do."
)
PAGE = f"""<html><body><nav><ul><li><a href=/>Home</a><li><a href=/about>About</a></ul></nav>
<article><h1>A story</h1>{f"<p>{PROSE}</p>" * 6}</article><footer>Imprint</footer></body></html>"""


@pytest.mark.parametrize(("extract", "menu"), [("blocks", False), ("none", True), ("resiliparse", False)])
def test_a_source_says_who_extracts_its_text(collect, tmp_path: Path, extract: str, menu: bool) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.html").write_text(PAGE, encoding="utf-8")
    source = {"name": "pages", "paths": [str(tmp_path / "in")], "extract": extract}
    (text,) = collect(sources=[source], extract="resiliparse").texts()
    assert text.count("quick brown fox") == 6
    assert ("About" in text) == menu
    if extract != "resiliparse":
        assert "不是 the end & more" in text
