"""Commands on a corpus that is built: `status`, `whatif`, `near`, `verify`, `report`, `export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.markup import escape

from tokenmill.flows.cli.draw import terminal as show
from tokenmill.flows.cli.options import AtLeastOne, AtLeastZero, Corpus, Settings, err, no_options, out, pairs
from tokenmill.pipeline.base.errors import TokenmillError


def status(folder: Corpus, /, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Show the funnel of a corpus.

    For example:

        tokenmill status corpora/docs

        tokenmill status corpora/docs --json | jq .tokens
    """
    from tokenmill.pipeline.ask.status import status as state_of

    state = state_of(folder)
    if as_json:
        out.out(json.dumps(state))
        return
    out.print(show.funnel(state))
    if state["alarms"]:
        out.print(show.alarms(state))
    if state["tokens"] is not None:
        out.print(f"\n{state['documents']:,} documents, {state['tokens']:,} tokens, vocabulary {state['vocabulary']:,}")


def whatif(
    folder: Corpus,
    /,
    *,
    settings: Settings,
    samples: AtLeastZero = 3,
    seed: AtLeastZero = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object.")] = False,
) -> None:
    """Show what other thresholds would keep, from stored scores, in seconds. Writes nothing.

    The funnel before and after, the documents that change sides, how far each is from the threshold, and how close the
    nearest others are. Thresholds of `language` and `quality` can be tried. What needs new scores, new comparisons of
    duplicates or another order of stages is refused, and said.

    A document that comes alive may have no scores at later stages: it is counted as not scored. A duplicate of a document
    that goes may take its place: it is counted as undecided. `tokenmill build` with the same settings decides both.

    For example:

        tokenmill whatif corpora/docs --set quality.min_words=80

        tokenmill whatif corpora/docs --set language.threshold=0.8 --set quality.max_short_lines=0.7 --samples 10

        tokenmill whatif corpora/docs --set quality.min_stop_words=1 --json | jq .documents

    Parameters
    ----------
    samples
        Documents shown for each reason, in each direction.
    seed
        Draws those documents.
    """
    from tokenmill.flows.cli.draw.whatif import show as show_answer
    from tokenmill.pipeline.ask.whatif import what_if

    answer = what_if(folder, pairs(settings), samples=samples, seed=seed)
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
            help="Files of UTF-8 text; `-` is standard input.",
        ),
    ],
    /,
    *,
    threshold: Annotated[
        float | None, Parameter(validator=validators.Number(gt=0, lte=1), help="The least similarity (default: the corpus's).")
    ] = None,
    limit: AtLeastOne = 10,
    redis: Annotated[
        str | None,
        Parameter(help="Keep the index in Redis, as `redis://host:port/db`: made once for a corpus, with all of it."),
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object.")] = False,
) -> None:
    """Say whether a text, or something like it, is in a corpus: by stored signatures, then by true similarity.

    Each answer names a document, its source and address, the Jaccard similarity, and whether it was kept or for which
    other document it was removed. The lower the similarity, the more are missed: with the default bands a text that is 0.8
    alike is found with a probability of 0.92, at 0.7 with 0.57, at 0.5 with 0.05.

    For example:

        tokenmill near corpora/docs answer.txt

        tokenmill near corpora/docs exam/*.txt --threshold 0.6 --json | jq '.texts[] | select(.found != [])'

        pbpaste | tokenmill near corpora/docs -

    Parameters
    ----------
    limit
        So many documents for each text, the most similar first.
    """
    from tokenmill.pipeline.ask.near import near as answer_of
    from tokenmill.pipeline.ask.near import show as show_answer

    answer = answer_of(folder, names, threshold=threshold, limit=limit, redis=redis)
    if as_json:
        out.out(json.dumps(answer))
        return
    show_answer(answer, out)


def verify(
    folder: Annotated[Path, Parameter(help="The folder of a corpus, or of a token store alone, wherever it was copied to.")],
    /,
    *,
    all_duplicates: Annotated[
        bool,
        Parameter(negative="", help="Compare the texts of all removed duplicates with the kept ones, not of 100,000 at most."),
    ] = False,
) -> None:
    """Check every published byte: hashes, alignment, evidence, token shards. Exit code 1 and the files' names if any is off.

    For example:

        tokenmill verify corpora/docs

        tokenmill verify /copies/tokens
    """
    from tokenmill.pipeline.ask.verify import problems

    found = list(problems(folder, show.Terminal(out), all_duplicates=all_duplicates))
    for problem in found:
        err.print(problem, markup=False)
    if found:
        raise TokenmillError(
            f"{len(found)} problem(s) in {folder}; `tokenmill build` makes anew what is broken; copy copies again"
        )
    out.print("Every published byte is what its manifest names.")


def report(folder: Corpus, /) -> None:
    """Say where the report of a corpus is, and print its funnel as Markdown.

    For example:

        tokenmill report corpora/docs
    """
    from tokenmill.flows.build import REPORT
    from tokenmill.pipeline.base import manifest
    from tokenmill.pipeline.report import funnel_markdown

    manifest.load(folder, manifest.CORPUS)
    out.print(funnel_markdown(folder), markup=False)
    out.print(f"report: {escape(str(folder / REPORT))}")


def export(
    folder: Corpus,
    /,
    *,
    to: Literal["jsonl", "parquet", "huggingface", "megatron", "nanotron", "olmo", "nanogpt"],
    out_dir: Annotated[Path | None, Parameter(name="--out", help="Default: `DIR/export`.")] = None,
    licence: Annotated[
        str | None, Parameter(help="For the card of `huggingface`: an identifier of the hub, as `odc-by`.")
    ] = None,
) -> None:
    """Give the corpus to other tools: its text, or its tokens as their readers want them.

    Text: `jsonl` and `parquet`, one file per shard; `huggingface`, a folder that `load_dataset(folder)` reads, with a card.
    Tokens: `megatron`, `nanotron` (datatrove's files), `olmo` (OLMo-core) and `nanogpt` link the store's own files and add
    small ones. Where links are not possible, they are read-only copies.

    An export shows the corpus as it was: forgotten documents are left out, and those forgotten later stay in it until it is
    made again. A second export into the same folder replaces the first.

    For example:

        tokenmill export corpora/docs --to jsonl

        tokenmill export corpora/docs --to huggingface --out dataset --licence odc-by

        tokenmill export corpora/docs --to nanotron --out views/nanotron
    """
    from tokenmill.pipeline.ask.status import published
    from tokenmill.pipeline.export import export as write
    from tokenmill.pipeline.report import card_markdown

    target = out_dir or folder / "export"
    write(folder, published(folder), target, to, show.Terminal(out), describe=card_markdown, licence=licence)
