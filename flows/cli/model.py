"""Commands on models: `train` and `sample` for the bundled GPT, `quality train` for classifiers of quality."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter, validators

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AtLeastOne, Corpus, Settings, out, pairs

quality_app = cyclopts.App(name="quality", help="Classifiers that judge quality.")


def train(
    folder: Corpus,
    /,
    *,
    settings: Settings = [],  # noqa: B006
    restart_if_stale: Annotated[
        bool, Parameter(negative="", help="Begin anew where the tokens or the model's shape have changed, instead of refusing.")
    ] = False,
) -> None:
    """Train the bundled GPT on the tokens of a corpus. A run that was interrupted goes on where it was.

    Settings are those of the section `train` of the corpus's config, with `--set train.key=value` over them.

    For example:

        tokenmill train corpora/docs

        tokenmill train corpora/docs --set train.steps=2000 --set train.width=256
    """
    from tokenmill.flows.training import run

    run(folder, pairs(settings), draw.Terminal(out), restart_if_stale=restart_if_stale)


def sample(
    folder: Corpus,
    /,
    prompt: Annotated[str, Parameter(help="What the model goes on from.")] = "The",
    *,
    tokens: int = 100,
    temperature: float = 0.8,
    top_k: int = 50,
    seed: int = 0,
) -> None:
    """Let the trained model speak.

    For example:

        tokenmill sample corpora/docs

        tokenmill sample corpora/docs "Returns a list of" --tokens 50 --temperature 0
    """
    from tokenmill.flows.training import speak

    out.print(speak(folder, prompt, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed), markup=False)


@quality_app.command(name="train")
def quality_train(
    *,
    positive: Annotated[str, Parameter(help="A file, a folder or a glob of documents as they should be.")],
    negative: Annotated[str, Parameter(help="The same of documents as they should not be.")],
    out_file: Annotated[Path, Parameter(name="--out", help="Where the model goes, for example `edu.bin`.")],
    text_field: Annotated[str, Parameter(help="The column of the text in .jsonl, .parquet and .csv files.")] = "text",
    epochs: AtLeastOne = 5,
    learning_rate: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 0.1,
    buckets: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=100_000, lt=2**31),
            help="Rows for hashed pairs of words; each takes 400 bytes of the model, and of every worker's memory.",
        ),
    ] = 2_000_000,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0, lt=2**31))] = 0,
) -> None:
    """Train a fastText classifier that tells good documents from bad ones, as DCLM does.

    Features are words and pairs of words, as they are written: lines are joined, nothing is lower-cased. The defaults are
    fastText's. A fifth of each side, chosen by a hash of the text, is not learnt but measured. The same documents and seed
    give the same bytes of the model.

    A .txt file is one document; .jsonl, .parquet and .csv files hold one in each record; what `tokenmill build` reads
    can be read.

    For example:

        tokenmill quality train --positive textbooks --negative web.jsonl --out edu.bin

        tokenmill quality train --positive 'good/*.parquet' --negative bad --out small.bin --buckets 200000 --epochs 3

    A config then names the model, and any number of others beside it:

        [quality]
        recipe = "fineweb@1"

        [quality.models.edu]
        path = "edu.bin"
        label = "positive"
        keep_fraction = 0.1        # of the documents that pass everything else; or min = 0.5

        [quality.models.toxicity]
        path = "toxicity.bin"
        label = "toxic"
        max = 0.5

    All of DCLM is its rules and its published model (mlfoundations/fasttext-oh-eli5) at its threshold:

        tokenmill build web --set quality.recipe=dclm@1 --set quality.models.dclm.path=oh-eli5.bin
        --set quality.models.dclm.label=hq --set quality.models.dclm.min=0.018112
    """
    from tokenmill.flows.classifier import train as train_classifier
    from tokenmill.flows.cli.draw.classifier import show
    from tokenmill.pipeline.stages.quality.train import Training

    training = Training(epochs=epochs, learning_rate=learning_rate, buckets=buckets, seed=seed)
    terminal = draw.Terminal(out)
    measured = train_classifier(positive, negative, out_file, text_field=text_field, training=training, progress=terminal)
    show(measured, out_file, out)
