"""The commands `tokenmill tokenizer ...`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter, validators
from rich.markup import escape

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AtLeastOne, err, no_options, out
from tokenmill.pipeline.config import TokenizerConfig

app = cyclopts.App(name="tokenizer", help="Train, use and judge tokenizers.")
DEFAULTS = TokenizerConfig()
Workers = Annotated[
    AtLeastOne | None, Parameter(help="How many processes (default: as many as this machine has cores for us).")
]
SampleBy = Annotated[
    Literal["document", "line"], Parameter(help="What is a document in a file of plain text: all of it, or each line.")
]
TextField = Annotated[str, Parameter(help="The column of the text in .jsonl, .parquet and .csv files.")]
Documents = Annotated[
    str, Parameter(allow_leading_hyphen=True, validator=no_options, help="Files, folders or globs; - is standard input.")
]
TokenizerPath = Annotated[
    Path, Parameter(help="tokenizer.json, GPT-2's vocab.json beside merges.txt, ranks (*.tiktoken), or a folder with one.")
]
Cut = Annotated[
    str | None,
    Parameter(
        help="How text is cut, where the file does not say it: gpt2, cl100k, llama3, qwen2, o200k or a regular expression."
    ),
]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


def _workers(workers: int | None) -> int:
    return workers if workers is not None else len(os.sched_getaffinity(0))


@app.command
def train(
    *inputs: Documents,
    out_file: Annotated[Path, Parameter(name="--out", help="Where it goes, for example `tokenizer.json`.")],
    vocabulary: Annotated[
        int, Parameter(validator=validators.Number(gte=257), help="How many tokens: 256 bytes, the end of a text, and merges.")
    ] = DEFAULTS.vocabulary,
    pattern: Annotated[
        str, Parameter(help="How text is cut: gpt2, cl100k, llama3, qwen2, o200k or a regular expression, which is slow.")
    ] = DEFAULTS.pattern,
    digits: Annotated[
        int | None, Parameter(validator=validators.Number(gte=1, lte=3), help="The most digits in one token.")
    ] = None,
    min_frequency: Annotated[AtLeastOne, Parameter(help="What is rarer is not merged.")] = DEFAULTS.min_frequency,
    max_token_bytes: Annotated[
        int, Parameter(validator=validators.Number(gte=3), help="Tokens stay shorter than this.")
    ] = DEFAULTS.max_token_bytes,
    max_source_share: Annotated[
        float,
        Parameter(validator=validators.Number(gt=0, lte=1), help="An input with a larger share counts as if it had this."),
    ] = DEFAULTS.max_source_share,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    workers: Workers = None,
) -> None:
    """Learn a byte-level BPE tokenizer from files, as a tokenizer.json that `tokenizers` and `transformers` read.

    It says, too, what vocabularies of 8k to 128k tokens would cost, or of as many as the text gives.
    The same text and settings give the same file, for any number of workers. A .txt file is one document; .jsonl, .parquet and
    .csv files hold one in each record; what `tokenmill build` reads can be read.

    For example:

        tokenmill tokenizer train my/texts --out tokenizer.json

        tokenmill tokenizer train 'web/*.parquet' code.jsonl --out code.json --vocabulary 50000 --pattern o200k --digits 1
    """
    from tokenmill.flows import tokenizing
    from tokenmill.flows.cli.draw import vocabulary as show_vocabulary
    from tokenmill.tokenizer.pretokenize import pattern as cut_by

    # What is of no use is said before the documents are read.
    cut_by(pattern, digits)
    config = TokenizerConfig(
        vocabulary=vocabulary,
        pattern=pattern,
        digits=digits,
        min_frequency=min_frequency,
        max_token_bytes=max_token_bytes,
        max_source_share=max_source_share,
    )
    read = tokenizing.Inputs(paths=inputs, text_field=text_field, sample_by=sample_by)
    count = _workers(workers)
    _, sizes = tokenizing.train(read, out_file, config, workers=count, progress=draw.Terminal(out))
    out.print()
    show_vocabulary.sizes(sizes, out)
    out.print(f"\ntokenizer: {escape(str(out_file))}")


@app.command
def encode(
    *inputs: Documents,
    tokenizer: TokenizerPath,
    out_path: Annotated[
        Path | None,
        Parameter(name="--out", help="A file, a .npy file, or the folder of a token store (default: standard output)."),
    ] = None,
    to: Annotated[str | None, Parameter(help="text, npy or store (default: by --out).")] = None,
    pattern: Cut = None,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    workers: Workers = None,
) -> None:
    """Turn text into ids: of files, or of standard input, which `-` stands for and which is one document.

    Documents are read as `tokenmill build` reads them: line ends of Windows become plain ones.

    As text there is a line of ids for each document; in .npy all ids follow one another; a token store is what
    `tokenmill train` and other trainers read. The end-of-text id stands after each document. Special tokens in a text are text.

    For example:

        tokenmill tokenizer encode book.txt --tokenizer tokenizer.json

        echo Hello | tokenmill tokenizer encode - --tokenizer gpt2/vocab.json

        tokenmill tokenizer encode 'web/*.parquet' --tokenizer tokenizer.json --out ids.npy

        tokenmill tokenizer encode texts --tokenizer cl100k_base.tiktoken --out corpora/texts --to store
    """
    from tokenmill.flows import tokenizing
    from tokenmill.pipeline.base.errors import ConfigError
    from tokenmill.tokenizer.encode import load

    by_name: tokenizing.Form = "npy" if out_path is not None and out_path.suffix == ".npy" else "text"
    forms: dict[str | None, tokenizing.Form] = {None: by_name, "text": "text", "npy": "npy", "store": "store"}
    if to not in forms:
        raise ConfigError(f"--to {to!r}: choose text, npy or store")
    read = tokenizing.Inputs(paths=inputs, text_field=text_field, sample_by=sample_by)
    terminal = draw.Terminal(err)
    encoder = load(tokenizer, pattern)
    documents, ids = tokenizing.encode(read, encoder, out_path, forms[to], workers=_workers(workers), progress=terminal)
    terminal.say(f"{documents:,} documents, {ids:,} ids, encoded by {encoder.engine}")


@app.command
def decode(
    ids: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    tokenizer: Annotated[Path | None, Parameter(help="As for encode (default: that of the corpus).")] = None,
    out_file: Annotated[Path | None, Parameter(name="--out", help="Default: standard output.")] = None,
    pattern: Cut = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="A line for each document.")] = False,
) -> None:
    """Turn ids into text: of a file of lines of ids (`-`: standard input), a .npy file, or a token store.

    The bytes come back exactly, one document after another, without end-of-text.

    For example:

        tokenmill tokenizer decode ids.npy --tokenizer tokenizer.json

        echo 15496 11 995 | tokenmill tokenizer decode - --tokenizer gpt2/vocab.json

        tokenmill tokenizer decode corpora/docs --json | head -1
    """
    from tokenmill.flows import tokenizing

    tokenizing.decode(ids, tokenizer, pattern, out_file, as_json=as_json)


@app.command
def evaluate(
    tokenizer: TokenizerPath,
    *inputs: Documents,
    pattern: Cut = None,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Say what a tokenizer makes of a text: compression by source and language, scripts, dead, rare and long tokens.

    For example:

        tokenmill tokenizer evaluate tokenizer.json 'texts/*.jsonl'

        tokenmill tokenizer evaluate gpt2/vocab.json english german --json | jq .total
    """
    from tokenmill.flows import tokenizing
    from tokenmill.flows.cli.draw import vocabulary as show_vocabulary
    from tokenmill.tokenizer.encode import load

    read = tokenizing.Inputs(paths=inputs, text_field=text_field, sample_by=sample_by)
    progress = draw.Terminal(err)
    (found,) = tokenizing.evaluate(read, [load(tokenizer, pattern)], workers=_workers(workers), progress=progress)
    if as_json:
        out.out(json.dumps(show_vocabulary.as_json(found)))
    else:
        show_vocabulary.show(found, out)


