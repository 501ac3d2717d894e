"""The application `tokenmill`: every command of the table, imported when it is called.

Guarantee: what a command needs is imported by that command. Cost: cyclopts (70 ms).
"""

from __future__ import annotations

from importlib.metadata import version

import cyclopts

from tokenmill.flows.cli.commands import ABOUT, COMMANDS
from tokenmill.flows.cli.options import Output

app = cyclopts.App(
    name="tokenmill",
    help=ABOUT,
    help_format="markdown",
    console=Output(),
    version=lambda: version("tokenmill"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for heading, entries in COMMANDS.items():
    for entry in entries:
        app.command(f"tokenmill.flows.cli.{entry.home}", name=entry.name, help=entry.summary, group=heading)
