"""`darkroom apps` against a real service: from adding an application to attaching and removing it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import command
from service_process import FLAVOUR, Service
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def run(service: Service) -> Run:
    def run(*words: str) -> Result:
        return command(service, *words)

    return run


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("files") / "set up.sh"
    file.write_text("#!/bin/sh\n")
    return file


@pytest.fixture(scope="module")
def server(service: Service, image: str) -> str:
    return service.new_server(image, "for-the-command-line")


def add(run: Run, name: str, version: str, *words: str) -> dict[str, Any]:
    result = run("apps", "add", name, "--version", version, *words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_script_is_added_with_its_arguments(run: Run, script: Path) -> None:
    made = add(run, "cli editor", "1.0", "--script", str(script), "--arguments", "-y '/opt/a b'")
    assert (made["kind"], made["status"], made["file_name"]) == ("script", "active", "set_up.sh")
    assert made["arguments"] == ["-y", "/opt/a b"]
    shown = run("apps", "show", "cli editor").stdout
    assert made["id"] in shown
    assert "-y '/opt/a b'" in shown


def test_a_package_is_added_and_listed(run: Run, script: Path) -> None:
    made = add(run, "cli-package", "2.0", "--package", str(script))
    assert made["kind"] == "package"
    line = next(line for line in run("apps", "list").stdout.splitlines() if "cli-package" in line)
    assert [made["id"] in line, "2.0" in line, "10 B" in line] == [True] * 3
    assert made in json.loads(run("apps", "list", "--json").stdout)


@pytest.mark.parametrize("files", [[], ["--package", "a", "--script", "b"]])
def test_either_a_package_or_a_script_is_wanted(run: Run, files: list[str]) -> None:
    result = run("apps", "add", "x", "--version", "1", *files)
    assert result.exit_code == 2
    assert "--package FILE or --script FILE" in result.stderr


def test_what_cannot_be_added_leaves_no_record(run: Run, script: Path, tmp_path: Path, service: Service) -> None:
    before = service.get("apps")["count"]
    for words in (
        ["--script", str(tmp_path / "missing")],
        ["--script", str(tmp_path)],
        ["--script", str(script), "--arguments", "'"],
        ["--package", str(script), "--arguments", "-y"],
        ["--script", "/dev/null"],
    ):
        result = run("apps", "add", "cli-wrong", "--version", "1", *words)
        assert result.exit_code in (1, 2), words
        assert result.stderr.startswith("Error: ")
    assert service.get("apps")["count"] == before


def test_of_a_name_the_newest_version_is_attached(run: Run, script: Path, server: str) -> None:
    first = add(run, "cli-tool", "1", "--script", str(script))
    second = add(run, "cli-tool", "2", "--script", str(script))
    result = run("apps", "attached", server)
    assert (result.exit_code, result.stdout) == (0, "")
    for wanted, record in (("cli-tool", second), ("cli-tool@1", first), (second["id"], second)):
        result = run("apps", "attach", "for-the-command-line", wanted)
        assert result.exit_code == 0, result.stderr
        assert f"cli-tool {record['version']}" in result.stdout
        assert "file:///opt/darkroom/apps/apps.json" in result.stdout
        assert record["id"] in run("apps", "attached", server).stdout


def test_a_server_is_created_with_applications(run: Run, script: Path, service: Service, image: str) -> None:
    made = add(run, "cli-with", "1", "--script", str(script))
    result = run(
        "servers", "create", "cli-furnished", "--image", image, "--flavor", FLAVOUR, "--attach", "cli-with", "--json"
    )
    assert result.exit_code == 0, result.stderr
    job = service.succeeded(json.loads(result.stdout)["job_id"])
    server = job["sub_jobs"][0]["job_resource_info"]["resource_id"]
    items = json.loads(run("apps", "attached", server, "--json").stdout)["items"]
    assert items == [{"id": made["id"], "app_id": made["app_id"]}]


def test_an_unknown_application_is_told_with_what_there_is(run: Run, script: Path, server: str) -> None:
    add(run, "cli-known", "1.2", "--package", str(script))
    result = run("apps", "attach", server, "cli-known@3")
    assert result.exit_code == 1
    assert "'cli-known@3'" in result.stderr
    assert "1.2" in result.stderr
    assert "darkroom apps list" in run("apps", "show", "912345678901234567").stderr


def test_removing_takes_all_versions_of_a_name_and_needs_a_yes(run: Run, script: Path, server: str) -> None:
    records = [add(run, "cli-gone", version, "--script", str(script)) for version in ("1", "2", "3")]
    assert run("apps", "attach", server, "cli-gone@3").exit_code == 0
    assert run("apps", "remove", "cli-gone").exit_code == 2
    assert run("apps", "remove", records[0]["id"], "--yes").exit_code == 0
    result = run("apps", "remove", "cli-gone", "cli-gone@2", "--yes")
    assert result.exit_code == 0
    assert result.stdout.count("is removed") == 2
    assert run("apps", "show", "cli-gone").exit_code == 1
    assert "(removed)" in run("apps", "attached", server).stdout
