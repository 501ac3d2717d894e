"""Commands on a corpus that is built: `status`, `whatif`, `near`, `verify`, `report`, `export`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.markup import escape

import tokenmill as tm
from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AtLeastOne, AtLeastZero, Corpus, Settings, err, no_options, out, pairs
from tokenmill.pipeline.base.errors import InputError, TokenmillError


def status(folder: Corpus, /, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Show the funnel of a corpus.

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
    if state.alarms:
        out.print(draw.alarms(state))
    if state.tokens is not None:
        out.print(f"\n{state.documents:,} documents, {state.tokens:,} tokens, vocabulary {state.vocabulary:,}")


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

    answer = tm.open(folder).whatif(pairs(settings), samples=samples, seed=seed)
    if as_json:
        out.out(json.dumps(dict(answer)))
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
    """A file of UTF-8 text; `-` is standard input. Raises InputError, OSError."""
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is no UTF-8 text (byte {error.start}); documents are compared by their text") from error


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
    from tokenmill.pipeline.ask.verify import MOST, problems
    from tokenmill.tokenizer.encode import of_corpus

    found = list(problems(folder, draw.Terminal(out), of_corpus, most=None if all_duplicates else MOST))
    for problem in found:
        err.print(problem, markup=False)
    if found:
        raise TokenmillError(
            f"{len(found)} problem(s) in {folder}; run the build again to rebuild what is broken, or copy a copy again"
        )
    out.print("Every published byte is what its manifest names.")


def report(folder: Corpus, /) -> None:
    """Say where the report of a corpus is, and print its funnel as Markdown.

    For example:

        tokenmill report corpora/docs
    """
    from tokenmill.pipeline.corpus import REPORT, open_corpus
    from tokenmill.pipeline.report import funnel_markdown

    out.print(funnel_markdown(open_corpus(folder)), markup=False)
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
    from tokenmill.pipeline.corpus import open_corpus
    from tokenmill.pipeline.export import export as write

    write(open_corpus(folder), out_dir or folder / "export", to, draw.Terminal(out), licence=licence)
