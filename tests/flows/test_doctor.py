"""`tokenmill doctor`: a sound installation is sound, and each thing that is wrong is named with what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.command import tokenmill
from tokenmill.flows import doctor
from tokenmill.flows.doctor import Finding, findings


def found(folder: Path, *, home: Path | None = None, api_url: str | None = None) -> dict[str, Finding]:
    return {one.what: one for one in findings(folder, prefect_home=home or folder, api_url=api_url)}


def test_a_sound_installation(tmp_path: Path) -> None:
    done = tokenmill("doctor", tmp_path, "--json")
    answer = json.loads(done.stdout)
    assert {one["state"] for one in answer["findings"]} <= {"ok", "note", "wrong"}
    assert answer["ok"] == (done.returncode == 0) == all(one["state"] != "wrong" for one in answer["findings"])
    names = [one["what"] for one in answer["findings"]]
    assert names[0] == "version"
    assert {"disk", "temporary files", "memory", "kernels", "sandbox", "Prefect's home", "Prefect's server"} <= set(names)
    assert all(one["advice"] for one in answer["findings"] if one["state"] == "wrong")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = found(tmp_path / "file" / "corpora", home=tmp_path / "file" / "prefect")
    assert [answer[one].state for one in ("disk", "Prefect's home")] == ["wrong"] * 2
    assert answer["disk"].found == f"{tmp_path / 'file'} is no folder"


def test_something_wrong_ends_with_code_1_and_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_bytes", lambda _: 50_000_000)
    done = tokenmill("doctor", tmp_path)
    assert done.returncode == 1
    assert "wrong disk: 50.0 MB free" in done.stdout
    assert done.stderr.startswith("error: 2 problem(s): disk, temporary files")


@pytest.mark.parametrize(
    ("required", "state", "said"),
    [
        ("numpy>=1", "ok", "all 1 have the versions"),
        ("numpy>=99", "wrong", "'numpy>=99' is required, "),
        ("no-such-package<3", "wrong", "'no-such-package<3' is required, is not installed"),
        ("numpy>=99; python_version < '3'", "ok", "all 0 have"),
        ("numpy>=99; extra == 'dev'", "ok", "all 0 have"),
    ],
)
def test_versions_that_do_not_fit(
    required: str, state: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: [required])
    answer = found(tmp_path)
    one = answer.get("package") or answer["packages"]
    assert (one.state, said in one.found) == (state, True), one
    assert state == "ok" or one.advice.startswith("pip install '")


def test_versions_beside_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "constraints.txt"
    monkeypatch.setattr(doctor, "LOCK", lock)
    assert "lock" not in found(tmp_path)
    monkeypatch.setattr(doctor, "_installed", {"a": "1.0+cpu", "b": "2.0"}.get)
    lock.write_text("# pins\na==1.0\nc==3\n")
    assert found(tmp_path)["lock"].state == "ok"
    lock.write_text("a==1.0\nb==2.1\n")
    assert (found(tmp_path)["lock"].state, "b 2.0 (lock: 2.1)" in found(tmp_path)["lock"].found) == ("note", True)


def test_short_memory_and_no_place_for_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda: {"machine": 10**10, "ulimit -v": 100_000_000})
    assert found(tmp_path)["memory"].found == "100 MB available (ulimit -v)"
    assert found(tmp_path)["memory"].state == "wrong"
    monkeypatch.setattr(doctor.kernels, "compiled", lambda: False)
    assert found(tmp_path)["kernels"].state == "note"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    answer = found(tmp_path)
    assert [answer[one].state for one in ("kernels", "disk", "Prefect's home")] == ["wrong"] * 3


def test_what_the_kernel_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.confine, "lacking", lambda: ["Landlock (x)"])
    assert (found(tmp_path)["sandbox"].state, found(tmp_path)["sandbox"].found) == ("note", "the kernel lacks Landlock (x)")


def test_prefect_is_described_without_a_password(tmp_path: Path) -> None:
    assert found(tmp_path, api_url="http://me:s3cret@host:4200/api")["Prefect's server"].found == "http://host:4200/api"
    (tmp_path / "profiles.toml").write_text('active = "x"\n[profiles.x]\nPREFECT_API_URL = "http://own/api"\n')
    (tmp_path / "prefect.db").touch(mode=0o644)
    answer = found(tmp_path)
    assert answer["Prefect's server"].found == "http://own/api"
    assert answer["Prefect's data"].advice.startswith("chmod 600")
    (tmp_path / "profiles.toml").write_text("[broken")
    assert found(tmp_path)["Prefect's server"].found.startswith("none set")


def test_a_build_goes_on_where_prefects_home_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, schedules = tmp_path / "a.txt", tmp_path / "schedules.toml"
    source.write_text("It is a line of a text.\n" * 20)
    monkeypatch.setenv("PREFECT_HOME", str(source / "home"))
    settings = [f"collect.paths={source}", "stages=[]", "tokenizer.vocabulary=257"]
    done = tokenmill("build", "text", "--out", tmp_path / "out", "--workers", "1", *(f"--set={one}" for one in settings))
    assert (done.returncode, "out/tokens" in done.stdout) == (0, True), done.stderr
    assert f"{source}/home cannot be made for Prefect (Not a directory)" in done.stdout.replace("\n", " ")
    served = tokenmill("serve", schedules)
    assert (served.returncode, "set PREFECT_HOME to a folder of yours" in served.stderr) == (1, True)
