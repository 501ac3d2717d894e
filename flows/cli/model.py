"""Commands on models: those for the bundled GPT, and `quality train` for quality classifiers."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter, validators

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AsJson, AtLeastOne, Corpus, Settings, err, out, pairs
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.utf8 import as_utf8

quality_app = cyclopts.App(name="quality", help="Train quality classifiers.")


def train(
    folder: Corpus,
    /,
    *,
    settings: Settings = [],  # noqa: B006
    restart_if_stale: Annotated[
        bool, Parameter(negative="", help="Start again if the tokens or the shape of the model have changed. Default: refuse.")
    ] = False,
    restart: Annotated[bool, Parameter(negative="", help="Start again, also if no checkpoint is whole.")] = False,
) -> None:
    """Train the bundled GPT on the tokens of a corpus.

    An interrupted run continues from its last checkpoint; Ctrl-C, SIGTERM and a terminal that is closed write one first (exit
    code 130, 143 or 129). The settings are those of the section `train` of the corpus; change them with
    `--set train.KEY=VALUE`. `tokenmill config show` prints all of them. With the defaults the loss falls visibly in about a
    minute on two CPU cores. The model is written to the folder `model` of the corpus, with
    `training.html`, a page of curves and samples.

    For example:

        tokenmill train corpora/docs

        tokenmill train corpora/docs --set train.steps=2000 --set train.width=256
    """
    from tokenmill.flows.training import run

    with contextlib.closing(draw.Terminal(out)) as terminal:
        run(folder, pairs(settings), terminal, restart_if_stale=restart_if_stale, restart=restart)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Speech:
    """How a model chooses what it says: the options of `sample` and `chat`."""

    tokens: Annotated[
        int,
        Parameter(help="Most tokens to generate, at least 1. A text ends earlier if the model generates an end-of-text token."),
    ] = 100
    temperature: Annotated[
        float,
        Parameter(
            help="Randomness of the choice, from 0 to 1e9. 0, like all below 1e-9, always chooses the most probable token."
        ),
    ] = 0.8
    top_k: Annotated[int, Parameter(help="Choose only among this many most probable tokens, at least 1.")] = 50
    top_p: Annotated[
        float,
        Parameter(
            help="Choose only among the fewest most probable tokens with this much probability together, above 0 and at most 1."
        ),
    ] = 1.0
    min_p: Annotated[
        float,
        Parameter(
            help="Leave out tokens with less than this part of the most probable one's probability, at least 0 and below 1."
        ),
    ] = 0.0
    repetition_penalty: Annotated[
        float, Parameter(help="Above 1, tokens that stand in the text become less probable. From 0.001 to 1000.")
    ] = 1.0
    stop: Annotated[
        tuple[str, ...],
        Parameter(negative="", show_default=False, help="End the text before it says this. May be given several times."),
    ] = ()
    seed: Annotated[int, Parameter(help="Seed of the random choice, from 0 to 2^63 - 1.")] = 0

    def options(self) -> dict[str, Any]:
        """As `flows.training` takes them."""
        choice = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")}
        return {"tokens": self.tokens, "choice": choice, "seed": self.seed, "stop": self.stop}


def sample(
    folder: Corpus,
    /,
    prompt: Annotated[str, Parameter(help="The beginning of a document, which the model continues.")] = "The",
    *,
    speech: Speech = Speech(),
) -> None:
    """Generate text with the trained model of a corpus.

    The command prints the prompt and its continuation by the last checkpoint. It runs on the CPU. The same checkpoint,
    prompt, options and seed give the same text.

    For example:

        tokenmill sample corpora/docs

        tokenmill sample corpora/docs "Returns a list of" --tokens 50 --temperature 0

        tokenmill sample corpora/docs "Usage:" --top-p 0.9 --repetition-penalty 1.2 --stop "Usage:"
    """
    from tokenmill.flows.training import speak

    for piece in speak(folder, prompt, **speech.options()):
        _say(piece)
    out.print()


def evaluate(
    folder: Corpus,
    /,
    *,
    tasks: Annotated[
        str, Parameter(help="Names of tasks that lm-eval knows, or paths of its task files (.yaml), with commas.")
    ],
    limit: Annotated[AtLeastOne | None, Parameter(help="Questions of each task. Default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate the trained model of a corpus on tasks of lm-eval.

    lm-eval (EleutherAI's harness) must be installed: `pip install 'tokenmill[eval]'`. The last checkpoint is exported as
    `export-model` does it, to a temporary folder, so a model that transformers cannot hold is refused. Questions are asked as
    lm-eval asks them; a text begins after an end-of-text, as in training. lm-eval fetches the data of its tasks. A task file
    of yours is a program where it says `!function`.

    For example:

        tokenmill evaluate corpora/docs --tasks arc_easy,hellaswag --limit 100

        tokenmill evaluate corpora/docs --tasks wikitext --json | jq .wikitext

        tokenmill evaluate corpora/docs --tasks questions.yaml
    """
    from tokenmill.flows.cli.draw.tasks import table_of
    from tokenmill.flows.training import evaluate as measured

    names = [name for name in tasks.split(",") if name]
    found = measured(folder, names, draw.Terminal(err if as_json else out), limit=limit)
    if as_json:
        out.out(json.dumps(found))
        return
    out.print(table_of(found))


