"""What is said of a command line that cannot be understood: one line, with the command to look at.

Guarantee: drawing only; cyclopts found the fault. Cost: none.
"""

from __future__ import annotations

from cyclopts.exceptions import CycloptsError, UnusedCliTokensError
from rich.text import Text


def wrong_usage(error: CycloptsError) -> Text:
    """The line for an error of usage."""
    command = " ".join(("tokenmill", *(error.command_chain or ())))
    said = str(error).strip().removesuffix("...").removesuffix(", ").removesuffix(".")
    given = list(error.root_input_tokens or ())
    extra = (error.unused_tokens or [""])[0]
    if isinstance(error, UnusedCliTokensError) and extra in given:
        before = given[: given.index(extra)]
        said = f"there is no place for {extra!r}"
        if before[-2:-1] == ["--set"] and "=" not in before[-1]:
            said += f"; write the setting as --set {before[-1]}={extra}"
    return Text.assemble(("error:", "bold red"), f" {said}. `{command} --help` shows what it takes, with examples")
