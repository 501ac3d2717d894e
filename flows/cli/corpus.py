"""Commands that read a corpus: `status`, `whatif`, `near`, `verify`, `report`, `export`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.markup import escape

import tokenmill as tm
from tokenmill.flows.cli.draw import expectations
from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import (
    AsJson,
    AtLeastOne,
    AtLeastZero,
    Corpus,
    CorpusAnew,
    CorpusSummary,
    Settings,
    err,
    no_options,
    out,
    pairs,
)
from tokenmill.pipeline.base.errors import InputError, TokenmillError


def status(folder: CorpusSummary, /, *, as_json: AsJson = False) -> None:
    """Show how many documents each step of a corpus kept and dropped.

    The table (the funnel) has a row for each finished step: documents read, kept, dropped by reason and quarantined, the size
    of the kept text, and the seconds of the last run. Entries of the input's folders that were not read are counted by
    reason, and records of web archives by type. Alarms name sources that lost unusually many documents as duplicates. What
    the section `expect` of the settings asked is shown with the values of the last runs. An unfinished corpus is shown too.

    For example:

        tokenmill status corpora/docs

        tokenmill status corpora/docs --json | jq .tokens
    """
    import dataclasses

    from tokenmill.pipeline.ask.status import status as state_of
    from tokenmill.pipeline.corpus import so_far

    state = state_of(so_far(folder))
    if as_json:
        out.out(json.dumps(dataclasses.asdict(state)))
        return
    out.print(draw.funnel(state))
    if state.left_out:
        out.print(draw.left_out(state.left_out))
    if state.record_types:
        out.print(draw.record_types(state.record_types))
    if state.alarms:
        out.print(draw.alarms(state))
    if state.expected:
        expectations.show(state.expected, out)
    if state.tokens is not None:
        out.print(f"\n{state.documents:,} documents, {state.tokens:,} tokens, vocabulary {state.vocabulary:,}")
    if state.version is not None and state.unfinished:
        out.print(f"a newer build is unfinished; this is version {state.version}, which readers see until that one stands")
    if state.superseded:
        out.print(f"superseded versions on disk, because readers had them open at the last build: {state.superseded}")
    if state.forgotten:
        out.print(f"{state.forgotten:,} documents are forgotten: readers mask what the token files still hold of them")


def whatif(
    folder: Corpus,
    /,
    *,
    settings: Settings,
    samples: AtLeastZero = 3,
    seed: AtLeastZero = 0,
    as_json: AsJson = False,
) -> None:
    """Show which documents other thresholds would keep, without a build.

    The command decides again from stored scores, which takes seconds, and writes nothing. It shows the funnel before and
    after, the documents that would change from kept to dropped or back, their distances from the threshold, and the values
    nearest to it. You can try thresholds of `language` and `quality`. Settings that need new scores, new comparisons of
    duplicates or another order of stages are refused with a message.

    If the corpus was built with `collect.extract_scores = true`, you can also try another `collect.extract_bias`, or that of
    one source, as `collect.sources.web.extract_bias`. The command then shows which texts of web pages change, by source, with
    characters and blocks, and which pages would be dropped. Stages are not replayed on texts that change.

    Two kinds of documents are counted apart, because only a build can decide them. "Not scored": the document would be kept
    now, but a later stage has no scores of it. "Undecided": it is a duplicate of a document that would be dropped, so it may
    take that document's place. `tokenmill build` with the same settings decides both.

    For example:

        tokenmill whatif corpora/docs --set quality.min_words=80

        tokenmill whatif corpora/docs --set language.threshold=0.8 --set quality.max_short_lines=0.7 --samples 10

        tokenmill whatif corpora/docs --set quality.min_stop_words=1 --json | jq .documents

        tokenmill whatif corpora/docs --set collect.extract_bias=1

    Parameters
    ----------
    samples
        Number of example documents for each reason and direction; 0 shows none.
    seed
        Seed of the random choice of these examples.
    """
    from tokenmill.flows.cli.draw.whatif import show as show_answer
    from tokenmill.pipeline.ask.whatif import what_if
    from tokenmill.pipeline.corpus import open_corpus

    answer = what_if(open_corpus(folder), pairs(settings), samples=samples, seed=seed)
    if as_json:
        out.out(json.dumps(answer))
        return
    show_answer(answer, out)


def near(
    folder: Corpus,
    names: Annotated[
        list[str],
        Parameter(
            name="FILE",
            negative="",
            allow_leading_hyphen=True,
            validator=no_options,
            help="Files of UTF-8 text, each compared as one text; `-` is standard input.",
        ),
    ],
    /,
    *,
    threshold: Annotated[
        float | None,
        Parameter(
            validator=validators.Number(gt=0, lte=1),
            help="Lowest Jaccard similarity to show, above 0 and at most 1. Default: `dedup.threshold` of the corpus.",
        ),
    ] = None,
    limit: AtLeastOne = 10,
    redis: Annotated[
        str | None,
        Parameter(
            help="Keep the index in Redis, at `redis://host:port/db`: the first call indexes the whole corpus, later calls "
            "reuse the index. Default: in memory, for this call."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the documents of a corpus that are similar to a text.

    The stored MinHash signatures give candidates; the texts of the candidates give the exact Jaccard similarity of their
    n-gram sets. For each document the command shows its id, source and URL, the similarity, how much of the text stands in it
    and how much of it in the text, and whether it was kept, or
    which stage dropped it and in favour of which document. The corpus must have been built with the stage `dedup`.

    The lower the similarity, the more documents are missed: with the bands of the default threshold, a document of similarity
    0.8 is found with a probability of 0.98, of 0.7 with 0.75, of 0.5 with 0.12. Equal texts are found at any length.
    Documents that a stage before `dedup` dropped have no signatures, so they are not found.

    For example:

        tokenmill near corpora/docs answer.txt

        tokenmill near corpora/docs exam/*.txt --threshold 0.6 --json | jq '.texts[] | select(.found != [])'

        cat answer.txt | tokenmill near corpora/docs -

    Parameters
    ----------
    limit
        Show at most this many documents for each text, the most similar first.
    """
    import dataclasses

    from tokenmill.flows.cli.draw.near import show as show_answer

    texts = list(map(_read, names))
    answer = tm.open(folder).near(texts, threshold=threshold, limit=limit, redis=redis)
    if as_json:
        found = [
            {"name": name, "found": list(map(dataclasses.asdict, one))} for name, one in zip(names, answer.found, strict=True)
        ]
        plain = {"threshold": answer.threshold, "expected_recall": answer.expected_recall, "texts": found}
        out.out(json.dumps(plain))
        return
    show_answer(names, answer, out)


