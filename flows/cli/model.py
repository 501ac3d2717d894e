"""Commands on models: `train`, `range-test`, `evaluate`, `import-model`, `export-model`; `quality train` for classifiers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter, validators

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AsJson, AtLeastOne, CorpusTokens, OfObjective, Settings, err, out, pairs

quality_app = cyclopts.App(name="quality", help="Train quality classifiers.")


def train(
    folder: CorpusTokens,
    /,
    *,
    settings: Settings = [],  # noqa: B006
    restart_if_stale: Annotated[
        bool,
        Parameter(
            negative="",
            help="Start again if the tokens, the shape of the model or the optimizer have changed. Default: refuse.",
        ),
    ] = False,
    restart: Annotated[
        bool, Parameter(negative="", help="Start again with new weights, also if no checkpoint is whole.")
    ] = False,
) -> None:
    """Train the bundled GPT on the tokens of a corpus.

    An interrupted run continues from its last checkpoint; Ctrl-C, SIGTERM and a terminal that is closed write one first (exit
    code 130, 143 or 129). The settings are those of the section `train` of the corpus; change them with
    `--set train.KEY=VALUE`. `tokenmill config show` prints all of them. With the defaults the loss falls visibly in about a
    minute on two CPU cores. The model is written to the folder `model` of the corpus, with
    `training.html`, a page of curves and samples.

    `train.objective` chooses what the model learns: the next token, masked tokens as BERT, spans as T5, or, beginning with the
    trained model, the answers or the labels of `train.examples`. Each objective has a folder of its own below `model`.

    For example:

        tokenmill train corpora/docs

        tokenmill train corpora/docs --set train.steps=2000 --set train.width=256

        tokenmill train corpora/docs --set train.objective=instructions --set train.examples=chat.jsonl

    On several GPUs, `torchrun` starts a process for each, and `train.shard`, `train.tensor_parallel` and
    `train.pipeline_parallel` divide the model among them:

        torchrun --standalone --nproc-per-node=4 -m tokenmill train corpora/docs --set train.shard=4
    """
    from tokenmill.flows.training import run

    with contextlib.closing(draw.Terminal(out)) as terminal:
        run(folder, pairs(settings), terminal, restart_if_stale=restart_if_stale, restart=restart)


def range_test(
    folder: CorpusTokens,
    /,
    *,
    settings: Settings = [],  # noqa: B006
    updates: Annotated[int, Parameter(validator=validators.Number(gte=10, lte=100_000))] = 100,
    as_json: AsJson = False,
) -> None:
    """Find out which learning rates suit a model and a corpus.

    A new model makes some updates while its learning rates grow from a thousandth of `train.learning_rate` and
    `train.muon_learning_rate` to ten times them (a range test). A good peak lies between the rate at which the loss falls
    fastest and the one at which it is lowest. Nothing is written, and the training of the corpus is not touched.

    For example:

        tokenmill range-test corpora/docs

        tokenmill range-test corpora/docs --set train.width=256 --updates 200 --json

    Parameters
    ----------
    updates
        Updates of the weights, 10 to 100,000. More give a smoother curve.
    """
    from tokenmill.flows.cli.draw.rates import drawn
    from tokenmill.flows.training import range_test as tried

    found = tried(folder, pairs(settings), draw.Terminal(err if as_json else out), updates=updates)
    if as_json:
        out.out(json.dumps(dataclasses.asdict(found)))
        return
    out.print(drawn(found))


def evaluate(
    folder: CorpusTokens,
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
    folder: CorpusTokens,
    /,
    *,
    out_dir: Annotated[
        Path | None,
        Parameter(name="--out", help="The folder to write to. Default: `export-model` in the folder of the corpus."),
    ] = None,
    objective: OfObjective = None,
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

    write(folder, out_dir or folder / "export-model", draw.Terminal(out), objective=objective)


def import_model(
    folder: CorpusTokens,
    /,
    *,
    source: Annotated[
        Path, Parameter(name="--from", help="The folder of the model: config.json, model.safetensors, tokenizer.")
    ],
    context_tokens: Annotated[
        AtLeastOne | None, Parameter(help="A shorter context length to train with. Default: that of the model.")
    ] = None,
    replace: Annotated[bool, Parameter(negative="", help="Lose the model that was trained on the corpus.")] = False,
) -> None:
    """Begin with a GPT-2 or a Llama of Hugging Face's transformers, in place of random weights.

    The folder is one that `save_pretrained` or `export-model` writes: `config.json`, the weights as safetensors (one file, or
    several with an index), and the tokenizer. It becomes the checkpoint of step 0: `train` continues it on the text of the
    corpus, with the shape of the model, and `sample`, `chat` and `export-model` use it as it is. The corpus must have been
    packed with the same tokenizer: build it with `--set tokenizer.path=DIR`. Whatever a `config.json` asks for that tokenmill's
    parts do not have (such as scaled rotary positions) is refused by name. A pickle (`pytorch_model.bin`) is never read.

    For example:

        tokenmill build docs --set tokenizer.path=models/gpt2

        tokenmill import-model corpora/docs --from models/gpt2

        tokenmill train corpora/docs --set train.optimizer=adamw --set train.learning_rate=1e-4 \\
            --set train.min_learning_rate=1e-5
    """
    from tokenmill.flows.training import import_model as take

    take(folder, source, draw.Terminal(out), context_tokens=context_tokens, replace=replace)


@quality_app.command(name="train")
def quality_train(
    *,
    positive: Annotated[str, Parameter(help="A file, a folder or a glob of good documents.")],
    negative: Annotated[str, Parameter(help="A file, a folder or a glob of bad documents.")],
    out_file: Annotated[Path, Parameter(name="--out", help="The file to write the model to, for example `edu.bin`.")],
    text_field: Annotated[
        str, Parameter(help="Name of the column that holds the text, in record files such as .jsonl, .parquet and .csv.")
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
