"""The table of commands: their names, where each is defined, and one line of help.

Purpose: `tokenmill --help` answers from this table without importing any command.
Guarantee: a test compares the table with the commands. Cost: none.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandEntry:
    """One command: its name, `module:function` below `tokenmill.flows.cli`, and what it does."""

    name: str
    home: str
    summary: str


ABOUT = "Raw text in, pretraining corpora out: collect, filter, deduplicate, tokenize, pack, train."
COMMANDS: dict[str, tuple[CommandEntry, ...]] = {
    "Build": (
        CommandEntry("build", "build:build", "Build a corpus, or bring one up to date."),
        CommandEntry("config", "build:settings_app", "Print all settings of a preset or a TOML file."),
        CommandEntry("serve", "build:serve", "Run builds by schedule."),
    ),
    "Look": (
        CommandEntry("status", "corpus:status", "Show the funnel of a corpus."),
        CommandEntry("report", "corpus:report", "Say where the report is, and print the funnel as Markdown."),
        CommandEntry("whatif", "corpus:whatif", "Show what other thresholds would keep, in seconds."),
        CommandEntry("near", "corpus:near", "Say whether a text, or something like it, is in a corpus."),
        CommandEntry("trace", "tokens:trace", "Lead tokens back to their documents, and documents to every verdict they met."),
        CommandEntry("audit", "tokens:audit", "Look at the tokens: rare ones, repetition, shards unlike the rest."),
        CommandEntry("verify", "corpus:verify", "Check every published byte, and the evidence of removed duplicates."),
    ),
    "Change and hand on": (
        CommandEntry("forget", "tokens:forget", "Mask documents for every reader, and keep them out of later builds."),
        CommandEntry("compact", "tokens:compact", "Take forgotten documents out of the token files."),
        CommandEntry("export", "corpus:export", "Write the text or the tokens for other tools."),
    ),
    "Tokenizers and models": (
        CommandEntry("tokenizer", "tokenizer:app", "Train, use and judge tokenizers."),
        CommandEntry("quality", "model:quality_app", "Train classifiers of quality."),
        CommandEntry("train", "model:train", "Train the bundled GPT on the tokens of a corpus."),
        CommandEntry("sample", "model:sample", "Let the trained model speak."),
    ),
}
"""By the heading in the help, in the order of the help."""


def help_text() -> str:
    """What `tokenmill --help` prints, as wide as the terminal."""
    width = min(shutil.get_terminal_size().columns, 110)
    lines = ["Usage: tokenmill COMMAND [ARGUMENTS]", "", *textwrap.wrap(ABOUT, width)]
    for heading, entries in COMMANDS.items():
        lines += ["", f"{heading}:"]
        for entry in entries:
            lines += textwrap.wrap(
                entry.summary, max(width, 40), initial_indent=f"  {entry.name:<12}", subsequent_indent=" " * 14
            )
    lines += ["", "`tokenmill COMMAND --help` explains a command, with examples. `tokenmill --version` prints the version."]
    return "\n".join(lines)
