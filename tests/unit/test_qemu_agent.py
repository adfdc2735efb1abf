"""Conversations with a guest agent that is played by the test, helpful or not."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from darkroom.drivers.qemu.agent import Agent, AgentRefused, AgentSilent, agent

Answer = Callable[[dict[str, Any]], bytes]


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def polite(request: dict[str, Any]) -> bytes:
    if request["execute"] == "guest-sync-delimited":
        return b"\xff" + line({"return": request["arguments"]["id"]})
    return line({"return": {}})


def talk(folder: Path, answer: Answer, scene: Callable[[Agent], Any] | None = None, limit: float = 2.0) -> Any:
    """Play the guest with `answer` while `scene` talks to it."""

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.readline():
            writer.write(answer(json.loads(received.lstrip(b"\xff"))))
        writer.close()
        ended.set()

    ended = asyncio.Event()

    async def play() -> Any:
        server = await asyncio.start_unix_server(guest, folder / "agent.sock")
        async with server, agent(folder, limit=limit) as other:
            result = await scene(other) if scene else None
        await ended.wait()
        return result

    return asyncio.run(play())


def test_what_earlier_callers_left_in_the_line_is_passed_over(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> bytes:
        return b'{"return": {"old": 1}}\n{"half": \xff' + line({"return": 1}) + b"\xc3\x28\n[1]\n" + polite(request)

    talk(tmp_path, answer)


@pytest.mark.parametrize("said", [b"", b"garbage\n", line({"return": 5})])
def test_a_guest_that_does_not_answer_rightly_is_silent(tmp_path: Path, said: bytes) -> None:
    with pytest.raises(AgentSilent):
        talk(tmp_path, lambda _: said, limit=0.2)


def test_a_long_path_can_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("long-" * 30)
    folder.mkdir()

    async def play() -> None:
        monkeypatch.chdir(folder)
        server = await asyncio.start_unix_server(lambda _r, writer: writer.close(), "agent.sock")
        monkeypatch.chdir("/")
        async with server:
            with pytest.raises(AgentSilent, match=r"closed|broke"):
                async with agent(folder, limit=1):
                    pass

    asyncio.run(play())


def test_an_error_of_the_agent_is_a_refusal(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> bytes:
        if request["execute"] == "guest-exec":
            return line({"error": {"class": "CommandNotFound", "desc": "guest-exec has been disabled"}})
        return polite(request)

    with pytest.raises(AgentRefused, match="disabled"):
        talk(tmp_path, answer, lambda guest: guest.run(["/bin/true"], limit=1))


def test_a_program_runs_to_its_end_with_its_input_and_environment(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    states = iter([{"exited": False}, {"exited": True, "exitcode": 3, "out-data": base64.b64encode(b"hi").decode()}])

    def answer(request: dict[str, Any]) -> bytes:
        asked.append(request)
        if request["execute"] == "guest-exec":
            return line({"return": {"pid": 7}})
        return line({"return": next(states)}) if request["execute"] == "guest-exec-status" else polite(request)

    ended = talk(tmp_path, answer, lambda guest: guest.run(["/x", "y"], stdin=b"in", environment={"A": "b"}, limit=5))
    assert (ended.status, ended.output) == (3, "hi")
    arguments = asked[1]["arguments"]
    assert (arguments["path"], arguments["arg"]) == ("/x", ["y"])
    assert base64.b64decode(arguments["input-data"]) == b"in"
    assert "A=b" in arguments["env"]
    assert any(entry.startswith("PATH=") for entry in arguments["env"])


def test_without_a_socket_the_guest_is_silent(tmp_path: Path) -> None:
    async def play() -> None:
        async with agent(tmp_path, limit=1):
            pass

    with pytest.raises(AgentSilent):
        asyncio.run(play())
