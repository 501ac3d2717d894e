"""The cyclopts application `tokenmill`, with every command of the table.

Purpose: registers each command by its import path, so that a command is imported only when it is called.
Guarantee: each command imports what it needs. Cost: the import of cyclopts (70 ms).
"""

from __future__ import annotations

from importlib.metadata import version

import cyclopts

from tokenmill.flows.cli.commands import ABOUT, COMMANDS
from tokenmill.flows.cli.options import Output
from tokenmill.flows.cli.usage import wrong_usage

app = cyclopts.App(
    name="tokenmill",
    help=ABOUT,
    help_format="markdown",
    console=Output(emoji=False),
    error_formatter=wrong_usage,
    version=lambda: version("tokenmill"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for heading, entries in COMMANDS.items():
    for entry in entries:
        app.command(f"tokenmill.flows.cli.{entry.home}", name=entry.name, group=heading)
