"""BPE training to 32,768 tokens: cutting, counting and merging, from a column of texts to a vocabulary and its merges.

All cut by GPT-4's pattern, the peers by its regular expression; they get strings, as their users have them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pyarrow as pa
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from tests.bench.bench_bpe_count import CUT, counted
from tests.tokenizer.bpe_peers import learn

STAGE = "bpe_train"
WHOLE = True
PEER_BYTES = {"tokenizers": 16_000_000, "rustbpe": 64_000_000, "ffbpe": 64_000_000}
VOCABULARY = 32_768


def ours(batch: pa.RecordBatch) -> object:
    return learn(counted(batch), vocabulary=VOCABULARY, min_frequency=2)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    return {
        "tokenizers": _tokenizers,
        "rustbpe": _rustbpe if find_spec("rustbpe") else None,
        "ffbpe": _ffbpe if find_spec("ffbpe") else None,
    }


def _tokenizers(batch: pa.RecordBatch) -> object:
    model = tokenizers.Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(tokenizers.Regex(CUT.regex), behavior="isolated")
    model.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    model.train_from_iterator(batch["text"].to_pylist(), trainer)
    return model


def _rustbpe(batch: pa.RecordBatch) -> object:
    import rustbpe

    model = rustbpe.Tokenizer()
    model.train_from_iterator(iter(batch["text"].to_pylist()), VOCABULARY, pattern=CUT.regex)
    return model


def _ffbpe(batch: pa.RecordBatch) -> object:
    import ffbpe

    return ffbpe.train_bpe(batch["text"].to_pylist(), vocab_size=VOCABULARY)
