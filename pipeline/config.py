"""The settings of a corpus: one frozen, typed value.

Purpose: TOML in; unknown keys are refused with the nearest valid name, bounds are checked when the value is made.
Guarantee: a Config that exists is valid; stages get slices of it and read nothing else.
Cost: none worth naming.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.errors import ConfigError

MB = 1_000_000
SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Section(BaseModel):
    """A frozen part of the config; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True)


class FilesSource(Section):
    """Files, folders and globs. In record files (.jsonl .parquet .csv) the named columns are read."""

    kind: Literal["files"] = "files"
    name: str
    paths: tuple[str, ...] = Field(min_length=1)
    text_field: str = "text"
    id_field: str = "id"
    """The column that identifies a record, where the file has it; else its path and position do."""
    url_field: str = "url"


class DatasetSource(Section):
    """A data set read by the `datasets` library: a local folder, or a hub's name with a revision."""

    kind: Literal["dataset"] = "dataset"
    name: str
    path: str
    revision: str | None = None
    config_name: str | None = None
    split: str = "train"
    text_field: str = "text"
    id_field: str = "id"
    url_field: str = "url"


class InstalledSource(Section):
    """The documentation that is installed on this machine."""

    kind: Literal["installed"] = "installed"
    name: str = "installed"


Source = Annotated[FilesSource | DatasetSource | InstalledSource, Field(discriminator="kind")]


_USER = re.compile(r"://[^/]*@")


def _paths(source: FilesSource | DatasetSource | InstalledSource) -> tuple[str, ...]:
    if isinstance(source, InstalledSource):
        return ()
    return source.paths if isinstance(source, FilesSource) else (source.path,)


class CollectConfig(Section):
    """Where documents come from, in the order of their priority."""

    paths: tuple[str, ...] = ()
    """Files, folders and globs as one source named `files`, before `sources`."""
    sources: tuple[Source, ...] = ()
    max_text_bytes: int | None = Field(default=None, ge=1)
    """Stop at so much text, chosen by a seeded hash of the files' paths."""
    max_documents: int | None = Field(default=None, ge=1)
    max_document_bytes: int = Field(default=32 * MB, ge=1)
    """Longer documents are quarantined."""
    shard_bytes: int = Field(default=16 * MB, ge=1_000)
    """About so much text makes one shard."""
    quarantine_ceiling: float = Field(default=0.01, ge=0, le=1)
    """The run stops when a larger share of the records is quarantined."""
    seed: int = 0

    @property
    def all_sources(self) -> tuple[FilesSource | DatasetSource | InstalledSource, ...]:
        """The sources in order of priority."""
        first = (FilesSource(name="files", paths=self.paths),) if self.paths else ()
        return (*first, *self.sources)

    @model_validator(mode="after")
    def _check(self) -> Self:
        # Settings are published with the corpus, so they may hold no secret; nor may the message that refuses one.
        if any(_USER.search(path) for source in self.all_sources for path in _paths(source)):
            raise ValueError("a path or an address may hold no user and no password")
        names = [source.name for source in self.all_sources]
        if not names:
            raise ValueError("nothing to collect: give paths, or sources")
        for name in names:
            if not SOURCE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no source name: letters, digits, '.', '_' and '-', at most 64")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"source names must differ, but there are several {', '.join(twice)}")
        return self


