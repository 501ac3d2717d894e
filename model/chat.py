"""Conversations with a trained model.

Purpose: writes a conversation as one text, by a template, and lets the model continue it with the next answer.
Guarantee: the same checkpoint, questions, settings and seed give the same answers. Of a conversation that no longer fits into
the context, the oldest turns are forgotten. Cost: each answer reads the conversation anew; then see `generate`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from tokenmill.model.generate import Choice
from tokenmill.model.sample import Speaker
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.utf8 import as_utf8

USER, ASSISTANT = "{user}", "{assistant}"


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """How a turn is written: `before` the question, `between` it and the answer, `after` the answer."""

    before: str
    between: str
    after: str

    @classmethod
    def parse(cls, text: str) -> ChatTemplate:
        r"""The template in a text with {user}, {assistant} and \n. Raises ConfigError, and InputError if it is not UTF-8."""
        as_utf8(text, where="template")
        before, user, rest = text.replace(r"\n", "\n").partition(USER)
        between, assistant, after = rest.partition(ASSISTANT)
        if not (user and assistant and between and after + before) or USER in rest or ASSISTANT in before + after:
            raise ConfigError(
                f"template {text}: must hold {USER} once and then {ASSISTANT} once, with text between them that begins an "
                r"answer, and text before or after them that begins the next question, as in 'Q: {user}\nA: {assistant}\n'"
            )
        return cls(before=before, between=between, after=after)

    @property
    def marker(self) -> str:
        """Where an answer ends: at the text after it, or at the beginning of the next question."""
        edge = self.after + self.before
        return self.after.strip() or edge.rstrip() or edge

    def text(self, turns: Sequence[tuple[str, str]], question: str) -> str:
        """The conversation up to where the answer to `question` begins."""
        told = "".join(f"{self.before}{asked}{self.between}{answer}{self.after}" for asked, answer in turns)
        # Words begin with their space: a space before the answer would leave it words that none stands before.
        return told + self.before + question + self.between.rstrip(" ")


@dataclass(kw_only=True)
class Chat:
    """One conversation. `turns`: the questions and answers that the model still sees."""

    speaker: Speaker
    template: ChatTemplate
    tokens: int
    choice: Choice
    seed: int
    stop: Sequence[str] = ()
    turns: list[tuple[str, str]] = field(default_factory=list)
    answers: int = 0

    def answer(self, question: str) -> Generator[str]:
        """Pieces of the answer, as they are made. What was given of it belongs to the conversation, also if it is cut short."""
        context = self.speaker.model.shape.context_tokens
        room = max(context // 2, context - self.tokens)
        while self.turns and len(self.speaker.ids(self.template.text(self.turns, question))) >= room:
            del self.turns[0]
        seed = (self.seed + self.answers) % 2**63
        stop = [self.template.marker, *self.stop]
        prompt = self.template.text(self.turns, question)
        pieces = self.speaker.say(prompt, tokens=self.tokens, choice=self.choice, seed=seed, stop=stop)
        next(pieces)  # the prompt
        self.answers += 1
        given = ""
        try:
            for piece in pieces:
                # Spaces at the beginning are the template's.
                more = piece if given else piece.lstrip()
                given += more
                yield more
        finally:
            self.turns.append((question, given.strip()))
