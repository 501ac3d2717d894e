"""The tokenizer step: the same file from the same documents, whatever reads them, and errors that say what to do."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tokenizers

from tokenmill.pipeline.base import executor, manifest, schema, shards
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt
from tokenmill.pipeline.base.manifest import Counts, facts
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TokenizerConfig
from tokenmill.pipeline.stages.step import Done, Work, perform
from tokenmill.pipeline.tokens import golden
from tokenmill.pipeline.tokens.facts import TokenizerFacts
from tokenmill.tokenizer.encode import load, of_corpus
from tokenmill.tokenizer.pretokenize import NAMES, pattern, split
from tokenmill.tokenizer.step import TokenizerStep

MakeCorpus = Callable[..., Work]
TEXTS = [
    f"the {word} of a token shard, number {number}: 中文 <|endoftext|>\n" for number in range(20) for word in ("end", "start")
]


def train(work: Work, **settings: Any) -> Done:
    config = TokenizerConfig.model_validate({"vocabulary": 300, **settings})
    return perform(TokenizerStep(config=config), work, downstream=())


def file_of(work: Work) -> bytes:
    return (work.root / "tokenizer/tokenizer.json").read_bytes()


def laid_out(root: Path, rows: Sequence[tuple[bytes, str]], sizes: Sequence[int]) -> Work:
    """A finished collection of these documents, in shards of these sizes."""
    made, at = [], 0
    for number, size in enumerate(sizes):
        mine = rows[at : at + size]
        at += size
        columns = {
            "doc_id": [doc_id for doc_id, _ in mine],
            "source": ["a"] * size,
            "url": pa.nulls(size, pa.string()),
            "text": [text for _, text in mine],
            "metadata": ["{}"] * size,
        }
        name = f"documents/a/{number}.parquet"
        entry = shards.write(root, name, pa.table(columns).cast(schema.DOCUMENTS))
        made.append(manifest.Shard(name=f"a/{number}", files={name: entry}, counts=Counts(read=size, kept=size)))
    collected = manifest.Manifest(stage="collect", version=1, config={}, inputs={}, shards=tuple(made))
    return Work(root=root, before=(collected,), executor=executor.InProcess())


def test_what_it_publishes(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": TEXTS[:10], "a/1": TEXTS[10:]})
    done = train(work)
    facts = done.manifest.facts
    encoder = load(work.root / "tokenizer/tokenizer.json")
    size = sum(len(text.encode()) for text in TEXTS)
    ids, _ = encoder.encode(pa.array(TEXTS, pa.large_string()))
    assert facts == {
        "vocabulary": 300,
        "end_of_text": 0,
        "fingerprint": encoder.fingerprint,
        "pattern": "cl100k",
        "text_bytes": size,
        "pretokens": sum(len(split(text, pattern("cl100k"))) for text in TEXTS),
        "distinct_pretokens": len({piece for text in TEXTS for piece in split(text, pattern("cl100k"))}),
        "text_tokens": len(ids),
        "bytes_per_token": size / len(ids),
        "own_pattern": None,
        "golden": list(golden.digests(encoder)),
        "sweep": [
            {"vocabulary": vocabulary, "tokens": tokens, "bytes_per_token": size / tokens}
            for vocabulary, tokens in ((300, len(ids)), (308, 600))
        ],
    }
    assert list(done.manifest.files) == ["tokenizer/tokenizer.json"]
    assert encoder.decode(ids) == "".join(TEXTS)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_file_that_tokenizers_makes(make_corpus: MakeCorpus, name: str) -> None:
    work = make_corpus({"a/0": TEXTS[:10], "a/1": TEXTS[10:]})
    train(work, pattern=name, min_frequency=3, max_token_bytes=8)
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.decoder = tokenizers.decoders.ByteLevel()
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name != "gpt2":
        by_pattern = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern(name).regex), "isolated")
        byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        model.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([by_pattern, byte_level])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        min_frequency=3,
        max_token_length=8,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(TEXTS, trainer)
    assert file_of(work) == model.to_str().encode()


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.soak)])
def test_workers_make_no_difference(make_corpus: MakeCorpus, workers: int) -> None:
    shards_of = {f"a/{number}": TEXTS[number::5] for number in range(5)}
    one, many = make_corpus(shards_of, folder="one"), make_corpus(shards_of, folder="many")
    train(one)
    with executor.local(workers) as pool:
        train(dataclasses.replace(many, executor=pool))
    assert file_of(one) == file_of(many)


def test_shards_make_no_difference(tmp_path: Path) -> None:
    rows = [(schema.doc_id("a", str(number)), text) for number, text in enumerate(TEXTS)]
    one = laid_out(tmp_path / "one", rows, [40])
    many = laid_out(tmp_path / "many", rows[::-1], [7, 0, 20, 13])
    assert train(one).manifest.facts == train(many).manifest.facts
    assert file_of(one) == file_of(many)


ALONE = """
import sys
from pathlib import Path
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.config import TokenizerConfig
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.stages.step import Work
from tokenmill.tokenizer.step import TokenizerStep