class LanguageConfig(Section):
    """Which languages are kept, and how sure the model must be."""

    model: str | None = None
    """Path of a fastText model (lid.176, OpenLID, GlotLID); none: py3langid's, which comes with the package."""
    keep: tuple[str, ...] = ()
    """Labels as the model gives them, and `und` for texts without a letter; empty: all."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """A document with a lower score is dropped, whatever `keep` says; 0 drops none. Choose it with `sample_characters`."""
    thresholds: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Thresholds of single languages, before `threshold`."""
    sample_characters: int = Field(default=1_000, ge=0)
    """The model reads at most so many characters of a document, at least 50, from five places; 0: all of them."""
    judged_bytes: int = Field(default=0, ge=0)
    """So many bytes of a document's lines, at most, are judged one by one, for `other_language` and `other_share`; 0: none."""
    max_other_share: float = Field(default=1.0, ge=0, le=1)
    """A document with a larger share of its judged lines in other languages is dropped; 1 drops none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.sample_characters < 50:
            raise ValueError(f"sample_characters = {self.sample_characters} is too few to tell languages by; from 50 on, or 0")
        if 0 < self.judged_bytes < 150:
            raise ValueError(f"judged_bytes = {self.judged_bytes} is less than one line may have; from 150 on, or 0")
        if self.max_other_share < 1 and not self.judged_bytes:
            raise ValueError(f"max_other_share = {self.max_other_share} needs judged_bytes above 0; 2000 is a good value")
        return self


class DedupConfig(Section):
    """When two documents are duplicates, and which of them stays."""

    ngram_words: int = Field(default=5, ge=1, le=50)
    bands: int = Field(default=14, ge=1, le=256)
    rows: int = Field(default=8, ge=1, le=256)
    threshold: float = Field(default=0.8, gt=0, le=1)
    """A pair is a duplicate when the Jaccard similarity of its n-gram sets reaches this."""
    survivor: tuple[Literal["source", "length", "doc_id"], ...] = ("source", "length", "doc_id")
    """Who stays: the earlier source, the longer text, the lower doc_id, in this order."""
    bucket_limit: int = Field(default=64, ge=2)
    """In a bucket of more documents, not all pairs are compared; how many buckets were, is reported."""
    seed: int = Field(default=1, ge=0, lt=2**32)


Fraction = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Thresholds(Section):
    """The thresholds of the quality rules; None: the rule is off (in a recipe), or as the recipe has it (beside one).

    A document that is at a threshold passes. Characters are code points, words those of `pipeline.kernels.words`.
    """

    # Gopher, repetition: shares of the whole text's lines, paragraphs or characters.
    max_duplicate_paragraphs: Fraction | None = None
    max_duplicate_paragraph_characters: Fraction | None = None
    max_duplicate_lines: Fraction | None = None
    max_duplicate_line_characters: Fraction | None = None
    max_top_2gram: Ratio | None = None
    """Characters of the most frequent pair of words, times its count, per character of text. Likewise below."""
    max_top_3gram: Ratio | None = None
    max_top_4gram: Ratio | None = None
    max_duplicate_5gram: Ratio | None = None
    """Characters in 5-grams that occurred before, counted without overlap, per character of text. Likewise below."""
    max_duplicate_6gram: Ratio | None = None
    max_duplicate_7gram: Ratio | None = None
    max_duplicate_8gram: Ratio | None = None
    max_duplicate_9gram: Ratio | None = None
    max_duplicate_10gram: Ratio | None = None

    # Gopher, quality.
    min_words: Count | None = None
    """Of words that are not all symbols."""
    max_words: Count | None = None
    min_mean_word_characters: Ratio | None = None
    max_mean_word_characters: Ratio | None = None
    max_hashes_per_word: Ratio | None = None
    max_ellipses_per_word: Ratio | None = None
    max_bullet_lines: Fraction | None = None
    max_ellipsis_lines: Fraction | None = None
    min_alphabetic_words: Fraction | None = None
    """The share of words with a letter."""
    min_stop_words: Count | None = None
    """How many different ones of eight English stop words occur."""

    # C4, lines: these remove lines, or parts of them, and what follows judges what is left.
    max_line_word_characters: Count | None = None
    """A line with a longer word is removed."""
    min_line_words: Count | None = None
    """A line with fewer words is removed."""
    terminal_punctuation: bool | None = None
    """A line that does not end a sentence is removed."""
    no_javascript: bool | None = None
    """A line that says so is removed."""
    no_policy: bool | None = None
    """A line with one of six phrases on cookies, privacy and terms of use is removed."""
    no_citations: bool | None = None
    """Marks such as [1], [edit] and [citation needed] are removed from lines."""

    # C4, pages.
    max_lorem_ipsum_lines: Count | None = None
    max_curly_bracket_lines: Count | None = None
    min_sentences: Count | None = None

    # FineWeb: of lines that are not blank.
    min_punctuated_lines: Fraction | None = None
    """The share of lines that end in terminal punctuation of any script."""
    max_short_lines: Fraction | None = None
    """The share of lines of at most 30 characters."""
    max_duplicate_characters: Fraction | None = None
    """The share of characters in lines that occurred before."""
    max_newlines_per_word: Ratio | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in (("min_words", "max_words"), ("min_mean_word_characters", "max_mean_word_characters")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} = {least} is above {high} = {most}: no document could pass")
        return self


class QualityModel(Section):
    """A fastText classifier that judges documents by the probability of one label. Exactly one of the last three is set."""

    path: str
    label: str = "__label__positive"
    """May be given without `__label__`."""
    min: Fraction | None = None
    """A document with a lower probability is dropped."""
    max: Fraction | None = None
    """A document with a higher probability is dropped."""
    keep_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of the documents that pass everything else, this share with the highest probabilities is kept."""

    @field_validator("label")
    @classmethod
    def _long_form(cls, label: str) -> str:
        return label if label.startswith("__label__") else f"__label__{label}"

    @model_validator(mode="after")
    def _one_way_to_decide(self) -> Self:
        ways = {"min": self.min, "max": self.max, "keep_fraction": self.keep_fraction}
        given = [f"{name} = {value}" for name, value in ways.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of min, max and keep_fraction; given: {', '.join(given) or 'none'}")
        return self


class QualityConfig(Thresholds):
    """A named, versioned recipe; a threshold that is set beside it takes the place of the recipe's.

    A rule is switched off by a threshold that every document passes: 0 for a minimum, 1 for the maximum of a share.
    """

    recipe: str = "gopher@1"
    models: Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], QualityModel] = {}
    """Classifiers by name, beside the recipe. A name is part of the score's column and of the reason: `model_<name>`."""