def export_model(
    folder: Corpus,
    /,
    *,
    out_dir: Annotated[
        Path | None,
        Parameter(name="--out", help="The folder to write to. Default: `export-model` in the folder of the corpus."),
    ] = None,
) -> None:
    """Export the trained model of a corpus for Hugging Face's transformers.

    The folder holds the weights (`model.safetensors`), the settings and the tokenizer of the last checkpoint.
    `AutoModelForCausalLM.from_pretrained(folder)` and `AutoTokenizer.from_pretrained(folder)` read it. Models with the parts of
    the preset `gpt2` become a GPT2LMHeadModel, those with the parts of `llama` a LlamaForCausalLM; for others the command names
    the settings that would have to change, as for the preset `modern`. The tokenizer puts an end-of-text in front of each text,
    because documents begin after one in training. A second export into the same folder replaces the first.

    For example:

        tokenmill train corpora/docs --set train.model=llama

        tokenmill export-model corpora/docs

        tokenmill export-model corpora/docs --out models/docs
    """
    from tokenmill.flows.training import export_model as write

    write(folder, out_dir or folder / "export-model", draw.Terminal(out))


def chat(
    folder: Corpus,
    /,
    *,
    template: Annotated[
        str,
        Parameter(
            help="How a question and its answer are written, with {user} and {assistant} in their places; \\\\n is a new line. "
            "Take that of the conversations that the model was trained on."
        ),
    ] = r"User: {user}\nAssistant: {assistant}\n",
    speech: Speech = Speech(),
) -> None:
    """Talk with the trained model of a corpus.

    The command reads a line, prints the answer as the model makes it, and remembers both. /reset begins a new conversation;
    Ctrl-C stops an answer; /quit or Ctrl-D ends. Lines may also come from a pipe. When the conversation no longer fits into the
    context of the model, its oldest turns are forgotten. The same checkpoint, lines, options and seed give the same answers.

    A model that was trained on plain text alone takes the conversation for the beginning of a document, and writes what could
    stand there next: seldom an answer. Train it on documents that are conversations, written with the template.

    For example:

        tokenmill chat corpora/docs

        echo "What does len do?" | tokenmill chat corpora/docs --temperature 0

        tokenmill chat corpora/docs --template "Q: {user}\\nA: {assistant}\\n" --tokens 50
    """
    from tokenmill.flows.training import chat as begin

    talk = begin(folder, template, **speech.options())
    live = sys.stdin.isatty()
    if live:
        out.print("/reset begins anew, Ctrl-C stops an answer, /quit or Ctrl-D ends")
    # Ctrl-C ends an answer, not the command, so it must not count as an interrupt of that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while (line := _line(live=live)) not in (None, "/quit"):
            if line == "/reset":
                talk.turns.clear()
            elif line:
                with contextlib.suppress(KeyboardInterrupt), contextlib.closing(talk.answer(line)) as pieces:
                    for piece in pieces:
                        _say(piece)
                out.print()
    finally:
        signal.signal(signal.SIGINT, before)


