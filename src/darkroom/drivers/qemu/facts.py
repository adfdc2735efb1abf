"""What the guest agent says of its system."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from darkroom.drivers.qemu import process
from darkroom.drivers.qemu.agent import Agent, AgentRefused, AgentSilent, agent

#: Seconds that the agent gets to answer at all, and for each question.
_ANSWER: Final = 2.0


async def of_guest(vm: Path) -> Mapping[str, str]:
    """See Compute; `vm` is the machine's folder."""
    if not process.lives(vm):
        return {}
    facts: dict[str, str] = {"agent": "silent"}
    with suppress(AgentSilent):
        async with agent(vm, limit=_ANSWER) as guest:
            facts["agent"] = "answers"
            facts["version"] = (await _asked(guest, "guest-info")).get("version", "")
            system = await _asked(guest, "guest-get-osinfo")
            facts["os"] = system.get("pretty-name") or system.get("name", "")
            facts["kernel"] = system.get("kernel-release", "")
            facts["hostname"] = (await _asked(guest, "guest-get-host-name")).get("host-name", "")
    return {name: fact for name, fact in facts.items() if fact}


async def _asked(guest: Agent, question: str) -> dict[str, str]:
    """Return the texts of an answer; none where the agent does not know the question or its answer is no object."""
    try:
        answer: Any = await guest.do(question, limit=_ANSWER)
    except AgentRefused:
        return {}
    return {name: fact for name, fact in answer.items() if isinstance(fact, str)} if isinstance(answer, dict) else {}