root = Path(sys.argv[1])
work = Work(root=root, before=(manifest.load(root, "collect"),), executor=InProcess())
TokenizerStep(config=TokenizerConfig(vocabulary=300)).run(work)
"""


@pytest.mark.parametrize(("threads", "hash_seed"), [("3", "2"), pytest.param("1", "1", marks=pytest.mark.soak)])
def test_threads_and_hash_seed_make_no_difference(make_corpus: MakeCorpus, threads: str, hash_seed: str) -> None:
    here, there = make_corpus({"a/0": TEXTS}, folder="here"), make_corpus({"a/0": TEXTS}, folder="there")
    train(here)
    environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, "-c", ALONE, str(there.root)], env=environment, check=True)
    assert file_of(here) == file_of(there)


def test_transformers_loads_it(make_corpus: MakeCorpus) -> None:
    from transformers import PreTrainedTokenizerFast

    work = make_corpus({"a/0": TEXTS})
    train(work)
    path = work.root / "tokenizer/tokenizer.json"
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="<|endoftext|>")
    ours = load(path)
    text = "the token shard, 中文\n"
    ids = ours.encode(pa.array([text], pa.large_string()))[0].tolist()
    assert theirs.encode(text) == ids
    assert theirs.decode(ids) == text
    assert theirs.eos_token_id == ours.end_of_text
    assert len(theirs) == ours.vocabulary


@dataclasses.dataclass
class Heard(Silent):
    lines: list[str] = dataclasses.field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_too_little_text_is_said(make_corpus: MakeCorpus) -> None:
    heard = Heard()
    work = dataclasses.replace(make_corpus({"a/0": ["aab aab", "c"]}), progress=heard)
    done = train(work, vocabulary=5000)
    assert done.manifest.facts["vocabulary"] == 257 + 2, "'aa' and 'aab'; ' aab' occurs once"
    assert any("gave 259 tokens, not 5,000" in line for line in heard.lines)


def test_one_long_run_is_learned_quickly(make_corpus: MakeCorpus) -> None:
    """With a scan of the run for each merge this would take hours, and the test's time is limited."""
    done = train(make_corpus({"a/0": ["的" * 300_000, "ab ab"]}), vocabulary=400)
    assert done.manifest.facts["bytes_per_token"] > 100


def test_nothing_left_names_the_step_that_left_nothing(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["a", "b"]})
    name = "quality/verdicts/a/0.parquet"
    ids = shards.read(work.root, next(iter(work.before[0].shards[0].files.items())), ["doc_id"])
    table = ids.append_column(schema.REASON, schema.reasons(["too_short", "too_short"]))
    counts = Counts(read=2, dropped={"too_short": 2})
    shard = manifest.Shard(name="a/0", files={name: shards.write(work.root, name, table)}, counts=counts)
    judged = manifest.Manifest(stage="quality", version=1, config={}, inputs={}, shards=(shard,))
    work = dataclasses.replace(work, before=(*work.before, judged))
    with pytest.raises(
        InputError, match=r"quality kept none of 2 documents \(too_short 2\); loosen the settings of \[quality\]"
    ):
        train(work)


def test_nothing_collected_and_nothing_in_the_documents(make_corpus: MakeCorpus) -> None:
    with pytest.raises(InputError, match="collect found no documents"):
        train(make_corpus({}, folder="none"))
    with pytest.raises(InputError, match="the documents that are left are empty"):
        train(make_corpus({"a/0": ["", ""]}, folder="empty"))


