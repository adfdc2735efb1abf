"""The command in a real terminal, against a real service: watching jobs, and completing what is typed."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pexpect
import pytest
from people import Person
from service_process import PATIENCE, Service, cancel, held

NewService = Callable[..., Service]
SOURCE = Path(__file__).parents[2] / "src"
#: What a terminal is told beside text: colours, and where to write next.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DARKROOM_", "_DARKROOM"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**clean, "PATH": path, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "TZ": "UTC", **more}


@contextmanager
def terminal(*words: str, **more: str) -> Iterator[pexpect.spawn]:
    """Run the command in a terminal of 160 columns."""
    words = ("-m", "darkroom.cli", *words)
    child = pexpect.spawn(
        sys.executable, list(words), env=environment(**more), dimensions=(40, 160), encoding="utf-8", timeout=PATIENCE
    )
    try:
        yield child
    finally:
        child.close(force=True)


@contextmanager
def watching(service: Service, *job_ids: str, **more: str) -> Iterator[pexpect.spawn]:
    with terminal("--data", str(service.data), "jobs", "watch", *job_ids, **more) as child:
        yield child


def ended(child: pexpect.spawn) -> tuple[int, str]:
    """Wait for the command's end; return its exit code, and what it showed since the last thing that was expected."""
    child.expect(pexpect.EOF)
    child.wait()
    return int(child.exitstatus), _CONTROL.sub("", child.before)


def piped(service: Service, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "darkroom.cli", "--data", str(service.data), *words],
        env=environment(**more), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


# Watching


def test_several_jobs_have_a_line_each_and_how_they_ended_stays(service: Service, image: str) -> None:
    first, second = held(service, image, "bar-a"), held(service, image, "bar-b")
    good = service.create(image, "bar-c")
    with watching(service, first, second, good) as child:
        child.expect(f"Job {good}, create server bar-c: .*SUCCESS")
        child.expect("create server bar-a · await guest")
        child.expect("create server bar-b · await guest")
        cancel(service, first)
        child.expect(f"Job {first}, create server bar-a: .*FAILED")
        cancel(service, second)
        code, rest = ended(child)
    assert code == 1, "not all succeeded"
    assert f"Job {second}, create server bar-b: FAILED" in rest
    assert "Darkroom.0003" in rest, "the reason is told"
    with watching(service, good) as child:
        assert ended(child)[0] == 0


def test_a_step_that_tells_how_far_it_is_fills_its_bar(new_service: NewService) -> None:
    service = new_service(durations="boot=0,login=0,snapshot=0,generalise=0,flatten=3,delete=0,run=0")
    server_id = service.new_server(service.add_image())
    with watching(service, service.build(server_id, "filled")) as child:
        child.expect(r"create server image filled · flatten .*━.* \d+ %")
        assert ended(child)[0] == 0


def test_a_job_that_waits_for_room_tells_its_place(new_service: NewService) -> None:
    service = new_service(settings={"DARKROOM_MAX_MACHINES": "1"})
    image = service.add_image()
    first = held(service, image, "has-the-room")
    waiting = service.create(image, "waits-for-room")
    with watching(service, first, waiting) as child:
        child.expect("create server waits-for-room .* place 1 of 1 in the queue")
        cancel(service, first)
        child.expect(f"Job {waiting}, create server waits-for-room: .*SUCCESS")
        assert ended(child)[0] == 1
    done = piped(service, "jobs", "watch", waiting)
    assert "job.waiting place 1 of 1 in the queue" in done.stdout


def test_a_restart_of_the_service_is_told_and_waited_for(new_service: NewService) -> None:
    service = new_service()
    image = service.add_image()
    jobs = held(service, image, "restarted-a"), held(service, image, "restarted-b")
    with watching(service, *jobs) as child:
        child.expect("restarted-b · await guest")
        service.kill()
        child.expect("The service does not answer; waiting for it to come back.")
        service.start()
        child.expect("The service is back; going on after the last event seen.")  # told when both streams are
        sooner = child.before
        code, rest = ended(child)
    assert code == 0
    for job_id in jobs:
        assert f"Job {job_id}, create server" in sooner + rest
    assert "does not answer" not in rest, "two streams broke, which is told once"


