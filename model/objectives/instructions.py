"""Instruction fine-tuning: the causal model learns to answer (Ouyang et al. 2022, "InstructGPT", section 3.5).

Purpose: a conversation is written by a template, as `chat` writes it. The targets are the answers alone, with what ends each:
the text of the template after it, and at last an end-of-text.
Guarantee: no gradient comes from any other token. A question is cut into ids as `chat` cuts it, up to where the answer begins.
Cost: that of encoding; then that of the causal objective.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tokenmill.model.chat import ChatTemplate
from tokenmill.model.objectives.examples import Turns
from tokenmill.model.objectives.packing import Example
from tokenmill.pipeline.tokens.encoder import Encoder


def pieces(turns: Turns, template: ChatTemplate) -> list[tuple[str, int]]:
    """A conversation as texts that are encoded one by one: the first question, then each answer with the question after it.

    Of each text, how many bytes are of an answer: 0 of the first. Joined, they are the conversation.
    """
    # What `ChatTemplate.text` leaves out before an answer belongs to its first word.
    lead = template.between[len(template.between.rstrip(" ")) :]
    found = [(template.text([], turns[0][0]), 0)]
    for number, (_, answer) in enumerate(turns):
        said = f"{lead}{answer.strip()}{template.after}"
        following = template.text([], turns[number + 1][0]) if number + 1 < len(turns) else ""
        found.append((said + following, len(said.encode())))
    return found


def examples_of(
    conversations: Sequence[Turns], template: ChatTemplate, encoder: Encoder, *, most: int
) -> tuple[list[Example], int]:
    """Conversations as examples of at most `most` ids, and how many of them were cut there, or left out without an answer.

    Raises InputError for a text that cannot be encoded.
    """
    found, cut = [], 0
    for turns in conversations:
        parts = pieces(turns, template)
        ids, counts = encoder.encode(pa.array([text for text, _ in parts], pa.large_string()))
        each = zip(np.split(ids, np.cumsum(counts)[:-1]), parts, strict=True)
        answers = [_answered(encoder, part.tolist(), said) for part, (_, said) in each]
        kept = np.concatenate([*answers, [True]])
        if len(ids) > most:
            cut += 1
            # The end of what was cut is no end.
            ids, kept = ids[:most], np.append(kept[:most], False)
        if kept.any():
            found.append(Example(ids=ids.astype(np.int64), kept=kept))
    return found, cut


def _answered(encoder: Encoder, ids: list[int], said: int) -> list[bool]:
    """Which ids begin in the first `said` bytes of their text."""
    begun, found = 0, []
    for one in ids:
        found.append(begun < said)
        begun += len(encoder.decode_bytes([one]))
    return found
