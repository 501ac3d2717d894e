"""What can be asked of a finished corpus in Python, beyond what it holds.

Purpose: the questions that compute something: is it whole, where does a token come from, what if a threshold were another.
Guarantee: no question writes to the corpus.
Cost: a question imports what it needs when it is first asked; each states its own where it is more than reading its answer.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenmill.answers import Answer
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.config.read import from_python
from tokenmill.pipeline.corpus import CorpusFolder

if TYPE_CHECKING:
    from tokenmill.pipeline.ask.audit import SplitAudit
    from tokenmill.pipeline.ask.near import Near
    from tokenmill.pipeline.tokens import TokenStore


class Questions:
    """The questions that a `Corpus` answers."""

    def __init__(self, folder: CorpusFolder) -> None:
        self._folder = folder

    def verify(self, *, all_duplicates: bool = False, progress: bool = False) -> tuple[str, ...]:
        """Check every published byte, and recompute the evidence of removed duplicates. Reads everything once.

        Parameters
        ----------
        all_duplicates
            Compare the texts of all removed duplicates with the kept ones, not of 100,000 at most.
        progress
            Show how far the check is, on standard error.

        Returns
        -------
        tuple of str
            A line for each problem, with the file's path first. Empty: every byte is what its manifest names.

        Examples
        --------
        >>> corpus.verify()
        ()
        """
        from tokenmill.pipeline.ask.verify import MOST, problems
        from tokenmill.tokenizer.encode import of_corpus

        most = None if all_duplicates else MOST
        return tuple(problems(self._folder.root, shown(progress), of_corpus, most=most))

    def trace(
        self,
        place: str | None = None,
        *,
        sample: int | None = None,
        step: int | None = None,
        doc_id: str | None = None,
        steps: bool = False,
        reveal: bool = False,
    ) -> Answer:
        """Lead a token, a sample or a training step back to its documents, or a document to every verdict that it met.

        Parameters
        ----------
        place
            A token: its shard and its number there, as `train/00000:1000`.
        sample
            The documents of this sample of the training run, counted from 0.
        step
            The documents of all samples of this training step, counted from 1.
        doc_id
            The document of this id, 32 hex digits.
        steps
            With `doc_id`: also which training steps read the document.
        reveal
            Show the stored text, the URL and the metadata as they came, also what the stage `personal` masks.

        Returns
        -------
        Answer
            For a token `place`, `text`, `document` and `stages`; for a document `document`, `stages` and with `steps`
            `exposure`; for a sample or a step `run` and `samples`.

        Raises
        ------
        InputError
            What is asked for is not there.

        Examples
        --------
        >>> corpus.trace("train/00000:0")["document"]["source"]
        'files'
        """
        from tokenmill.pipeline.ask.trace import Question, trace
        from tokenmill.tokenizer.encode import of_corpus

        def run_of(folder: CorpusFolder, store: TokenStore) -> Any:
            from tokenmill.model.run import run_of

            return run_of(folder, store)

        asked = Question(place=place, sample=sample, step=step, doc_id=doc_id, steps=steps, reveal=reveal)
        said = next((f"{key}={value}" for key, value in vars(asked).items() if value is not None), "")
        return Answer(f"trace {said}", trace(self._folder, asked, of_corpus, run_of))

    def whatif(self, settings: Mapping[str, Any], *, samples: int = 3, seed: int = 0) -> Answer:
        """The funnel under other thresholds, from stored scores, in seconds. Writes nothing.

        Parameters
        ----------
        settings
            Settings by dotted name, as `{"quality.min_words": 80}`. Only thresholds over stored scores can be tried, and
            `collect.extract_bias` (`collect.sources.web.extract_bias`) of a corpus with `collect.extract_scores`.
        samples
            Documents shown for each reason and direction.
        seed
            Draws those documents.

        Returns
        -------
        Answer
            `settings` (each with `before` and `after`), `documents`, `stages`, `changes`, `margins`, `samples`. For
            `extract_bias` these are of collection, and `extraction` has `pages`, `characters` and `blocks`, for all and in
            `sources`, and in `not_known` what only a build can tell.

        Raises
        ------
        ConfigError
            Stored scores cannot answer; the message says what would.

        Examples
        --------
        >>> corpus.whatif({"language.threshold": 0.0})["documents"]
        {'before': 40, 'after': 40, 'unknown': 0}
        """
        from tokenmill.pipeline.ask.whatif import what_if

        return Answer("whatif", what_if(self._folder, from_python(settings), samples=samples, seed=seed))

    def diff(self, other: Questions | str | Path, *, samples: int = 3, seed: int = 0, progress: bool = False) -> Answer:
        """This corpus beside another one: settings, funnel, documents that changed sides and why, sources, languages, tokens.

        Parameters
        ----------
        other
            The corpus to compare with, or its folder.
        samples
            Documents shown of each group that changed sides.
        seed
            Draws those documents.
        progress
            Show how far the comparison is, on standard error.

        Returns
        -------
        Answer
            `settings`, `steps`, `funnel`, `reasons`, `documents`, `changes`, `sources`, `languages` and `tokens`, each with
            the values of this corpus as `a` and of the other one as `b`.

        Raises
        ------
        NotBuilt
            There is no corpus in the folder.

        Examples
        --------
        >>> corpus.diff(folder / "corpus")["documents"]["kept"]
        {'a': 40, 'b': 40, 'in_both': 40, 'only_a': 0, 'only_b': 0}
        """
        from tokenmill.pipeline.ask.diff import diff, opened

        folder = other._folder if isinstance(other, Questions) else opened(Path(other))
        return Answer("diff", diff(self._folder, folder, samples=samples, seed=seed, progress=shown(progress)))

    def near(
        self, texts: str | Sequence[str], *, threshold: float | None = None, limit: int = 10, redis: str | None = None
    ) -> Near:
        """Whether texts, or something like them, are in the corpus, and what became of those documents.

        Parameters
        ----------
        texts
            One text, or several.
        threshold
            The least Jaccard similarity. Default: `dedup.threshold` of the corpus.
        limit
            Documents for each text, most similar first.
        redis
            Keep the index in Redis, as `redis://host:port/db`. Default: in memory, for this call.

        Returns
        -------
        Near
            `found` holds a tuple of `Similar` for each text.

        Raises
        ------
        NotBuilt
            The corpus was built without the stage `dedup`.

        Examples
        --------
        >>> corpus.near(text).found[0][0].similarity
        1.0
        """
        from tokenmill.pipeline.ask.near import IN_MEMORY, near, redis_storage

        wanted = [texts] if isinstance(texts, str) else list(texts)
        with contextlib.nullcontext(IN_MEMORY) if redis is None else redis_storage(redis) as storage:
            return near(self._folder, wanted, threshold=threshold, limit=limit, storage=storage)

    def audit(self, *, progress: bool = False) -> list[SplitAudit]:
        """What the tokens are like: rare and single-byte tokens, entropy, repetition, and shards unlike the rest.

        Examples
        --------
        >>> corpus.audit()[0].split
        'train'
        """
        from tokenmill.pipeline.ask.audit import audit
        from tokenmill.tokenizer.encode import of_corpus

        return audit(self._folder, of_corpus, shown(progress))


def shown(wanted: bool) -> Progress:
    """Progress on standard error, if it is wanted and that is a terminal."""
    if not wanted or not sys.stderr.isatty():
        return Silent()
    from tokenmill.flows.cli.draw.terminal import on_standard_error

    return on_standard_error()
