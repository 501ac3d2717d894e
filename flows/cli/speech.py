"""`sample` and `chat`: what a trained model says, and the options of both.

Cost: nothing until a command runs; then imports torch (1.4 s).
"""

from __future__ import annotations

import contextlib
import signal
import sys
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from tokenmill.flows.cli.options import CorpusTokens, OfObjective, out
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.utf8 import as_utf8


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Speech:
    """How a model chooses what it says: the options of `sample` and `chat`."""

    tokens: Annotated[
        int,
        Parameter(help="Most tokens to generate, at least 1. A text ends earlier if the model generates an end-of-text token."),
    ] = 100
    temperature: Annotated[
        float,
        Parameter(
            help="Randomness of the choice, from 0 to 1e9. 0, like all below 1e-9, always chooses the most probable token."
        ),
    ] = 0.8
    top_k: Annotated[int, Parameter(help="Choose only among this many most probable tokens, at least 1.")] = 50
    top_p: Annotated[
        float,
        Parameter(
            help="Choose only among the fewest most probable tokens with this much probability together, above 0 and at most 1."
        ),
    ] = 1.0
    min_p: Annotated[
        float,
        Parameter(
            help="Leave out tokens with less than this part of the most probable one's probability, at least 0 and below 1."
        ),
    ] = 0.0
    repetition_penalty: Annotated[
        float, Parameter(help="Above 1, tokens that stand in the text become less probable. From 0.001 to 1000.")
    ] = 1.0
    stop: Annotated[
        tuple[str, ...],
        Parameter(negative="", show_default=False, help="End the text before it says this. May be given several times."),
    ] = ()
    seed: Annotated[int, Parameter(help="Seed of the random choice, from 0 to 2^63 - 1.")] = 0
    objective: OfObjective = None

    def options(self) -> dict[str, Any]:
        """As `flows.training` takes them."""
        choice = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")}
        asked = {"tokens": self.tokens, "choice": choice, "seed": self.seed, "stop": self.stop}
        return {**asked, "objective": self.objective}


def sample(
    folder: CorpusTokens,
    /,
    prompt: Annotated[str, Parameter(help="The beginning of a document, which the model continues.")] = "The",
    *,
    speech: Speech = Speech(),
) -> None:
    """Generate text with the trained model of a corpus.

    The command prints the prompt and its continuation by the last checkpoint. It runs on the CPU. The same checkpoint,
    prompt, options and seed give the same text.

    For example:

        tokenmill sample corpora/docs

        tokenmill sample corpora/docs "Returns a list of" --tokens 50 --temperature 0

        tokenmill sample corpora/docs "Usage:" --top-p 0.9 --repetition-penalty 1.2 --stop "Usage:"
    """
    from tokenmill.flows.training import speak

    for piece in speak(folder, prompt, **speech.options()):
        _say(piece)
    out.print()


def chat(
    folder: CorpusTokens,
    /,
    *,
    template: Annotated[
        str | None,
        Parameter(
            help="How a question and its answer are written, with {user} and {assistant} in their places; \\\\n is a new line. "
            "Default: that of the conversations that the model was fine-tuned on; else "
            "User: {user}\\\\nAssistant: {assistant}\\\\n."
        ),
    ] = None,
    speech: Speech = Speech(),
) -> None:
    """Talk with the trained model of a corpus.

    The command reads a line, prints the answer as the model makes it, and remembers both. /reset begins a new conversation;
    Ctrl-C stops an answer; /quit or Ctrl-D ends. Lines may also come from a pipe. When the conversation no longer fits into the
    context of the model, its oldest turns are forgotten. The same checkpoint, lines, options and seed give the same answers.

    A model that was trained on plain text alone takes the conversation for the beginning of a document, and writes what could
    stand there next: seldom an answer. Fine-tune it on conversations (`train --set train.objective=instructions`), or train
    it on documents that are conversations, written with the template.

    For example:

        tokenmill chat corpora/docs

        echo "What does len do?" | tokenmill chat corpora/docs --temperature 0

        tokenmill chat corpora/docs --template "Q: {user}\\nA: {assistant}\\n" --tokens 50
    """
    from tokenmill.flows.training import chat as begin

    talk = begin(folder, template, **speech.options())
    live = sys.stdin.isatty()
    if live:
        out.print("/reset begins anew, Ctrl-C stops an answer, /quit or Ctrl-D ends")
    # Ctrl-C ends an answer, not the command, so it must not count as an interrupt of that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while (line := _line(live=live)) not in (None, "/quit"):
            if line == "/reset":
                talk.turns.clear()
            elif line:
                with contextlib.suppress(KeyboardInterrupt), contextlib.closing(talk.answer(line)) as pieces:
                    for piece in pieces:
                        _say(piece)
                out.print()
    finally:
        signal.signal(signal.SIGINT, before)


def _line(*, live: bool) -> str | None:
    """The next line of the user without blanks around it; None at the end. Ctrl-C discards what was typed."""
    while True:
        try:
            line = (input("> ") if live else input()).strip()
            as_utf8(line, where="standard input")
            return line
        except EOFError:
            return None
        except KeyboardInterrupt:
            out.print()
        except UnicodeDecodeError as error:
            raise InputError("standard input: a line is not text; give UTF-8") from error


def _say(piece: str) -> None:
    out.print(piece, end="", markup=False, highlight=False, soft_wrap=True)
