"""The reference of commands, from the parser of the command line.

Purpose: one page with every command, its arguments and its examples, in the order and under the headings of `tokenmill --help`.
Guarantee: nothing is written down twice. A command without a section raises KeyError.
Cost: the import of every command, about two seconds.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from tokenmill.flows.cli.application import app
from tokenmill.flows.cli.commands import COMMANDS

INTRODUCTION = """# Commands

This page is what `tokenmill COMMAND --help` says. Exit codes: 0 done, 1 the data or the settings are at fault, 2 wrong usage,
130 interrupted. When the reader of the output leaves (`tokenmill status DIR | head`), the work goes on.
"""
SECTION = re.compile(r"^## tokenmill (\S+)\n", re.MULTILINE)
INDENTED = re.compile(r"(?:^(?: {4}.*)\n(?:[ \t]*\n)*)+", re.MULTILINE)


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    # The text before the first command lists them all, and so does the navigation of the site.
    _, *parts = SECTION.split(app.generate_docs(output_format="markdown"))
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    yield INTRODUCTION
    for heading, entries in COMMANDS.items():
        yield f"## {heading}\n"
        for entry in entries:
            body = sections[entry.name].replace("\n### tokenmill", "\n#### tokenmill")
            yield f"### tokenmill {entry.name}\n{_fenced(body.replace('```console', '```sh'))}"


def _fenced(text: str) -> str:
    """Indented blocks as fenced ones, so that they can be copied as a whole."""

    def fence(found: re.Match[str]) -> str:
        block = textwrap.dedent(found[0]).strip()
        if block.startswith("["):
            return f"```toml\n{block}\n```\n\n"
        commands = "\n".join(line for line in block.splitlines() if line)
        return f"```sh\n{commands}\n```\n\n"

    return INDENTED.sub(fence, text)
