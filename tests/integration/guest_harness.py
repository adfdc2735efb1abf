"""Runs guests under QEMU without KVM for the tests of the guest builder, and ends them."""

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from darkroom.guests import Appliance, TaskVerdict, kernel_command_line, verdict

QEMU = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-nodefaults", "-display", "none", "-no-reboot"]
PATIENCE = 120.0


def disk(path: Path, *, read_only: bool = False) -> list[str]:
    """QEMU's options for a virtio disk."""
    kind = "qcow2" if path.suffix == ".qcow2" else "raw"
    return ["-drive", f"file={path},format={kind},if=virtio,cache=unsafe,readonly={'on' if read_only else 'off'}"]


def overlay(path: Path, base: Path, *, size: str) -> Path:
    """Make a new disk of `size` over `base`."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(path), size]
    subprocess.run(command, check=True)
    return path


def run_appliance(appliance: Appliance, task: Any, *options: str) -> str:
    """Let the appliance do its task until it powers off; return what it wrote on the serial port."""
    boot = ["-kernel", str(appliance.kernel), "-initrd", str(appliance.initrd), "-append", kernel_command_line(task)]
    command = [*QEMU, "-m", "256", "-serial", "stdio", *boot, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def run_task(appliance: Appliance, subject: Path, archive: bytes, scratch: Path) -> tuple[TaskVerdict, str]:
    """Run a task on the disk `subject`; return how it ended and the whole text."""
    tar = scratch / "task.tar"
    tar.write_bytes(archive)
    said = run_appliance(appliance, "run", *disk(subject), *disk(tar, read_only=True))
    return verdict(said), said


class Agent:
    """A machine's guest agent, spoken to over its socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._received = b""

    def close(self) -> None:
        self._socket.close()

    def greet(self) -> None:
        """Wait until the agent answers; its 0xFF byte parts this answer from older ones."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._socket.settimeout(1)
            with suppress(TimeoutError):
                self._send("guest-sync-delimited", {"id": 4711}, prefix=b"\xff")
                while self._line() != {"return": 4711}:
                    pass
                self._socket.settimeout(PATIENCE)
                return
        raise AssertionError("the guest agent does not answer")

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command of the agent and return its result; answers to earlier greetings are passed over."""
        self._send(command, arguments)
        while True:
            answer = self._line()
            if "JSON" in str(answer.get("error")) or answer.get("return") == 4711:
                continue
            assert "return" in answer, answer
            return answer["return"]

    def sh(self, script: str) -> str:
        """Run a script in the guest, which must succeed, and return what it wrote."""
        status, said = self.try_sh(script)
        assert status == 0, said
        return said

    def try_sh(self, script: str) -> tuple[int, str]:
        """Run a script in the guest; return its status and what it wrote."""
        started = self.call("guest-exec", path="/bin/sh", arg=["-c", script], **{"capture-output": True})
        while True:
            state = self.call("guest-exec-status", pid=started["pid"])
            if state["exited"]:
                said = base64.b64decode(state.get("out-data", "")) + base64.b64decode(state.get("err-data", ""))
                return state["exitcode"], said.decode()
            time.sleep(0.05)

    def _send(self, command: str, arguments: dict[str, Any], prefix: bytes = b"") -> None:
        self._socket.sendall(prefix + json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            self._received += self._socket.recv(65536)
        line, self._received = self._received.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line.lstrip(b"\xff"))
        return answer


class Machine:
    """A running guest."""

    def __init__(self, process: subprocess.Popen[bytes], agent: Agent, serial: Path, ssh_port: int) -> None:
        self.process, self.agent, self.serial, self.ssh_port = process, agent, serial, ssh_port

    def power_off(self) -> None:
        """Shut down through the agent, as the service does, and wait for the end."""
        self.agent._send("guest-shutdown", {"mode": "powerdown"})
        self.process.wait(timeout=PATIENCE)


@contextmanager
def booted(subject: Path, scratch: Path, *options: str) -> Iterator[Machine]:
    """Boot `subject` from its own disk until its agent answers."""
    scratch.mkdir(parents=True, exist_ok=True)
    port, path, serial = _free_port(), scratch / "agent", scratch / "serial"
    devices = ["-device", "virtio-serial", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
    network = [f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net,romfile="]
    channels = ["-chardev", f"socket,id=agent,path={path},server=on,wait=off", "-serial", f"file:{serial}"]
    command = [
        *QEMU,
        "-m",
        "256",
        "-machine",
        "q35",
        "-device",
        "virtio-rng-pci",
        *devices,
        "-netdev",
        *network,
        *channels,
    ]
    process = subprocess.Popen([*command, *disk(subject), *options])
    try:
        while not path.exists():
            assert process.poll() is None, "QEMU ended at once"
            time.sleep(0.02)
        agent = Agent(path)
        try:
            agent.greet()
            yield Machine(process, agent, serial, port)
        finally:
            agent.close()
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
