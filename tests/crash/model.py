"""The model: what the world must look like once all jobs have ended, whatever happened on the way.

`look` describes a place without what chance decides: ids and digests are numbered in the order in which they appear,
times are left out. Two runs of the same order, one of them disturbed, must leave the same description. A repetition
may differ in this alone: times, and estimates of them; how often progress was told of; that a step was begun once more;
and the machine's console, to which a repeated call adds its line once more.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from darkroom.domain.servers import ServerAccess
from darkroom.store.sealing import Sealer

from .place import Place
from .scenarios import End

World = dict[str, Any]
_CHANCE = re.compile(r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{32}|[1-9]\d{17})\b")
#: Times in the data of an event.
_TIMES = re.compile(r',?"seconds_left":[0-9.]+')
#: Files that a data folder has besides those of machines and images.
_KNOWN = re.compile(
    r"(secret\.key|credentials\.json|service\.(json|lock)|darkroom\.db(-wal|-shm)?|apps/\d+|simulated/(\.lock|\.?faults\.json(\.lock)?))"
)


def look(place: Place) -> World:
    """Describe a place as it is."""
    world = {
        "jobs": place.rows('SELECT job_type, status, sub_jobs_total, "order", cancelled FROM jobs ORDER BY id'),
        "sub-jobs": place.rows(
            "SELECT job_id, status, resource_id, resource_name, error_code, error_message FROM sub_jobs ORDER BY id"
        ),
        "servers": place.rows(
            "SELECT id, name, status, app_group_id, server_id, instance_id, image_id, attached_apps, keep_until > 0"
            " FROM image_servers ORDER BY id"
        ),
        "images": place.rows(
            "SELECT id, name, status, size, virtual_size, sha256, generalised, source_server_id"
            " FROM images ORDER BY name, id"
        ),
        "events": [
            (*row, _TIMES.sub("", data))
            for *row, data in place.rows(
                "SELECT job_id, sub_job_id, kind, resource_id, data FROM events"
                " WHERE kind NOT IN ('step.progress', 'step.resumed') ORDER BY seq"
            )
        ],
        "evidence": [
            _evidence(*row)
            for row in place.rows("SELECT sub_job_id, job_id, data, screen FROM evidence ORDER BY sub_job_id")
        ],
        "machines": [_machine(path) for path in _files(place.data / "simulated" / "machines", "*.json")],
        "released": [_machine(path) for path in _files(place.data / "simulated" / "released", "*.json")],
        "workflows": place.rows(f"SELECT workflow_uuid, name, status FROM {place.dbos}workflow_status ORDER BY 1"),
        "checkpoints": place.rows(
            f"SELECT workflow_uuid, function_id, function_name FROM {place.dbos}operation_outputs ORDER BY 1, 2"
        ),
    }
    return _without_chance(world)


def problems(place: Place, end: End, undisturbed: World | None, *, put_in_order: bool = False) -> list[str]:
    """Return what is wrong with a place in which all has ended; nothing if it is as it must be.

    Where it has been put in order, events may tell of what was nobody's.
    """
    try:
        world = look(place)
    except json.JSONDecodeError as error:
        return [f"a machine's record cannot be read: {error}"]
    if put_in_order:
        world["events"] = [row for row in world["events"] if not row[2].endswith(".orphan_removed")]
    found = [*_unlike(world, end), *broken(place)]
    for part in undisturbed or ():
        if world[part] != undisturbed[part]:  # type: ignore[index]
            found.append(f"{part} differ from the undisturbed run:\n{_difference(undisturbed[part], world[part])}")  # type: ignore[index]
    return found


def _unlike(world: World, end: End) -> Iterable[str]:
    """Compare with what the scenario says of its end: the last job, its sub-jobs, servers, machines, images."""
    sub_jobs = [row for row in world["sub-jobs"] if row[0] == world["sub-jobs"][-1][0]]
    is_and_should = {
        "job": (world["jobs"][-1][1], end.job),
        "sub-jobs": (tuple(row[1] for row in sub_jobs), end.sub_jobs),
        "error codes": (tuple(row[4] for row in sub_jobs), end.codes),
        "servers": ({row[1]: row[2] for row in world["servers"]}, dict(end.servers)),
        "machines": (len(world["machines"]), end.machines),
        "released machines": (len(world["released"]), end.released),
        "new images": (len(world["images"]) - 1, end.images),
        "snapshots": (sum(len(machine["captures"]) for machine in world["machines"]), end.captures),
        "workflows' statuses": ({row[2] for row in world["workflows"]}, {"SUCCESS"}),
    }
    return [f"{what}: {found}, not {wanted}" for what, (found, wanted) in is_and_should.items() if found != wanted]


def broken(place: Place) -> list[str]:
    """Return what is broken whatever was asked for: numbers, times, records and files that do not belong together."""
    rules: list[tuple[str, Callable[[Place], bool]]] = [
        ("the events are numbered with gaps", _has_gaps),
        ("something ended before it began, or has no end", _is_out_of_time),
        ("a server's record and its machine differ", _machines_differ),
        ("an image's record and its files differ", _images_differ),
    ]
    strays = [name for path in _files(place.data, "**/*") if not _belongs(name := str(path.relative_to(place.data)))]
    return [what for what, is_so in rules if is_so(place)] + ([f"left behind: {strays}"] if strays else [])


def _has_gaps(place: Place) -> bool:
    """On SQLite the numbers have no gap. PostgreSQL does not take back the number of a transaction that was undone."""
    if place.server:
        return False
    ((first, last, count),) = place.rows("SELECT min(seq), max(seq), count(*) FROM events")
    return bool((first, last) != (1, count))


def _is_out_of_time(place: Place) -> bool:
    wrong = "SELECT id FROM {} WHERE end_time IS NULL"
    return any(place.rows(wrong.format(table)) for table in ("jobs", "sub_jobs"))


def _machines_differ(place: Place) -> bool:
    """A server that is ready has a machine of the same id, at the door that its record names; no other has one."""
    machines = {
        path.stem: json.loads(path.read_bytes()) for path in _files(place.data / "simulated" / "machines", "*.json")
    }
    sealer = Sealer((place.data / "secret.key").read_bytes())
    servers = place.rows("SELECT id, status, instance_id, sealed_access FROM image_servers")
    if set(machines) - {str(row[0]) for row in servers}:
        return True
    for number, status, instance_id, sealed in servers:
        machine = machines.get(str(number))
        if status in ("ACTIVE", "BUILT"):
            access = msgspec.msgpack.decode(
                sealer.open(bytes(sealed), "image_servers.sealed_access"), type=ServerAccess
            )
            if machine is None or (machine["instance_id"], machine["port"]) != (instance_id, access.port):
                return True
    ports = [machine["port"] for machine in machines.values()]
    return len(set(ports)) != len(ports)


def _images_differ(place: Place) -> bool:
    """Every image has one file and one record beside it, and all three agree; nothing else is there."""
    rows = place.rows("SELECT id, size, virtual_size, sha256 FROM images")
    folder = place.data / "images"
    if {path.name for path in _files(folder)} != {f"{row[0]}.{kind}" for row in rows for kind in ("json", "disk")}:
        return True
    for image_id, size, virtual_size, sha256 in rows:
        content = (folder / f"{image_id}.disk").read_bytes()
        facts = json.loads((folder / f"{image_id}.json").read_bytes())
        recorded = {"size": size, "virtual_size": virtual_size, "sha256": sha256}
        if facts != recorded or (len(content), hashlib.sha256(content).hexdigest()) != (size, sha256):
            return True
    return False


def _machine(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_bytes())
    guest = record["guest"]["files"]
    return {
        "key": record["key"],
        "instance": record["instance_id"],
        "booted": record["booted"],
        "captures": {job: frozen["generalised"] for job, frozen in record["captures"].items()},
        "console": list(dict.fromkeys(record["serial"])),
        "files": sorted(guest),
        "applications": guest.get("/opt/darkroom/apps/apps.json", ""),
        "accounts": guest["/etc/passwd"],
    }


def _evidence(sub_job: int, job: int, data: str, screen: bytes | None) -> dict[str, Any]:
    found = json.loads(data)
    return {
        "of": [sub_job, job],
        "why": [found[part] for part in ("step", "code", "message", "causes")],
        "machine": found["machine"],
        "guest": found["guest"],
        "console": list(dict.fromkeys(found["console"])),
        "missing": found["missing"],
        "screen": screen is not None,
    }


def _files(folder: Path, names: str = "*") -> list[Path]:
    return sorted(path for path in folder.glob(names) if path.is_file())


def _belongs(name: str) -> bool:
    machine = r"simulated/(machines|released)/\d{18}\.json"
    image = r"images/[0-9a-f-]{36}\.(json|disk)"
    return any(re.fullmatch(form, name) for form in (_KNOWN.pattern, machine, image))


def _without_chance(world: World) -> World:
    """Number ids and digests in the order of their appearance, part by part, so that a difference stays where it is."""
    names: dict[str, str] = {}
    text = re.sub(r"(?<=[\[ ])[1-9]\d{17}(?=[,\]])", r'"\g<0>"', json.dumps(world, default=str, ensure_ascii=False))
    numbered = _CHANCE.sub(lambda match: names.setdefault(match[0], f"<{len(names)}>"), text)
    plain: World = json.loads(numbered)
    return plain


def _difference(wanted: list[Any], found: list[Any]) -> str:
    missing = [f"  missing: {each}" for each in wanted if each not in found]
    more = [f"  more:    {each}" for each in found if each not in wanted]
    return "\n".join([*missing, *more][:12]) or f"  their order or number: {len(wanted)} → {len(found)}: {found}"
