"""The scoreboard: the paper's claims with their numbers, as a table that is a forest plot too.

Claim, plot, numbers and verdict of a row are cells of one table, so that claims break into lines
and rows become cards on a phone. The plots only repeat what the numbers beside them say.
"""

from __future__ import annotations

import html
import math
from typing import Any

import pandas as pd
from IPython.display import HTML

from .marks import GRAY, PAIR
from .tables import NONE

IN_PAPER = 5  # languages of a task in the paper: its counts are of these
VERDICTS = {
    "holds": "✓ holds",
    "does not hold": "✗ does not hold",
    "inconclusive": "? inconclusive",
    "cannot be tested here": "– cannot be tested here",
    "": "",
}
STUDIES = ("real", "demo")
WIDTH, HEIGHT, EDGE = 160, 40, 6  # of a plot, in pixels; nothing is drawn beyond its edges
HEIGHTS = {
    "real": 17,
    "demo": 29,
}  # where the interval of each study lies; real is a full circle, demo a square
STROKES = {study: color for study, (color, _) in zip(STUDIES, PAIR, strict=True)}
LEGEND = "▼ paper; ● real data and ☐ demo, with intervals; ┊ chance"


def show_scoreboards(board: pd.DataFrame) -> HTML:
    """The claims in the paper, in the real study with its verdicts, and in the demo.

    Parameters
    ----------
    board
        The table of `paper.make_scoreboard`.
    """
    limit = _find_limit(board)
    # a study without any number has no line; the real one says why, by its verdicts
    studies = [name for name in STUDIES if name == "real" or board[f"{name}_value"].notna().any()]
    rows = "".join(_show_row(row, studies, limit) for row in board.to_dict("records"))
    heads = "".join(
        f'<th scope="col">{title}</th>' for title in ("claim", LEGEND, "numbers", "verdict on real")
    )
    return HTML(
        '<table class="sentences xl-forest">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _find_limit(board: pd.DataFrame) -> float:
    """Where the plots of differences end on both sides: the next tenth beyond all numbers."""
    points = board[board["unit"] == "points"]
    names = [f"{study}_{end}" for study in STUDIES for end in ("value", "low", "high")]
    largest = points[[*names, "paper_value"]].abs().max().max()
    return 0.1 if math.isnan(largest) else math.ceil(10 * largest - 1e-9) / 10


def _show_row(row: dict[str, Any], studies: list[str], limit: float) -> str:
    """A claim as a row of the table."""
    lines = [f"<dt>paper</dt><dd>{_show_paper_value(row)}</dd>"]
    lines += [f"<dt>{study}</dt><dd>{_show_estimate(row, study)}</dd>" for study in studies]
    verdict = VERDICTS[row["verdict"]]
    kind = row["verdict"].replace(" ", "-")
    return (
        f"<tr><td>{html.escape(row['statement'])} <small>(section {row['section']})</small></td>"
        f"<td>{_plot_row(row, studies, limit)}</td><td><dl>{''.join(lines)}</dl></td>"
        f'<td class="verdict {kind}">{verdict}</td></tr>'
    )


def _show_paper_value(row: dict[str, Any]) -> str:
    """The paper's value; 'all' for what it says of every language, or of all tests."""
    if row["unit"] == "count" and row["paper_value"] == 1:
        return "all"
    return _show_value(row["paper_value"], row["unit"], IN_PAPER)


def _show_estimate(row: dict[str, Any], study: str) -> str:
    """A study's value, its interval and chance: '56 % (50 to 60 %; chance 20 %)'."""
    value, low, high, chance = (
        row[f"{study}_{name}"] for name in ("value", "low", "high", "chance")
    )
    unit, of = row["unit"], row[f"{study}_of"]
    if math.isnan(value):
        return NONE
    end = "\u00a0%" if unit == "share" else ""
    numbers = [_show_number(number, unit, of) for number in (low, high, chance)]
    notes = ["no interval" if math.isnan(low) else f"{numbers[0]} to {numbers[1]}{end}"]
    notes += [] if math.isnan(chance) else [f"chance {numbers[2]}{end}"]
    return f"{_show_value(value, unit, of)} ({'; '.join(notes)})"


def _show_value(value: float, unit: str, of: float) -> str:
    """A value in its unit: '56 %', '+5.1 points', '4 of 5'; '–' for NaN."""
    if math.isnan(value):
        return NONE
    units = {"points": " points", "count": f" of {of:.0f}", "share": "\u00a0%"}
    return _show_number(value, unit, of) + units[unit]


def _show_number(value: float, unit: str, of: float) -> str:
    """A value in its unit, without the unit."""
    if math.isnan(value):
        return NONE
    if unit == "points":
        return f"{100 * value:+.1f}".replace("-", "\u2212")
    return f"{value * of:.0f}" if unit == "count" else f"{100 * value:.0f}"


def _plot_row(row: dict[str, Any], studies: list[str], limit: float) -> str:
    """The numbers of a row on an axis: 0 to 100 %, or differences around zero."""
    low, high = (-limit, limit) if row["unit"] == "points" else (0.0, 1.0)

    def place(value: float) -> float:
        if math.isnan(value):
            return value
        part = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(EDGE + part * (WIDTH - 2 * EDGE), 1)

    parts = [f'<path d="M{EDGE},35H{WIDTH - EDGE}" stroke="currentColor" opacity="0.4"/>']
    for tick in (low, (low + high) / 2, high):
        parts.append(f'<path d="M{place(tick)},32v6" stroke="currentColor" opacity="0.4"/>')
    chances = [row[f"{study}_chance"] for study in studies]
    chance = next((value for value in chances if not math.isnan(value)), math.nan)
    if not math.isnan(chance):
        line = f'd="M{place(chance)},4V35" stroke="{GRAY}" stroke-dasharray="3 3"'
        parts.append(f'<path {line} stroke-width="1.5"/>')
    if not math.isnan(row["paper_value"]):
        parts.append(f'<path d="M{place(row["paper_value"]) - 5},1h10l-5,8z" fill="currentColor"/>')
    for study in studies:
        if not math.isnan(row[f"{study}_value"]):
            ends = [place(row[f"{study}_{name}"]) for name in ("value", "low", "high")]
            parts.append(_plot_estimate(study, *ends))
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg {size} aria-hidden="true" focusable="false">{"".join(parts)}</svg>'


def _plot_estimate(study: str, value: float, low: float, high: float) -> str:
    """A mark at the value, and a line for the interval where there is one; all in pixels."""
    y, stroke = HEIGHTS[study], STROKES[study]
    look = f'stroke="{stroke}" stroke-width="2"'
    interval = "" if math.isnan(low) else f'<path d="M{low},{y}H{high}" {look}/>'
    if study == "real":
        return f'{interval}<circle cx="{value}" cy="{y}" r="4" fill="{stroke}"/>'
    square = f'<rect x="{value - 4}" y="{y - 4}" width="8" height="8"'
    return f'{interval}{square} fill="none" {look}/>'