@app.command
def compare(
    *tokenizers: Path,
    on: Annotated[tuple[str, ...], Parameter(negative="", help="A file, a folder or a glob of documents; may be given again.")],
    pattern: Cut = None,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Put tokenizers side by side on the same text. `--pattern` is for ranks whose name is not a known one.

    For example:

        tokenmill tokenizer compare tokenizer.json gpt2/vocab.json --on texts

        tokenmill tokenizer compare a.json b.json o200k_base.tiktoken --on english --on 'japanese/*.txt' --json
    """
    from tokenmill.flows import tokenizing
    from tokenmill.flows.cli.draw import vocabulary as show_vocabulary
    from tokenmill.pipeline.base.errors import ConfigError
    from tokenmill.tokenizer.encode import load
    from tokenmill.tokenizer.files import PUBLISHED, RANKS

    if not tokenizers:
        raise ConfigError("name the tokenizers to compare")
    encoders = [load(path, pattern if path.suffix == RANKS and path.stem not in PUBLISHED else None) for path in tokenizers]
    read = tokenizing.Inputs(paths=on, text_field=text_field, sample_by=sample_by)
    found = tokenizing.evaluate(read, encoders, workers=_workers(workers), progress=draw.Terminal(err))
    named = dict(zip(show_vocabulary.names(tokenizers), found, strict=True))
    if as_json:
        out.out(json.dumps({name: show_vocabulary.as_json(one) for name, one in named.items()}))
    else:
        show_vocabulary.compare(named, out)
