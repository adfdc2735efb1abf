"""`darkroom doctor`: what this host has, what it lacks, and what to do about it. Works before anything is set up."""

import asyncio
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer
from rich.text import Text

from darkroom.cli import broken, output, upkeep
from darkroom.cli.client import Api
from darkroom.cli.failures import ExitCode, Failure
from darkroom.cli.output import Json
from darkroom.cli.session import Session
from darkroom.cli.upkeep import Finding, Mark
from darkroom.errors import DarkroomError
from darkroom.settings import Settings

GIB = 2**30
#: Bytes below which a check warns, and below which it fails.
DISK_WARN, DISK_LEAST = 10 * GIB, GIB
MEMORY_WARN = GIB


def doctor(ctx: typer.Context, json: Json = False) -> None:
    """Check that this host can run Darkroom. Exits with 1 if something that is required is missing."""
    findings = list(_examine(ctx.obj))
    if json:
        output.dump([{**msgspec.to_builtins(finding), "mark": finding.mark.name.lower()} for finding in findings])
    else:
        _draw(findings)
    if any(finding.mark is Mark.BAD for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _draw(findings: list[Finding]) -> None:
    styles = {Mark.GOOD: "green", Mark.MIND: "yellow", Mark.BAD: "bold red"}
    rows = []
    for found in findings:
        text = Text(found.finding)
        if found.advice:
            text.append(f"\n→ {found.advice}")
        rows.append((Text(found.mark.value, styles[found.mark]), found.subject, text))
    output.table(("", "CHECK", "FINDING"), rows, fold="FINDING")
    bad, mind = (sum(found.mark is mark for found in findings) for mark in (Mark.BAD, Mark.MIND))
    if bad:
        output.say(f"\n{bad} of these must be mended before Darkroom can work.")
    else:
        output.say(f"\nDarkroom can work here{'; mind the lines marked !' if mind else ''}.")


def _examine(session: Session) -> Iterator[Finding]:
    yield _python()
    try:
        settings = session.settings()
    except Failure as failure:
        yield Finding(Mark.BAD, "settings", failure.message, "Correct DARKROOM_… or the TOML file.")
        return
    yield from _data(settings)
    yield _memory()
    if settings.driver == "qemu":
        yield _program("qemu-system-x86_64", "qemu-system-x86")
        yield _program("qemu-img", "qemu-utils")
        yield _kit(settings)
        yield _accelerator(settings)
    else:
        yield Finding(Mark.GOOD, "driver", f"{settings.driver}: needs neither QEMU nor KVM nor a kit")
    yield _ssh()
    service = _service(session, settings)
    yield service
    if service.mark is Mark.GOOD:
        yield from upkeep.findings(session.api())
        yield from broken.findings(session.api())
    yield from _left_over(settings)


def _python() -> Finding:
    mark = Mark.GOOD if sys.version_info >= (3, 11) else Mark.BAD
    return Finding(mark, "Python", platform.python_version(), "" if mark is Mark.GOOD else "Python 3.11 is the oldest.")


def _data(settings: Settings) -> Iterator[Finding]:
    folder = settings.data
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        yield Finding(Mark.BAD, "data folder", f"{there} is no folder", "Choose another folder with --data.")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            Mark.BAD, "data folder", f"you may not write in {there}",
            "Choose another folder with --data, or run the service as its owner.",
        )  # fmt: skip
    else:
        state = "" if folder.exists() else " (the service will make it)"
        yield Finding(Mark.GOOD, "data folder", f"{folder}{state}")
    free = shutil.disk_usage(there).free
    mark = Mark.GOOD if free >= DISK_WARN else Mark.MIND if free >= DISK_LEAST else Mark.BAD
    advice = "" if mark is Mark.GOOD else f"Images and machines need room: {output.size(DISK_WARN)} is a good start."
    yield Finding(mark, "free disk", output.size(free) or "none", advice)


