"""Plots as SVG, drawn by hand: a library for these two would be larger than all of the bench."""

import math
import statistics
from collections.abc import Sequence
from html import escape

from bench.measure import Comparison, Curve

_STYLE = (
    "<style>text{font:13px sans-serif;fill:#333}.small{font-size:11px;fill:#666}.grid{stroke:#ddd}"
    ".range{stroke:#3567a8;stroke-width:6;stroke-linecap:round}.dot{fill:#173a66}.bound{stroke:#c0392b;stroke-width:2}"
    ".line{fill:none;stroke:#3567a8;stroke-width:2}</style>"
)


def ratios(comparisons: Sequence[Comparison]) -> str:
    """Draw each ratio as a point, its spread over the rounds as a bar, and what is to reach as a red mark."""
    left, width, row = 560, 460, 34
    height = 50 + row * len(comparisons)
    values = [value for each in comparisons for value in [*each.ratios, *([each.target.bound] if each.target else [])]]
    low, high = min([0.1, *values]), max([10.0, *values])

    def at(ratio: float) -> float:
        return left + width * math.log(ratio / low) / math.log(high / low)

    drawn = [_grid(at(tick), height, f"{tick:g} ×") for tick in _ticks(low, high)]
    for number, each in enumerate(comparisons):
        y = 36 + row * number
        drawn.append(f'<text x="{left - 12}" y="{y + 2}" text-anchor="end">{escape(each.what)}</text>')
        drawn.append(
            f'<text class="small" x="{left - 12}" y="{y + 15}" text-anchor="end">/ {escape(each.beside)}</text>'
        )
        least, most = at(min(each.ratios)), at(max(each.ratios))
        drawn.append(f'<line class="range" x1="{least:.1f}" y1="{y}" x2="{most:.1f}" y2="{y}"/>')
        drawn.append(f'<circle class="dot" cx="{at(each.ratio):.1f}" cy="{y}" r="4"/>')
        if each.target:
            x = at(each.target.bound)
            drawn.append(f'<line class="bound" x1="{x:.1f}" y1="{y - 9}" x2="{x:.1f}" y2="{y + 9}"/>')
            drawn.append(f'<text class="small" x="{x + 4:.1f}" y="{y - 6}">{each.target.sense}</text>')
    return _svg(left + width + 40, height, drawn)


def curve(found: Curve) -> str:
    """Draw the median over x, on a logarithmic scale of x, with the spread over the rounds as bars."""
    left, top, width, height = 70, 40, 520, 240
    xs = sorted(found.points)
    most = max(max(values) for values in found.points.values()) * 1.1

    def across(x: float) -> float:
        return left + width * (math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) if len(xs) > 1 else 0.5)

    def up(y: float) -> float:
        return top + height * (1 - y / most)

    drawn = [f'<text x="{left}" y="20">{escape(found.title)} ({escape(found.unit)})</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = up(most * share)
        drawn.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="small" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{most * share:,.4g}</text>')
    points = []
    for x in xs:
        values = found.points[x]
        points.append(f"{across(x):.1f},{up(statistics.median(values)):.1f}")
        drawn.append(
            f'<line class="range" x1="{across(x):.1f}" y1="{up(min(values)):.1f}"'
            f' x2="{across(x):.1f}" y2="{up(max(values)):.1f}"/>'
        )
        drawn.append(
            f'<text class="small" x="{across(x):.1f}" y="{top + height + 18}" text-anchor="middle">{x:,.0f}</text>'
        )
    drawn.append(f'<polyline class="line" points="{" ".join(points)}"/>')
    drawn.append(f'<text class="small" x="{left + width}" y="{top + height + 36}" text-anchor="end">{found.x}</text>')
    return _svg(left + width + 30, top + height + 50, drawn)


def _grid(x: float, height: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{x:.1f}" y1="20" x2="{x:.1f}" y2="{height}"/>'
        f'<text class="small" x="{x:.1f}" y="14" text-anchor="middle">{label}</text>'
    )


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _svg(width: float, height: float, drawn: Sequence[str]) -> str:
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}">\n{_STYLE}\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
