"""The load generator: wrk, which sends prepared requests over connections that are kept alive."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Reading

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = 16


@dataclass(frozen=True)
class Request:
    """A GET with headers of its own."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> str:
        return "\t".join([self.path, *(f"{name}: {value}" for name, value in self.headers.items())])


def warm(endpoint: str, requests: Sequence[Request]) -> None:
    """Have each request answered before it is measured: what is kept is kept then, and what is read is in memory."""
    seconds = 1.0  # each run begins with the first request
    while load(endpoint, requests, seconds)["per_second"] * seconds < len(requests):
        seconds *= 2


def load(endpoint: str, requests: Sequence[Request], seconds: float, connections: int = CONNECTIONS) -> Reading:
    """Send the requests over and over; return requests per second, and percentiles of the latency in ms.

    Raises RuntimeError if any was not answered with success.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".requests") as file:
        file.write("\n".join(request.line() for request in requests))
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(SCRIPT)]
        done = subprocess.run([*command, endpoint, "--", file.name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["errors"]:
        raise RuntimeError(f"{told['errors']} of {told['requests']} requests to {endpoint} failed")
    return {
        "per_second": told["requests"] / told["microseconds"] * 1e6,
        "p50": told["p50"] / 1e3,
        "p99": told["p99"] / 1e3,
    }
