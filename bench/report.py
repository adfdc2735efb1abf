"""The report: a table and plots of what was found, and the numbers as JSON.

Numbers of an earlier run stay in the report for what was not measured anew.
"""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import plots
from bench.measure import Comparison, Curve, Figure, Finding, Missing, Target
from bench.plan import Plan

_KINDS = {kind.__name__: kind for kind in (Comparison, Figure, Missing, Curve)}


def show(findings: Iterable[Finding]) -> None:
    """Print what was found."""
    for finding in findings:
        match finding:
            case Comparison():
                print(f"  {finding.what} | {finding.beside}: {_ratio(finding)}{_verdict(finding)}")
            case Figure():
                print(f"  {finding.what}: {_number(finding.median)} {finding.unit}{_verdict(finding)}")
            case Missing():
                print(f"  {finding.what} | {finding.beside}: not measured: {finding.why}")
            case Curve():
                points = ", ".join(f"{x:g}: {_number(statistics.median(y))}" for x, y in finding.points.items())
                print(f"  {finding.title} ({finding.unit}): {points}")


def write(folder: Path, plan: Plan, found: Mapping[str, Sequence[Finding]], order: Sequence[str]) -> None:
    """Write report.md, report.json and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "report.json"
    told: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    for name, findings in found.items():
        told[name] = {
            "at": at,
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "findings": [{"kind": type(finding).__name__, **asdict(finding)} for finding in findings],
        }
    told = {name: told[name] for name in order if name in told}
    kept.write_text(json.dumps(told, indent=1) + "\n")
    groups = [[_finding(each) for each in group["findings"]] for group in told.values()]
    everything = [finding for group in groups for finding in group]
    comparisons = [finding for finding in everything if isinstance(finding, Comparison)]
    curves = [finding for finding in everything if isinstance(finding, Curve)]
    (folder / "ratios.svg").write_text(plots.ratios(comparisons))
    for curve in curves:
        (folder / f"{curve.name}.svg").write_text(plots.curve(curve))
    (folder / "report.md").write_text(_page(told, everything, curves))


def _finding(told: Mapping[str, Any]) -> Finding:
    values = {name: value for name, value in told.items() if name != "kind"}
    if values.get("target"):
        values["target"] = Target(**values["target"])
    if "points" in values:
        values["points"] = {float(x): y for x, y in values["points"].items()}
    made: Finding = _KINDS[told["kind"]](**values)
    return made


def _page(told: Mapping[str, Any], findings: Sequence[Finding], curves: Sequence[Curve]) -> str:
    lines = [
        "# What was measured",
        "",
        "Written by `make bench`. Each ratio is ours / theirs: the ratio of the medians of alternating rounds, and in",
        "brackets the least and the greatest ratio of one round. Absolute numbers are those of the machine at that",
        "hour; ratios are what counts. How it was measured, and what follows from it, is told in",
        "[Performance](../performance.md).",
        "",
        f"Machine: {_machine()}",
        "",
        "| What | Beside | Ours | Theirs | Ratio | To reach | |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        *(_row(finding) for finding in findings if not isinstance(finding, Curve)),
        "",
        "![Ratios with their spread](ratios.svg)",
        "",
        *(line for curve in curves for line in (f"![{curve.title}]({curve.name}.svg)", "")),
        "When each was measured: "
        + "; ".join(f"{name} {group['at']}, {group['rounds']} rounds" for name, group in told.items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _row(finding: Finding) -> str:
    match finding:
        case Comparison():
            ours, theirs = (_number(statistics.median(values)) for values in (finding.ours, finding.theirs))
            cells = [finding.what, finding.beside, f"{ours} {finding.unit}", f"{theirs} {finding.unit}"]
            cells += [_ratio(finding), str(finding.target or ""), _reached(finding)]
        case Figure():
            bound = "" if finding.at_most is None else f"≤ {finding.at_most:g} {finding.unit}"
            spread = f"{_number(min(finding.values))} to {_number(max(finding.values))}"
            cells = [finding.what, "", f"{_number(finding.median)} {finding.unit} ({spread})", "", "", bound]
            cells.append(_reached(finding))
        case Missing():
            cells = [finding.what, finding.beside, "", "", "", "", f"not measured: {finding.why}"]
        case Curve():
            raise TypeError("a curve is no row")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _ratio(found: Comparison) -> str:
    return f"{found.ratio:.2f} ({min(found.ratios):.2f} to {max(found.ratios):.2f})"


def _reached(found: Comparison | Figure) -> str:
    return {True: "reached", False: "**missed**", None: ""}[found.is_reached]


def _verdict(found: Comparison | Figure) -> str:
    reached = _reached(found).strip("*")
    bound = found.target if isinstance(found, Comparison) else f"≤ {found.at_most}"
    return f", to reach {bound}: {reached}" if reached else ""


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _machine() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(": ")[2] if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    return f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB; {system}."
