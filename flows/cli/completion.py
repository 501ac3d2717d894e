"""The command `tokenmill completion`, which prints what a shell needs to complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from tokenmill.flows.cli.options import out

ZSH = """
# Read from a folder of fpath, this file is the function; read by `eval` or `source`, it names the function.
if [[ "$funcstack[1]" == "_tokenmill" ]]; then
  _cyclopts_tokenmill "$@"
elif (( $+functions[compdef] )); then
  compdef _cyclopts_tokenmill tokenmill
fi
"""


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")], /) -> None:
    """Print the completion script of a shell, for commands, options and choices.

    Write it where the shell looks for such scripts, and open a new shell. For zsh, the folder must be in `fpath` before
    `compinit` runs. After an update of tokenmill, write it again. For one session: `eval "$(tokenmill completion bash)"`.

    For example:

        tokenmill completion bash > ~/.local/share/bash-completion/completions/tokenmill

        tokenmill completion zsh > ~/.zsh/completions/_tokenmill

        tokenmill completion fish > ~/.config/fish/completions/tokenmill.fish
    """
    from tokenmill.flows.cli.application import app

    out.out(app.generate_completion(shell=shell) + (ZSH if shell == "zsh" else ""), end="")
