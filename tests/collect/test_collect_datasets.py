"""Data sets: what a card names lies in its folder, nothing is asked of the network, and no file is left out of the hash."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.collect import card

SECRET = "the words of a file that is not in the data set"


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and what it was asked."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            body = json.dumps({"text": SECRET}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()
        thread.join()


def with_pictures(texts: list[str], places: list[str]) -> pa.Table:
    """A table that asks the library to open a file, or to fetch it, for each row."""
    features = {"text": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([("text", pa.string()), ("image", image)], said)
    return pa.table({"text": texts, "image": [{"path": place} for place in places]}, schema=schema)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.jsonl").write_text(json.dumps({"text": SECRET}))
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    for name in ("data/a.jsonl", "data/b.jsonl", "data/held.jsonl"):
        (folder / name).write_text(json.dumps({"text": name}) + "\n")
    return folder


def stating(folder: Path, configs: str) -> None:
    (folder / "README.md").write_text(f"---\nlicense: mit\nconfigs:\n{configs}\n---\n# A data set\n")


def of(folder: Path, **settings: object) -> dict[str, object]:
    return {"sources": ({"kind": "dataset", "name": "set", "path": str(folder), **settings},)}


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


OUTSIDE = (
    "{outside}/secret.jsonl",
    "../secret.jsonl",
    "data/../../secret.jsonl",
    "../*.jsonl",
    "**/../../secret.jsonl",
    "file://{outside}/secret.jsonl",
    "http://{server}/a.jsonl",
    "HTTP://{server}/a.jsonl",
    "https://user:word@{server}/a.jsonl",
    "http:/{server}/a.jsonl",
    "hf://datasets/x/y/a.jsonl",
    "zip://a.jsonl::http://{server}/a.zip",
    "simplecache::http://{server}/a.jsonl",
    "s3://bucket/a.jsonl",
)
FORMS = (
    "- config_name: default\n  data_files: {!r}",
    "- config_name: default\n  data_files: [data/a.jsonl, {!r}]",
    "- config_name: default\n  data_files:\n  - split: train\n    path: {!r}",
    "- config_name: default\n  data_files:\n  - split: train\n    path: [data/a.jsonl, {!r}]",
    "- config_name: other\n  data_files: {!r}\n- config_name: default\n  data_files: data/*.jsonl",
)


@pytest.mark.parametrize(
    ("pattern", "form"), [(pattern, FORMS[0]) for pattern in OUTSIDE] + [(OUTSIDE[6], form) for form in FORMS[1:]]
)
def test_a_card_names_nothing_outside_its_folder(folder, asked, collect, pattern, form):
    server, requests = asked
    stating(folder, form.format(pattern.format(outside=folder.parent, server=server)))
    with pytest.raises(InputError, match="names an address as data|outside its folder") as caught:
        collect(**of(folder))
    assert "word" not in str(caught.value)
    assert requests == []
    assert SECRET.encode() not in bytes_below(folder.parent / "corpus")


@pytest.mark.parametrize("place", ["..", "{outside}", "http://{server}", "data/../.."])
def test_the_folder_of_a_configuration_is_inside(folder, asked, collect, place):
    server, requests = asked
    stating(folder, f"- config_name: default\n  data_dir: {place.format(outside=folder.parent, server=server)}")
    with pytest.raises(InputError, match="names an address as data|outside its folder"):
        collect(**of(folder))
    assert requests == []


def test_data_that_give_addresses_of_pictures_fetch_none(folder, asked, collect):
    server, requests = asked
    table = with_pictures(["words", "more"], [f"http://{server}/a.png", str(folder.parent / "secret.jsonl")])
    (folder / "data/more").mkdir()
    pq.write_table(table, folder / "data/more/a.parquet")
    stating(folder, "- config_name: default\n  data_files: data/more/*")
    assert collect(**of(folder)).texts() == ["words", "more"]
    assert requests == []


def test_links_out_of_a_data_set_are_left_out(folder, collect):
    (folder / "data/c.jsonl").symlink_to(folder.parent / "secret.jsonl")
    done = collect(**of(folder))
    assert sorted(done.texts()) == ["data/a.jsonl", "data/b.jsonl", "data/held.jsonl"]
    assert done.done.manifest.facts["left_out"] == {"link_outside": 1}
    assert SECRET in collect(**of(folder, follow_links=True), out="other").texts()


def test_a_data_set_of_links_says_how_to_follow_them(folder, collect):
    (folder.parent / "links").mkdir()
    (folder.parent / "links/a.jsonl").symlink_to(folder / "data/a.jsonl")
    with pytest.raises(InputError, match="holds no file; 1 links to files outside .*follow_links"):
        collect(**of(folder.parent / "links"))
    assert collect(**of(folder.parent / "links", follow_links=True)).texts() == ["data/a.jsonl"]


def test_a_card_that_is_a_link_is_not_read(folder, collect):
    stating(folder.parent, "- config_name: default\n  data_files: data/a.jsonl")
    (folder / "README.md").symlink_to(folder.parent / "README.md")
    assert len(collect(**of(folder)).texts()) == 3


def test_a_card_chooses_files_by_split_and_configuration(folder, collect):
    stating(
        folder,
        "- config_name: small\n  data_files:\n  - {split: train, path: data/a.jsonl}\n"
        "  - {split: held, path: ./data/h*.jsonl}\n- config_name: whole\n  default: true\n  data_files: '**/*.jsonl'",
    )
    assert collect(**of(folder), out="1").texts() == ["data/a.jsonl", "data/b.jsonl", "data/held.jsonl"]
    small = collect(**of(folder, config_name="small"), out="2")
    assert small.texts() == ["data/a.jsonl"]
    assert small.done.manifest.facts["left_out"] == {"not_chosen": 3}
    assert collect(**of(folder, config_name="small", split="held"), out="3").texts() == ["data/held.jsonl"]
    for settings, message in (({"config_name": "none"}, "it has 'small', 'whole'"), ({"split": "test"}, "it has 'train'")):
        with pytest.raises(ConfigError, match=message):
            collect(**of(folder, **settings), out="4")


BOMB = "".join(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise("abcdefghijklm"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\nconfigs: [\n---\n", "not YAML"),
        ("---\nconfigs: !!python/object/apply:os.system ['touch ran']\n---\n", "not a list"),
        ("---\nconfigs: " + "[" * 1_000 + "\n---\n", "not YAML"),
        ("---\na: &a [x, x]\n" + BOMB + "configs:\n- data_files:\n  - {split: *m, path: x}\n---\n", "are not names"),
        ('---\na: "\\UFFFFFFFF"\n---\n', "not YAML"),
        ("---\nconfigs: 3\n---\n", "not a list"),
        ("---\nconfigs:\n- data_files: [[1]]\n---\n", "are not names"),
        ("---\nconfigs:\n- data_files: a.csv\n  sep: ;\n---\n", "sets 'sep'"),
        ("---\nx: " + "y" * card.MOST_HEADER_BYTES + "\n---\n", "at most"),
    ],
)
def test_a_card_that_cannot_be_followed_is_refused(folder, collect, monkeypatch, text, message):
    monkeypatch.chdir(folder)
    (folder / "README.md").write_text(text)
    with pytest.raises(InputError, match=message):
        collect(**of(folder))
    assert not (folder / "ran").exists()


def test_a_json_array_is_refused_by_name(folder, collect):
    (folder / "data/a.json").write_text('\ufeff [{"text": "a"}]')
    with pytest.raises(InputError, match=r"data/a\.json is one JSON array"):
        collect(**of(folder))
    (folder / "data/a.json").write_text('{"text": "a"}\n')
    assert "a" in collect(**of(folder)).texts()


def test_scripts_in_a_data_set_do_not_run(folder, collect):
    (folder / "set.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nraise SystemExit(1)")
    done = collect(**of(folder))
    assert len(done.texts()) == 3
    assert not (folder / "ran").exists()
    assert done.done.manifest.facts["left_out"] == {"not_chosen": 1}


def test_every_file_that_is_read_is_in_the_hash(folder, collect):
    before = collect(**of(folder)).done.manifest.inputs
    (folder / "data/b.jsonl").write_text(json.dumps({"text": "edited"}))
    after = collect(**of(folder))
    assert after.done.manifest.inputs != before
    assert "edited" in after.texts()
    (folder / "NOTES.md").write_text("not data")
    assert collect(**of(folder)).done.recomputed_shards == 0


def test_a_file_with_one_more_column_costs_no_row(tmp_path, collect):
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(8):
        more = {"more": [1] * 30} if number > 1 else {}
        pq.write_table(pa.table({"text": [f"{number} {row}" for row in range(30)], **more}), folder / f"{number}.parquet")
    done = collect(**of(folder))
    assert (done.counts.kept, done.counts.quarantined) == (240, 0)


@pytest.mark.parametrize("name", ["http://127.0.0.1:1/x", "hf://datasets/a/b", "../b", "/nowhere", "a/b/c", "a\nb/c"])
def test_a_name_on_a_hub_is_no_address(collect, name):
    with pytest.raises(ConfigError, match="neither a folder nor a name on a hub"):
        collect(sources=({"kind": "dataset", "name": "set", "path": name, "revision": "main"},))


NAMES = (
    ("a.csv", "b.csv"),
    ("train.csv", "test.csv", "validation.csv"),
    ("my_train_file.csv", "my-test-file-2.csv", "dev.csv", "other.csv"),
    ("train/a.csv", "train/b.csv", "test/a.csv", "loose.csv"),
    ("data/train/a.csv", "data/validation/x.csv"),
    ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/odd-00000-of-00001.parquet", "x.csv"),
    ("training.txt", "evaluation.txt", "retraining.txt"),
    ("train1.csv", "train2.csv", "test1.csv"),
)


@pytest.mark.parametrize("names", NAMES)
def test_names_say_the_split_as_the_library_reads_them(tmp_path, names):
    from datasets.data_files import DataFilesDict, get_data_patterns

    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = DataFilesDict.from_patterns(get_data_patterns(str(tmp_path)), base_path=str(tmp_path))
    wanted = {split: sorted({str(Path(path).relative_to(tmp_path)) for path in paths}) for split, paths in found.items()}
    assert {split: sorted(paths) for split, paths in card.by_name(names).items()} == wanted


PATTERNS = (
    "*.csv",
    "**",
    "**/*.csv",
    "a/*",
    "a/**",
    "**/b/*.csv",
    "a/b/c.csv",
    "[ab]/*.csv",
    "?/*.csv",
    "*/b/**",
    "**/c*",
    "__x/*",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_name_files_as_the_library_reads_them(tmp_path, pattern):
    from datasets.data_files import resolve_pattern

    names = ["a.csv", "a/x.csv", "a/b/c.csv", "b/y.csv", "__x/z.csv", "README.md", "a/b/b/d.csv"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    wanted = sorted(str(Path(path).relative_to(tmp_path)) for path in resolve_pattern(pattern, str(tmp_path)))
    stated = card.configurations(f"---\nconfigs:\n- data_files: {pattern!r}\n---\n", "here")
    assert sorted(card.files_of(names, stated[0], "train", "here")) == wanted


@dataclass
class Hub:
    """Stands in for a hub: its cards are files of a folder, its data a table."""

    folder: Path
    files: list[str] = field(default_factory=lambda: ["hf://datasets/a/b@main/a.parquet"])
    table: pa.Table | None = None

    def download(self, _: str, name: str, **__: object) -> str:
        from huggingface_hub.errors import EntryNotFoundError

        if not (self.folder / name).exists():
            raise EntryNotFoundError(name)
        return str(self.folder / name)

    def load(self, *_: object, **__: object) -> Hub:
        return self

    @property
    def config(self) -> SimpleNamespace:
        return SimpleNamespace(data_files={"train": self.files})

    def as_streaming_dataset(self, split: str) -> object:
        import datasets

        assert self.table is not None, "the library opens data that it should not"
        return datasets.Dataset(self.table).to_iterable_dataset(num_shards=2)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    import datasets
    import huggingface_hub

    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.download)
    monkeypatch.setattr(datasets, "load_dataset_builder", hub.load)
    return hub


ON_A_HUB = {"sources": ({"kind": "dataset", "name": "set", "path": "a/b", "revision": "main"},)}


@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
def test_the_card_of_a_hub_is_checked_before_the_library_reads_it(hub, asked, collect, name):
    server, requests = asked
    configs = f"configs:\n- data_files: http://{server}/a.jsonl\n"
    (hub.folder / name).write_text(f"---\n{configs}---\n" if name == "README.md" else configs)
    with pytest.raises(InputError, match="names an address as data"):
        collect(**ON_A_HUB)
    assert requests == []


@pytest.mark.parametrize("file", ["http://a.org/a.csv", "/etc/passwd", "hf://datasets/a/b@main/a.ZIP", "hf://a::hf://b"])
def test_archives_and_files_elsewhere_are_not_read_from_a_hub(hub, collect, file):
    hub.files = [file]
    with pytest.raises(InputError, match="archives and files elsewhere are not read"):
        collect(**ON_A_HUB)


def test_a_data_set_on_a_hub_is_streamed_and_fetches_no_picture(hub, asked, collect):
    server, requests = asked
    texts = [f"row {number}" for number in range(6)]
    hub.table = with_pictures(texts, [f"http://{server}/{number}.png" for number in range(6)])
    assert collect(**ON_A_HUB).texts() == texts
    assert requests == []