def _memory() -> Finding:
    try:
        facts = Path("/proc/meminfo").read_text()
    except OSError:
        return Finding(Mark.MIND, "free memory", "not known on this system")
    match = re.search(r"MemAvailable:\s+(\d+) kB", facts)
    free = int(match[1]) * 1024 if match else 0
    mark = Mark.GOOD if free >= MEMORY_WARN else Mark.MIND
    return Finding(mark, "free memory", output.size(free), "" if mark is Mark.GOOD else "Only tiny machines will fit.")


def _program(program: str, package: str) -> Finding:
    if not shutil.which(program):
        return Finding(Mark.BAD, program, "not installed", f"apt install {package}")
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(Mark.BAD, program, f"does not run: {error}", f"apt install --reinstall {package}")
    match = re.search(r"version (\S+)", said)
    return Finding(Mark.GOOD, program, match[1] if match else said.strip())


def _kit(settings: Settings) -> Finding:
    folder = settings.kit
    if all((folder / name).is_file() for name in ("appliance-kernel", "appliance-initrd")):
        return Finding(Mark.GOOD, "kit", str(folder))
    return Finding(Mark.BAD, "kit", f"no helper appliance in {folder}", "darkroom kit build")


def _accelerator(settings: Settings) -> Finding:
    subject = "KVM"
    if not shutil.which("qemu-system-x86_64"):
        return Finding(Mark.MIND, subject, "cannot be tried without QEMU")
    try:
        name, reason = _choose_accelerator(settings)
    except (DarkroomError, OSError) as error:
        return Finding(Mark.MIND, subject, f"could not be tried: {error}")
    if name == "kvm":
        return Finding(Mark.GOOD, subject, f"used: {reason}")
    return Finding(Mark.MIND, subject, f"not used: {reason}", "Machines are emulated instead: slower, but all works.")


def _choose_accelerator(settings: Settings) -> tuple[str, str]:
    """Return what the service would choose and why; its own verdict where there is one. Makes no data folder."""
    from darkroom.drivers.qemu import accel, files, helper, layout

    with tempfile.TemporaryDirectory(prefix="darkroom-doctor-") as scratch:
        usable = os.access(settings.data, os.W_OK | os.X_OK)
        cache = layout.Layout(settings.data if usable else Path(scratch)).accelerator_verdict
        owner, kit = files.identity_of(settings.qemu_user), helper.Kit(settings.kit)
        found = asyncio.run(accel.choose(settings.accelerator, kit, cache, owner))
    return found.name, found.reason


def _ssh() -> Finding:
    if shutil.which("ssh"):
        return Finding(Mark.GOOD, "ssh", "installed")
    return Finding(Mark.MIND, "ssh", "not installed; `darkroom servers ssh` needs it", "apt install openssh-client")


def _service(session: Session, settings: Settings) -> Finding:
    subject = "service"
    try:
        endpoint = session.endpoint()
        with Api(endpoint) as anybody:
            health = anybody.get("/health")
    except Failure as failure:
        return _port(settings, failure)
    try:
        session.api().get("/v1/{project}/image-server-jobs", job_type="", limit=1)
    except Failure as failure:
        return Finding(Mark.BAD, subject, f"runs at {endpoint}, but: {failure.message}", failure.hint)
    return Finding(Mark.GOOD, subject, f"version {health.get('version', '?')} at {endpoint}, credentials accepted")


def _port(settings: Settings, failure: Failure) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as error:
            reason = error.strerror or str(error)
            return Finding(
                Mark.BAD, "service", f"{failure.message} And it could not listen on {settings.host}:{settings.port}: "
                f"{reason}.", "Choose another port with `darkroom serve --port`.",
            )  # fmt: skip
    return Finding(Mark.MIND, "service", failure.message, "darkroom serve")


def _left_over(settings: Settings) -> Iterator[Finding]:
    released = settings.data / "released"
    try:
        folders = sorted(path for path in released.iterdir() if path.is_dir())
    except OSError:
        return
    if folders:
        used = sum(_disk_use(path) for path in folders)
        yield Finding(
            Mark.MIND, "released machines", f"{len(folders)} kept in {released}, {output.size(used) or 'empty'}",
            "They were deleted with --keep-machine; remove the folders that nobody needs any more.",
        )  # fmt: skip


def _disk_use(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
