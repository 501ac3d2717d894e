"""What a run tells on its page in Prefect: a line for all that a build says, and how far each step is.

Guarantee: lines hold names, counts, paths and remedies; never the text of documents. A server that does not answer costs the
page something, and the build nothing. Cost: a request every few seconds, and one for each step.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from tokenmill.flows.tags import key_of
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.manifest import PACK
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.words import count
from tokenmill.pipeline.corpus import REPORT, CorpusFolder
from tokenmill.pipeline.report import funnel_markdown
from tokenmill.pipeline.stages.step import Done
from tokenmill.pipeline.tokens.facts import PackFacts

EVERY_SECONDS = 5.0
"""How often a step that goes on shows how far it is."""
REASONS = 3
"""Reasons for dropped documents that a line names."""


def line(run: UUID | None, text: str, level: int = logging.INFO) -> None:
    """Write a line into the log of a flow run, and nowhere else. None: the run of this process, if there is one."""
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    if run is None and flow is not None and flow.flow_run is not None:
        run = flow.flow_run.id
    if run is not None:
        _logger().log(level, "%s", text, extra={"flow_run_id": run, "task_run_id": task.task_run.id if task else None})


def _logger() -> logging.Logger:
    # Apart from Prefect's own loggers: these show on the terminal too, and with tracebacks.
    logger = logging.getLogger("tokenmill.run")
    if not logger.handlers:
        logger.addHandler(APILogHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False
        # Lines that a server does not take are lost; otherwise Prefect would say so on the terminal for each batch.
        logging.raiseExceptions = False
    return logger


def sent() -> None:
    """Wait, for at most 5 seconds, until the server has all lines: one that ends with this run takes no later ones."""
    for handler in _logger().handlers:
        handler.flush()


class RunLog:
    """`tokenmill.pipeline.base.progress.Progress` that shows on the page of a run whatever `shown` shows elsewhere."""

    def __init__(self, shown: Progress, *, scheduled: bool) -> None:
        """`scheduled`: see `errors`."""
        self._shown, self._scheduled = shown, scheduled
        self._corpus = ""
        self._step, self._total, self._done = "", 0, 0
        self._artifact: UUID | None = None
        self._next = 0.0
        self._written: BaseException | None = None

    def show_corpus(self, root: Path) -> None:
        """Give the artifacts keys of the corpus `root`. Call it before the first step."""
        self._corpus = key_of(root)

    def begin(self, step: str, total: int, unit: str) -> None:
        self._shown.begin(step, total, unit)
        self._total, self._done = total, 0

    def advance(self, amount: int) -> None:
        self._shown.advance(amount)
        self._done += amount
        if time.monotonic() > self._next:
            # All is done only when the step has ended, which publishes.
            self._draw(min(99.0, 100 * self._done / max(self._total, 1)))

    def end(self, note: str) -> None:
        self._shown.end(note)
        line(None, f"{self._step}: {note}")

    def say(self, text: str) -> None:
        self._shown.say(text)
        line(None, text)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show one step on the page of the run. Its progress is an artifact of the task that this is called in."""
        self._step, self._artifact = name, None
        if self._next < float("inf"):
            self._next = time.monotonic() + EVERY_SECONDS
        line(None, f"{name}: begins")
        with self.errors():
            yield
        if self._next < float("inf"):
            self._draw(100)

    def counts(self, done: Done) -> None:
        """A line with what the step read, kept and dropped, and the seconds that it took."""
        found, name = done.manifest.counts, done.manifest.stage
        most = sorted(found.dropped.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in most[:REASONS])
        dropped = f"dropped {sum(found.dropped.values()):,}{f' ({reasons})' if reasons else ''}"
        rows = f"read {found.read:,}, kept {found.kept:,}, {dropped}, quarantined {found.quarantined:,}; " if found.read else ""
        shards = f"{count(done.recomputed_shards)} {'shard' if done.recomputed_shards == 1 else 'shards'} computed"
        line(None, f"{name}: {rows}{shards}, {done.seconds:.1f} s")

    def published(self, corpus: CorpusFolder, expectations: str | None) -> None:
        """Show the funnel, where the report is, and what became of `expectations` (Markdown) as artifacts with keys of this
        corpus; and a last line with its size.
        """
        page, pack = (corpus.root / REPORT).resolve(), corpus.require(PACK)
        line(None, f"published: {pack.counts.kept:,} documents, {PackFacts.of(pack).tokens:,} tokens; report: {page}")
        about = f"of the corpus {corpus.root}"
        with self._if_it_answers():
            create_markdown_artifact(funnel_markdown(corpus), key=f"funnel-{self._corpus}", description=f"The funnel {about}")
            create_link_artifact(page.as_uri(), str(page), key=f"report-{self._corpus}", description=f"The report {about}")
            if expectations is not None:
                key = f"expectations-{self._corpus}"
                create_markdown_artifact(expectations, key=key, description=f"What is expected {about}")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Write what ends this block into the log: an error of ours with its remedy, any other with where it came from.

        In a scheduled run, any other becomes one of ours: Prefect would store its message, which may hold text of a document.
        """
        try:
            yield
        except (TokenmillError, OSError) as error:
            if error is not self._written:
                line(None, f"error: {error}", logging.ERROR)
            self._written = error
            raise
        except Exception as error:  # of whatever class: the message of any may hold text, and Prefect would store it
            where = "".join(traceback.format_tb(error.__traceback__))
            line(None, f"{type(error).__name__}, which tokenmill has no word for:\n{where}", logging.ERROR)
            if not self._scheduled:
                raise
            self._written = TokenmillError(f"{type(error).__name__}, which tokenmill has no word for; the log says where")
            raise self._written from None

    def _draw(self, percent: float) -> None:
        self._next = time.monotonic() + EVERY_SECONDS
        with self._if_it_answers():
            if self._artifact is None:
                key = f"progress-{self._step}-{self._corpus}"
                made = create_progress_artifact(percent, key=key, description=f"{self._step} of the corpus")
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, percent)

    @contextmanager
    def _if_it_answers(self) -> Iterator[None]:
        """Let a server that does not answer cost only what this page would show."""
        try:
            yield
        except httpx.HTTPError:
            # Asked at every step, it would hold each up for as long as Prefect's client tries again.
            self._next = float("inf")