def _line(*, live: bool) -> str | None:
    """The next line of the user without blanks around it; None at the end. Ctrl-C discards what was typed."""
    while True:
        try:
            line = (input("> ") if live else input()).strip()
            as_utf8(line, where="standard input")
            return line
        except EOFError:
            return None
        except KeyboardInterrupt:
            out.print()
        except UnicodeDecodeError as error:
            raise InputError("standard input: a line is not text; give UTF-8") from error


def _say(piece: str) -> None:
    out.print(piece, end="", markup=False, highlight=False, soft_wrap=True)


@quality_app.command(name="train")
def quality_train(
    *,
    positive: Annotated[str, Parameter(help="A file, a folder or a glob of good documents.")],
    negative: Annotated[str, Parameter(help="A file, a folder or a glob of bad documents.")],
    out_file: Annotated[Path, Parameter(name="--out", help="The file to write the model to, for example `edu.bin`.")],
    text_field: Annotated[
        str, Parameter(help="Name of the column that holds the text, in .jsonl, .parquet and .csv files.")
    ] = "text",
    epochs: Annotated[AtLeastOne, Parameter(help="Number of passes over the training documents.")] = 5,
    learning_rate: Annotated[
        float, Parameter(validator=validators.Number(gt=0), help="Learning rate of fastText, above 0.")
    ] = 0.1,
    buckets: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=100_000, lt=2**31),
            help="Hash buckets for pairs of words. Each takes 400 bytes in the model file and in the memory of each worker.",
        ),
    ] = 2_000_000,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0, lt=2**31), help="Seed of the training.")] = 0,
) -> None:
    """Train a fastText classifier that tells good documents from bad ones, as DCLM does.

    The features are words and pairs of words: lines are joined, and nothing is lower-cased. The default options are
    fastText's. One fifth of the documents of each side, chosen by a hash of the text, is held out: the classifier does not
    train on it, and the command prints accuracy, precision and recall on it. The same documents, options and seed give the
    same bytes of the model.

    The command reads the same kinds of files as `tokenmill build`: a .txt file is one document; .jsonl, .parquet and .csv
    files hold one document per record.

    For example:

        tokenmill quality train --positive textbooks --negative web.jsonl --out edu.bin

        tokenmill quality train --positive 'good/*.parquet' --negative bad --out small.bin --buckets 200000 --epochs 3

    A config then names the model. It can name any number of models:

        [quality]
        recipe = "fineweb@1"

        [quality.models.edu]
        path = "edu.bin"
        label = "positive"
        keep_fraction = 0.1        # keep the best tenth of the documents that pass everything else; or min = 0.5

        [quality.models.toxicity]
        path = "toxicity.bin"
        label = "toxic"
        max = 0.5

    DCLM's filter consists of its rules and its published model (mlfoundations/fasttext-oh-eli5) at its threshold. With the
    model in `oh-eli5.bin` and a crawl in `crawl.warc.gz`:

        tokenmill build web --set collect.paths=crawl.warc.gz --set stages='["language", "quality", "dedup"]' \\
            --set quality.recipe=dclm@1 --set quality.models.dclm.path=oh-eli5.bin \\
            --set quality.models.dclm.label=hq --set quality.models.dclm.min=0.018112
    """
    from tokenmill.flows.classifier import train as train_classifier
    from tokenmill.flows.cli.draw.classifier import show
    from tokenmill.pipeline.stages.quality.train import Training

    training = Training(epochs=epochs, learning_rate=learning_rate, buckets=buckets, seed=seed)
    terminal = draw.Terminal(out)
    measured = train_classifier(positive, negative, out_file, text_field=text_field, training=training, progress=terminal)
    show(measured, out_file, out)