def test_a_given_tokenizer_is_published_as_it_is(make_corpus: MakeCorpus, small: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(small)
    work = make_corpus({"a/0": TEXTS})
    done = train(work, path=str(path))
    assert file_of(work) == small.encode()
    assert done.manifest.facts["vocabulary"] == load(path).vocabulary
    assert str(tmp_path / "mine") not in (work.root / "tokenizer/manifest.json").read_text()
    path.rename(tmp_path / "renamed.json")
    assert train(work, path=str(tmp_path / "renamed.json")).manifest == done.manifest
    (tmp_path / "renamed.json").write_text(small + " ")
    assert train(work, path=str(tmp_path / "renamed.json")).manifest.hash != done.manifest.hash


def test_counts_are_kept_for_another_vocabulary(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": TEXTS[:10], "a/1": TEXTS[10:]})
    assert train(work).recomputed_shards == 2
    assert train(work, vocabulary=280).recomputed_shards == 0
    assert train(work, vocabulary=280, pattern="gpt2").recomputed_shards == 2
    next((work.root / ".state/tokenizer/a").glob("1.*.parquet")).write_bytes(b"")
    again = train(work, vocabulary=290, pattern="gpt2")
    assert again.recomputed_shards == 1


def test_a_source_is_capped(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["xyxyxy "] * 900, "b/0": ["pqpqpq "] * 100})
    assert train(work, vocabulary=258).manifest.facts["text_bytes"] == 7_000
    capped = train(work, vocabulary=258, max_source_share=0.5)
    assert capped.manifest.facts["text_bytes"] == 1_400
    with pytest.raises(ConfigError, match="max_source_share = 0.4 cannot be kept with 2 sources"):
        train(work, max_source_share=0.4)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_a_sample_is_a_part_of_the_documents(make_corpus: MakeCorpus, kind: str) -> None:
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    work = make_corpus({"a/0": texts[:300], "a/1": texts[300:]})
    size = sum(len(text.encode()) for text in texts)
    train(work, kind=kind)
    everything = file_of(work)
    for sample_bytes in (0, size):
        done = train(work, kind=kind, sample_bytes=sample_bytes)
        assert file_of(work) == everything
        assert "sample" not in done.manifest.facts
        assert done.recomputed_shards == 0
    done = train(work, kind=kind, sample_bytes=size // 4)
    found = facts(done.manifest, TokenizerFacts)
    assert found.sample is not None
    assert found.text_bytes == found.sample.text_bytes
    assert found.sample.of_documents == len(texts)
    assert 0.15 < found.sample.text_bytes / size < 0.35
    assert found.sample.share == pytest.approx(0.25, rel=0.01)
    with pytest.raises(InputError, match="raise tokenizer.sample_bytes = 1"):
        train(work, kind=kind, sample_bytes=1)


def test_a_pattern_of_the_users_own(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": TEXTS})
    done = train(work, vocabulary=300, pattern=r"\w+|\W")
    encoder = of_corpus(work.root, done.manifest)
    assert done.manifest.facts["own_pattern"] == encoder.pattern == r"\w+|\W"
    ids, _ = encoder.encode(pa.array(TEXTS, pa.large_string()))
    assert (len(ids), encoder.decode(ids)) == (done.manifest.facts["text_tokens"], "".join(TEXTS))
    with pytest.raises(ConfigError, match="its pre-tokenizer is not made of known patterns"):
        load(work.root / "tokenizer/tokenizer.json")


@pytest.mark.parametrize("cut", [r"\S+|\s+", r"(?m).+", "cl100k"])
def test_text_never_encodes_to_the_token_that_ends_documents(cut: str, make_corpus: MakeCorpus) -> None:
    """However often the token's name stands in the text, and in one piece: no merge makes it."""
    texts = [f"{word} <|endoftext|> {word}<|endoftext|><|endoftext|>" for word in ("canal", "bridge", "oats", "barge") * 20]
    work = make_corpus({"a/0": texts})
    encoder = of_corpus(work.root, train(work, vocabulary=600, pattern=cut).manifest)
    ids, counts = encoder.encode(pa.array(texts, pa.large_string()))
    assert encoder.end_of_text not in ids.tolist()
    assert len(counts) == len(texts)
    assert encoder.decode(ids) == "".join(texts)
    assert encoder.description.tokens.count(b"<|endoftext|>") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pattern_that_gives_up(make_corpus: MakeCorpus, workers: int) -> None:
    with executor.local(workers) as pool, pytest.raises(InputError, match="the pattern of the tokenizer gives up on a text"):
        train(dataclasses.replace(make_corpus({"a/0": ["q" * 100 + "!"]}), executor=pool), pattern="(q+)+$")


def test_patterns_that_are_refused_before_any_work(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": TEXTS})
    for broken in ("(", "(a|b)*" * 1_700_000):
        with pytest.raises(ConfigError, match="no regular expression") as caught:
            train(work, pattern=broken)
        assert len(str(caught.value)) < 1000
    assert not (work.root / ".state").exists()


def test_a_given_tokenizer_that_is_of_no_use(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    work = make_corpus({"a/0": TEXTS})
    with pytest.raises(NotBuilt, match=r"none.json: the tokenizer cannot be read"):
        train(work, path=str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"bad.json: is no tokenizer.json"):
        train(work, path=str(tmp_path / "bad.json"))
