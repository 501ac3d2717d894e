"""Installed documentation: what is found, what it is called, and that nothing is run."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import docstrings, installed

MODULE = '''"""About the module."""
raise SystemExit("this runs when it is imported")

class Shape:
    """A shape.

        With detail.
    """

    def area(self):
        """Its area."""

if True:
    async def later():
        """Later."""

x = "\\d"
'''


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A standard library of one package, two distributions (one of them ours), and shared documents."""
    files = {
        "lib/json/decoder.py": MODULE,
        "lib/plain.py": "x = 1\n",
        "lib/__pycache__/plain.py": MODULE,
        "lib/site-packages/gone.py": MODULE,
        "site/Big_Thing-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: Big.Thing\n\n# Big thing\n\nWords.\n",
        "site/Big_Thing-1.2.dist-info/RECORD": (
            "big/mod.py,,\nbig/guide.rst,,\nbig/data.bin,,\n../outside.md,,\nmissing.txt,,\nBig_Thing-1.2.dist-info/LICENSE.txt,,\n"
        ),
        "site/Big_Thing-1.2.dist-info/LICENSE.txt": "Do as you like.",
        "site/big/mod.py": 'def f():\n    """F."""\n',
        "site/big/guide.rst": "A guide.",
        "site/big/unnamed.md": "RECORD does not name this",
        "outside.md": "outside",
        "site/tokenmill-0.1.dist-info/METADATA": "Name: tokenmill\n\nOurs.\n",
        "site/tokenmill-0.1.dist-info/RECORD": "pipeline/x.md,,\n",
        "site/pipeline/x.md": "ours",
        "doc/tool/README.md": "Read me.",
        "doc/tool/page.html": "<p>A page.</p>",
        "doc/tool/copyright": "not a known kind",
    }
    for name, text in files.items():
        path = tmp_path / "machine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    machine = tmp_path / "machine"
    (machine / "doc/tool/NEWS.txt.gz").write_bytes(gzip.compress(b"News."))
    (machine / "doc/linked.md").symlink_to(machine / "doc/tool/README.md")
    where = installed.Places(stdlib=machine / "lib", site=(machine / "site", machine / "none"), share_doc=machine / "doc")
    monkeypatch.setattr(installed, "places", lambda: where)
    return where


def test_installed_documentation(places, collect):
    done = collect(sources=({"kind": "installed"},))
    found = {json.loads(row["metadata"])["path"]: row["text"] for row in done.documents()}
    assert found == {
        "big-thing/METADATA": "# Big thing\n\nWords.\n",
        "big-thing/big/guide.rst": "A guide.",
        "big-thing/big/mod.py": "f\n\nF.",
        "big-thing/dist-info/LICENSE.txt": "Do as you like.",
        "stdlib/json/decoder.py": (
            "About the module.\n\nShape\n\nA shape.\n\nWith detail.\n\nShape.area\n\nIts area.\n\nlater\n\nLater."
        ),
        "usr-share-doc/tool/NEWS.txt.gz": "News.",
        "usr-share-doc/tool/README.md": "Read me.",
        "usr-share-doc/tool/page.html": "A page.",
    }
    assert done.dropped() == [("stdlib/plain.py", "empty")]
    assert done.done.manifest.facts["ignored_files"] == 3


def test_the_real_places_exist_and_names_hold_no_path_of_the_machine():
    where = installed.places()
    names = [file.name for file in installed.listing(where).files]
    assert "stdlib/json/decoder.py" in names
    assert "numpy/METADATA" in names
    assert not [name for name in names if name.startswith(("/", "tokenmill/")) or sys.prefix in name or "/../" in name]
    assert names == sorted(set(names), key=str.encode)


def test_a_distribution_of_no_ascii_and_one_whose_list_is_no_csv(places, collect):
    info = places.site[0] / "Big_Thing-1.2.dist-info"
    (info / "METADATA").write_bytes("Name: Größe\n\nWords.\n".encode())
    other = places.site[0] / "other-1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Name: other\n\nWords.\n")
    (other / "RECORD").write_text("a" * 200_000 + ",,\n")
    done = collect(sources=({"kind": "installed"},))
    assert "Words.\n" in done.texts()
    assert done.done.manifest.facts["left_out"]["unknown_kind"] == 2


@pytest.mark.parametrize("source", [b'"""doc"""\ndef f(:', b'"""doc\0"""', b'"""' + b"(" * 5_000 + b'"""\n' + b"(" * 5_000])
def test_modules_that_do_not_parse_are_broken(source):
    with pytest.raises(RecordError) as caught:
        docstrings.of_module(source)
    assert caught.value.reason == "broken_python"


def test_module_encodings_are_honoured():
    assert docstrings.of_module(b'# -*- coding: latin-1 -*-\n"""caf\xe9"""\n') == "café"
