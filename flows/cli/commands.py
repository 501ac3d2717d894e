"""The table of commands: their names, where each is defined, and one line of help.

Purpose: `tokenmill --help` answers from this table without importing any command.
Guarantee: each summary means the same as the first line of the command's docstring. Cost: none.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandEntry:
    """One command: its name, `module:function` below `tokenmill.flows.cli`, and what it does."""

    name: str
    home: str
    summary: str


ABOUT = "Raw text in, pretraining corpora out: collect, filter, deduplicate, tokenize, pack, train."
COMMANDS: dict[str, tuple[CommandEntry, ...]] = {
    "Build": (
        CommandEntry("build", "build:build", "Build a corpus, or bring it up to date."),
        CommandEntry("config", "config:app", "Look up settings: print all of a preset or a TOML file, or explain one."),
        CommandEntry("serve", "schedule:serve", "Run builds on a schedule."),
        CommandEntry("deploy", "schedule:deploy", "Hand scheduled builds to a Prefect server that runs elsewhere."),
    ),
    "Look": (
        CommandEntry("status", "corpus:status", "Show how many documents each step of a corpus kept and dropped."),
        CommandEntry("report", "corpus:report", "Print the funnel of a corpus as Markdown, and the path of its HTML report."),
        CommandEntry("whatif", "corpus:whatif", "Show which documents other thresholds would keep, without a build."),
        CommandEntry("diff", "diff:diff", "Show two corpora side by side: settings, funnel, and documents that changed sides."),
        CommandEntry("near", "corpus:near", "Find the documents of a corpus that are similar to a text."),
        CommandEntry("trace", "tokens:trace", "Find the document behind a token, a sample or a step, and every verdict on it."),
        CommandEntry("audit", "tokens:audit", "Measure the tokens: rare tokens, repetition, and outlier shards."),
        CommandEntry("decontaminate", "decontaminate:decontaminate", "Look for evaluation items in a corpus or a token store."),
        CommandEntry("verify", "corpus:verify", "Check every published byte, and the evidence for removed duplicates."),
    ),
    "Change and hand on": (
        CommandEntry("forget", "tokens:forget", "Mask documents for every reader, and keep them out of later builds."),
        CommandEntry("compact", "tokens:compact", "Remove forgotten documents from the token files."),
        CommandEntry("export", "corpus:export", "Export the text or the tokens for other tools."),
    ),
    "Tokenizers and models": (
        CommandEntry("tokenizer", "tokenizer:app", "Train, use, evaluate and compare tokenizers."),
        CommandEntry("quality", "model:quality_app", "Train quality classifiers."),
        CommandEntry("extract", "extract:app", "Measure extractors of main text on pages, and train the one of tokenmill."),
        CommandEntry("plan", "planning:plan", "Plan a training: model, settings, memory and time for a budget."),
        CommandEntry("bench-train", "planning:bench_train", "Measure where the time of a training goes on this machine."),
        CommandEntry("train", "model:train", "Train the bundled GPT on the tokens of a corpus."),
        CommandEntry("sample", "speech:sample", "Generate text with the trained model."),
        CommandEntry("chat", "speech:chat", "Talk with the trained model."),
        CommandEntry("range-test", "model:range_test", "Try learning rates for a model and a corpus."),
        CommandEntry("ablate", "ablate:ablate", "Compare corpora or filter settings by the models that they make."),
        CommandEntry("evaluate", "model:evaluate", "Evaluate the trained model on tasks of lm-eval."),
        CommandEntry("import-model", "model:import_model", "Begin with a GPT-2 or a Llama of Hugging Face's transformers."),
        CommandEntry("export-model", "model:export_model", "Export the trained model for Hugging Face's transformers."),
    ),
    "Set up": (
        CommandEntry("doctor", "doctor:doctor", "Check the installation, and say what to do."),
        CommandEntry("completion", "completion:completion", "Print the completion script of a shell."),
    ),
}
"""Commands by heading. The help shows headings and commands in this order."""
MORE = "`tokenmill COMMAND --help` explains a command, with examples. `tokenmill --version` prints the version."
BESIDE = 45
"""From this width on, what a command does stands beside its name."""


def help_text() -> str:
    """The text that `tokenmill --help` prints, wrapped to the width of the terminal."""
    width = min(shutil.get_terminal_size().columns, 110)
    lines = [*textwrap.wrap("Usage: tokenmill COMMAND [ARGUMENTS]", width), "", *textwrap.wrap(ABOUT, width)]
    for heading, entries in COMMANDS.items():
        lines += ["", *textwrap.wrap(f"{heading}:", width)]
        for entry in entries:
            if width < BESIDE:
                lines += [
                    f"  {entry.name}",
                    *textwrap.wrap(entry.summary, width, initial_indent="    ", subsequent_indent="    "),
                ]
                continue
            lines += textwrap.wrap(entry.summary, width, initial_indent=f"  {entry.name:<14}", subsequent_indent=" " * 16)
    lines += ["", *textwrap.wrap(MORE, width, break_on_hyphens=False)]
    return "\n".join(lines)
