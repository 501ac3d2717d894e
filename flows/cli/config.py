"""The commands `tokenmill config show` and `config explain`, which look settings up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from tokenmill.flows import presets
from tokenmill.flows.cli.options import Settings, out, pairs

app = cyclopts.App(name="config", help="Look up settings: print all of a preset or a TOML file, or explain one.")


@app.command
def show(named: Annotated[Path, Parameter(name="CONFIG")], /, *, settings: Settings = []) -> None:  # noqa: B006
    """Print all settings of a preset or of a TOML file as TOML, each with its meaning, bounds, unit and default.

    The output is a valid config: save it, edit it, and give it to `tokenmill build`. A line that begins with `#` and has no
    space after it is a setting that is not set.

    For example:

        tokenmill config show docs

        tokenmill config show web --set dedup.threshold=0.7 > my.toml

    Parameters
    ----------
    named
        A preset (docs, stories, text or web) or the path of a TOML file.
    """
    from tokenmill.pipeline.stages.show import explained

    config = str(named)
    wanted = presets.resolve(config, pairs(settings), without_input=True)
    lead = [f"# All settings of {config!r}. Build with them, or with a copy: tokenmill build my.toml --out corpora/mine"]
    if not wanted.collect.all_sources:
        lead.append('# Say in [collect] what to read, for example paths = ["my/texts"], or add --set collect.paths=my/texts.')
    out.out("\n".join([*lead, "", explained(wanted)]))


@app.command
def explain(
    name: Annotated[
        str | None,
        Parameter(help="A setting such as `quality.min_words`, or a section such as `dedup`. Default: the sections."),
    ] = None,
    /,
) -> None:
    """Explain a setting, or list the settings of a section.

    For a setting the command prints what it does, what it accepts, its default, its values in recipes and presets, and how to
    write it on the command line and in a file. The last part of a name is enough if only one setting has it.

    For example:

        tokenmill config explain

        tokenmill config explain quality

        tokenmill config explain quality.min_words
    """
    from tokenmill.flows.cli.draw.settings import show_explanation
    from tokenmill.pipeline.stages.explain import explained

    show_explanation(explained(name), out)
