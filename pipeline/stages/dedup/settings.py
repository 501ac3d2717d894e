"""The section `dedup`: when two documents are duplicates, and which of them is kept.

Guarantee: contradicting settings are refused when the value is made. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import About, Section
from tokenmill.pipeline.kernels.text.unicode import Folding
from tokenmill.pipeline.stages.dedup.banding import LOW, NORMALISED, RECALL, Preset, Scheme, Shingle, scheme
from tokenmill.pipeline.stages.dedup.normalisation import FOLDS, NORMALISATIONS, Normalisation, said

Exact = Literal["bytes", "white_space", "off"]
URL, METADATA = "url", "metadata"
SAME = "same_"
"""Begins the reason of a document that shares a key; the name of the key ends it."""


class DedupConfig(Section):
    """When two documents are duplicates, and which of them is kept."""

    keys: Annotated[tuple[str, ...], About(example=(URL, "metadata.id"))] = ()
    """Of documents with an equal key, only one goes on, whatever their texts: "url" is their canonical URL, "metadata.id" what
    stands under the name `id` in their metadata or in the fields of their records. Keys count one after the other, and a
    document without a key shares it with none."""
    exact: Exact = "bytes"
    """When two texts are exact duplicates: "bytes" if their bytes are equal, "white_space" if they are equal once runs of white
    space are one space, "off" never: then equal texts are near duplicates with a similarity of 1."""
    preset: Preset | None = None
    """Take normalisation, n-grams, bands and rows from a published corpus: "fineweb", "dolma3" or "nemo". It excludes `shingle`
    to `permutations`, and its bands do not follow `threshold`. Default: those settings decide."""
    normalise: Normalisation | None = None
    """What is made equal before n-grams are compared, by name and version. "plain@1" keeps digits, marks, operators and the
    case of all but first letters; "fineweb@1", "dolma3@1" and "nemo@1" are those of published corpora. Default: that of
    `preset`, else "plain@1"."""
    fold_digits: bool | None = None
    """Whether all numbers are equal. Default: as `normalise` has it."""
    fold_case: bool | Literal["initial"] | None = None
    """Whether upper and lower case are equal. "initial": only in the first letter of words such as "This"; then "x" and "X",
    "max" and "MAX" stay apart. Default: as `normalise` has it."""
    fold_marks: bool | None = None
    """Whether letters are equal with and without nonspacing marks, such as accents and vowel points. Default:
    as `normalise` has it."""
    fold_operators: bool | None = None
    """Whether operators, such as + and ==, are dropped. Otherwise they are words where operands stand around them.
    Default: as `normalise` has it."""
    fold_punctuation: bool | None = None
    """Whether other punctuation is dropped. Otherwise each punctuation character is a word. Default: as `normalise` has it."""
    shingle: Shingle | None = None
    """Unit of an n-gram: "words" or "characters". Default: "words"."""
    ngram: Annotated[int | None, About(unit="words or characters", example=5)] = Field(default=None, ge=1, le=50)
    """Words or characters per n-gram. Default: 5 words or 24 characters. A shorter text has only exact duplicates."""
    bands: Annotated[int | None, About(example=16)] = Field(default=None, ge=1, le=256)
    """Bands per signature. Documents that share a band are compared."""
    rows: Annotated[int | None, About(example=7)] = Field(default=None, ge=1, le=256)
    """Rows (MinHash values) per band. Set both bands and rows, or neither. Default: chosen for `threshold` and `recall`; for
    0.8 that is 16 x 7."""
    permutations: Annotated[int | None, About(unit="MinHash values", example=128)] = Field(default=None, ge=1, le=1024)
    """Upper bound of bands x rows, where they are chosen. More of them take more time to sign, and fewer pairs are compared in
    vain. Default: 128."""
    threshold: Annotated[float, About(unit="Jaccard similarity")] = Field(default=0.8, gt=0, le=1)
    """A pair is a near duplicate when the Jaccard similarity of its n-gram sets is at least this. Bands and rows follow from it
    where they are not given."""
    recall: Annotated[float | None, About(unit="probability", example=0.99)] = Field(default=None, gt=0, lt=1)
    """The least probability with which the bands find a pair whose similarity is `threshold`. Bands and rows are chosen for it.
    Where they are given, they may miss it, and the build, the status and the report say so. Default: 0.975 for bands that are
    chosen; of given ones, less than 0.9 is said."""
    loses: Annotated[float, About(unit="share of n-grams")] = Field(default=1.0, ge=0, le=1)
    """The largest share of its n-grams that a removed near duplicate may have alone, so that the document that stands in for it
    lacks them. A document that would lose more stays. 1: no limit. 0: every n-gram of a removed document stands in the kept
    one. Exact duplicates lose nothing."""
    revisions: bool = True
    """Compare a pair that misses the threshold by little once more, with case and operators folded, as far as `fold_case` and
    `fold_operators` are not set. It is a near duplicate if it then reaches the threshold and this folding hides at most a
    third of its difference: a text that was revised, not the same words with other operators."""
    survivor: tuple[Literal["source", "quality", "length", "date", "doc_id"], ...] = ("source", "length", "doc_id")
    """Which document of a pair is kept, the most important criterion first: "source" the earlier source, "quality" the higher
    score, "length" the longer text, "date" the newer date (undated documents come last), "doc_id" the lower id. Remaining ties
    go to the lower doc_id."""
    survivor_model: Annotated[str | None, About(example="edu")] = None
    """The model in `quality.models` whose scores "quality" means. Default: the only model without `max`; set it if there are
    several."""
    bucket_limit: Annotated[int, About(unit="documents")] = Field(default=64, ge=2)
    """In a bucket (the documents that share a band) with more documents than this, not all pairs are compared. The report
    counts such buckets."""
    alarm_share: float = Field(default=0.5, ge=0, le=1)
    """If a source loses a larger share of its documents than this (0 to 1), the report, the status and the end of the build
    name it."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    """Seed of the hash functions behind signatures. With another seed all signatures are computed again."""

    @property
    def scheme(self) -> Scheme:
        """The n-grams, bands and rows that `preset` to `permutations` give."""
        return scheme(
            preset=self.preset,
            shingle=self.shingle,
            ngram=self.ngram,
            bands=self.bands,
            rows=self.rows,
            threshold=self.threshold,
            recall=self.recall,
            permutations=self.permutations,
        )

    @property
    def expected_recall(self) -> float:
        """The probability that the bands find a pair whose similarity is the threshold."""
        return self.scheme.probability(self.threshold)

    @property
    def least_recall(self) -> float:
        """The expected recall below which somebody should look."""
        given = self.preset is not None or self.bands is not None
        return self.recall or (LOW if given else RECALL)

    @property
    def comes_to(self) -> str:
        """What the bands are expected to find, in a sentence."""
        scheme = self.scheme
        return (
            f"{scheme.bands} bands of {scheme.rows} rows find {100 * self.expected_recall:.1f} % of the pairs whose similarity "
            f"is the threshold, {self.threshold:g}, and more of those that are more alike"
        )

    @property
    def remark(self) -> str:
        """The same of bands that were given, and what helps if it is little; "" if the bands were chosen."""
        if self.preset is None and self.bands is None:
            return ""
        return f"dedup: {self.comes_to}{f'; {self._advice}' if self.alarm else ''}"

    @property
    def alarm(self) -> str:
        """The same if it is less than `recall` asks for, or than LOW; else ""."""
        return f"dedup: {self.comes_to}; {self._advice}" if self.expected_recall < self.least_recall else ""

    @property
    def _advice(self) -> str:
        given = "dedup.preset" if self.preset else "dedup.bands and dedup.rows"
        return f"without {given}, bands follow from the threshold"

    @property
    def key_reasons(self) -> tuple[str, ...]:
        """The reason for each of `keys`: `same_url`, `same_id`."""
        return tuple(SAME + key.removeprefix(f"{METADATA}.") for key in self.keys)

    @property
    def normalisation(self) -> Normalisation:
        """The name of the normalisation that `normalise` and `preset` give."""
        return self.normalise or (NORMALISED[self.preset] if self.preset else "plain@1")

    @property
    def folding(self) -> Folding:
        """What the normalisation makes equal, with what `fold_digits` to `fold_punctuation` change."""
        given = {name: getattr(self, f"fold_{name}") for name in FOLDS}
        return NORMALISATIONS[self.normalisation]._replace(**{name: one for name, one in given.items() if one is not None})

    @property
    def looser(self) -> Mapping[str, bool | str]:
        """What is folded in addition where revisions are sought, as settings by name; nothing if they are not."""
        if not self.revisions or not self.folding.white_space:
            return {}
        free = {f"fold_{name}": True for name in ("case", "operators") if getattr(self.folding, name) is not True}
        return {name: fold for name, fold in free.items() if getattr(self, name) is None}

    @property
    def compared(self) -> tuple[str, str, str]:
        """What is compared, in words: of exact duplicates, of near duplicates with the normalisation, and of revisions."""
        scheme = self.scheme
        exact = {"bytes": "bytes", "white_space": "text with white space collapsed", "off": "nothing"}[self.exact]
        grams = f"{scheme.ngram}-grams of {scheme.shingle}"
        looser = self.model_copy(update=dict(self.looser)).folding
        near, revised = (f"{grams}, normalised by {said(self.normalisation, folding)}" for folding in (self.folding, looser))
        return exact, near, revised

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("similarity") is not None:
            raise ValueError(
                "similarity is no setting any more: bands and rows follow from threshold and recall; leave it out, or set both "
                "of them"
            )
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        scheme = self.scheme
        for key in self.keys:
            if key != URL and not (key.startswith(f"{METADATA}.") and all(key.split("."))):
                raise ValueError(f'keys: {key!r} is no key; write "url", or "metadata." and a name, such as "metadata.id"')
        if len(set(self.key_reasons)) < len(self.keys):
            raise ValueError(f"keys: two of {list(self.keys)} would give the same reason; name each once")
        if not self.folding.white_space:
            if scheme.shingle == "words":
                raise ValueError(f'normalise = "{self.normalisation}" keeps white space, so it needs shingle = "characters"')
            if given := [f"fold_{name}" for name in FOLDS if getattr(self, f"fold_{name}") is not None]:
                raise ValueError(f'normalise = "{self.normalisation}" folds nothing: leave out {" and ".join(given)}')
        if self.survivor_model is not None and "quality" not in self.survivor:
            raise ValueError(f'survivor_model = "{self.survivor_model}" needs "quality" in survivor')
        return self
