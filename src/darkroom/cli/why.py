"""Explains why a job failed: what happened, what to do about it, and what its machine showed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from darkroom.cli import output, progress
from darkroom.cli.client import Api

#: Where a message begins to repeat the console, which is shown by itself.
_QUOTED: Final = " Last lines of the serial console:"

Failure = Mapping[str, Any]


def failures(api: Api, job_id: str) -> list[dict[str, Any]]:
    """Return why each sub-job of a job failed that did."""
    found: list[dict[str, Any]] = api.get(f"{progress.path_of(job_id)}/evidence")["failures"]
    return found


def explain(job: Mapping[str, Any], found: list[dict[str, Any]], *, lines: int, offer_screen: bool) -> None:
    """Print what failed, why, and what to do; `lines` of each console; how to get the screen, if that is wanted."""
    if not found:
        output.say(Text.assemble(f"Job {job['id']} is ", output.status(job["status"]), ": nothing of it has failed."))
    for number, failure in enumerate(found):
        output.say(Text("\n" if number else "").append_text(_head(job, failure)))
        output.say(f"\n{_message(failure)}\n")
        output.details(_facts(failure))
        _show_console(failure, lines)
        if offer_screen and failure.get("screen"):
            output.say(f"\nThe machine's screen: darkroom jobs why {job['id']} --screen FILE.png")


def save_screens(api: Api, found: list[dict[str, Any]], file: Path) -> list[Path]:
    """Write the pictures of the machines' screens; return the files. Of several, each has its sub-job in its name."""
    pictures = [failure for failure in found if failure.get("screen")]
    saved = []
    for failure in pictures:
        path = file if len(pictures) == 1 else file.with_stem(f"{file.stem}-{failure['sub_job_id']}")
        with api.download(failure["screen"]) as (_, chunks):
            path.write_bytes(b"".join(chunks))
        saved.append(path)
    return saved


def without_console(message: str) -> str:
    """Return a message without the lines of the console that it quotes at its end."""
    return message.partition(_QUOTED)[0]


def _head(job: Mapping[str, Any], failure: Failure) -> Text:
    where = f" in the step {failure['step']!r}" if failure.get("step") else ""
    name = failure["resource_name"]
    return Text.assemble((f"{job['job_type']} of {name} failed{where} ({failure['code']})", "bold red"))


def _message(failure: Failure) -> str:
    message = str(failure["message"])
    return without_console(message) if failure.get("console") else message


def _facts(failure: Failure) -> dict[str, str | Text]:
    guest, machine = failure.get("guest") or {}, failure.get("machine") or {}
    named = (f"{name} {guest[name]}" for name in ("hostname", "os", "kernel", "version") if guest.get(name))
    agent = f"its agent {guest['agent']}" if "answers" in guest.get("agent", "") else "its agent is silent"
    kept = output.time(failure.get("kept_until"))
    missing = (failure.get("missing") or {}).items()
    return {
        "What to do": failure["cure"],
        "When": output.time(failure.get("time")),
        "Led to by": "\n".join(failure.get("causes") or ()),
        "Machine": ", ".join(value for name, value in machine.items() if name != "instance_id"),
        "Guest": ", ".join([agent, *named]) if guest else "",
        "Kept until": f"{kept}, or darkroom servers delete {failure['resource_name']}" if kept else "",
        "Not seen": "; ".join(f"{name}: {why}" for name, why in missing),
    }


def _show_console(failure: Failure, lines: int) -> None:
    console = failure.get("console") or []
    shown = console[-lines:] if lines else []
    if not shown:
        return
    output.say(Text(f"\nThe last {len(shown)} of {len(console)} lines of the serial console:", "bold"))
    for line in shown:
        output.say(f"  {line}")
