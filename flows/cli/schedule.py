"""Commands for schedules: `serve` runs builds at their times, `deploy` hands them to a Prefect server that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tokenmill.flows.cli.options import out
from tokenmill.flows.server import settings

Schedules = Annotated[Path, Parameter(help="A TOML file that lists builds and their times.")]


def serve(schedules: Schedules, /) -> None:
    """Run builds on a schedule, until interrupted.

    If no Prefect server is configured (PREFECT_API_URL), the command starts one, for this machine alone, and prints its address
    and the file that holds its password. Each run has a page there: its name and time, a log line for all that the build says,
    its progress, the funnel, and where the report is.

    The file of schedules has one entry for each build. Relative paths start at the folder of the file:

        [[build]]
        name = "nightly"
        config = "docs"            # a preset or a TOML file
        out = "corpora/docs"
        cron = "0 3 * * *"         # every day at 3:00; several in a list; none: only when it is started by hand
        timezone = "Europe/Berlin" # optional, default UTC
        workers = 4                # optional, default 1
        on_overlap = "skip"        # optional, default "wait": what to do while somebody else builds the same corpus
        retries = 2                # optional, default 0: how often a run that failed or was killed is run again
        settings = { "collect.max_text_bytes" = 10_000_000 }   # optional

        [notify]                   # optional: who is told (or [build.notify] for one build)
        env = "TOKENMILL_NOTIFY"   # the address is in an environment variable,
        # file = "address.txt"     # or in a file, one a line,
        # block = "slack-webhook/ops"                          # or in a block of Prefect
        on = ["failure", "crash", "alarm"]                     # optional; "success" too, if wanted

    A cron expression has five fields: minute, hour, day of the month, month, day of the week. An address is that of a webhook
    (https://...), of a chat such as Slack, or one that apprise knows, such as mailtos://user:password@mail.example.org?to=me@there.org.

    For example:

        tokenmill serve schedules.toml
    """
    settings.prepare()
    from tokenmill.flows.schedules import read
    from tokenmill.flows.server.scheduler import serve as serve_builds

    serve_builds(read(schedules), _print)


def deploy(schedules: Schedules, /, *, pool: str = "default", prefect_yaml: Path | None = None) -> None:
    """Hand scheduled builds to a Prefect server that runs elsewhere, or write them as a prefect.yaml.

    The server is the one that PREFECT_API_URL or the profile of Prefect names. Workers of the pool run the builds; tokenmill
    must be installed where they run, and the paths of the file must exist there. `tokenmill serve --help` explains the file. A
    build that the file no longer names loses its schedule.

    For example:

        prefect work-pool create mill --type process

        tokenmill deploy schedules.toml --pool mill

        prefect worker start --pool mill

        tokenmill deploy schedules.toml --pool mill --prefect-yaml prefect.yaml

    Parameters
    ----------
    pool
        The work pool whose workers run the builds.
    prefect_yaml
        Write this file, for `prefect deploy --all`, and ask no server.
    """
    settings.prepare()
    from tokenmill.flows import deployments
    from tokenmill.flows.schedules import read

    builds = read(schedules)
    if prefect_yaml is not None:
        deployments.write_yaml(builds, pool, prefect_yaml)
        _print(f"{prefect_yaml}: `prefect deploy --all` in its folder registers {', '.join(one.name for one in builds)}")
        return
    deployments.deploy(builds, pool, _print)


def _print(line: str) -> None:
    out.print(line, markup=False)
