"""Vocabularies of many sizes from one count and one training: what each costs in embeddings, and in tokens of the text.

Guarantee: the tokens of a size are those that its tokenizer gives the counted text.
Cost: learning 131,072 tokens takes twice as long as 32,768, and there is one pass over the distinct pre-tokens per size.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenmill.pipeline.tokens.facts import Size
from tokenmill.tokenizer.merges import Learner

SIZES = (8_192, 16_384, 32_768, 65_536, 131_072)


def sweep(learner: Learner, sizes: Sequence[int], text_bytes: int) -> list[Size]:
    """The vocabulary at each of `sizes`, smallest first, those that have room for the bytes.

    Where merges run out, the last one is what there is. `text_bytes`: of the counted text.
    """
    found = []
    for size in sizes:
        if size < learner.first:
            continue
        learner.grow(size)
        tokens = learner.text_tokens
        found.append(Size(vocabulary=learner.vocabulary, tokens=tokens, bytes_per_token=text_bytes / tokens))
        if learner.vocabulary < size:
            break
    return found
