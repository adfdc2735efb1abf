"""The commands that manage identity, against a real service: what they print, and what is then so."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_process import Service
from typer.testing import CliRunner, Result

from darkroom.cli import app
from darkroom.domain.ids import new_hex

Run = Callable[..., Result]


@pytest.fixture
def run(service: Service) -> Run:
    """Run a command as the first user, or with another file of credentials."""

    def invoke(*words: str, credentials: Path | None = None, code: int = 0) -> Result:
        more = {"DARKROOM_CREDENTIALS": str(credentials)} if credentials else {}
        done = CliRunner().invoke(app, list(words), env={"DARKROOM_DATA": str(service.data), "COLUMNS": "200", **more})
        assert done.exit_code == code, done.output
        return done

    return invoke


@pytest.fixture
def name() -> str:
    return f"n-{new_hex()}"


def details(done: Result) -> dict[str, str]:
    """Return what a command has printed as names and values."""
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if "  " in line]
    return {line[0]: line[1].strip() for line in lines}


def dumped(done: Result) -> Any:
    return json.loads(done.stdout)


def test_a_user_is_added_with_a_password_that_is_shown_once(service: Service, run: Run, name: str) -> None:
    done = run("users", "add", name, "--role", "readonly")
    made = details(done)
    assert made["User"] == name
    identity = {"methods": ["password"], "password": {"user": {"id": made["Id"], "password": made["Password"]}}}
    answer = service.http("POST", "/v3/auth/tokens", json={"auth": {"identity": identity}})
    assert answer.status_code == 201
    assert [role["name"] for role in answer.json()["token"]["roles"]] == ["readonly"]
    assert made["Password"] not in run("users", "show", name).output
    assert details(run("users", "show", name))["Roles"] == "readonly"
    assert name in run("users", "list").stdout


def test_a_user_is_not_added_with_a_role_that_is_not_there(run: Run, name: str) -> None:
    assert "no-such" in run("users", "add", name, "--role", "no-such", code=1).stderr
    assert name not in run("users", "list").stdout


def test_roles_are_given_and_taken(run: Run, name: str) -> None:
    run("projects", "add", name, "--description", "of a team")
    run("users", "add", name)
    assert details(run("users", "show", name))["Roles"] == "none"
    assert f"operator in {name}" in run("users", "grant", name, "operator", "--project", name).stdout
    run("users", "grant", name, "readonly")
    assert details(run("users", "show", name))["Roles"] == f"readonly, operator in {name}"
    assert "no longer" in run("users", "revoke", name, "operator", "--project", name).stdout
    assert [grant["role"]["name"] for grant in dumped(run("users", "show", name, "--json"))["role_assignments"]] == [
        "readonly"
    ]


def test_a_key_is_written_for_its_owner_alone_and_used(run: Run, name: str, tmp_path: Path) -> None:
    run("projects", "add", name)
    run("users", "add", name, "--role", "operator", "--project", name)
    file = tmp_path / "key.json"
    done = run("keys", "add", "--user", name, "--project", name, "--out", str(file), "--description", "for a robot")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = json.loads(file.read_text())
    assert written["secret_key"] not in done.output
    assert (written["user"], written["project"]) == (name, name)
    assert run("servers", "list", credentials=file).stderr == "No image servers.\n"
    assert "te_admin" in run("users", "add", "x", credentials=file, code=1).stderr
    assert "exists already" in run("keys", "add", "--user", name, "--out", str(file), code=1).stderr
    assert json.loads(file.read_text()) == written

    listed = run("keys", "list", "--user", name).stdout
    assert written["access_key"] in listed
    assert "for a robot" in listed
    run("keys", "disable", written["access_key"])
    assert "not exist" in run("servers", "list", credentials=file, code=1).stderr
    run("keys", "enable", written["access_key"])
    run("servers", "list", credentials=file)
    run("keys", "delete", written["access_key"], "--yes")
    assert run("keys", "list", "--user", name).stdout == ""


def test_no_file_is_left_where_there_is_no_key(run: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / "key.json"
    run("users", "add", name)
    run("keys", "add", "--user", name, "--description", "x" * 256, "--out", str(file), code=1)
    assert not file.exists()
    assert "cannot be written" in run("keys", "add", "--user", name, "--out", str(tmp_path / "a" / "b"), code=1).stderr
    assert run("keys", "list", "--user", name).stdout == ""


def test_a_key_is_shown_once_where_there_is_no_file_for_it(run: Run, name: str) -> None:
    run("users", "add", name)
    made = details(run("keys", "add", "--user", name))
    assert made.keys() == {"User", "Access", "Secret"}
    secret = made["Secret"].split()[-1]
    assert len(secret) == 40
    assert secret not in run("keys", "list", "--user", name, "--json").stdout


def test_users_are_disabled_enabled_and_deleted(run: Run, name: str) -> None:
    run("users", "add", name)
    assert "is disabled" in run("users", "disable", name).stdout
    assert details(run("users", "show", name))["State"] == "disabled"
    assert "is enabled" in run("users", "enable", name).stdout
    run("users", "delete", name, code=2)
    run("users", "delete", name, "--yes")
    assert "No user" in run("users", "show", name, code=1).stderr


def test_a_new_password_is_shown_once(service: Service, run: Run, name: str) -> None:
    old = details(run("users", "add", name))
    new = details(run("users", "password", name))["Password"]
    for password, status in ((old["Password"], 401), (new, 201)):
        identity = {"methods": ["password"], "password": {"user": {"id": old["Id"], "password": password}}}
        assert service.http("POST", "/v3/auth/tokens", json={"auth": {"identity": identity}}).status_code == status


def test_projects_are_added_disabled_and_deleted(run: Run, name: str) -> None:
    made = dumped(run("projects", "add", name, "--description", "of a team", "--json"))
    run("projects", "add", f"{name}_part", "--parent", name)
    assert details(run("projects", "show", f"{name}_part"))["Part"].split()[-1] == made["id"]
    assert "of a team" in run("projects", "list").stdout
    assert "Disable" in run("projects", "delete", made["id"], "--yes", code=1).stderr
    for each in (f"{name}_part", name):
        run("projects", "disable", each)
        run("projects", "delete", each, "--yes")
    assert name not in run("projects", "list").stdout


def test_an_account_is_added_with_an_administrator(run: Run, name: str) -> None:
    run("accounts", "add", name)
    run("users", "add", "chief", "--account", name, "--role", "te_admin")
    shown = details(run("accounts", "show", name))
    assert (shown["Projects"], shown["Users"], shown["State"]) == ("local-1", "chief", "enabled")
    run("roles", "add", "theirs", "--allow", "ims:*", "--account", name)
    assert "theirs" in run("roles", "list", "--account", name).stdout
    assert "theirs" not in run("roles", "list").stdout
    run("accounts", "disable", name)
    run("projects", "disable", "local-1", "--account", name)
    run("projects", "delete", "local-1", "--account", name, "--yes")
    run("accounts", "delete", name, "--yes")
    assert name not in run("accounts", "list").stdout


def test_roles_are_added_changed_and_deleted(run: Run, name: str) -> None:
    run("roles", "add", name, "--allow", "workspace:*", "--allow", "!workspace:imageServer:getAccess")
    assert dumped(run("roles", "show", name, "--json"))["actions"] == [
        "workspace:*",
        "!workspace:imageServer:getAccess",
    ]
    run("roles", "change", name, "--allow", "ims:*", "--description", "images alone")
    shown = run("roles", "show", name).stdout
    assert "images alone" in shown
    assert "workspace" not in shown
    run("roles", "delete", name, "--yes")
    assert name in run("roles", "show", name, code=1).stderr
    assert "letters" in run("roles", "add", "a b", "--allow", "*", code=1).stderr


def test_the_last_administrator_is_not_disabled(run: Run, name: str) -> None:
    run("accounts", "add", name)
    run("users", "add", "chief", "--account", name, "--role", "te_admin")
    for words in (["users", "disable", "chief"], ["users", "delete", "chief", "--yes"]):
        assert "last user with the role te_admin" in run(*words, "--account", name, code=1).stderr
    assert details(run("users", "show", "chief", "--account", name))["State"] == "enabled"


@pytest.mark.parametrize(
    "words",
    [
        ["users", "show", "no{such}"], ["projects", "show", "no/such"], ["accounts", "show", "nosuch?"],
        ["roles", "show", "no{such}/x"], ["keys", "delete", "NO{SUCH}", "--yes"], ["users", "grant", "admin", "a/b"],
        ["keys", "list", "--user", "0" * 32],
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_of_in_words(run: Run, words: list[str]) -> None:
    done = run(*words, code=1)
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.output
