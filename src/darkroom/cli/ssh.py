"""Runs the system's `ssh` with a key and a host key that live no longer than the call."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from darkroom.cli.failures import Failure

_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "GlobalKnownHostsFile": "/dev/null",
    "UpdateHostKeys": "no",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "PasswordAuthentication": "no",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ServerAliveInterval": "15",
    "ExitOnForwardFailure": "yes",
}


def run(
    door: dict[str, Any], server_id: str, command: Sequence[str], *, tty: bool = False, forwards: Sequence[str] = ()
) -> int:
    """Log in as `door` (the API's access object) says; return ssh's exit code. Raises Failure where there is no ssh.

    `forwards` are what ssh's own option -L takes.
    """
    program = shutil.which("ssh")
    if not program:
        raise Failure("There is no `ssh` on this machine.", hint="Install it: apt install openssh-client")
    if not door.get("host_key"):
        raise Failure("The service does not know the machine's host key, so a login would not be safe.")
    with tempfile.TemporaryDirectory(prefix="darkroom-ssh-") as name:  # made with mode 0700
        folder = Path(name)
        _write_private(folder / "key", str(door["private_key"]).rstrip("\n") + "\n")
        _write_private(folder / "known_hosts", known_host(server_id, str(door["host_key"])))
        options = {**_OPTIONS, "UserKnownHostsFile": folder / "known_hosts", "HostKeyAlias": f"darkroom-{server_id}"}
        line = [program, "-F", "none", "-i", str(folder / "key"), "-p", str(door["port"]), "-l", str(door["account"])]
        line += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        line += ["-t"] if tty else []
        line += [word for forward in forwards for word in ("-L", forward)]
        return _call([*line, str(door["address"]), *(["--", *command] if command else [])])


def known_host(server_id: str, host_key: str) -> str:
    """Return a known_hosts line for a server's alias; `host_key` is an OpenSSH public key, with or without a host."""
    words = host_key.split()
    kind = next(index for index, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "sk-")))
    return f"darkroom-{server_id} {words[kind]} {words[kind + 1]}\n"


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)


def _call(line: Sequence[str]) -> int:
    sys.stdout.flush()
    with subprocess.Popen(line) as process, _passing_signals(process):
        code = process.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _passing_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While ssh runs, an interrupt is ssh's to answer, and what would end us ends ssh first."""

    def leave_to_ssh(number: int, frame: FrameType | None) -> None:
        """The terminal has sent ssh the same signal."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    handlers = {signal.SIGINT: leave_to_ssh, signal.SIGTERM: pass_on, signal.SIGHUP: pass_on}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
