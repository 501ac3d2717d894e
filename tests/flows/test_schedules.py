"""What a SCHEDULES.toml may say, and the one line for each fault. No server starts here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tokenmill.flows import deployments
from tokenmill.flows.schedules import read
from tokenmill.flows.server import scheduler
from tokenmill.pipeline.base.errors import ConfigError

GOOD = '[[build]]\nname = "nightly"\nconfig = "docs"\nout = "out"\ncron = "0 3 * * *"\n'


def faults(folder: Path, text: str) -> list[str]:
    """The lines of the error, each without the path of the file."""
    path = folder / "schedules.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines), lines
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_a_file_is_read_with_paths_that_start_at_its_folder(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.toml").write_text('collect.paths = ["texts", "/elsewhere"]\n')
    path = tmp_path / "conf" / "schedules.toml"
    path.write_text(
        '[[build]]\nname = "a"\nconfig = "mine.toml"\nout = "../out"\ncron = ["0 3 * * *", "@weekly"]\nretries = 2\n'
        '[[build]]\nname = "b"\nconfig = "text"\nout = "b"\non_overlap = "skip"\nsettings = { "collect.paths" = "more" }\n'
    )
    first, second = read(path)
    assert (first.config, first.out) == (str(tmp_path / "conf" / "mine.toml"), str(tmp_path / "out"))
    assert (first.cron, first.retries, first.on_overlap) == (("0 3 * * *", "@weekly"), 2, "wait")
    assert (second.config, second.cron, second.on_overlap) == ("text", (), "skip")
    assert second.overrides() == {"collect.paths": str(tmp_path / "conf" / "more")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["names no build; add one"]),
        ("build = []", ["names no build; add one"]),
        ("[build]\nname = 'a'", ["a build begins with [[build]]"]),
        ('[[build]]\nconfig = "docs"', ["build 1: has no name", "build 1: has no out"]),
        (GOOD.replace("cron", "crom"), ["build 'nightly': unknown setting crom; did you mean cron?"]),
        (GOOD.replace("0 3 * * *", "0 0 31 2 *"), ["build 'nightly': cron: '0 0 31 2 *' names a day that never comes"]),
        (GOOD.replace("0 3 * * *", "* * * * * *"), ["build 'nightly': cron: '* * * * * *' has 6 fields, not five"]),
        (GOOD.replace("0 3 * * *", "at three"), ["build 'nightly': cron: 'at three' has 2 fields, not five"]),
        (GOOD.replace("0 3 * * *", "61 3 * * *"), ["build 'nightly': cron: '61 3 * * *' is no cron expression"]),
        (GOOD + 'timezone = "Berlin"', ["build 'nightly': timezone: 'Berlin' is no timezone; write for example Europe/Berlin"]),
        (GOOD + 'on_overlap = "stop"', ["build 'nightly': on_overlap: Input should be 'wait' or 'skip'"]),
        (GOOD.replace("nightly", "a/b"), ["build 'a/b': name: a name must be printable, must hold none of"]),
        (GOOD.replace("docs", "dosc"), ["build 'nightly': 'dosc': it is neither a preset nor a .toml file; did you mean docs"]),
        (GOOD + "settings = { 'dedup.treshold' = 1 }", ["build 'nightly': ", "did you mean threshold?"]),
        (GOOD + "[notify]\nenv = 'A'\nfile = 'b'", ["notify: name the address by one of block, file and env"]),
        (GOOD + "[notify]\nenv = 'https://hooks.example.org/secret'", ["notify: env is the name of an environment variable"]),
        (GOOD + "[notify]\nfile = 'https://hooks.example.org/secret'", ["notify: file is the path of a file, not the address"]),
        (GOOD + "[notify]\nblock = 'https://hooks.example.org/secret'", ["notify: block is TYPE/NAME of a block"]),
        (GOOD + "[notify]\nfile = 'absent'", ["notify: the file ", "absent cannot be read (No such file or directory)"]),
        (GOOD + "[notify]\nenv = 'TOKENMILL_UNSET'", ["notify: the environment variable TOKENMILL_UNSET holds no address"]),
        (GOOD + GOOD, ["two builds are named 'nightly'"]),
        (GOOD.replace("docs", "a\\u0000.toml"), ["build 'nightly': config: no file can have such a name"]),
        (GOOD.replace('"out"', '"a\\u0000"'), ["build 'nightly': out: no file can have such a name"]),
        (GOOD.replace('"out"', f'"{"o" * 300}"'), ["build 'nightly': out: no file can have such a name"]),
        (GOOD.replace('"out"', '""'), ["build 'nightly': out: "]),
        (GOOD + "[notify]\nfile = 'a\\u0000'".replace("'", '"'), ["notify: file: no file can have such a name"]),
        (GOOD + "settings = { 'collect.seed' = 2026-01-01 }", ["build 'nightly': settings: collect.seed is a date or a time"]),
        (GOOD + "settings = ['collect.seed']", ["build 'nightly': settings: write a table"]),
        (GOOD + 'timezone = ""', ["build 'nightly': timezone: "]),
        (GOOD.replace('"0 3 * * *"', "3"), ["build 'nightly': cron: write it as a string"]),
        (GOOD.replace("nightly", " "), ["build ' ': name: a name must be printable"]),
        (GOOD + "workers = true", ["build 'nightly': workers: "]),
        ("notify = 'https://hooks.example.org/secret'\n" + GOOD, ["notify: must be a table"]),
        ("build = ['x']", ["build 1: must be a table"]),
        (
            GOOD + GOOD.replace("nightly", "other").replace('"out"', '"out/tokens"'),
            ["build 'other' writes to ", "inside the corpus of 'nightly'"],
        ),
        (
            GOOD + GOOD.replace("nightly", "other") + "settings = { 'collect.seed' = 1 }",
            ["builds 'nightly' and 'other' write to ", "different settings"],
        ),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path: Path, text: str, says: list[str]) -> None:
    found = faults(tmp_path, text)
    assert "secret" not in str(found)
    for one in says:
        assert any(one in line for line in found), found
    assert len(found) == max(1, sum(one.startswith("build 1") for one in says))


def test_settings_may_stand_in_tables_of_their_sections_and_times_twice(tmp_path: Path) -> None:
    plain = "settings = { 'collect.seed' = 1, 'dedup.threshold' = 0.7 }"
    nested = "cron = ['0 3 * * *', '0 3 * * *']\n[build.settings]\ndedup.threshold = 0.7\ncollect.seed = 1"
    for text in (GOOD + plain, GOOD.replace('cron = "0 3 * * *"', nested)):
        (tmp_path / "s.toml").write_text(text)
        (one,) = read(tmp_path / "s.toml")
        assert one.overrides() == {"collect.seed": "1", "dedup.threshold": "0.7"}
        assert one.cron == ("0 3 * * *",)


def test_serve_refuses_a_folder_of_somebody_else_before_a_server_starts(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "s.toml").write_text(GOOD)
    said: list[str] = []
    with pytest.raises(ConfigError, match=r"build 'nightly': --out .*/out: is not empty \(mine.txt\)"):
        scheduler.serve(read(tmp_path / "s.toml"), said.append)
    assert said == []


def test_two_schedules_may_build_one_corpus_with_the_same_settings(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD + GOOD.replace("nightly", "weekly").replace("0 3 * * *", "@weekly"))
    assert [one.name for one in read(tmp_path / "s.toml")] == ["nightly", "weekly"]


def test_the_address_of_a_notification_travels_nowhere(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("# of the team\nhttps://hooks.example.org/SECRET\n")
    (tmp_path / "s.toml").write_text(GOOD + "[notify]\nfile = 'address'\n")
    (one,) = read(tmp_path / "s.toml")
    made = deployments.deployment(one)
    assert made.parameters["schedule"]["notify"]["file"] == str(tmp_path / "address")
    assert "SECRET" not in made.model_dump_json()


def test_a_prefect_yaml_holds_the_same_deployments(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD + 'timezone = "Europe/Berlin"\nretries = 1\n')
    builds = read(tmp_path / "s.toml")
    deployments.write_yaml(builds, "mill", tmp_path / "prefect.yaml")
    (entry,) = yaml.safe_load((tmp_path / "prefect.yaml").read_text())["deployments"]
    made = deployments.deployment(builds[0])
    assert entry["entrypoint"] == made.entrypoint
    assert (entry["name"], entry["parameters"], entry["tags"]) == (made.name, made.parameters, made.tags)
    assert entry["schedules"] == [{"cron": "0 3 * * *", "timezone": "Europe/Berlin"}]
    assert entry["work_pool"] == {"name": "mill"}
    with pytest.raises(ConfigError, match="is there already"):
        deployments.write_yaml(builds, "mill", tmp_path / "prefect.yaml")
