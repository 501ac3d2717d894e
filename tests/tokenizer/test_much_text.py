"""Memory of training: bounded by the distinct pre-tokens and the budget of a worker, not by the text.

`TOKENMILL_SOAK_GB=10 python -m pytest tests/tokenizer/test_much_text.py -m soak` trains on 10 GB; by default it is 0.5.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.texts import ROOT

GIGABYTES = float(os.environ.get("TOKENMILL_SOAK_GB", "0.5"))
BASE_BYTES = 1_100 << 20
"""Three processes with their libraries, and in two of them a shard and its table of counts."""
BYTES_PER_PRETOKEN = 300
"""Of 13 bytes. Its counts in one table; then its cells, places and pairs."""


def trained_on(gigabytes: float, folder: Path, *options: str) -> dict[str, float]:
    """What training took, in processes of its own."""
    command = ["-m", "tests.tokenizer.much_text", "--gigabytes", str(gigabytes), "--folder", str(folder), *options]
    found = json.loads(subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    assert found["text_bytes"] >= gigabytes * 1e9
    assert found["vocabulary"] == 32_768
    return dict(found)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_memory_for_many_pretokens(tmp_path: Path) -> None:
    found = trained_on(GIGABYTES, tmp_path)
    assert found["distinct_pretokens"] > GIGABYTES * 1e6
    assert found["proportional"] < BASE_BYTES + BYTES_PER_PRETOKEN * found["distinct_pretokens"]
    if GIGABYTES <= 10:
        assert found["proportional"] < 4 << 30


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_more_text_with_the_same_pretokens_takes_no_more(tmp_path: Path) -> None:
    once, again = (trained_on(gigabytes, tmp_path / str(gigabytes), "--new-words", "0") for gigabytes in (0.16, 0.64))
    assert once["distinct_pretokens"] == again["distinct_pretokens"]
    assert again["proportional"] < 1.1 * once["proportional"]
