"""What `make docs` adds to the pages that are written by hand: references from the code, and notebooks from tutorials.

Purpose: a hook of mkdocs. What it adds is made anew by each build of the site and stands in no folder of sources.
Guarantee: what is not in the code cannot be in a reference. A page that would ask another server for something ends the build.
Cost: about five seconds.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from tokenmill.flows.docs import commands, notebook, settings

FOREIGN = re.compile(r"<(?:script|link|img|iframe|video|audio|source)\b[^>]*\s(?:src|href)=[\"']?(?:https?:)?//[^\s>]*")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated. mkdocs calls it once it has listed the other files."""
    made = {"reference/commands.md": commands.page(), "reference/settings.md": settings.page()}
    for name, content in {**made, **notebook.made(Path(config.docs_dir))}.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_post_page(output: str, page: object, config: MkDocsConfig) -> None:
    """Refuse requests to other servers. mkdocs calls it for each page that is whole."""
    if found := FOREIGN.search(output):
        raise PluginError(f"{page}: would ask another server: {found[0]}")
