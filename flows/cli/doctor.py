"""The command `tokenmill doctor`, which looks at the installation."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from tokenmill.flows.cli import environment
from tokenmill.flows.cli.options import AsJson, out
from tokenmill.pipeline.base.errors import TokenmillError

STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


def doctor(
    folder: Annotated[Path, Parameter(help="Where a corpus is to stand; its disk is looked at.")] = Path("corpora"),
    /,
    *,
    as_json: AsJson = False,
) -> None:
    """Check the installation: versions, disk, memory, kernels, sandbox, Prefect; and say what to do.

    Each line is `ok`, a `note` that does not stop a build, or `wrong`. The exit code is 1 if something is wrong. Nothing is
    changed, and no network is used.

    For example:

        tokenmill doctor

        tokenmill doctor /data/corpora --json | jq '.findings[] | select(.state != "ok")'
    """
    from tokenmill.flows.doctor import findings

    found = findings(folder, prefect_home=environment.prefect_home(), api_url=environment.prefect_server())
    wrong = [one for one in found if one.state == "wrong"]
    if as_json:
        out.out(json.dumps({"ok": not wrong, "findings": [dataclasses.asdict(one) for one in found]}))
    else:
        for one in found:
            out.print(Text.assemble((f"{one.state:<6}", STYLES[one.state]), (one.what, "bold"), f": {one.found}"))
            if one.advice:
                out.print(Text(f"      {one.advice}"))
    if wrong:
        raise TokenmillError(f"{len(wrong)} problem(s): {', '.join(one.what for one in wrong)}; what to do stands above")