def _read(name: str) -> str:
    """Read a file of UTF-8 text; `-` is standard input. Raises InputError, OSError."""
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is not UTF-8 text (byte {error.start}); only text can be compared") from error


def verify(
    folder: CorpusAnew,
    /,
    *,
    all_duplicates: Annotated[
        bool,
        Parameter(
            negative="",
            help="Compare the texts of all removed duplicates with the kept ones. Default: a sample of at most 100,000.",
        ),
    ] = False,
) -> None:
    """Check every published byte of a corpus, and the evidence for removed duplicates.

    The command compares all files with the hashes in their manifests, checks that tables have the same rows in the same
    order, recomputes the evidence of stages, and checks the token shards against the text. It prints one line per problem,
    with the path of the file, and exits with code 1 if there is any. A token store without its corpus is checked on its own.
    Reading takes about 1 s per GB; comparing removed duplicates takes extra time.

    For example:

        tokenmill verify corpora/docs

        tokenmill verify /copies/tokens
    """
    from tokenmill.pipeline.ask.verify import MOST, problems
    from tokenmill.tokenizer.encode import of_corpus

    found = list(problems(folder, draw.Terminal(out), of_corpus, most=None if all_duplicates else MOST))
    for problem in found:
        err.print(problem, markup=False)
    if found:
        raise TokenmillError(f"{len(found)} problem(s) in {folder}; build again to repair them, or copy a copy again")
    out.print("Every published byte matches its manifest.")


def report(
    folder: CorpusSummary,
    /,
    *,
    browse: Annotated[bool, Parameter(name="--open", negative="", help="Open the report in a browser.")] = False,
) -> None:
    """Print the funnel of a corpus as Markdown, and the path of its HTML report.

    The funnel is a table of how many documents each step read, kept and dropped. If the settings expected something of the
    corpus, what is met and missed is printed too, and stands in the report of the run, `runs/report.html`. The report shows for
    each rule what other thresholds would keep, the documents closest to its threshold, and the command that computes another
    one; and samples by reason, source and domain. It is one file that loads nothing, so it can be sent and kept.

    For example:

        tokenmill report corpora/docs

        tokenmill report corpora/docs --open
    """
    import webbrowser

    from tokenmill.pipeline.ask.expectations import history, markdown
    from tokenmill.pipeline.corpus import open_corpus
    from tokenmill.pipeline.report import funnel_markdown

    corpus = open_corpus(folder)
    out.print(funnel_markdown(corpus), markup=False)
    for run in history(corpus, 1):
        out.print(markdown(run.expectations), markup=False)
    path = tm.open(folder).report
    out.print(f"report: {escape(str(path))}")
    if browse and not webbrowser.open(path.resolve().as_uri()):
        raise InputError(f"{path}: there is no browser to open it with; name one in the variable BROWSER, or open the file")


def export(
    folder: Corpus,
    /,
    *,
    to: Annotated[
        Literal["jsonl", "parquet", "huggingface", "megatron", "nanotron", "olmo", "nanogpt"],
        Parameter(help="The format; see above."),
    ],
    out_dir: Annotated[
        Path | None, Parameter(name="--out", help="The folder to write to. Default: `export` in the folder of the corpus.")
    ] = None,
    licence: Annotated[
        str | None,
        Parameter(help="Licence for the card of `huggingface`: an identifier of the Hugging Face hub, such as `odc-by`."),
    ] = None,
) -> None:
    """Export the text or the tokens of a corpus for other tools.

    Text formats: `jsonl` and `parquet` write one file per shard; `huggingface` writes a folder with a card that
    `load_dataset(folder)` reads. Token formats: `megatron`, `nanotron` (datatrove's files), `olmo` (OLMo-core) and `nanogpt`
    link the files of the token store and add small ones. If links are not possible, the files are read-only copies.

    An export does not follow later changes of the corpus: it leaves out documents that were forgotten before it, but keeps
    documents that are forgotten later, until you export again. A second export into the same folder replaces the first.

    For example:

        tokenmill export corpora/docs --to jsonl

        tokenmill export corpora/docs --to huggingface --out dataset --licence odc-by

        tokenmill export corpora/docs --to nanotron --out views/nanotron
    """
    from tokenmill.pipeline.corpus import open_corpus
    from tokenmill.pipeline.export import export as write

    write(open_corpus(folder), out_dir or folder / "export", to, draw.Terminal(out), licence=licence)
