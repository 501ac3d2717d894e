"""Compare vocabulary sizes with one count and one training: the embedding parameters and the tokens of the text for each.

Guarantee: the number of tokens for a size is the number that a tokenizer of that size gives for the counted text.
Cost: learning 131,072 tokens takes twice as long as 32,768. Each size adds one pass over the distinct pre-tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenmill.pipeline.tokens.facts import Size
from tokenmill.tokenizer.merges import Learner

SIZES = (8_192, 16_384, 32_768, 65_536, 131_072)


def sweep(learner: Learner, sizes: Sequence[int], text_bytes: int) -> list[Size]:
    """Measure the vocabulary at each of `sizes`, given in ascending order. Sizes without room for the bytes are skipped.

    If merges run out, the last result is the largest vocabulary that was reached. `text_bytes`: the size of the counted text.
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
