"""The tokenizer step: learn a byte-level BPE or a WordPiece from the surviving text, or publish a given tokenizer.

Guarantee: the same text and settings give the same file, byte for byte, for any number of workers. It is the file that
`tokenizers` makes from the same text and settings, except that no merge makes the end-of-text token, whatever the pattern. For
WordPiece see `tokenizer.train_wordpiece`.
Cost: counting, 100 to 200 MB of text per second and worker; merging, 1 to 2 s for 32,000 tokens. The learner, and nothing else,
holds all distinct pre-tokens, about 300 bytes for each: 10 GB of text, which is what `tokenizer.sample_bytes` takes of a larger
corpus, had 11 million of them and took 3.7 GiB in all processes. 2 GiB of distinct pre-tokens are refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.config import TokenizerConfig
from tokenmill.pipeline.stages.step import Outcome, Work
from tokenmill.pipeline.tokens import golden
from tokenmill.tokenizer import count
from tokenmill.tokenizer.count import CountTask
from tokenmill.tokenizer.description import END_OF_TEXT
from tokenmill.tokenizer.encode import FILE, load
from tokenmill.tokenizer.files import read
from tokenmill.tokenizer.formats import byte_alphabet, describe
from tokenmill.tokenizer.merges import Learned, Learner, Words
from tokenmill.tokenizer.pretokenize import WHITESPACE_AND_PUNCTUATION, Pattern, pattern
from tokenmill.tokenizer.sweep import SIZES, sweep
from tokenmill.tokenizer.train_wordpiece import learn


class TokenizerStep:
    """Publishes tokenizer/tokenizer.json.

    `counted`: the shards before it hold counts (`count.count_texts`, by the pattern `cut`) in place of documents.
    """

    name = TOKENIZER
    version = 3

    def __init__(self, *, config: TokenizerConfig, counted: bool = False) -> None:
        self._config = config
        self._counted = counted

    def config(self) -> Mapping[str, Any]:
        if self._config.path is None:
            # Refuses a pattern that is none.
            _ = self.cut
            return {**self._config.read, "given": None}
        return {"given": load(Path(self._config.path), self._own).fingerprint}

    @property
    def _own(self) -> str | None:
        """The pattern that the user set, for a file that names none or one unknown here; None if the user set none."""
        return self._config.pattern if "pattern" in self._config.model_fields_set else None

    @property
    def cut(self) -> Pattern:
        """How text is cut for counting. Raises ConfigError."""
        bpe = self._config.kind == "bpe"
        return pattern(self._config.pattern, self._config.digits) if bpe else WHITESPACE_AND_PUNCTUATION

    @property
    def _own_regex(self) -> str | None:
        cut = pattern(self._config.pattern, self._config.digits)
        return cut.regex if cut.kind is None else None

    def inputs(self, work: Work) -> Mapping[str, str]:
        return {made.stage: made.hash for made in work.before}

    def run(self, work: Work) -> Outcome:
        if self._config.path is None:
            return self._learn(work) if self._config.kind == "bpe" else self._learn_wordpiece(work)
        work.progress.begin(TOKENIZER, 1, "files")
        if not work.before[-1].counts.kept:
            raise InputError(_nothing_left(work))
        entry, described = self._publish(work, read(Path(self._config.path), self._own), own=self._own_regex)
        work.progress.end(f"{described['vocabulary']:,} tokens")
        return Outcome(files={FILE: entry}, facts=described)

    def _learn(self, work: Work) -> Outcome:
        config = self._config
        cut = self.cut
        # Refuse now, before any work, what encoding would refuse later.
        nothing = Learned(
            special=(END_OF_TEXT,), tokens=[b"", *(bytes([byte]) for byte in range(256))], merges=[], text_tokens=0
        )
        own = self._own_regex
        describe(tokenizer_json(nothing, cut), where="tokenizer.pattern", own_regex=own)
        if cut.kind is None:
            work.progress.say("no scanner knows this pattern: its regular expression cuts the text, some 200 times slower")
        words, sample, recomputed = self._words(work)
        work.progress.say(f"learning merges from {len(words.counts):,} distinct pre-tokens of {words.bytes:,} bytes of text")
        learner = Learner(
            words,
            most=max(config.vocabulary, *SIZES),
            min_frequency=config.min_frequency,
            special=(END_OF_TEXT,),
            max_token_bytes=config.max_token_bytes,
            guard_special=True,
        )
        facts: dict[str, Any] = sample | {
            "text_bytes": words.bytes,
            "pretokens": int(words.counts.sum()),
            "distinct_pretokens": len(words.counts),
        }
        # The learner keeps its own copy of the words. They may be large, so free them.
        del words
        sizes = sorted({*SIZES, config.vocabulary})
        smaller, larger = ([size for size in sizes if (size > config.vocabulary) == beyond] for beyond in (False, True))
        found = sweep(learner, smaller, facts["text_bytes"])
        learned = learner.learned()
        if len(learned.tokens) < config.vocabulary:
            work.progress.say(
                f"{facts['text_bytes']:,} bytes of text gave {len(learned.tokens):,} tokens, not {config.vocabulary:,}: "
                "more text, or a smaller tokenizer.min_frequency, gives more"
            )
            larger = []
        # Merging releases the interpreter lock, so the larger sizes are learned while the file is written and judged.
        with ThreadPoolExecutor(1) as beside:
            rest = beside.submit(sweep, learner, larger, facts["text_bytes"])
            entry, described = self._publish(work, tokenizer_json(learned, cut), own=own)
            found += rest.result()
        facts |= {
            "text_tokens": learned.text_tokens,
            "bytes_per_token": facts["text_bytes"] / learned.text_tokens,
            "sweep": [dataclasses.asdict(size) for size in found],
        }
        work.progress.end(f"{described['vocabulary']:,} tokens, {facts['bytes_per_token']:.2f} bytes of text per token")
        return Outcome(files={FILE: entry}, facts=described | facts, recomputed_shards=recomputed)

    def _learn_wordpiece(self, work: Work) -> Outcome:
        words, sample, recomputed = self._words(work)
        text_bytes = words.bytes
        work.progress.say(f"learning WordPiece from {len(words.counts):,} distinct pieces of {text_bytes:,} bytes of text")
        learned = learn(words, self._config)
        entry, described = self._publish(work, learned.data, own=None)
        work.progress.say(learned.unknown.said)
        if learned.tokens < self._config.vocabulary:
            work.progress.say(f"the text gave {learned.tokens:,} tokens, not {self._config.vocabulary:,}")
        facts: dict[str, Any] = sample | {
            "text_bytes": text_bytes,
            "text_tokens": learned.text_tokens,
            "bytes_per_token": text_bytes / max(1, learned.text_tokens),
            "unknown": dataclasses.asdict(learned.unknown),
        }
        work.progress.end(f"{described['vocabulary']:,} tokens, {facts['bytes_per_token']:.2f} bytes of text per token")
        return Outcome(files={FILE: entry}, facts=described | facts, recomputed_shards=recomputed)

    def _words(self, work: Work) -> tuple[Words, dict[str, Any], int]:
        """Count the surviving text, or a sample of it.

        Returns the counts, facts about the sample if there is one, and the number of shards counted anew. Raises InputError
        when there is no text.
        """
        config, total = self._config, work.before[-1].counts
        if self._counted:
            if not total.bytes_kept:
                raise InputError(_nothing_left(work))
            work.progress.begin(TOKENIZER, total.bytes_kept, "bytes")
            return count.merge(work, work.before[-1].shards, config.max_source_share), {}, 0
        seen = views(work.root, work.before)
        sizes = [view.documents[1].bytes for view in seen]
        share = min(1.0, config.sample_bytes / total.bytes_kept) if config.sample_bytes and total.bytes_kept else 1.0
        work.progress.begin(TOKENIZER, sum(sizes), "bytes")
        counted = work.executor.map(
            count.count_shard,
            [CountTask(view=view, pattern=self.cut, share=share) for view in seen],
            done=lambda number: work.progress.advance(sizes[number]),
        )
        text_bytes = sum(made.shard.counts.bytes_kept for made in counted)
        if not text_bytes and share < 1:
            raise InputError(f"no document with text is in the sample: raise tokenizer.sample_bytes = {config.sample_bytes:,}")
        if not text_bytes:
            raise InputError(_nothing_left(work))
        facts: dict[str, Any] = {}
        if share < 1:
            documents = sum(made.shard.counts.kept for made in counted)
            facts["sample"] = {"share": share, "documents": documents, "of_documents": total.kept, "text_bytes": text_bytes}
            work.progress.say(
                f"sample: {documents:,} of {total.kept:,} documents, {text_bytes:,} bytes of text (tokenizer.sample_bytes)"
            )
        words = count.merge(work, [made.shard for made in counted], config.max_source_share)
        return words, facts, sum(made.recomputed for made in counted)

    def _publish(self, work: Work, data: bytes, *, own: str | None) -> tuple[FileEntry, dict[str, Any]]:
        """Write the file, find out which library encodes with it, and describe it. `own`: the user's regular expression."""
        entry = files.write_bytes(work.root / FILE, data)
        encoder = load(work.root / FILE, own)
        if encoder.engine == "tokenizers" and encoder.description.unknown is None:
            work.progress.say("fastokens does not give this tokenizer's ids; tokenizers encodes, some 20 times slower")
        return entry, {
            "vocabulary": encoder.vocabulary,
            "end_of_text": encoder.end_of_text,
            "fingerprint": encoder.fingerprint,
            "pattern": encoder.description.pattern,
            "own_pattern": own,
            "golden": list(golden.digests(encoder)),
        }


