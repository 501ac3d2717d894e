"""The fuzzer as a command: `python -m tests.fuzz --inputs 20000`, or `--seconds 3600`; `--only parquet warc` for a few formats.

Ends with status 1 if a mutant failed. Mutants that failed are saved in `build/fuzz`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.formats import campaigns


def main() -> int:
    """Run the campaigns of all formats and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="FORMAT", help="only these formats")
    parser.add_argument("--inputs", type=int, help="mutants, divided among the formats by their weight")
    parser.add_argument("--seconds", type=float, help="wall time, divided likewise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--saved", type=Path, default=Path("build/fuzz"), help="where mutants that failed are saved")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenmill-fuzz-") as folder:
        chosen = campaigns(Path(folder), asked.saved, asked.only)
        weight = sum(part for part, _ in chosen)
        figures = []
        for part, one in chosen:
            inputs = None if asked.inputs is None else max(1, round(asked.inputs * part / weight))
            seconds = None if asked.seconds is None else asked.seconds * part / weight
            made = one().run(seed=asked.seed, inputs=inputs, seconds=seconds)
            figures.append(made)
            for problem, failures in campaign.kinds_of(made).items():
                print(f"{made.format}: {len(failures)} x {problem}\n    {failures[0].how}: {failures[0].saved}", flush=True)
    print(campaign.table(figures))
    return int(any(one.failures for one in figures))


if __name__ == "__main__":
    sys.exit(main())
