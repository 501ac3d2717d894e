"""Promises hold under `python -O` too, which leaves every assert out."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.base.test_imports import MODULES

MISCOUNTED = """
from tokenmill.pipeline.base.errors import Miscounted
from tokenmill.pipeline.base.manifest import Counts

try:
    Counts(read=3, kept=1, dropped={"short": 1})
except Miscounted as error:
    print(error)
"""

TOO_FEW_ROWS = """
import sys
from pathlib import Path

import pyarrow as pa

from tokenmill.pipeline.base import manifest, schema, shards
from tokenmill.pipeline.base.errors import Misaligned
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.stages.step import StageStep, Work, perform


class Lossy:
    name, version, scoring, deciding = "lossy", 1, {}, {}
    scores = pa.schema([("row", pa.int64())])

    def prepare(self): ...

    def score(self, batch):
        return pa.RecordBatch.from_arrays([pa.array(range(batch.num_rows - LOST["scores"]))], schema=self.scores)

    def decide(self, scores):
        return pa.RecordBatch.from_arrays([schema.reasons([""] * (scores.num_rows - LOST["verdicts"]))], ["reason"])


root = Path(sys.argv[1])
ids = [schema.doc_id("a", str(row)) for row in range(3)]
columns = {"doc_id": ids, "source": ["a"] * 3, "url": [None] * 3, "text": ["text"] * 3, "metadata": ["{}"] * 3}
entry = shards.write(root, "documents/a/0.parquet", pa.table(columns).cast(schema.DOCUMENTS))
shard = manifest.Shard(name="a/0", files={"documents/a/0.parquet": entry}, counts=manifest.Counts(read=3, kept=3))
collected = manifest.Manifest(stage="collect", version=1, config={}, inputs={}, shards=(shard,))
for LOST in ({"scores": 1, "verdicts": 0}, {"scores": 0, "verdicts": 1}):
    try:
        perform(StageStep(Lossy()), Work(root=root, before=(collected,), executor=InProcess()), downstream=())
    except Misaligned as error:
        print(error)
"""


def without_asserts(script: str, *args: Path) -> list[str]:
    """What a script prints under `python -O`."""
    checked = 'assert False, "asserts are left out here"\n' + script
    done = subprocess.run([sys.executable, "-O", "-c", checked, *args], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_miscounted_shard_is_refused() -> None:
    (line,) = without_asserts(MISCOUNTED)
    assert "rows are not conserved" in line


def test_a_stage_that_gives_too_few_rows_is_refused(tmp_path: Path) -> None:
    assert without_asserts(TOO_FEW_ROWS, tmp_path) == [
        f"lossy a/0: {part} of 2 rows for 3 rows alive; the stage must give one for each" for part in ("scores", "verdicts")
    ]


def test_what_is_asserted_tells_a_type_and_no_more() -> None:
    wrong = []
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assert):
                said = ast.unparse(node.test)
                if not (said.endswith(" is not None") or said.startswith("isinstance(")):
                    wrong.append(f"{module}:{node.lineno}: {said}")
    assert not wrong, "\n".join(wrong)
