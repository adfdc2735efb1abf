"""OpenStack's Keystone and Glance, from PyPI, on SQLite: one process each, over a folder that is thrown away."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench import peers
from bench.load import Request
from bench.processes import PeerFailed

# Both applications read the command line as they are imported: nothing of ours may be left on it.
_SERVE = """
import importlib, sys, waitress
module, port = sys.argv[1:]
del sys.argv[1:]
waitress.serve(importlib.import_module(module).application, host="127.0.0.1", port=int(port), threads=4)
"""
_PASSWORD = "bench-only"
_PATIENCE = 120


@dataclass(frozen=True)
class Glance:
    """A running Glance, and the read of an image by a Keystone token."""

    endpoint: str
    read: Request


@contextmanager
def glance(folder: Path) -> Iterator[Glance]:
    """Set up and run both services. Raises PeerMissing or PeerFailed."""
    keystone, glance = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    _configure(folder, keystone)
    _manage(folder, "keystone-manage", "db_sync")
    user = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    _manage(folder, "keystone-manage", "fernet_setup", *user)
    _manage(folder, "keystone-manage", "credential_setup", *user)
    # fmt: off
    _manage(
        folder, "keystone-manage", "bootstrap", "--bootstrap-password", _PASSWORD, "--bootstrap-region-id", "bench",
        "--bootstrap-public-url", f"{keystone}/v3", "--bootstrap-internal-url", f"{keystone}/v3",
    )
    # fmt: on
    _manage(folder, "glance-manage", "db_sync")
    with ExitStack() as stack:
        for module, endpoint in (("keystone.wsgi.api", keystone), ("glance.wsgi.api", glance)):
            stack.enter_context(_served(folder, module, endpoint))
        yield _with_content(keystone, glance)


def _with_content(keystone: str, glance: str) -> Glance:
    with httpx2.Client(trust_env=False, timeout=60) as client:
        user = {"name": "admin", "password": _PASSWORD, "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        signed_in = client.post(f"{keystone}/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
        headers = {"X-Auth-Token": _well(signed_in).headers["x-subject-token"]}
        image = {"name": "golden", "disk_format": "qcow2", "container_format": "bare"}
        made = _well(client.post(f"{glance}/v2/images", json=image, headers=headers)).json()
        read = Request(f"/v2/images/{made['id']}", headers)
        _well(client.get(glance + read.path, headers=headers))
        return Glance(glance, read)


def _well(answer: httpx2.Response) -> httpx2.Response:
    if not answer.is_success:
        raise PeerFailed(f"{answer.request.url}: {answer.status_code} {answer.text}")
    return answer


def _configure(folder: Path, keystone: str) -> None:
    for name in ("keystone", "glance", "images", "staging", "tasks"):
        (folder / name).mkdir()
    auth = {
        "auth_url": f"{keystone}/v3", "www_authenticate_uri": f"{keystone}/v3", "auth_type": "password",
        "username": "admin", "password": _PASSWORD, "project_name": "admin",
        "user_domain_id": "default", "project_domain_id": "default",
    }  # fmt: skip
    keys = {"key_repository": f"{folder}/keystone/fernet"}
    _write(
        folder / "keystone" / "keystone.conf",
        DEFAULT={"log_file": f"{folder}/keystone.log"},
        database={"connection": f"sqlite:///{folder}/keystone.db"},
        token={"provider": "fernet"},
        fernet_tokens=keys,
        fernet_receipts=keys,
        credential={"key_repository": f"{folder}/keystone/credential"},
        cache={"enabled": "true", "backend": "oslo_cache.dict"},
    )
    paste = peers.python("openstack").parents[1] / "etc" / "glance" / "glance-api-paste.ini"
    _write(
        folder / "glance" / "glance-api.conf",
        DEFAULT={
            "log_file": f"{folder}/glance.log",
            "enabled_backends": "file:file",
            "node_staging_uri": f"file://{folder}/staging",
        },
        database={"connection": f"sqlite:///{folder}/glance.db"},
        keystone_authtoken={**auth, "token_cache_time": 300},
        paste_deploy={"flavor": "keystone", "config_file": paste},
        glance_store={"default_backend": "file"},
        file={"filesystem_store_datadir": f"{folder}/images"},
        os_glance_staging_store={"filesystem_store_datadir": f"{folder}/staging"},
        os_glance_tasks_store={"filesystem_store_datadir": f"{folder}/tasks"},
        oslo_concurrency={"lock_path": folder},
    )


def _write(path: Path, **sections: Mapping[str, object]) -> None:
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON"))}
    return {
        **kept,
        "OS_KEYSTONE_CONFIG_DIR": f"{folder}/keystone",
        "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
        "OS_GLANCE_CONFIG_DIR": f"{folder}/glance",
        "no_proxy": "127.0.0.1",
    }


def _manage(folder: Path, program: str, *words: str) -> None:
    name = "keystone/keystone.conf" if program.startswith("keystone") else "glance/glance-api.conf"
    command = [peers.python("openstack").with_name(program), "--config-file", folder / name, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(folder), cwd=folder)
    if done.returncode:
        raise PeerFailed(f"{program} {words[0]}: {(done.stderr or done.stdout)[-1500:]}")


@contextmanager
def _served(folder: Path, module: str, endpoint: str) -> Iterator[None]:
    port = endpoint.rpartition(":")[2]
    with (folder / f"{module}.out").open("ab") as out:
        process = subprocess.Popen(
            [peers.python("openstack"), "-c", _SERVE, module, port],
            env=_environment(folder), cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _answers(int(port)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise PeerFailed(f"{module}: {(folder / f'{module}.out').read_text(errors='replace')[-1500:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
