"""What stands on a terminal: readable at any width, without control characters; errors name the file and the remedy."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.command import tokenmill
from tokenmill.flows.cli.application import app
from tokenmill.flows.cli.commands import COMMANDS, help_text
from tokenmill.flows.cli.draw.tables import fitted, visible
from tokenmill.flows.cli.draw.terminal import _columns, funnel
from tokenmill.flows.cli.messages import message
from tokenmill.flows.cli.options import Output
from tokenmill.pipeline.ask.status import FunnelRow, Status
from tokenmill.pipeline.base import files

WIDTHS = (1, 20, 40, 50, 80, 110, 200)
NAMES = [entry.name for entries in COMMANDS.values() for entry in entries]


def drawn(table: Table, width: int | None) -> str:
    """A table as it is printed at this width."""
    stream = io.StringIO()
    console = Console(file=stream, width=width or 80)
    console.print(fitted(table, console, width), crop=False)
    return stream.getvalue()


@pytest.fixture
def table() -> Table:
    made = Table(box=None, pad_edge=False)
    for heading in ("stage", "read", "dropped"):
        made.add_column(heading, justify="right" if heading == "read" else "left", no_wrap=heading == "read")
    made.add_row("language", "1,234,567", "language_score 1,234, language 99")
    made.add_row("dedup", "7", "-")
    return made


@pytest.mark.parametrize("width", [*WIDTHS, None])
def test_no_column_is_lost_at_any_width(table: Table, width: int | None) -> None:
    text = drawn(table, width)
    for word in ("read", "dropped", "language", "1,234,567", "language_score", "99", "dedup"):
        assert word in "".join(text.split()) if width == 1 else word in text, text
    if width is not None and width >= 40:
        assert max(map(len, text.splitlines())) <= width


def test_a_wide_table_is_a_table_and_a_narrow_one_is_blocks(table: Table) -> None:
    assert len(drawn(table, 80).splitlines()) == 3
    assert drawn(table, 24).splitlines()[:2] == ["language", "  read: 1,234,567,"]


@pytest.mark.parametrize("width", [20, 50, 200])
def test_the_funnel_has_all_its_numbers(width: int) -> None:
    row = FunnelRow(
        stage="quality",
        read=10_000_000,
        kept=123_456,
        dropped={"too_few_words": 9_876_544},
        quarantined=0,
        bytes_in=0,
        bytes_kept=10**9,
        seconds=1.5,
        recomputed_shards=1,
    )
    text = drawn(funnel(cast(Status, SimpleNamespace(stages=(row,)))), width)
    for number in ("10,000,000", "123,456", "9,876,544", "1.0 GB", "1.5"):
        assert number in text


@pytest.mark.parametrize("width", [20, 45, 46, 50, 83, 84, 200])
def test_progress_is_one_line_at_any_width(width: int) -> None:
    stream = io.StringIO()
    progress = Progress(*_columns(width), console=Console(file=stream, width=width))
    progress.add_task("tokenizer", total=123_400_000_000, completed=99_900_000_000, unit="bytes")
    Console(file=stream, width=width).print(progress.get_renderable())
    (line,) = stream.getvalue().rstrip("\n").split("\n")
    assert "tokenizer" in line
    assert "81%" in line or "99.9 GB of 123.4 GB" in line


@pytest.mark.parametrize("columns", ["20", "50", "200"])
def test_help_fits_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = help_text().splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert all(any(line.strip().split(" ")[0] == name for line in lines) for name in NAMES)


def test_nothing_printed_controls_the_terminal() -> None:
    stream = io.StringIO()
    console = Output(file=stream, force_terminal=False, width=80)
    console.print("a\x1b[31mb\u202ec\u0000 é 中\u3000 d", markup=False)
    assert stream.getvalue() == "a\\x1b[31mb\\u202ec\\x00 é 中\u3000 d\n"
    assert visible("plain é") == "plain é"


def test_a_name_with_control_characters_is_shown_as_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a\x1b[2Jb").mkdir()
    done = tokenmill("build", "a\x1b[2Jb")
    assert (done.returncode, "\x1b" in done.stderr) == (1, False)
    assert "a\\x1b[2Jb is neither a preset" in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "tokenmill build: no space left on device; make room"),
        (OSError(errno.EIO, "Input/output error"), "tokenmill build: input/output error; the disk or the network drive failed"),
        (OSError(), "tokenmill build: oSError; `tokenmill doctor`"),
        (OSError("odd"), "tokenmill build: odd; `tokenmill doctor` shows"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "/x/y: Permission denied; choose another folder"),
        (OSError(errno.EMFILE, "Too many open files", b"/x"), "/x: Too many open files; raise the limit"),
        (FileExistsError(errno.EEXIST, "File exists", "/a", None, "/b"), "/a -> /b: File exists; something of that name"),
    ],
)
def test_an_error_of_the_system_names_a_place_and_a_remedy(error: OSError, said: str) -> None:
    found = message(error, "tokenmill build")
    assert found is not None
    assert found.startswith(said)


def test_an_error_of_writing_names_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "name")

    def broken(*_: object, **__: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    for replace in (full, broken):
        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(OSError, match=str(tmp_path / "made.json")):
            files.write_bytes(tmp_path / "made.json", b"x")


def test_output_that_cannot_be_written_is_said() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Exception, match="the output cannot be written: No space left on device"):
        Output(file=Full()).print("x")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command(shell: str, tmp_path: Path) -> None:
    done = tokenmill("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in (*NAMES, "--text-field", "explain"))
    assert "\x1b" not in done.stdout
    if (program := shutil.which(shell)) is not None:
        (tmp_path / "script").write_text(done.stdout)
        checked = subprocess.run([program, "-n", tmp_path / "script"], capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["bu"], "build"), (["build", "--te"], "--text-field"), (["config", "ex"], "explain"), (["completion", "z"], "zsh")],
)
def test_bash_completes(words: list[str], expected: str) -> None:
    line = " ".join(["tokenmill", *words])
    program = f'COMP_WORDS=({line}); COMP_CWORD={len(words)}; _tokenmill; echo "${{COMPREPLY[@]}}"'
    script = app.generate_completion(shell="bash") + program
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]
