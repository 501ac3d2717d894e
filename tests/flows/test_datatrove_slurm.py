"""Steps of ours as arrays of jobs on a real Slurm of one node, by datatrove's executor: the bytes of its local executor."""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

import tokenmill as tm
from tests.flows import slurm
from tokenmill.flows.datatrove import DedupFilter, DedupSignatures, DedupVerdicts, LanguageFilter, QualityFilter, TokenWriter

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(bool(slurm.missing()), reason=f"no Slurm can be started here: {slurm.missing()}"),
]
WORDS = "the of and to in that is was for it with as his on be at by had not are house river mountain people water"
TASKS = 3


@pytest.fixture
def config(monkeypatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    try:
        with slurm.cluster(folder) as found:
            monkeypatch.setenv("SLURM_CONF", str(found))
            yield found
    finally:
        shutil.rmtree(folder)


def texts() -> list[str]:
    draw = random.Random(5)
    found = [" ".join(draw.choices(WORDS.split(), k=120)) for _ in range(30)]
    return [*found, found[3], found[4] + " and more", "too short"]


def pipelines(inputs: Path, out: Path, tokenizer: Path) -> list[tuple[list[PipelineStep], int]]:
    """Each pipeline with its number of tasks; one begins when the one before it has ended."""

    def read() -> JsonlReader:
        return JsonlReader(str(inputs))

    last = [
        read(),
        DedupFilter(out / "work"),
        LanguageFilter("en"),
        QualityFilter(exclusion_writer=JsonlWriter(str(out / "dropped"), compression=None)),
        JsonlWriter(str(out / "kept"), compression=None),
        TokenWriter(str(out / "tokens"), tokenizer, seed=1),
    ]
    return [([read(), DedupSignatures(out / "work")], TASKS), ([DedupVerdicts(out / "work")], 1), (last, TASKS)]


def test_an_array_on_slurm_gives_the_bytes_of_the_local_executor(config, tmp_path):
    inputs, tokenizer = tmp_path / "in", tmp_path / "tokenizer.json"
    inputs.mkdir()
    for number in range(4):
        rows = [json.dumps({"text": text}) + "\n" for text in texts()[number::4]]
        (inputs / f"{number}.jsonl").write_text("".join(rows))
    tm.tokenizer.train(texts(), vocabulary=300, out=tokenizer)

    for number, (steps, tasks) in enumerate(pipelines(inputs, tmp_path / "local", tokenizer)):
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=str(tmp_path / f"local-logs-{number}")).run()

    before: SlurmPipelineExecutor | None = None
    for number, (steps, tasks) in enumerate(pipelines(inputs, tmp_path / "slurm", tokenizer)):
        before = SlurmPipelineExecutor(
            steps,
            tasks=tasks,
            time="00:10:00",
            partition="tests",
            mem_per_cpu_gb=1,
            env_command=f"export PATH={Path(sys.executable).parent}:$PATH",
            logging_dir=str(tmp_path / f"slurm-logs-{number}"),
            depends=before,
        )
    before.run()
    slurm.wait_for_jobs(config)

    logs = sorted(tmp_path.glob("slurm-logs-*"))
    ended = {log.name: len(list((log / "completions").glob("*"))) for log in logs}
    said = "\n".join(path.read_text() for log in logs for path in sorted((log / "slurm_logs").glob("*.out")))
    assert ended == {f"slurm-logs-{number}": tasks for number, tasks in enumerate((TASKS, 1, TASKS))}, said[-4_000:]
    names = [path.relative_to(tmp_path / "local") for path in sorted((tmp_path / "local").rglob("*")) if path.is_file()]
    results = [name for name in names if name.parts[0] in ("kept", "dropped", "tokens")]
    assert len(results) > 3 * TASKS
    for name in results:
        assert (tmp_path / "slurm" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
    verdicts = [name for name in names if name.parts[:3] == ("work", "dedup", "verdicts")]
    assert len(verdicts) == TASKS
    for name in (*verdicts, Path("work/dedup/manifest.json")):
        assert (tmp_path / "slurm" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
