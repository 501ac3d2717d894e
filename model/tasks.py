"""A trained model on the tasks of lm-eval (Gao et al. 2021, "A framework for few-shot language model evaluation").

Purpose: exports the last checkpoint (`tokenmill.model.export`) and lets lm-eval's own model of transformers answer the tasks.
Guarantee: no code of a hub is run (`trust_remote_code` is off). Data of a task are fetched by lm-eval; a task file of the
user's may name files of his. What a task file calls with `!function` is a program of its author, and runs.
Cost: that of the tasks; lm-eval looks through the 10,000 tasks that it knows, which takes seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from yaml import YAMLError  # type: ignore[import-untyped]

from tokenmill.model.export import export_model
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.spelling import hint

Results = Mapping[str, Mapping[str, float]]
"""By task, and by the name of the metric with its filter: `{"arc_easy": {"acc,none": 0.31, "acc_stderr,none": 0.01}}`."""


def evaluate_tasks(
    root: Path, tasks: Sequence[str], progress: Progress, *, limit: int | None = None, batch: int = 8
) -> Results:
    """Evaluate the model of the corpus in `root` on `tasks`: names that lm-eval knows, or paths of its task files.

    `limit`: questions of each task; None for all. `batch`: questions that the model answers at once.

    Raises
    ------
    ConfigError
        lm-eval is not installed, or a task is unknown; or no architecture of transformers can hold the model.
    InputError
        A task file, or the data of a task, cannot be read.
    NotBuilt, CorruptFile, StaleInput
        As `export_model` does.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ConfigError(
            f"evaluate: lm-eval cannot be imported ({error}); install it with `pip install 'tokenmill[eval]'`"
        ) from error

    class TextModel(HFLM):  # type: ignore[misc]
        add_bos_token: bool | None

        def loglikelihood_rolling(self, *requests: Any, **how: Any) -> list[float]:
            """As in `HFLM`, which puts the beginning in front itself: a second one, from the tokenizer, would be a target."""
            before = self.add_bos_token
            self.add_bos_token = False
            try:
                found: list[float] = super().loglikelihood_rolling(*requests, **how)
            finally:
                self.add_bos_token = before
            return found

    known = TaskManager()
    if not tasks:
        raise ConfigError("--tasks: names no task; name at least one, for example arc_easy")
    for name in tasks:
        if name not in known.all_tasks and not Path(name).is_file():
            raise ConfigError(
                f"--tasks {name}: lm-eval has no such task, and there is no such file; {hint(name, known.all_tasks)}"
            )
    with tempfile.TemporaryDirectory(prefix="tokenmill-") as folder:
        export_model(root, Path(folder), progress)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = TextModel(pretrained=folder, device=device, batch_size=batch, trust_remote_code=False)
        try:
            found = simple_evaluate(model=model, tasks=list(tasks), limit=limit, task_manager=known, log_samples=False)
        except (OSError, ValueError, KeyError, YAMLError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"--tasks {','.join(tasks)}: a task, or its data, cannot be read ({reason})") from error
    return {
        task: {name: float(value) for name, value in metrics.items() if isinstance(value, float | int) and "," in name}
        for task, metrics in found["results"].items()
    }
