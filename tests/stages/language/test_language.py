"""Language identification: the sample, both models, decisions, refusals, and a run over a corpus."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.executor import Executor, local
from tokenmill.pipeline.stages.language import models
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.step import StageStep, Work, perform

ENGLISH = "The river runs through the old town, and the people who live there know every one of its bridges by name."
FRENCH = "La rivière traverse la vieille ville, et les gens qui y habitent connaissent tous ses ponts par leur nom."
OTHERS = ("other_language", "other_share")
GERMAN = "Der Fluss fließt durch die alte Stadt, und die Leute, die dort wohnen, kennen jede seiner Brücken beim Namen."


def language(**config: Any) -> Language:
    return Language(config=LanguageConfig(**config))


def scored(stage: Stage, *texts: str) -> pa.RecordBatch:
    return stage.score(pa.record_batch({"text": pa.array(texts, pa.large_string())}))


def reasons(stage: Stage, *texts: str) -> list[str]:
    return stage.decide(scored(stage, *texts))["reason"].to_pylist()


def scores(*rows: tuple[str, float]) -> pa.RecordBatch:
    labels, values = zip(*rows, strict=True)
    nothing = [None] * len(rows)
    columns = {"language": labels, "language_score": values, "script": ["Latn"] * len(rows)}
    return pa.record_batch([columns.get(name, nothing) for name in Language.scores.names], schema=Language.scores)


def test_labels_and_scores() -> None:
    batch = scored(language(), ENGLISH, GERMAN, "Река течёт через старый город.", "漢字とかな交じりの文章です。")
    assert batch.schema == Language.scores
    assert batch["language"].to_pylist() == ["en", "de", "ru", "ja"]
    assert all(0.5 < score <= 1 for score in batch["language_score"].to_pylist())


@pytest.mark.parametrize("text", ["", " \n", "\0", "1 + 1 = 2", "!?" * 5_000, "\u0301", "😀"])
def test_without_letters_the_language_is_undetermined(text: str) -> None:
    nothing = dict.fromkeys(Language.scores.names) | {"language": "und", "language_score": 0.0, "script": "Zyyy"}
    for stage in (language(), language(sample_characters=0, judged_bytes=500)):
        assert scored(stage, text).to_pylist() == [nothing]


def test_rows_of_a_slice_are_those_of_the_whole() -> None:
    whole = pa.record_batch({"text": pa.array([ENGLISH, GERMAN, "", ENGLISH], pa.large_string())})
    stage = language()
    assert stage.score(whole.slice(1, 2)).equals(stage.score(whole).slice(1, 2))
    assert stage.score(whole.slice(0, 0)).num_rows == 0


def test_a_menu_at_the_head_does_not_decide() -> None:
    menu = "Home About Contact Login Search Help Privacy Imprint Downloads Next Previous Index Modules\n" * 12
    page = menu + f"{GERMAN}\n" * 200
    assert scored(language(), page)["language"].to_pylist() == ["de"]


def test_the_whole_text_is_read_where_no_sample_is_asked_for() -> None:
    """Between the five places from which a sample is taken stands another language."""
    data = bytearray(f"{GERMAN}\n".encode() * 800)
    places = [len(data) * (2 * i + 1) // 10 for i in range(5)]
    for place in places:
        data[place - 200 : place + 200] = (f"{ENGLISH}\n" * 4).encode()[:400]
    text = bytes(data).decode(errors="ignore")
    assert scored(language(sample_characters=500), text)["language"].to_pylist() == ["en"]
    assert scored(language(sample_characters=0), text)["language"].to_pylist() == ["de"]


def test_a_second_language() -> None:
    stage = language(judged_bytes=100_000)
    both, german = f"{ENGLISH}\n" * 6 + f"{GERMAN}\n" * 2, len(GERMAN.encode()) + 1
    three = f"{ENGLISH}\n" * 12 + f"{GERMAN}\n{FRENCH}\n{GERMAN}\n"
    found = scored(stage, both, f"{ENGLISH}\n" * 8, "1 + 1 = 2\n" * 90, "The town.", three)
    assert found["other_language"].to_pylist() == ["de", None, None, None, "de"]
    shares = found["other_share"].to_pylist()
    assert shares[0] == round(2 * german / len(both.encode()), 4)
    assert shares[1:4] == [0.0, None, None]
    assert shares[4] == round((2 * german + len(FRENCH.encode()) + 1) / len(three.encode()), 4)
    off = scored(language(), both)
    assert [off[name].to_pylist() for name in OTHERS] == [[None], [None]]


def test_lines_in_capitals_are_read_as_whole_texts_are() -> None:
    text = f"{ENGLISH}\n" * 3 + f"{ENGLISH}\n".upper() * 3
    assert scored(language(judged_bytes=10_000), text)["other_share"].to_pylist() == [0.0]


def test_mixed_documents_can_be_dropped() -> None:
    texts = [f"{ENGLISH}\n" * 6 + f"{GERMAN}\n" * 2, ENGLISH, "No."]
    limited = language(judged_bytes=2_000, max_other_share=0.2, threshold=0)
    assert reasons(limited, *texts) == ["other_share", "", ""]
    unlimited = language(judged_bytes=2_000, threshold=0)
    assert reasons(unlimited, *texts) == ["", "", ""]
    assert limited.scoring == unlimited.scoring != language(judged_bytes=1_000).scoring
    assert limited.deciding != unlimited.deciding


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_characters": 49}, "at least 50, or 0"),
        ({"judged_bytes": 149}, "at least 150, or 0"),
        ({"max_other_share": 0.5}, "needs judged_bytes"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        language(**settings)


def test_decisions() -> None:
    rows = scores(("en", 0.9), ("en", 0.5), ("en", 0.4999), ("de", 0.9), ("und", 0.0))
    assert language(keep=["en"]).decide(rows)["reason"].to_pylist() == ["", "", "language_score", "language", "language"]
    own = language(keep=["en", "de"], threshold=0.45, thresholds={"de": 0.95})
    assert own.decide(rows)["reason"].to_pylist() == ["", "", "", "language_score", "language"]


def test_with_no_language_named_all_are_kept_that_reach_the_threshold() -> None:
    rows = scores(("en", 0.9), ("de", 0.1), ("und", 0.0))
    assert language().decide(rows)["reason"].to_pylist() == ["", "language_score", "language_score"]
    assert language(threshold=0).decide(rows)["reason"].to_pylist() == ["", "", ""]


def test_a_threshold_is_no_setting_of_the_scores() -> None:
    one, other = language(keep=["en"]), language(keep=["de", "en"], threshold=0.1, thresholds={"de": 0.2})
    assert one.scoring == other.scoring != language(sample_characters=500).scoring
    assert one.deciding != other.deciding
    assert language(keep=["en", "de"]).deciding == language(keep=["de", "en", "de"]).deciding


@pytest.mark.parametrize("settings", [{"keep": ["eng"]}, {"thresholds": {"eng": 0.5}}])
def test_a_label_that_the_model_does_not_give_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="py3langid has no label 'eng'; the nearest is 'en'"):
        language(**settings).prepare()
    language(keep=["en", "und"]).prepare()


def test_over_a_corpus(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": [ENGLISH, GERMAN, ""], "b/0": [ENGLISH]})
    done = perform(StageStep(language(keep=["en"])), work, downstream=())
    assert done.manifest.counts.dropped == {"language": 2}
    again = perform(StageStep(language(keep=["en", "de"])), work, downstream=())
    assert (again.scored_rows, again.manifest.counts.kept) == (0, 3)


def test_declarations_of_human_rights(shared_data: Path) -> None:
    """Long texts of known language; labels as in ISO 639-3 there, in ISO 639-1 here."""
    known = {"eng": "en", "deu_1996": "de", "fra": "fr", "spa": "es", "ita": "it", "rus": "ru", "jpn": "ja", "kor": "ko"}
    known |= {"cmn_hans": "zh", "arb": "ar", "heb": "he", "hin": "hi", "tha": "th", "fin": "fi", "hun": "hu", "pol": "pl"}
    with gzip.open(shared_data / "lid" / "udhr.jsonl.gz", "rt") as lines:
        texts = {row["code"]: row["text"] for row in map(json.loads, lines) if row["code"] in known}
    assert len(texts) > 12
    labels = scored(language(sample_characters=200), *texts.values())["language"].to_pylist()
    assert labels == [known[code] for code in texts]


SKIPGRAM, SUPERVISED = 2, 3


def fasttext_model(*, prefix: str = "__label__", kind: int = SUPERVISED) -> bytes:
    """A fastText file (version 12) whose words point straight at their language; training one is not repeatable."""
    english, german = (sorted(set(text.split()) - {"die"}) for text in (ENGLISH, GERMAN))
    entries = [(word, 0) for word in english + german] + [(f"{prefix}eng_Latn", 1), (f"{prefix}deu_Latn", 1)]
    dim, loss, words = 2, 3, len(english + german)
    data = struct.pack("<2i12id", 793712314, 12, dim, 5, 1, 1, 5, 1, loss, kind, 0, 0, 0, 100, 1e-4)
    data += struct.pack("<3i2q", len(entries), words, 2, 1_000, -1)
    data += b"".join(word.encode() + struct.pack("<xqb", 1, label) for word, label in entries)
    vectors = [(8.0, 0.0)] * len(english) + [(0.0, 8.0)] * len(german)
    for matrix in (vectors, [(1.0, 0.0), (0.0, 1.0)]):
        data += struct.pack("<?2q", False, len(matrix), dim) + b"".join(struct.pack("<2f", *row) for row in matrix)
    return data


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("fasttext", reason="fastText has no wheel for this Python")
    path = tmp_path / "two.bin"
    path.write_bytes(fasttext_model())
    return path


def test_a_fasttext_model(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stage = language(model=str(model), keep=["eng_Latn"])
    stage.prepare()
    texts = [ENGLISH, GERMAN, "", f"{ENGLISH}\n{ENGLISH}\r\n\0"]
    assert scored(stage, *texts)["language"].to_pylist() == ["eng_Latn", "deu_Latn", "und", "eng_Latn"]
    assert reasons(stage, *texts) == ["", "language", "language", ""]
    assert max(scored(stage, *texts)["language_score"].to_pylist()) <= 1
    assert pickle.loads(pickle.dumps(stage)) == stage  # noqa: S301 -- our own bytes, as executors send them
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ConfigError, match="no label 'en'; the nearest is 'eng_Latn'"):
        language(model=str(model), keep=["en"]).prepare()


def test_a_model_is_named_by_its_bytes(model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.bin"
    moved.write_bytes(model.read_bytes())
    assert language(model=str(model)).scoring == language(model=str(moved)).scoring != language().scoring
    assert str(model) not in json.dumps(language(model=str(model)).scoring)
    moved.write_bytes(model.read_bytes() + b"\0")
    assert language(model=str(model)).scoring != language(model=str(moved)).scoring


def test_a_model_that_is_missing_or_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="fastText has no wheel for this Python")
    with pytest.raises(ConfigError, match="missing.bin: the model cannot be read"):
        language(model=str(tmp_path / "missing.bin")).prepare()
    with pytest.raises(ConfigError, match="missing.bin: the model cannot be read"):
        _ = language(model=str(tmp_path / "missing.bin")).scoring
    with pytest.raises(ConfigError, match="cannot be read"):
        language(model=str(tmp_path)).prepare()
    for content in (b"", b"<html>404</html>", b"\0" * 4_000):
        path = tmp_path / "none.bin"
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a (complete )?fastText model"):
            language(model=str(path)).prepare()


@pytest.mark.parametrize("content", [fasttext_model(prefix="__lang__"), fasttext_model(kind=SKIPGRAM)])
def test_a_model_without_labels_is_refused(model: Path, content: bytes) -> None:
    model.write_bytes(content)
    with pytest.raises(InputError, match=r"without __label__ labels|trained with labels"):
        language(model=str(model)).prepare()


@pytest.mark.parametrize("kept", [0.01, 0.05, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_model_is_refused_before_any_work(model: Path, kept: float) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InputError, match="complete fastText model"):
        language(model=str(model)).prepare()


def test_a_model_without_numbers_is_refused(model: Path) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[:-16] + struct.pack("<4f", *[float("nan")] * 4))
    with pytest.raises(InputError, match=r"two\.bin: fastText cannot judge"):
        scored(language(model=str(model)), ENGLISH)


def test_fasttext_gives_in_batches_what_it_gives_one_by_one(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = language(model=str(model), judged_bytes=1_000)
    texts = [ENGLISH, "", GERMAN, "???", f"{ENGLISH}\n" * 4 + f"{GERMAN}\n" * 2, ENGLISH[:20], "nichts davon"]
    whole = scored(stage, *texts)
    assert whole["other_language"].to_pylist()[4] == "deu_Latn"
    monkeypatch.setattr(models, "BATCH_BYTES", 1)
    assert scored(stage, *texts).equals(whole)
    assert pa.Table.from_batches([scored(stage, text) for text in texts]).equals(pa.Table.from_batches([whole]))


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Executor]:
    with local(2) as executor:
        yield executor


@pytest.mark.parametrize("settings", [{}, {"sample_characters": 0, "judged_bytes": 600}])
def test_two_workers_write_the_same_bytes(
    make_corpus: Callable[..., Work], settings: dict[str, Any], two_workers: Executor
) -> None:
    texts = {f"a/{shard}": [ENGLISH * 9, GERMAN, "", ENGLISH.upper(), f"{ENGLISH}\n{GERMAN}\n" * 9] for shard in range(3)}
    one, two = make_corpus(texts, "one"), make_corpus(texts, "two")
    perform(StageStep(language(**settings)), one, downstream=())
    perform(StageStep(language(**settings)), replace(two, executor=two_workers), downstream=())
    names = [sorted(path.relative_to(work.root) for path in (work.root / "language").rglob("*.*")) for work in (one, two)]
    assert names[0] == names[1]
    assert len(names[0]) >= 6
    assert all((one.root / name).read_bytes() == (two.root / name).read_bytes() for name in names[0])