def tokenizer_json(learned: Learned, cut: Pattern) -> bytes:
    """The file of a learned vocabulary, as `tokenizers` writes it."""
    spelled = {byte: character for character, byte in byte_alphabet().items()}
    names = [*learned.special, *("".join(spelled[byte] for byte in token) for token in learned.tokens[len(learned.special) :])]
    merges = [(names[first], names[second]) for first, second in learned.merges]
    model = tokenizers.Tokenizer(models.BPE(vocab={name: number for number, name in enumerate(names)}, merges=merges))
    model.decoder = decoders.ByteLevel()
    if cut == pattern("gpt2"):
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        split = pre_tokenizers.Split(Regex(cut.regex), behavior="isolated")
        model.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    model.add_special_tokens(list(learned.special))
    return model.to_str().encode()


def _nothing_left(work: Work) -> str:
    """An error message that names the step which left no text and says what to change."""
    for made in work.before:
        counts = made.counts
        if counts.kept:
            continue
        if made.stage == "collect":
            return "no text to learn a tokenizer from: collect found no documents; see collect.paths and collect.sources"
        why = ", ".join(f"{reason} {count:,}" for reason, count in counts.dropped.items())
        return (
            f"no text to learn a tokenizer from: {made.stage} kept none of {counts.read:,} documents ({why}); "
            f"loosen the settings of [{made.stage}], leave it out of `stages`, or collect other text"
        )
    return "no text to learn a tokenizer from: the documents that are left are empty; collect other text"
