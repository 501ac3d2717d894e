"""One process of several that train: `python -m torch.distributed.run ... -m tests.model.parallel.worker JOBS`.

JOBS is a JSON file with a list of jobs: `root`, `config`, and perhaps `stop`: a rank, a number of updates, and the signal that
this rank sends to itself then. Each rank says with which signal it ended, and notes the samples that it reads in
`root/reads-RANK.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import distributed as dist

from tests.model.runs import SignalAt
from tokenmill.model.parallel.layout import joined
from tokenmill.model.train import train
from tokenmill.pipeline.base.errors import Interrupted
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens.samples import Batch, Samples

READ = Samples.read


def main(jobs: Path) -> None:
    """Train each job, one after the other."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for job in json.loads(jobs.read_text()):
        reads: list[tuple[int, int]] = []

        def noting(samples: Samples, first: int, count: int, reads: list[tuple[int, int]] = reads) -> Batch:
            reads.append((first, count))
            return READ(samples, first, count)

        Samples.read = noting  # type: ignore[method-assign]
        config = TrainConfig.model_validate(job["config"])
        rank, steps, number = job.get("stop") or (-1, 0, 0)
        with joined(config) as layout:
            progress = SignalAt(steps, number) if layout.rank == rank else Silent()
            try:
                train(Path(job["root"]), config, progress, layout=layout)
            except Interrupted as error:
                print(f"rank {layout.rank}, signal {error.number}: {error}", file=sys.stderr)
            (Path(job["root"]) / f"reads-{layout.rank}.json").write_text(json.dumps(reads))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