def test_without_ids_all_jobs_are_watched_and_those_that_begin_meanwhile(new_service: NewService) -> None:
    service = new_service()
    image = service.add_image()
    first = held(service, image, "at-first")
    with watching(service) as child:
        child.expect("create server at-first")
        later = service.create(image, "meanwhile")
        child.expect(f"Job {later}, create server meanwhile: .*SUCCESS")
        assert child.isalive(), "the first job goes on"
        cancel(service, first)
        assert ended(child)[0] == 1
    done = piped(service, "jobs", "watch")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "No job is running.\n")


def test_who_may_watch_no_more_is_told_so(service: Service, image: str, tmp_path: Path) -> None:
    job_id = held(service, image, "refused")
    person = Person(service, "operator", project=service.project_id)
    credentials = tmp_path / "credentials.json"
    credentials.touch(mode=0o600)
    credentials.write_text(
        json.dumps({"access_key": person.access, "secret_key": person.secret, "project_id": service.project_id})
    )
    with watching(service, DARKROOM_CREDENTIALS=str(credentials)) as child:
        child.expect("refused · await guest")
        assert service.ask("DELETE", person.grant("operator", service.project_id)).status_code == 204
        code, rest = ended(child)
    assert code == 1
    assert "Error: You have no access to the project" in rest
    cancel(service, job_id)


def test_jobs_of_an_outage_are_learned_of_afterwards(new_service: NewService) -> None:
    service = new_service()
    image = service.add_image()
    first = held(service, image, "before-outage")
    service.fault("await_guest", "before-outage", hang=True, times=2)
    with watching(service) as child:
        child.expect("before-outage · await guest")
        service.kill()
        child.expect("does not answer")
        service.start()
        during = service.create(image, "after-outage")
        child.expect(f"Job {during}, create server after-outage: .*SUCCESS")
        cancel(service, first)
        assert ended(child)[0] == 1


def test_ctrl_c_leaves_the_jobs_alone_and_the_terminal_as_it_was(service: Service, image: str) -> None:
    job_id = held(service, image, "broken-off")
    with watching(service, job_id) as child:
        child.expect("broken-off · await guest")
        child.sendintr()
        child.expect("Stopped watching; the jobs go on.")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 130
        assert "\x1b[?25h" in child.before, "the cursor is shown again"
        assert "Traceback" not in child.before
    assert service.job(job_id)["status"] == "RUNNING"
    cancel(service, job_id)
    service.ended(job_id)


def test_into_a_pipe_goes_one_plain_line_for_each_event(service: Service, image: str) -> None:
    good, bad = service.create(image, "piped-good"), held(service, image, "piped-bad")
    cancel(service, bad)
    for job_id, code in ((good, 0), (bad, 1)):
        service.ended(job_id)
        done = piped(service, "jobs", "watch", job_id)
        kinds = [row[0] for row in service.rows("SELECT kind FROM events WHERE job_id = ? ORDER BY seq", int(job_id))]
        lines = done.stdout.splitlines()
        assert [line.split()[2:4] for line in lines] == [[job_id, kind] for kind in kinds]
        assert (done.returncode, done.stderr) == (code, "")
        assert "\x1b" not in done.stdout
    assert lines[-1].endswith("job.ended FAILED")


@pytest.mark.parametrize("job_id", ["12", "a b", "nonsense"])
def test_a_job_that_does_not_exist_is_named(service: Service, job_id: str) -> None:
    done = piped(service, "jobs", "watch", job_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"The job {job_id} does not exist." in done.stderr


# Completing


def completed(service: Service, shell: str, *words: str, **more: str) -> str:
    """Return what the command offers to a shell for the last word."""
    line = " ".join(("darkroom", "--data", str(service.data), *words))
    done = piped(
        service,
        _DARKROOM_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) + 2),
        **more,
    )
    assert done.stderr == ""
    return done.stdout


