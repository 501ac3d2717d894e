"""The commands `tokenmill tokenizer train`, `encode`, `decode`, `evaluate` and `compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter, validators
from pydantic import ValidationError
from rich.markup import escape

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import DEFAULT_EXECUTION, AsJson, AtLeastOne, Execution, err, no_options, out
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import ExecutionConfig, TokenizerConfig

app = cyclopts.App(name="tokenizer", help="Train, use, evaluate and compare tokenizers.")
DEFAULTS = TokenizerConfig()
SampleBy = Annotated[
    Literal["document", "line"],
    Parameter(help="In a plain text file, take the whole file (`document`) or each line (`line`) as one document."),
]
TextField = Annotated[
    str, Parameter(help="Name of the column that holds the text, in record files such as .jsonl, .parquet and .csv.")
]
Documents = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        validator=no_options,
        help="Files, folders or globs of documents; `-` is standard input, as one document.",
    ),
]
TokenizerPath = Annotated[
    Path,
    Parameter(help="A tokenizer.json, a vocab.json beside its merges.txt (GPT-2), ranks (*.tiktoken), or a folder with one."),
]
Cut = Annotated[
    str | None,
    Parameter(
        help="How text is cut into pre-tokens, if the tokenizer's file does not say: gpt2, cl100k, llama3, qwen2, o200k "
        "or a regular expression."
    ),
]


def _by(execution: Execution) -> ExecutionConfig:
    """Raises ConfigError."""
    try:
        return ExecutionConfig.model_validate(execution.settings())
    except ValidationError as error:
        said = (f"--{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors())
        raise ConfigError("; ".join(said)) from error


@app.command
def train(
    *inputs: Documents,
    out_file: Annotated[Path, Parameter(name="--out", help="The file to write, for example `tokenizer.json`.")],
    vocabulary: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=257),
            help="Number of tokens, with the 256 bytes and end-of-text. It ends up lower if the text has too few pairs.",
        ),
    ] = DEFAULTS.vocabulary,
    pattern: Annotated[
        str, Parameter(help="How text is cut: gpt2, cl100k, llama3, qwen2, o200k, or a regular expression, which is slow.")
    ] = DEFAULTS.pattern,
    digits: Annotated[
        int | None,
        Parameter(
            validator=validators.Number(gte=1, lte=3),
            help="Most digits in one token, 1 to 3. Default: the limit of the pattern (3; 1 in qwen2; none in gpt2).",
        ),
    ] = None,
    min_frequency: Annotated[
        AtLeastOne, Parameter(help="Merge a pair that occurs at least so often.")
    ] = DEFAULTS.min_frequency,
    max_token_bytes: Annotated[
        int, Parameter(validator=validators.Number(gte=3), help="Every token has fewer bytes than this.")
    ] = DEFAULTS.max_token_bytes,
    max_source_share: Annotated[
        float,
        Parameter(
            validator=validators.Number(gt=0, lte=1),
            help="An input with a larger share of the text (0 to 1) counts as if it had this share. 1: no limit.",
        ),
    ] = DEFAULTS.max_source_share,
    sample_bytes: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=0),
            help="Train on a sample of about this much text if there is more, which bounds the memory. 0: on all of it.",
        ),
    ] = DEFAULTS.sample_bytes,
    kind: Annotated[
        Literal["bpe", "wordpiece"], Parameter(help="`bpe` gives text back exactly; `wordpiece`, BERT's, does not.")
    ] = DEFAULTS.kind,
    lowercase: Annotated[bool, Parameter(negative="", help="WordPiece: lower-case text.")] = DEFAULTS.lowercase,
    strip_accents: Annotated[bool, Parameter(negative="", help="WordPiece: remove accents.")] = DEFAULTS.strip_accents,
    alphabet: Annotated[AtLeastOne, Parameter(help="WordPiece: know at most this many characters.")] = DEFAULTS.alphabet,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    execution: Execution = DEFAULT_EXECUTION,
) -> None:
    """Train a tokenizer on files, a byte-level BPE or BERT's WordPiece, and write it as a tokenizer.json.

    `tokenizers` and `transformers` read this file. The same text and options give the same file, for any number of workers.
    For a BPE, the command also prints what vocabularies of 8k to 128k tokens would cost, as far as the text has pairs for them:
    tokens, bytes per token, parameters of the embeddings. For a WordPiece, it prints how many words become `[UNK]`.

    It reads the same files as `tokenmill build`: a .txt file is one document; .jsonl, .parquet and .csv hold one a record.

    For example:

        tokenmill tokenizer train my/texts --out tokenizer.json

        tokenmill tokenizer train 'web/*.parquet' code.jsonl --out code.json --vocabulary 50000 --pattern o200k --digits 1

        tokenmill tokenizer train my/texts --out bert.json --kind wordpiece --vocabulary 30522 --lowercase --strip-accents
    """
    from tokenmill.flows import execution as hands

    by = _by(execution)
    hands.begin(by)
    from tokenmill.flows import tokenizing
    from tokenmill.flows.cli.draw import vocabulary as show_vocabulary
    from tokenmill.tokenizer.front import config_of

    config = config_of(
        kind=kind,
        lowercase=lowercase,
        strip_accents=strip_accents,
        alphabet=alphabet,
        vocabulary=vocabulary,
        pattern=pattern,
        digits=digits,
        min_frequency=min_frequency,
        max_token_bytes=max_token_bytes,
        max_source_share=max_source_share,
        sample_bytes=sample_bytes,
    )
    read = tokenizing.Inputs(paths=inputs, text_field=text_field, sample_by=sample_by)
    _, sizes = tokenizing.train(read, out_file, config, by=by, progress=draw.Terminal(out))
    out.print()
    if sizes:
        show_vocabulary.sizes(sizes, out)
    out.print(f"\ntokenizer: {escape(str(out_file))}")


@app.command
def encode(
    *inputs: Documents,
    tokenizer: TokenizerPath,
    out_path: Annotated[
        Path | None,
        Parameter(name="--out", help="The file, the .npy file or the folder to write to. Default: standard output."),
    ] = None,
    to: Annotated[
        str | None, Parameter(help="The format: text, npy or store. Default: npy if --out ends in .npy, else text.")
    ] = None,
    pattern: Cut = None,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    execution: Execution = DEFAULT_EXECUTION,
) -> None:
    """Encode documents to token ids.

    The formats are: `text`, one line of ids per document; `npy`, one array of all ids end to end; `store`, the folder of a
    corpus with a token store, which `tokenmill train` and other trainers read. The end-of-text id follows each document.
    A special token inside a text is encoded as text.

    Documents are read as `tokenmill build` reads them; for example, Windows line ends become plain ones.

    For example:

        tokenmill tokenizer encode book.txt --tokenizer tokenizer.json

        echo Hello | tokenmill tokenizer encode - --tokenizer gpt2/vocab.json

        tokenmill tokenizer encode 'web/*.parquet' --tokenizer tokenizer.json --out ids.npy

        tokenmill tokenizer encode texts --tokenizer cl100k_base.tiktoken --out corpora/texts --to store
    """
    from tokenmill.flows import tokenizing
    from tokenmill.tokenizer.encode import load

    by_name: tokenizing.Form = "npy" if out_path is not None and out_path.suffix == ".npy" else "text"
    forms: dict[str | None, tokenizing.Form] = {None: by_name, "text": "text", "npy": "npy", "store": "store"}
    if to not in forms:
        raise ConfigError(f"--to {to!r}: choose text, npy or store")
    read = tokenizing.Inputs(paths=inputs, text_field=text_field, sample_by=sample_by)
    terminal = draw.Terminal(err)
    encoder = load(tokenizer, pattern)
    documents, ids = tokenizing.encode(read, encoder, out_path, forms[to], by=_by(execution), progress=terminal)
    terminal.say(f"{documents:,} documents, {ids:,} ids, encoded by {encoder.engine}")


@app.command
def decode(
    ids: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="A text file with a line of ids per document, a .npy file, a corpus or a token store; `-` is standard input.",
        ),
    ],
    /,
    *,
    tokenizer: Annotated[Path | None, Parameter(help="The tokenizer, as for `encode`. Default: that of the corpus.")] = None,
    out_file: Annotated[Path | None, Parameter(name="--out", help="The file to write. Default: standard output.")] = None,
    pattern: Cut = None,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print one JSON object per document, each on a line.")
    ] = False,
) -> None:
    """Decode token ids to text.

    The command writes the exact bytes of the documents one after another, without end-of-text. WordPiece does not keep them: of
    its ids the command writes the words of each document on a line. Forgotten documents of a token store are left out. Only the
    ids of a corpus say which tokenizer made them: for other ids, name it with --tokenizer.

    For example:

        tokenmill tokenizer decode ids.npy --tokenizer tokenizer.json

        echo 15496 11 995 | tokenmill tokenizer decode - --tokenizer gpt2/vocab.json

        tokenmill tokenizer decode corpora/docs --json | head -1
    """
    from tokenmill.flows import decoding

    decoding.decode(ids, tokenizer, pattern, out_file, as_json=as_json)


@app.command
def evaluate(
    tokenizer: TokenizerPath,
    *inputs: Documents,
    pattern: Cut = None,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    execution: Execution = DEFAULT_EXECUTION,
    as_json: AsJson = False,
) -> None:
    """Measure a tokenizer on documents: compression by source and language, scripts, and unused, rare and long tokens.

    Each of the inputs is one source. Compression is measured in bytes per token and tokens per word.

    For example:

        tokenmill tokenizer evaluate tokenizer.json 'texts/*.jsonl'

        tokenmill tokenizer evaluate gpt2/vocab.json english german --json | jq .total
    """
    from tokenmill.flows import tokenizing
    from tokenmill.flows.cli.draw import vocabulary as show_vocabulary
    from tokenmill.tokenizer.encode import load

    read = tokenizing.Inputs(paths=inputs, text_field=text_field, sample_by=sample_by)
    progress = draw.Terminal(err)
    (found,) = tokenizing.evaluate(read, [load(tokenizer, pattern)], by=_by(execution), progress=progress)
    if as_json:
        out.out(json.dumps(show_vocabulary.as_json(found)))
    else:
        show_vocabulary.show(found, out)


@app.command
def compare(
    *tokenizers: Annotated[
        Path,
        Parameter(help="Tokenizers: tokenizer.json, vocab.json beside merges.txt, ranks (*.tiktoken), or a folder with one."),
    ],
    on: Annotated[tuple[str, ...], Parameter(negative="", help="A file, a folder or a glob of documents. Repeatable.")],
    pattern: Cut = None,
    text_field: TextField = "text",
    sample_by: SampleBy = "document",
    execution: Execution = DEFAULT_EXECUTION,
    as_json: AsJson = False,
) -> None:
    """Compare tokenizers on the same documents.

    The tables show the number of ids and tokens, the ratio of tokens to the first tokenizer, and the compression in bytes per
    token by source and language. `--pattern` applies only to ranks (*.tiktoken) whose file name is not a
    published one such as `cl100k_base`.

    For example:

        tokenmill tokenizer compare tokenizer.json gpt2/vocab.json --on texts

        tokenmill tokenizer compare a.json b.json o200k_base.tiktoken --on english --on 'japanese/*.txt' --json
    """
    from tokenmill.flows import tokenizing
    from tokenmill.flows.cli.draw import vocabulary as show_vocabulary
    from tokenmill.tokenizer.encode import load
    from tokenmill.tokenizer.files import PUBLISHED, RANKS

    if not tokenizers:
        raise ConfigError("name the tokenizers to compare")
    encoders = [load(path, pattern if path.suffix == RANKS and path.stem not in PUBLISHED else None) for path in tokenizers]
    read = tokenizing.Inputs(paths=on, text_field=text_field, sample_by=sample_by)
    found = tokenizing.evaluate(read, encoders, by=_by(execution), progress=draw.Terminal(err))
    named = dict(zip(show_vocabulary.names(tokenizers), found, strict=True))
    if as_json:
        out.out(json.dumps({name: show_vocabulary.as_json(one) for name, one in named.items()}))
    else:
        show_vocabulary.compare(named, out)