class TokenizerConfig(Section):
    """A byte-level BPE tokenizer, trained on a sample of the surviving text, or a given one."""

    path: str | None = None
    """Use this tokenizer.json instead of training one."""
    vocabulary: int = Field(default=32_768, ge=257, le=2**31 - 1)
    sample_bytes: int = Field(default=64 * MB, ge=1)
    min_frequency: int = Field(default=2, ge=1)
    seed: int = 0


class PackConfig(Section):
    """Token shards."""

    shard_tokens: int = Field(default=100_000_000, ge=1_000)
    validation_fraction: float = Field(default=0.01, ge=0, lt=1)
    """By document, chosen by a hash of doc_id: a document is on the same side for ever."""


class TrainConfig(Section):
    """The bundled GPT trainer. The defaults bring a visibly falling loss in about a minute on two CPU cores."""

    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=1)
    context_tokens: int = Field(default=128, ge=2)
    batch_windows: int = Field(default=8, ge=1)
    """So many windows of `context_tokens` go through the model at once."""
    accumulate: int = Field(default=1, ge=1)
    """So many batches make one update."""
    steps: int = Field(default=300, ge=1)
    """Updates of the weights."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The highest one, after the warm-up; `min_learning_rate` is the last one. Larger models want lower ones."""
    min_learning_rate: float = Field(default=3e-4, ge=0)
    warmup_steps: int = Field(default=30, ge=0)
    weight_decay: float = Field(default=0.1, ge=0)
    """Of matrices; biases and normalisations have none."""
    clip_norm: float = Field(default=1.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    evaluate_every: int = Field(default=50, ge=1)
    evaluate_windows: int = Field(default=32, ge=1)
    """An evaluation on the way reads so many windows of the validation split; the last one reads all of it."""
    checkpoint_every: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """auto: a GPU where there is one, else the CPU."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate ({self.min_learning_rate}) is above learning_rate ({self.learning_rate})")
        return self


MIDDLE: tuple[Literal["language", "dedup", "quality"], ...] = ("language", "dedup", "quality")
"""The stages between collection and the tokenizer, in their default order."""


class Config(Section):
    """All settings of a corpus. `stages` orders the stages between collection and the tokenizer; one left out is off."""

    stages: tuple[Literal["language", "dedup", "quality"], ...] = MIDDLE
    collect: CollectConfig
    language: LanguageConfig = LanguageConfig()
    dedup: DedupConfig = DedupConfig()
    quality: QualityConfig = QualityConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    train: TrainConfig = TrainConfig()

    @field_validator("stages")
    @classmethod
    def _once(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(stages)) != len(stages):
            raise ValueError("a stage may stand in `stages` only once")
        return stages


def load(path: Path, overrides: Mapping[str, str] | None = None) -> Config:
    """Read a TOML file and apply `overrides` (`collect.paths` -> text as typed after --set). Raises ConfigError."""
    try:
        with open(path, "rb") as handle:
            plain = tomllib.load(handle)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no TOML ({error})") from error
    for key, text in (overrides or {}).items():
        _set(plain, key, _value(text))
    return parse(plain, where=str(path))


def parse(plain: Mapping[str, Any], *, where: str) -> Config:
    """A Config from plain values. Raises ConfigError that names every setting at fault."""
    try:
        return Config.model_validate(plain)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(where, dict(fault)) for fault in error.errors())) from error


def _value(text: str) -> Any:
    """TOML where it is TOML, else the text itself."""
    try:
        text.encode()
        return tomllib.loads(f"value = {text}")["value"]
    except UnicodeEncodeError as error:
        raise ConfigError(f"--set: {text!r} is no UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _set(plain: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    model: Any = Config
    for part in path:
        plain = plain.setdefault(part, {})
        if not isinstance(plain, dict):
            raise ConfigError(f"--set {key}: {part} is not a section")
        model = _section(model, part)
    if not isinstance(value, list | dict) and _is_list(model, last):
        value = [value]
    plain[last] = value


def _section(model: Any, part: str) -> Any:
    field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, Section) else None
    return field.annotation if field is not None else None


def _is_list(model: Any, name: str) -> bool:
    field = model.model_fields.get(name) if isinstance(model, type) and issubclass(model, Section) else None
    return field is not None and str(field.annotation).startswith("tuple[")


def _explain(where: str, fault: dict[str, Any]) -> str:
    place = [part for part in fault["loc"] if part not in ("files", "dataset", "installed")]
    key = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        known = _known(fault["loc"][:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"{where}: unknown setting {key}; {hint}"
    given = "" if fault["type"] in ("missing", "value_error") else f" (given: {fault['input']!r})"
    return f"{where}: {key or 'config'}: {fault['msg'].removeprefix('Value error, ')}{given}"


def _known(location: Iterable[Any]) -> list[str]:
    model: Any = Config
    for part in location:
        if part == "sources" or isinstance(part, int):
            continue
        if get_origin(model) is Mapping:
            model = get_args(model)[1]
            continue
        model = {"files": FilesSource, "dataset": DatasetSource, "installed": InstalledSource}.get(part) or _section(
            model, part
        )
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, Section) else []
