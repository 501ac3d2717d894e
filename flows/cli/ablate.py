"""The command `ablate`: which corpus or filter setting makes the better model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AsJson, AtLeastOne, err, out
from tokenmill.flows.server import settings as prefect_settings
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError


def ablate(
    file: Annotated[Path, Parameter(name="ABLATION", help="A TOML file with the variants to compare.")],
    /,
    *,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
    workers: AtLeastOne | None = None,
    no_prefect: Annotated[bool, Parameter(negative="", help="Run the same tasks without Prefect.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare corpora or filter settings by the models that they make.

    Each variant becomes a corpus, and trains the same model on the same number of tokens, once for each seed. All models are
    measured on the same held-out texts, in bits per byte. The answer says which variant wins, by how much, and whether that is
    more than what seeds and documents do by chance. It is written to `ablation.html` and `ablation.json`.

    A file of variants, `filters.toml`:

        base = "docs"                      # a preset or a TOML file
        seeds = [0, 1, 2]                  # optional; at least two

        [variants.docs]                    # settings that differ; none: the base itself
        [variants.c4]
        quality.recipe = "c4@1"
        [variants.old]
        corpus = "corpora/old"             # or a corpus that is built already

        [train]                            # optional: settings of the training, the same for all
        steps = 500

        [held_out.news]                    # optional; default: the validation split of each variant
        paths = ["news.jsonl"]
        [held_out.docs]
        variant = "docs"

    Documents that a variant trains on are left out of the held-out sets. The first variant trains the tokenizer of all, but for
    variants that set `tokenizer...` themselves, and corpora. An interrupted run goes on where it was with the same command.

    For example:

        tokenmill ablate filters.toml

        tokenmill ablate filters.toml --out ablations/filters --json | jq .verdict

    Parameters
    ----------
    out_dir
        Folder of the corpora, the models and the result. Default: `ablations/NAME`, where NAME is the file without `.toml`.
    workers
        Number of worker processes of builds. Default: one per CPU core that this process may use.
    """
    from tokenmill.flows.ablation.settings import read

    asked, terminal = read(file), draw.Terminal(err if as_json else out)
    root = out_dir or Path("ablations", asked.name)
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    from tokenmill.flows.ablation.work import JSON, PAGE, ablating

    with ablating(asked, root, workers=count, progress=terminal) as work:
        if no_prefect:
            work.perform()
        else:
            terminal.say("starting Prefect's server")
            try:
                prefect_settings.prepare()
            except ConfigError as error:
                terminal.say(f"{error}; the work goes on without Prefect")
                work.perform()
            else:
                from tokenmill.flows.ablation import flow
                from tokenmill.flows.server import embedded

                flow.current.set(work)
                embedded.build(lambda: flow.ablate(asked.name), work.perform, meanwhile=lambda: None, say=terminal.say)
    terminal.close()
    answer = json.loads(files.read_bytes(root / JSON))
    if as_json:
        out.out(json.dumps(answer))
        return
    from tokenmill.flows.cli.draw.ablation import show

    show(answer, out)
    out.print(f"\nreport: {escape(str(root / PAGE))}")
