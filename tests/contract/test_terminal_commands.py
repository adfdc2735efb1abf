"""`darkroom servers console` and `darkroom servers vnc` against a real service, at a real terminal and without one."""

import os
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from service_process import PATIENCE, Service
from terminals import terminal

PROMPT = "typed-at:~# "
SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def server(service: Service, image: str) -> str:
    return service.new_server(image, "typed-at")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    return {**clean, "PYTHONPATH": str(SOURCE)}


@pytest.fixture
def at_terminal(service: Service, environment: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Start the command at a terminal of its own."""
    started: list[Any] = []

    def start(*words: str) -> Any:
        line = ["-m", "darkroom.cli", "--data", str(service.data), *words]
        child = pexpect.spawn(sys.executable, line, env=environment, timeout=PATIENCE, encoding="utf-8")
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def run(service: Service, environment: dict[str, str], *words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "darkroom.cli", "--data", str(service.data), *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False, **more)


def end_of(child: Any) -> tuple[int | None, str]:
    """Wait for the end of a command; return its exit code and what it printed last."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, child.before


def is_raw(child: Any) -> bool:
    return not termios.tcgetattr(child.child_fd)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def test_the_console_is_used_and_left_by_its_key(at_terminal: Callable[..., Any], server: str) -> None:
    child = at_terminal("servers", "console", "typed-at")
    child.expect("Ctrl-] leaves it")
    child.expect("Booting typed-at")
    child.expect(PROMPT)
    assert is_raw(child)
    child.send("echo by-hand\r")
    child.expect(f"echo by-hand\r\nby-hand\r\n{PROMPT}")
    child.send("\x03")  # goes to the guest, and does not end the command
    child.expect(r"\^C")
    child.send("\x1d")
    assert end_of(child)[0] == 0


def test_the_terminal_is_given_back_however_the_command_ends(at_terminal: Callable[..., Any], server: str) -> None:
    for leave, code in ((lambda child: child.send("\x1d"), 0), (lambda child: child.kill(signal.SIGTERM), 143)):
        child = at_terminal("servers", "console", "typed-at")
        child.expect(PROMPT)
        before = is_raw(child)
        leave(child)
        child.expect(pexpect.EOF)
        after = is_raw(child)
        child.close()
        assert (before, after, child.exitstatus) == (True, False, code)


def test_a_console_that_ends_says_why(service: Service, image: str, at_terminal: Callable[..., Any]) -> None:
    server = service.new_server(image, "soon-gone")
    child = at_terminal("servers", "console", server)
    child.expect("soon-gone:~# ")
    service.succeeded(service.delete(server))
    code, said = end_of(child)
    assert code == 1
    assert "The connection to the console ended" in said


def test_what_is_piped_in_is_typed_and_answered(service: Service, environment: dict[str, str], server: str) -> None:
    done = run(service, environment, "servers", "console", "typed-at", "--linger", "1", input="echo through-a-pipe\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"echo through-a-pipe\nthrough-a-pipe\n{PROMPT}" in done.stdout.replace("\r", "")


def test_without_input_what_was_written_is_shown(service: Service, environment: dict[str, str], server: str) -> None:
    done = run(service, environment, "servers", "console", "typed-at", "--linger", "0.5", stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert "Booting typed-at" in done.stdout


def test_a_key_that_leaves_is_only_a_byte_where_nobody_types(
    service: Service, environment: dict[str, str], server: str
) -> None:
    done = run(service, environment, "servers", "console", "typed-at", "--linger", "1", input="\x1decho after-it\n")
    assert done.returncode == 0
    assert "\nafter-it" in done.stdout.replace("\r", "")


def test_a_picture_of_the_screen_is_written(
    service: Service, environment: dict[str, str], server: str, tmp_path: Path
) -> None:
    file = tmp_path / "screen.png"
    done = run(service, environment, "servers", "screenshot", "typed-at", "-o", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    nowhere = run(service, environment, "servers", "screenshot", "typed-at", "-o", str(tmp_path / "no" / "screen.png"))
    assert nowhere.returncode == 1
    assert "screen.png" in nowhere.stderr


@pytest.mark.parametrize("command", ["console", "vnc"])
def test_what_cannot_be_opened_is_refused_in_a_sentence(
    service: Service, environment: dict[str, str], image: str, command: str
) -> None:
    name = f"stillborn-for-{command}"
    service.fault("create", name, error="MachineFailed")
    service.ended(service.create(image, name))
    done = run(service, environment, "servers", command, name, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no machine on this host. (WKS.00211102)" in done.stderr
    unknown = run(service, environment, "servers", command, "nobody-knows-it", stdin=subprocess.DEVNULL)
    assert unknown.returncode == 1
    assert "No image server has the id or the name" in unknown.stderr


def test_where_nothing_answers_the_exit_code_says_so(
    service: Service, environment: dict[str, str], server: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = run(service, environment, "--endpoint", nowhere, "servers", "console", server, stdin=subprocess.DEVNULL)
    assert done.returncode == 4


@pytest.fixture
def forwarded(service: Service, environment: dict[str, str], server: str) -> Iterator[tuple[str, int]]:
    """A port here that leads to the screen; the command must end well when it is told to."""
    line = [sys.executable, "-m", "darkroom.cli", "--data", str(service.data), "servers", "vnc", server]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        host, _, port = command.stdout.readline().strip().rpartition(":")
        yield host, int(port)
        command.send_signal(signal.SIGINT)
        assert command.wait(PATIENCE) == 0


def test_a_vnc_viewer_is_led_to_the_screen(forwarded: tuple[str, int]) -> None:
    for _ in range(2):
        with socket.create_connection(forwarded, timeout=PATIENCE) as first:
            with socket.create_connection(forwarded, timeout=PATIENCE) as second:
                assert second.recv(12) == b"RFB 003.008\n"
            assert first.recv(12) == b"RFB 003.008\n"
            first.sendall(b"RFB 003.008\n\x01\x01")
            told = b""
            while b"typed-at" not in told:
                piece = first.recv(4096)
                assert piece, told
                told += piece


def test_a_viewer_that_speaks_garbage_is_let_go(forwarded: tuple[str, int]) -> None:
    with socket.create_connection(forwarded, timeout=PATIENCE) as viewer:
        viewer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while viewer.recv(4096):
            pass


@pytest.mark.parametrize("place", ["5900", "localhost:5900", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "[::1]:1"])
def test_a_place_to_listen_that_is_none_is_refused(
    service: Service, environment: dict[str, str], server: str, place: str
) -> None:
    done = run(service, environment, "servers", "vnc", server, "--listen", place)
    assert done.returncode == 2
    assert place in done.stderr


def test_a_port_that_is_taken_is_told_of(service: Service, environment: dict[str, str], server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(service, environment, "servers", "vnc", server, "--listen", place)
    assert done.returncode == 1
    assert f"Cannot listen on {place}" in done.stderr


def test_a_viewer_by_websocket_and_one_at_the_terminal_see_the_same(
    service: Service, at_terminal: Callable[..., Any], server: str
) -> None:
    child = at_terminal("servers", "console", "typed-at")
    child.expect(PROMPT)
    with terminal(service, f"{server}/serial") as line:
        line.send(b"echo from-elsewhere\r")
        child.expect(f"\nfrom-elsewhere\r\n{PROMPT}")
