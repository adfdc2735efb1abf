"""The command: what it prints, what it asks of the service, and how it ends."""

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import HTMLResponse, JSONResponse
from typer.testing import CliRunner, Result

from cli_service import ACCESS, PROJECT, SECRET, Service, running_service
from darkroom.cli import app, output, progress, transfer
from darkroom.settings import Settings

Run = Callable[..., Result]
SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with running_service() as service:
        yield service


@pytest.fixture
def service(running: Service) -> Service:
    running.begin_anew()
    return running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def known(service: Service, data: Path) -> Service:
    """The service, having left in its folder how to reach it and who may."""
    (data / "service.json").write_text(json.dumps({"endpoint": service.url, "pid": os.getpid()}))
    credentials = data / "credentials.json"
    credentials.touch(mode=0o600)
    credentials.write_text(
        json.dumps(
            {"account": "acme", "account_id": "a" * 32, "user": "admin", "user_id": "b" * 32, "password": "p",
             "project": "local-1", "project_id": PROJECT, "access_key": ACCESS, "secret_key": SECRET,
             "region": "local-1"}
        )
    )  # fmt: skip
    return service


@pytest.fixture
def environment(data: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DARKROOM_", "PYTHON"))}
    return {
        **clean,
        "DARKROOM_DATA": str(data),
        "DARKROOM_KIT": str(data / "kit"),
        "PYTHONPATH": str(SOURCE),
        "TZ": "UTC",
        "COLUMNS": "80",
    }


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(progress, "INTERVAL", 0.02)

    def invoke(*words: str, **options: Any) -> Result:
        return CliRunner().invoke(app, list(words), env=environment, **options)

    return invoke


@pytest.fixture
def command(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    def start(*words: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([sys.executable, "-m", "darkroom.cli", *words], env=environment, text=True, **pipes)

    return start


# Finding the service, and what goes wrong on the way


def test_without_a_service_it_says_how_to_start_one(run: Run) -> None:
    result = run("jobs", "list")
    assert result.exit_code == 4
    assert "No Darkroom service is running" in result.stderr
    assert "darkroom serve" in result.stderr
    assert result.stdout == ""


def test_a_dead_endpoint_is_refused_in_one_sentence(known: Service, run: Run) -> None:
    result = run("--endpoint", "http://127.0.0.1:1", "jobs", "list")
    assert result.exit_code == 4
    assert "Nothing answers at http://127.0.0.1:1 (connection refused)." in result.stderr


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8774", "http://[", "http://127.0.0.1:99999"])
def test_an_unusable_endpoint_is_named(known: Service, run: Run, url: str) -> None:
    result = run("--endpoint", url, "jobs", "list")
    assert result.exit_code == 4
    assert result.stderr.startswith("Error: ")
    assert url in result.stderr


def test_missing_credentials_are_named(known: Service, run: Run, data: Path) -> None:
    (data / "credentials.json").unlink()
    result = run("jobs", "list")
    assert result.exit_code == 1
    assert f"{data}/credentials.json does not exist" in result.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"access_key": 1}', "\xff"])
def test_damaged_credentials_are_named(known: Service, run: Run, data: Path, text: str) -> None:
    (data / "credentials.json").write_bytes(text.encode("latin-1"))
    result = run("jobs", "list")
    assert result.exit_code == 1
    assert "is damaged" in result.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"'])
def test_a_damaged_service_file_is_named(known: Service, run: Run, data: Path, text: str) -> None:
    (data / "service.json").write_text(text)
    result = run("jobs", "list")
    assert result.exit_code == 4
    assert "service.json is damaged" in result.stderr


def test_credentials_that_others_can_read_are_warned_about(known: Service, run: Run, data: Path) -> None:
    (data / "credentials.json").chmod(0o644)
    result = run("jobs", "list", "--json")
    assert result.exit_code == 0
    assert "chmod 600" in result.stderr
    assert json.loads(result.stdout) == []


def test_a_refusal_shows_message_and_code_and_the_request_id_only_when_verbose(known: Service, run: Run) -> None:
    quiet, loud = run("jobs", "show", "1"), run("--verbose", "jobs", "show", "1")
    assert quiet.exit_code == loud.exit_code == 1
    assert "Error: The job does not exist. (WKS.00129901)" in quiet.stderr
    assert "f" * 32 not in quiet.stderr
    assert "f" * 32 in loud.stderr


def test_wrong_credentials_hint_at_the_option(known: Service, run: Run, data: Path) -> None:
    file = data / "credentials.json"
    file.write_text(file.read_text().replace(SECRET, "wrong"))
    result = run("jobs", "list")
    assert result.exit_code == 1
    assert "APIGW.0301" in result.stderr
    assert "--credentials" in result.stderr


def test_another_program_on_the_port_is_recognised(known: Service, run: Run) -> None:
    for status in (200, 404):
        known.answer = HTMLResponse("<html>", status_code=status)
        result = run("jobs", "list")
        assert result.exit_code == 4
        assert f"does not speak Darkroom's API ({status}, text/html)" in result.stderr


def test_a_proxy_for_the_outside_is_not_asked_for_this_machine(
    known: Service, run: Run, environment: dict[str, str]
) -> None:
    environment["HTTP_PROXY"] = environment["http_proxy"] = "http://127.0.0.1:1"
    assert run("jobs", "list").exit_code == 0


# Jobs


def test_jobs_are_listed_as_a_table_and_as_the_apis_objects(known: Service, run: Run) -> None:
    job_id = known.add_job("CREATE_SERVER", ["web"])
    table, data = run("jobs", "list"), run("jobs", "list", "--json")
    assert job_id in table.stdout
    assert "CREATE_SERVER" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert json.loads(data.stdout)[0]["id"] == job_id


def test_many_jobs_are_fetched_page_by_page(known: Service, run: Run) -> None:
    for _ in range(130):
        known.add_job("CREATE_SERVER", ["web"])
    assert len(json.loads(run("jobs", "list", "--limit", "120", "--json").stdout)) == 120


def test_an_unknown_type_is_a_usage_error(run: Run) -> None:
    assert run("jobs", "list", "--type", "NONSENSE").exit_code == 2


def test_a_failed_job_shows_its_reason_with_all_its_lines(known: Service, run: Run) -> None:
    known.outcome, known.reason = "FAILED", "The image could not be captured.\n[    1.0] serial: [red]panic[/red]"
    job_id = known.add_job("CREATE_SERVER_IMAGE", ["golden"])
    result = run("jobs", "show", job_id)
    assert result.exit_code == 0
    assert "Failure (Darkroom.0203):\nThe image could not be captured.\n[    1.0] serial: [red]panic" in result.stdout
    assert "copy disk" in result.stdout
    assert "4.2 s" in result.stdout


@pytest.mark.parametrize("job_id", ["{x}", "{}", "..", "a/b", "%7B"])
@pytest.mark.parametrize("command", ["show", "timeline", "why", "cancel", "retry", "clean", "wait"])
def test_whatever_is_given_as_an_id_is_asked_for(known: Service, run: Run, command: str, job_id: str) -> None:
    assert run("jobs", command, job_id).exit_code in (1, 4)
    ((_, path, _),) = known.requests
    assert f"{path}/".startswith(f"/v1/{PROJECT}/image-server-jobs/{job_id}/")


def test_waiting_tells_each_change_once_and_the_end(known: Service, run: Run) -> None:
    known.looks_until_done = 3
    job_id = known.add_job("CREATE_SERVER_IMAGE", ["golden"])
    result = run("jobs", "wait", job_id)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == ["… copy disk  75 % of 4.0 MiB", "✓ copy disk  4.2 s"]
    assert result.stdout == f"Job {job_id}: SUCCESS after 4.2 s\nImage golden is ready: r\n"


def test_waiting_for_a_job_that_fails_exits_with_1_and_the_reason(known: Service, run: Run) -> None:
    known.outcome, known.reason = "FAILED", "One.\nTwo."
    result = run("jobs", "wait", known.add_job("CREATE_SERVER", ["web"]))
    assert result.exit_code == 1
    assert "One.\nTwo." in result.stdout


def test_waiting_no_longer_than_asked_exits_with_3(known: Service, run: Run) -> None:
    known.looks_until_done = 10**6
    result = run("jobs", "wait", known.add_job("CREATE_SERVER", ["web"]), "--timeout", "0.2")
    assert result.exit_code == 3
    assert "it goes on" in result.stderr


def test_waiting_as_json_leaves_only_the_job_on_standard_output(known: Service, run: Run) -> None:
    result = run("jobs", "wait", known.add_job("CREATE_SERVER", ["web"]), "--json")
    assert json.loads(result.stdout)["status"] == "SUCCESS"


def test_waiting_survives_a_service_that_restarts(known: Service, run: Run) -> None:
    known.looks_until_done = 3
    gone = HTMLResponse("gone", status_code=502)
    busy = JSONResponse({"error_code": "WKS.00050902", "error_msg": "Later."}, status_code=503)
    known.broken = {3: gone, 5: gone, 6: busy}
    result = run("jobs", "wait", known.add_job("CREATE_SERVER", ["web"]))
    assert result.exit_code == 0
    assert result.stderr.count("waiting for it to come back") == 1


# Image servers


def test_creating_a_server_sends_what_the_contract_demands(known: Service, run: Run) -> None:
    image_id = known.add_image("tiny", virtual_size=10 * 2**30 + 1)
    result = run("servers", "create", "web", "--image", "tiny")
    assert result.exit_code == 0, result.stderr
    assert "darkroom jobs wait" in result.stdout
    method, path, body = known.requests[-1]
    assert (method, path) == ("POST", f"/v1/{PROJECT}/image-servers")
    assert body == {
        "name": "web", "description": "", "product_id": "darkroom.tiny", "vpc_id": "local", "subnet_id": "local",
        "root_volume": {"type": "SAS", "size": 20}, "image_ref": {"id": image_id, "image_type": "private"},
        "authorize_accounts": [{"account": "builder", "account_type": "USER"}], "is_vdi": True,
    }  # fmt: skip


def test_an_ambiguous_image_name_lists_the_ids(known: Service, run: Run) -> None:
    ids = [known.add_image("tiny"), known.add_image("tiny")]
    result = run("servers", "create", "web", "--image", "tiny")
    assert result.exit_code == 1
    assert all(image_id in result.stderr for image_id in ids)


def test_of_two_images_of_a_name_the_only_usable_one_is_taken(known: Service, run: Run) -> None:
    known.add_image("tiny", status="queued")
    image_id = known.add_image("tiny")
    assert json.loads(run("images", "show", "tiny", "--json").stdout)["id"] == image_id


def test_an_unknown_name_suggests_a_close_one(known: Service, run: Run) -> None:
    known.add_image("debian-tiny")
    result = run("images", "show", "debian-tinny")
    assert result.exit_code == 1
    assert "Did you mean debian-tiny?" in result.stderr


def test_a_disk_that_is_no_multiple_of_ten_is_a_usage_error(known: Service, run: Run) -> None:
    assert run("servers", "create", "web", "--image", "x", "--disk", "15").exit_code == 2


def test_a_name_finds_the_server_that_has_exactly_that_name(known: Service, run: Run) -> None:
    known.add_server("web-2")
    server_id = known.add_server("web")
    assert json.loads(run("servers", "show", "web", "--json").stdout)["id"] == server_id
    assert json.loads(run("servers", "show", server_id, "--json").stdout)["name"] == "web"


def test_building_an_image_follows_the_job_when_told(known: Service, run: Run) -> None:
    server_id = known.add_server("web")
    result = run("servers", "build", "web", "--name", "golden", "--no-sysprep", "--wait")
    assert result.exit_code == 0
    assert "SUCCESS" in result.stdout
    order = {"name": "golden", "description": "", "execute_sysprep": False}
    assert ("POST", f"/v1/{PROJECT}/image-servers/{server_id}/actions/recreate-image", order) in known.requests


def test_deleting_without_a_terminal_needs_a_yes(known: Service, run: Run) -> None:
    server_id = known.add_server("web")
    result = run("servers", "delete", "web")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert server_id in known.servers


def test_deleting_asks_with_a_list_of_what_goes(known: Service, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "is_interactive", lambda: True)
    server_id = known.add_server("web")
    no = run("servers", "delete", "web", input="n\n")
    assert no.exit_code == 1
    assert server_id in no.stderr
    assert server_id in known.servers
    assert run("servers", "delete", "web", input="y\n").exit_code == 0
    assert not known.servers


def test_deleting_sends_each_server_once(known: Service, run: Run) -> None:
    server_id = known.add_server("web")
    result = run("servers", "delete", "web", server_id, "--yes", "--keep-machine", "--json")
    assert "job_id" in json.loads(result.stdout)
    assert known.requests[-1][2] == {"items": [server_id], "recursive": False}


def test_access_prints_the_key_alone_when_asked(known: Service, run: Run) -> None:
    known.add_server("web")
    assert run("servers", "access", "web", "--key").stdout.startswith("-----BEGIN")
    shown = run("servers", "access", "web").stdout
    assert "pw-1" in shown
    assert "BEGIN" not in shown


def test_access_to_a_server_that_is_not_ready_says_so(known: Service, run: Run) -> None:
    known.add_server("web", status="CREATING")
    result = run("servers", "access", "web")
    assert result.exit_code == 1
    assert "not ready yet" in result.stderr


@pytest.fixture
def fake_ssh(tmp_path: Path, environment: dict[str, str]) -> Path:
    """An `ssh` that writes down how it was called, passes its input on, and exits with 7."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.words"\nwhile [ "$1" != -i ]; do shift; done\n'
        'stat -c "%a" "$2" "${2%/*}" "${2%/*}/known_hosts" > "$0.modes"; cat "${2%/*}/known_hosts" > "$0.hosts"\n'
        'cat "$2" > "$0.key"; echo "$2" > "$0.path"\n'
        'case "$*" in *sleep*) exec sleep 60;; esac\ncat\nexit 7\n'
    )
    program.chmod(0o755)
    environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    return program


def test_ssh_uses_a_private_key_and_the_known_host_and_returns_its_exit_code(
    known: Service, command: Callable[..., subprocess.Popen[str]], fake_ssh: Path
) -> None:
    server_id = known.add_server("web")
    process = command("servers", "ssh", "web", "--", "sudo", "-n", "cat", stdin=subprocess.PIPE)
    out, _ = process.communicate("through\n", timeout=60)
    assert process.returncode == 7
    assert out == "through\n"
    words = fake_ssh.with_name("ssh.words").read_text().splitlines()
    assert words[-5:] == ["127.0.0.1", "--", "sudo", "-n", "cat"]
    assert {"StrictHostKeyChecking=yes", "BatchMode=yes", "IdentitiesOnly=yes", "ControlMaster=no"} <= set(words)
    assert fake_ssh.with_name("ssh.modes").read_text().split() == ["600", "700", "600"]
    assert fake_ssh.with_name("ssh.hosts").read_text() == f"darkroom-{server_id} ssh-ed25519 AAAAC3Nz\n"
    assert not Path(fake_ssh.with_name("ssh.path").read_text().strip()).parent.exists()


def test_ssh_forwards_ports_and_fails_where_it_cannot(
    known: Service, command: Callable[..., subprocess.Popen[str]], fake_ssh: Path
) -> None:
    known.add_server("web")
    forwards = ["-L", "8080:127.0.0.1:80", "--forward", "8443:127.0.0.1:443"]
    command("servers", "ssh", *forwards, "web", stdin=subprocess.PIPE).communicate(timeout=60)
    words = fake_ssh.with_name("ssh.words").read_text().splitlines()
    assert words[-5:] == ["-L", "8080:127.0.0.1:80", "-L", "8443:127.0.0.1:443", "127.0.0.1"]
    assert "ExitOnForwardFailure=yes" in words


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ssh_leaves_no_key_behind_when_it_is_ended(
    known: Service, command: Callable[..., subprocess.Popen[str]], fake_ssh: Path, number: signal.Signals
) -> None:
    known.add_server("web")
    # Whoever runs the tests may have had the signal ignored, as nohup does, and programs inherit that.
    process = command("servers", "ssh", "web", "sleep", preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    path = fake_ssh.with_name("ssh.path")
    _until(lambda: path.exists() and path.read_text())
    time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not Path(path.read_text().strip()).parent.exists()


def test_a_missing_ssh_names_its_package(known: Service, run: Run, environment: dict[str, str]) -> None:
    known.add_server("web")
    environment["PATH"] = "/nowhere"
    result = run("servers", "ssh", "web")
    assert result.exit_code == 1
    assert "apt install openssh-client" in result.stderr


# Images


def test_importing_sends_the_file_and_shows_the_image(known: Service, run: Run, tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(os.urandom(3_000_000))
    result = run("images", "import", str(disk), "--name", "tiny", "--type", "public", "--json")
    assert result.exit_code == 0, result.stderr
    image = json.loads(result.stdout)
    assert (image["status"], image["__imagetype"]) == ("active", "public")
    assert known.files[image["id"]] == disk.read_bytes()


def test_an_import_that_is_refused_leaves_no_record(
    known: Service, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"x" * 5_000_000)
    known.refuse_upload, known.refuse_deletes = True, 3
    result = run("images", "import", str(disk), "--name", "tiny")
    assert result.exit_code == 1
    assert "neither qcow2 nor raw" in result.stderr
    assert not known.images


@pytest.mark.parametrize("what", ["missing", "empty", "folder"])
def test_a_file_that_cannot_be_imported_is_named_before_anything_is_sent(
    known: Service, run: Run, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "disk"
    {"missing": lambda: None, "empty": file.touch, "folder": file.mkdir}[what]()
    result = run("images", "import", str(file), "--name", "tiny")
    assert result.exit_code == 1
    assert str(file) in result.stderr
    assert not known.requests


def test_images_are_listed_page_by_page_within_80_columns(known: Service, run: Run) -> None:
    for number in range(101):
        known.add_image(f"debian-12-golden-with-office-{number}")
    assert len(json.loads(run("images", "list", "--json").stdout)) == 101
    table = run("images", "list").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert all(image_id in table for image_id in known.images)


def test_exporting_writes_the_whole_file_and_checks_it(known: Service, run: Run, tmp_path: Path) -> None:
    known.add_image("golden", content=os.urandom(3_000_000))
    file = tmp_path / "golden.qcow2"
    result = run("images", "export", "golden", str(file))
    assert result.exit_code == 0, result.stderr
    assert file.read_bytes() in known.files.values()
    assert run("images", "export", "golden", str(file)).exit_code == 1
    assert run("images", "export", "golden", str(file), "--force").exit_code == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["golden.qcow2"]


def test_a_damaged_export_leaves_no_file(known: Service, run: Run, tmp_path: Path) -> None:
    known.add_image("golden", os_hash_value="0" * 64)
    result = run("images", "export", "golden", str(tmp_path / "golden.qcow2"))
    assert result.exit_code == 1
    assert "damaged" in result.stderr
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(os.devnull)])
def test_an_export_takes_the_place_of_ordinary_files_alone(
    known: Service, run: Run, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    known.add_image("golden")
    make(file := tmp_path / "golden.qcow2")
    result = run("images", "export", "golden", str(file), "--force")
    assert result.exit_code == 1
    assert "is no ordinary file" in result.stderr
    assert file.exists()
    assert not file.is_file()


def test_an_export_leaves_the_files_beside_it_alone(known: Service, run: Run, tmp_path: Path) -> None:
    known.add_image("golden")
    own = tmp_path / "golden.qcow2.partial"
    own.write_text("somebody's own")
    assert run("images", "export", "golden", str(tmp_path / "golden.qcow2")).exit_code == 0
    assert own.read_text() == "somebody's own"
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"golden.qcow2", own.name}


def test_an_export_to_where_one_may_not_write_says_so(known: Service, run: Run, tmp_path: Path) -> None:
    known.add_image("golden")
    result = run("images", "export", "golden", str(tmp_path / "nowhere" / "golden.qcow2"))
    assert result.exit_code == 1
    assert os.strerror(errno.ENOENT).lower() in result.stderr.lower()


def test_deleting_images(known: Service, run: Run) -> None:
    known.add_image("a")
    known.add_image("b")
    assert run("images", "delete", "a", "b", "--yes").exit_code == 0
    assert not known.images


# The command as a whole


def test_names_and_answers_cannot_steer_the_terminal(known: Service, run: Run) -> None:
    trick = "a\x1b]0;b\x07\x1b[2J\x9b1m\x7f\u202e"
    image_id = known.add_image(trick, **{"__description": trick})
    known.outcome, known.reason = "FAILED", f"first {trick}\nsecond"
    job_id = known.add_job("CREATE_SERVER", [trick, "other"])
    shown = [
        run("images", "list"),
        run("images", "show", image_id),
        run("images", "show", f"{trick}x"),
        run("jobs", "wait", job_id),
        run("jobs", "show", job_id),
    ]
    for text in (f"{result.stdout}{result.stderr}" for result in shown):
        assert "␛[2J" in text or "\\x1b[2J" in text
        assert not set(text) & set("\x1b\x07\x9b\x7f\u202e")
    assert "\nsecond\n" in shown[-1].stdout, "lines stay"
    assert json.loads(run("images", "show", image_id, "--json").stdout)["name"] == trick


def test_what_steers_no_terminal_is_shown_as_it_is() -> None:
    text = "中文　é\t\n👨‍👩‍👧"
    assert output.visible(text) == text


def test_the_doctor_works_when_nothing_is_set_up(run: Run, environment: dict[str, str]) -> None:
    environment["PATH"] = "/nowhere"
    result = run("doctor")
    assert result.exit_code == 1
    assert "apt install qemu-utils" in result.stdout
    assert "darkroom kit build" in result.stdout
    assert "darkroom serve" in result.stdout


def test_the_doctor_sees_a_running_service(known: Service, run: Run, environment: dict[str, str]) -> None:
    environment["DARKROOM_DRIVER"] = "simulated"
    result = run("doctor", "--json")
    assert result.exit_code == 0, result.stdout
    found = {finding["subject"]: finding for finding in json.loads(result.stdout)}
    assert found["service"]["mark"] == "good"
    assert "9.9.9" in found["service"]["finding"]


def test_the_doctor_names_a_wrong_setting(run: Run, environment: dict[str, str]) -> None:
    environment["DARKROOM_PORT"] = "many"
    result = run("doctor")
    assert result.exit_code == 1
    assert "port" in result.stdout


@pytest.mark.parametrize("url", ["mysql://u:secret@host/x", "nonsense", "sqlite://", "postgres://u:secret@host:port/x"])
def test_a_database_of_another_kind_is_a_wrong_setting(run: Run, url: str) -> None:
    result = run("serve", "--database", url)
    assert result.exit_code == 1
    assert "Error: The settings are wrong: database: must be a URL as postgresql://" in result.stderr
    assert "secret" not in result.stderr


def test_both_spellings_of_postgresql_are_known() -> None:
    for spelled in ("postgres://u:p@host/x", "postgresql://u:p@host/x"):
        settings = Settings(database=spelled)
        assert settings.database_url == "postgresql://u:p@host/x"
        assert settings.is_shared


def test_the_version_is_printed_without_any_service(run: Run) -> None:
    assert run("--version").stdout.startswith("darkroom ")


def test_an_interrupt_ends_a_wait_with_130_and_no_traceback(
    known: Service, command: Callable[..., subprocess.Popen[str]]
) -> None:
    known.looks_until_done = 10**6
    process = command("jobs", "wait", known.add_job("CREATE_SERVER", ["web"]))
    _until(lambda: any("timeline" in path for _, path, _ in known.requests))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the job goes on" in err
    assert "Traceback" not in err


def test_a_reader_who_leaves_early_gets_no_traceback(
    known: Service, command: Callable[..., subprocess.Popen[str]]
) -> None:
    for number in range(3000):
        known.add_server(f"web-{number}")
    process = command("servers", "list", "--json")
    assert process.stdout
    assert process.stderr
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert err == ""


def test_a_terminal_gets_a_live_view_and_colour_and_no_color_takes_the_colour_away(
    known: Service, environment: dict[str, str]
) -> None:
    known.looks_until_done = 2
    coloured = _on_a_terminal(environment, "jobs", "wait", known.add_job("CREATE_SERVER", ["web"]))
    assert "\x1b[32m" in coloured
    assert "copy disk" in coloured
    assert "75 %" in coloured
    plain = _on_a_terminal({**environment, "NO_COLOR": "1"}, "jobs", "wait", known.add_job("CREATE_SERVER", ["web"]))
    assert "\x1b[32m" not in plain
    assert "SUCCESS" in plain


def _on_a_terminal(environment: dict[str, str], *words: str) -> str:
    mine, theirs = pty.openpty()
    line = [sys.executable, "-m", "darkroom.cli", *words]
    terminal = {**environment, "TERM": "xterm-256color"}
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=terminal)
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(mine, 65536):
            text += piece
    except OSError:  # Linux reports a terminal whose other side is closed as an error
        pass
    finally:
        os.close(mine)
        process.wait(timeout=60)
    return text.decode()


def _until(condition: Callable[[], Any]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit, "it did not happen within 30 s"
        time.sleep(0.02)


# How things are spelled


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (12.34, "12.3 s"),
        (185, "3 min 05 s"),
        (3720, "1 h 02 min"),
        (273600, "3 d 04 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, ""), (0, ""), (5, "5 B"), (2**20, "1.0 MiB"), (3 * 2**29, "1.5 GiB")]
)
def test_sizes(count: int | None, text: str) -> None:
    assert output.size(count) == text
