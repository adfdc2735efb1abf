"""The cases on real guests: those of `test_qemu.py`, all of them, as outcomes for the table."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .matrix import Outcome
from .points import Point

_TESTS = Path(__file__).with_name("test_qemu.py")


@dataclass(frozen=True)
class Story:
    """A test on a real guest."""

    scenario: str
    points: tuple[Point, ...] = ()

    def __str__(self) -> str:
        return self.scenario


def played(folder: Path, database: str) -> Iterator[Outcome]:
    """Play all cases on real guests over a database."""
    report = folder / f"{database}.xml"
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        database,
        "--junitxml",
        report,
        _TESTS,
    ]
    subprocess.run(words, check=False, env={**os.environ, "DARKROOM_CRASH": "full"}, stdout=sys.stderr)
    # Our own tests have written it.
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = [found.text or found.get("message", "") for kind in ("failure", "error") for found in case.iter(kind)]
        ends = sum(int(told.get("value", 0)) for told in case.iter("property") if told.get("name") == "ends")
        yield Outcome(Story(case.get("name", "")), wrong, ends)
