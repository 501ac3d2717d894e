"""Records that kill their parser: they are named, and their neighbours stay. Parsers that are killed leave no trace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.folders import described
from tokenmill.pipeline.base.errors import StaleInput
from tokenmill.pipeline.base.executor import local
from tokenmill.pipeline.collect.parser import attempts, frames, host
from tokenmill.pipeline.collect.parser.frames import BadFrame
from tokenmill.pipeline.collect.records import Document, Limits, Place, dropped

SOURCE = {"text_field": "text", "id_field": "id", "url_field": "url"}
ROOT = Path(__file__).parents[3]


@pytest.fixture
def poisoned(monkeypatch):
    monkeypatch.setattr(host, "ENTRY", "tests.collect.parser.stubs:poisoned")
    monkeypatch.setattr(host, "RECORD_SECONDS", 0.2)
    monkeypatch.setattr(host, "WATCH_SECONDS", 0.05)
    yield
    host.release()


def lines(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return described(path, "jsonl")


@contextlib.contextmanager
def asked():
    """The process ids of the parsers that are asked meanwhile, in their order."""
    pids = []
    parser = host.parser

    def noted(*given, **how):
        held = parser(*given, **how)
        pids.append(held.pid)
        return held

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "parser", noted)
        yield pids


def read(file):
    rows = attempts.records(file, (0, file.size_bytes, 0), SOURCE, Limits(document_bytes=1_000_000))
    return [row.text.decode() if isinstance(row, Document) else (row.position, row.reason) for row in rows]


def test_a_record_that_kills_its_parser_is_named_and_its_neighbours_stay(tmp_path, poisoned):
    texts = [f"text {number}" for number in range(60)]
    texts[20], texts[21], texts[50] = "POISON", "SPIN", "POISON"
    expected = list(texts)
    for number, reason in ((20, "parser_died"), (21, "deadline"), (50, "parser_died")):
        expected[number] = (f"in.jsonl#{number}", reason)
    assert read(lines(tmp_path / "in.jsonl", texts)) == expected


def test_a_death_that_does_not_happen_again_leaves_no_trace(tmp_path, poisoned):
    texts = [f"text {number}" for number in range(5_000)]
    texts[4_000] = "ONCE"
    assert read(lines(tmp_path / "in.jsonl", texts)) == texts


def test_a_file_of_killers_is_given_up(tmp_path, poisoned):
    found = read(lines(tmp_path / "in.jsonl", ["first", *["POISON"] * 40]))
    named = [(f"in.jsonl#{number}", "parser_died") for number in range(1, 1 + attempts.MOST_CONDEMNED)]
    assert found == ["first", *named, ("in.jsonl#rest", "parser_died")]


def test_a_parser_killed_from_outside_is_replaced(tmp_path):
    texts = [f"text {number} " * 100 for number in range(8_000)]
    file = lines(tmp_path / "in.jsonl", texts)
    found = []
    with asked() as pids:
        for row in attempts.records(file, (0, file.size_bytes, 0), SOURCE, Limits(document_bytes=1_000_000)):
            if len(found) in (100, 4_000):
                os.kill(pids[-1], signal.SIGKILL)
            found.append(row.text.decode())
    assert found == texts
    assert len(set(pids)) >= 3


def test_a_caller_that_stops_early_leaves_a_parser_that_works(tmp_path):
    file = lines(tmp_path / "in.jsonl", ["x" * 1_000] * 5_000)
    rows = attempts.records(file, (0, file.size_bytes, 0), SOURCE, Limits(document_bytes=1_000_000))
    assert isinstance(next(rows), Document)
    rows.close()
    assert len(read(file)) == 5_000


def test_a_file_in_the_place_of_another_is_not_read(tmp_path):
    file = lines(tmp_path / "in.jsonl", ["a"])
    (tmp_path / "in.jsonl").unlink()
    os.mkfifo(tmp_path / "in.jsonl")
    with pytest.raises(StaleInput, match="changed"):
        read(file)


def test_a_footer_is_read_by_a_parser(tmp_path, monkeypatch):
    pq.write_table(pa.table({"text": ["a", "b", "c"]}), tmp_path / "in.parquet", row_group_size=2)
    file = described(tmp_path / "in.parquet", "parquet")
    assert [rows for rows, _ in attempts.row_groups(file, "text")] == [2, 1]
    monkeypatch.setattr(host, "ENTRY", "tests.collect.parser.stubs:aborts")
    assert attempts.row_groups(file, "text") is None
    host.release()


def forked(file):
    """In a worker: the number of records, and the parser that read them."""
    with asked() as pids:
        return len(read(file)), pids[-1]


def test_workers_and_forks_have_parsers_of_their_own(tmp_path):
    file = lines(tmp_path / "in.jsonl", ["a", "b"])
    here = forked(file)
    child = os.fork()
    if not child:
        found = forked(file)
        os._exit(0 if found[0] == 2 and found[1] != here[1] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert forked(file) == here
    with local(2) as executor:
        answers = executor.map(forked, [file] * 4)
    assert {count for count, _ in answers} == {2}
    assert here[1] not in {pid for _, pid in answers}


WAITING = """
import sys
from tests.collect.parser.test_attempts import lines, read
from pathlib import Path
from tokenmill.pipeline.collect.parser import host
host.ENTRY = "tests.collect.parser.stubs:" + sys.argv[2]
host.SILENT_SECONDS = host.RECORD_SECONDS = 1e6
read(lines(Path(sys.argv[1]), ["a"]))
"""


@pytest.mark.parametrize(("stub", "how"), [("sleeps", signal.SIGKILL), ("spins", signal.SIGKILL), ("spins", signal.SIGTERM)])
def test_nothing_stays_of_a_worker_that_is_killed(tmp_path, stub, how):
    worker = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path / "in.jsonl"), stub], cwd=ROOT, process_group=0, stderr=subprocess.DEVNULL
    )
    found = waited_for(lambda: len(below(worker.pid)) == 2 and below(worker.pid))
    (os.killpg if how == signal.SIGTERM else os.kill)(worker.pid, how)
    worker.wait(30)
    assert waited_for(lambda: not any(map(alive, found)))


def waited_for(holds):
    until = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def below(pid):
    """The processes that a process has started, and those that they have started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [below for child in map(int, children) for below in (child, *globals()["below"](child))]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_batches_are_decoded_as_they_were_encoded():
    records = [
        Document(identity="a", url=None, text="héllo\n".encode(), metadata='{"path":"f","record":1}'),
        dropped(Place(path="f", record="2"), "empty", "nothing", b"\xff\x00"),
        Document(identity="\u2028", url="u", text=b"x", metadata='{"path":"f"}'),
    ]
    head, blob = split(frames.encode(records))
    assert frames.decode(head, blob, path="f", most_text_bytes=100) == records


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[1].pop(),
        lambda value: value[1][0].append("more"),
        lambda value: value[1].__setitem__(0, [1]),
        lambda value: value[1].__setitem__(2, [-1]),
        lambda value: value[1].__setitem__(2, [10**12]),
        lambda value: value[1].__setitem__(2, [True]),
        lambda value: value[1].__setitem__(3, ["{}"]),
        lambda value: value[1].__setitem__(3, ["[" * 100_000]),
        lambda value: value[1].__setitem__(3, ['{"path":"f"},{"path":"f"}']),
        lambda value: value.__setitem__(0, "9"),
        lambda value: value.clear(),
    ],
)
def test_a_batch_with_anything_else_is_refused(spoil):
    document = Document(identity="a", url=None, text=b"text", metadata='{"path":"f"}')
    head, blob = split(frames.encode([document]))
    value = json.loads(head)
    spoil(value)
    with pytest.raises(BadFrame):
        frames.decode(json.dumps(value).encode(), blob, path="f", most_text_bytes=100)
    for text, scores in ((b"\xff", b""), (b"", b""), (b"x" * 101, b""), (b"x", b"cut"), (b"x", bytes(4 * 13))):
        spoiled = Document(identity="a", url=None, text=text, metadata='{"path":"f"}', scores=scores)
        with pytest.raises(BadFrame):
            frames.decode(*split(frames.encode([spoiled])), path="f", most_text_bytes=100)


def split(data):
    _, head_bytes, _ = frames.HEADER.unpack(data[: frames.HEADER.size])
    rest = memoryview(data)[frames.HEADER.size :]
    return bytes(rest[:head_bytes]), rest[head_bytes:]


def test_a_module_is_parsed_as_it_is_outside_of_a_parser(tmp_path):
    """Python's parser imports what it needs for names of characters and for identifiers, and a parser can import nothing."""
    (tmp_path / "in.py").write_text('"""It costs 5 \\N{EURO SIGN} a day, and that is all there is to say."""\n\u00b5 = 1\n')
    assert read(described(tmp_path / "in.py", "python")) == ["It costs 5 \u20ac a day, and that is all there is to say."]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp037", "euc_jis_2004", "koi8_t", "mac_greek"])
def test_a_page_may_be_in_any_encoding(tmp_path, encoding):
    page = f'<html><meta charset="{encoding}"><body><p>A page with enough words to be the main text of it.</p></body></html>'
    (tmp_path / "in.html").write_bytes(page.encode() if encoding == "cp037" else page.encode(encoding))
    assert read(described(tmp_path / "in.html", "html")) == ["A page with enough words to be the main text of it."]
