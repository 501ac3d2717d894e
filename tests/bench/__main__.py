"""`python -m tests.bench`: pins the process to one CPU before any library counts the CPUs, then runs the benches."""

from __future__ import annotations

import os

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

from tests.bench.run import main  # noqa: E402 -- thread pools take their size when they are imported

if __name__ == "__main__":
    main()