def test_bash_completes_ids_and_names(service: Service, image: str) -> None:
    job_id = service.create(image, "to-complete")
    service.succeeded(job_id)
    shell = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], env=environment(PS1="ready> ", DARKROOM_DATA=str(service.data)),
        dimensions=(40, 160), encoding="utf-8", timeout=PATIENCE,
    )  # fmt: skip
    try:
        shell.expect("ready> ")
        shell.sendline("bind 'set enable-bracketed-paste off'; eval \"$(darkroom --show-completion)\"; echo set-$?")
        shell.expect("set-0")
        shell.send("darkroom servers show to-com\t")
        shell.expect("show to-complete ")
        shell.sendline("| grep -c ACTIVE")
        shell.expect(r"\n1\r")
        shell.send(f"darkroom jobs show {job_id[:-2]}\t")
        shell.expect(job_id)
        shell.sendline("| grep -c 'boot machine'")
        shell.expect(r"\n1\r")
    finally:
        shell.close(force=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_offered_ids_of_what_there_is(service: Service, image: str, shell: str) -> None:
    job_id = service.create(image, f"offered-to-{shell}")
    server_id = service.succeeded(job_id)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert job_id in completed(service, shell, "jobs", "show", job_id[:10])
    assert server_id in completed(service, shell, "servers", "show", server_id[:-1])
    assert f"offered-to-{shell}" in completed(service, shell, "servers", "delete", "offered")
    assert image in completed(service, shell, "images", "show", image[:4])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_silent_where_there_is_no_service(service: Service, shell: str, tmp_path: Path) -> None:
    with hanging() as endpoint:
        for where in ("http://127.0.0.1:1", "nonsense", endpoint):
            offered = completed(service, shell, "jobs", "show", "", DARKROOM_ENDPOINT=where)
            assert not re.search(r"\d{15}", offered)
    (tmp_path / "credentials.json").write_text("{")
    found = completed(service, shell, "jobs", "show", "", DARKROOM_CREDENTIALS=str(tmp_path / "credentials.json"))
    assert not re.search(r"\d{15}", found)


# What stands in the place of the service


@contextmanager
def hanging() -> Iterator[str]:
    """Something that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def another_program() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<h1>It works!</h1>")

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


COMMANDS = [
    "images list", "images show x", "images delete x --yes", "servers list", "servers show x",
    "servers create x --image y", "servers build x --name y", "servers delete x --yes", "servers events x",
    "apps list", "apps show x", "jobs list", "jobs show 1", "jobs wait 1", "jobs watch 1", "jobs watch",
    "jobs cancel 1", "jobs retry 1", "jobs clean", "accounts list", "projects list", "users list",
    "keys list", "roles list",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_in_a_sentence_that_nothing_answers(service: Service, command: str) -> None:
    done = piped(service, "--endpoint", "http://127.0.0.1:1", *command.split())
    assert (done.returncode, done.stdout) == (4, "")
    said, advice = done.stderr.splitlines()
    assert said == "Error: Nothing answers at http://127.0.0.1:1 (connection refused)."
    assert "darkroom serve" in advice


@pytest.mark.parametrize("command", ["jobs list", "jobs watch", "jobs watch 1", "servers create x --image y"])
def test_another_program_in_its_place_is_recognised(service: Service, command: str) -> None:
    with another_program() as endpoint:
        done = piped(service, "--endpoint", endpoint, *command.split())
    assert (done.returncode, done.stdout) == (4, "")
    said, advice = done.stderr.splitlines()
    assert said == f"Error: What answers at {endpoint} does not speak Darkroom's API (200, text/html)."
    assert "another program" in advice


def test_a_service_that_hangs_is_not_waited_for_without_end(service: Service) -> None:
    with hanging() as endpoint:
        done = piped(service, "--endpoint", endpoint, "jobs", "list")
    assert (done.returncode, done.stdout) == (4, "")
    said, advice = done.stderr.splitlines()
    assert said == f"Error: The service at {endpoint} did not answer in time."
    assert "darkroom doctor" in advice


def test_tls_where_there_is_none_is_told_from_silence(service: Service) -> None:
    done = piped(service, "--endpoint", service.endpoint.replace("http:", "https:"), "jobs", "list")
    assert done.returncode == 4
    assert "No TLS connection" in done.stderr
    assert "http://" in done.stderr


@pytest.mark.parametrize("command", ["jobs list", "jobs watch", "jobs watch 1"])
def test_credentials_of_another_service_are_refused_with_advice(service: Service, tmp_path: Path, command: str) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({**service.credentials, "secret_key": "0" * 40}))
    file.chmod(0o600)
    done = piped(service, "--credentials", str(file), *command.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert "--credentials" in done.stderr
