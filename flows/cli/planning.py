"""Commands that say what a training takes: `plan`, `bench-train`. Cost: imports torch (1.4 s)."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter, validators

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AsJson, CorpusTokens, Settings, err, out, pairs

Above0 = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1e30))]
Vocabulary = Annotated[
    int | None,
    Parameter(validator=validators.Number(gte=2, lt=2**24), help="Ids of the model, without a corpus. Default: 32,768."),
]


def plan(
    folder: CorpusTokens | None = None,
    /,
    *,
    tokens: Annotated[Above0 | None, Parameter(help="Tokens to train on, for example 5e9.")] = None,
    flops: Annotated[Above0 | None, Parameter(help="Floating-point operations to spend, for example 1e20.")] = None,
    hours: Annotated[Above0 | None, Parameter(help="Hours to train.")] = None,
    rate: Annotated[
        Above0 | None, Parameter(help="Tokens per second of the planned model, as `bench-train` measures them.")
    ] = None,
    peak_teraflops: Annotated[
        Above0 | None, Parameter(help="What the device computes at most, in 10^12 operations per second. Give --mfu, too.")
    ] = None,
    mfu: Annotated[
        float | None,
        Parameter(
            validator=validators.Number(gt=0, lte=1), help="The part of that peak that a training uses, for example 0.4."
        ),
    ] = None,
    memory_gb: Annotated[
        Above0 | None, Parameter(help="Memory of the device, in 10^9 bytes. Default: what is free on this machine.")
    ] = None,
    vocabulary: Vocabulary = None,
    settings: Settings = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Plan a training: from a budget of tokens, operations or hours to a model, its settings, memory and time.

    The model is as large as Chinchilla advises, with 20 tokens for each parameter (Hoffmann et al. 2022); Kaplan et al. 2020 is
    shown beside it. Batch and learning rate follow DeepSeek LLM (Bi et al. 2024), the memory is counted on the model itself,
    and the time follows from --rate, from --peak-teraflops and --mfu, or from the log of the corpus's last training. With a
    corpus the plan says how often its text is read: up to 4 times are nearly as good as new text (Muennighoff et al. 2023).

    What you set stays: with `train.layers`, `train.heads` or `train.width` the plan is made for that model, and
    `train.batch_windows`, `train.accumulate` and the learning rates are taken as they are. The context length is 1,024 tokens
    unless `train.context_tokens` is set. Nothing is written; the last line has the settings to give to
    `tokenmill train`.

    For example:

        tokenmill plan --tokens 5e9 --rate 200000

        tokenmill plan corpora/docs --hours 8

        tokenmill plan --flops 1e20 --peak-teraflops 989 --mfu 0.45 --memory-gb 80 --set train.precision=bfloat16 --json

        tokenmill plan corpora/docs --tokens 1e9 --set train.layers=12 --set train.heads=12 --set train.width=768
    """
    from tokenmill.flows.cli.draw.planning import as_plain, drawn
    from tokenmill.flows.planning import plan as made

    found = made(
        folder,
        pairs(settings),
        tokens=tokens,
        flops=flops,
        hours=hours,
        rate=rate,
        peak_teraflops=peak_teraflops,
        mfu=mfu,
        memory_bytes=None if memory_gb is None else memory_gb * 1e9,
        vocabulary=vocabulary,
    )
    if as_json:
        out.out(json.dumps(as_plain(found)))
        return
    table, command = drawn(found, folder)
    out.print(table)
    out.print(command)


def bench_train(
    folder: CorpusTokens | None = None,
    /,
    *,
    settings: Settings = [],  # noqa: B006
    updates: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100_000), help="Updates to measure.")] = 10,
    vocabulary: Vocabulary = None,
    as_json: AsJson = False,
) -> None:
    """Measure a training on this machine: tokens per second, where the time of an update goes, and what binds it.

    A new model is trained for some updates on ids at random, and with a corpus also on its tokens, which shows what reading
    costs. The settings are those of the corpus, or the defaults. Where the peak of the device is known, or is given as
    `train.peak_teraflops`, the command says the part of it that is used (MFU). Nothing is written, and
    neither a corpus nor a network is needed.

    For example:

        tokenmill bench-train

        tokenmill bench-train corpora/docs --updates 20

        tokenmill bench-train --vocabulary 50257 --set train.model=gpt2 --set train.layers=12 --set train.heads=12 \\
            --set train.width=768 --set train.context_tokens=1024 --set train.batch_windows=32 --set train.compile=true --json
    """
    from tokenmill.flows.cli.draw.planning import measured, measured_plain
    from tokenmill.flows.planning import bench

    found = bench(folder, pairs(settings), draw.Terminal(err if as_json else out), updates=updates, vocabulary=vocabulary)
    if as_json:
        out.out(json.dumps(measured_plain(found)))
        return
    for part in measured(found):
        out.print(part)
