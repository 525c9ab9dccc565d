"""A still picture of a chart, in a wide and a narrow form, out of the chart's own specification.

It stands in the page until Vega has loaded, without JavaScript for good, and in print. Text and
axes take the colour of the page (`currentColor`), so that they follow the light and the dark theme.

`arrange` gives a chart the sizes for a width; `charts.js` has the same function for the live chart.
"""

import copy
import functools
import hashlib
import html
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import vl_convert

NARROW = 600  # pixels; below, panels stand one below the other
WIDTHS = {"wide": 708, "narrow": 358}  # of the text at 1440 and at 390 pixels
TEXT = {"labelColor": "currentColor", "titleColor": "currentColor"}
LOOK: dict[str, Any] = {
    "background": "transparent",
    "axis": TEXT
    | {
        "domainColor": "currentColor",
        "domainOpacity": 0.4,
        "tickColor": "currentColor",
        "tickOpacity": 0.4,
        "gridColor": "currentColor",
        "gridOpacity": 0.12,
    },
    "legend": TEXT,
    "header": TEXT,
    "title": {"color": "currentColor", "subtitleColor": "currentColor"},
    "text": {"color": "currentColor"},
    "rule": {"color": "currentColor"},
    "view": {"stroke": "currentColor", "strokeOpacity": 0.15},
}
NUMBER = re.compile(r"-?\d+\.\d{3,}")
SAME_LINES = re.compile(r"(<line [^>]*/>)\1+")  # a rule that Vega draws once for each row
SYMBOL = re.compile(
    r'<path transform="translate\((?P<x>[-\d.]+),(?P<y>[-\d.]+)\)"(?P<shape> d="[^>]*)/>'
)


def adapt(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with the look of the book.

    Parameters
    ----------
    spec
        Of Vega-Lite, as a notebook shows it.
    """
    datasets = {name: _round(rows) for name, rows in spec.get("datasets", {}).items()}
    return {**spec, "datasets": datasets, "config": _merge(spec.get("config", {}), LOOK)}


def _round(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with five digits of each number; a page need not carry more."""
    return [
        {
            key: float(f"{value:.5g}") if isinstance(value, float) else value
            for key, value in row.items()
        }
        for row in rows
    ]


def _merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both dicts, and of keys in both, dicts merged and the second's value otherwise."""
    merged = first | second
    for key in first.keys() & second.keys():
        if isinstance(first[key], dict) and isinstance(second[key], dict):
            merged[key] = _merge(first[key], second[key])
    return merged


def arrange(spec: dict[str, Any], width: float) -> dict[str, Any]:
    """The specification with the sizes for a page of a width (`xl_influence.charts.layout`).

    Parameters
    ----------
    spec
        Of Vega-Lite; what `usermeta` says is followed.
    width
        Pixels.
    """
    spec, narrow = copy.deepcopy(spec), width < NARROW
    meta = spec.get("usermeta", {})
    for rule in meta.get("layout", []):
        columns = rule["columns"][narrow]
        inner = (width - rule["beside"] + rule["apart"]) // columns - rule["apart"]
        for path in rule["panels"]:
            _find(spec, path)["width"] = inner
        if "grid" in rule:
            _find(spec, rule["grid"])["columns"] = columns
        if narrow and rule.get("swap"):
            facet = spec["facet"]
            spec["facet"] = {"row": facet["column"], "column": facet["row"]}
    if narrow and "legend" in meta:
        columns = {"legend": {"columns": meta["legend"]}}
        spec["config"] = _merge(spec.get("config", {}), columns)
    return spec


def _find(spec: Any, path: str) -> Any:
    """The part of a specification at a path such as 'vconcat.0.spec'; '' is the whole."""
    keys = [int(key) if key.isdigit() else key for key in path.split(".") if key]
    return functools.reduce(lambda part, key: part[key], keys, spec)


def draw(spec: dict[str, Any], name: str, cache: Path) -> str:
    """The still pictures of a chart as HTML, from the cache if they were drawn before.

    Parameters
    ----------
    spec
        From `adapt`.
    name
        A word that no other chart of the page has, for what the pictures refer to inside.
    cache
        A folder.
    """
    text = json.dumps(spec) + vl_convert.__version__ + Path(__file__).read_text(encoding="utf-8")
    path = cache / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    if path.exists():
        drawn = json.loads(path.read_text(encoding="utf-8"))
    else:
        drawn = {kind: _draw_one(arrange(spec, width)) for kind, width in WIDTHS.items()}
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(drawn), encoding="utf-8")
    label = html.escape(spec.get("description", ""))
    return "".join(_show(svg, kind, f"{name}-{kind}", label) for kind, svg in drawn.items())


def _draw_one(spec: dict[str, Any]) -> str:
    """One picture as SVG: no fonts, no text for single marks, each number and shape in short."""
    svg = vl_convert.vegalite_to_svg(json.dumps(spec))
    svg = re.sub(r' (font-family|aria-[a-z]+|role|xmlns:xlink|xmlns)="[^"]*"', "", svg)
    svg = re.sub(
        r' (fill-opacity="1"|opacity="1"|stroke-width="1"|pointer-events="[a-z]+")', "", svg
    )
    return shorten(NUMBER.sub(lambda match: f"{round(float(match[0]), 2):g}", svg))


def shorten(svg: str) -> str:
    """A picture that holds a shape of dots, such as a green circle, once, and then its places.

    Of lines that are the same, one after another, one stays.

    Parameters
    ----------
    svg
        The picture; ids such as 's0' are free.
    """
    svg = SAME_LINES.sub(r"\1", svg)
    counts = Counter(match["shape"] for match in SYMBOL.finditer(svg))
    names = {shape: f"s{place}" for place, shape in enumerate(counts) if counts[shape] > 2}

    def refer(match: re.Match[str]) -> str:
        if match["shape"] not in names:
            return match[0]
        return f'<use href="#{names[match["shape"]]}" x="{match["x"]}" y="{match["y"]}"/>'

    shapes = "".join(f'<path id="{name}"{shape}/>' for shape, name in names.items())
    head, end, rest = svg.partition(">")
    return f"{head}{end}<defs>{shapes}</defs>{SYMBOL.sub(refer, rest)}" if names else svg


def _show(svg: str, kind: str, name: str, label: str) -> str:
    """The picture in the page: as high as it was drawn, and as wide as its place."""
    size = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', svg)
    assert size, "vl_convert gives every picture a width and a height"
    width, height = size.groups()
    inside = re.sub(r"^<svg[^>]*>", "", svg)
    inside = re.sub(
        r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", inside
    )  # ids are of the whole page
    head = f'<svg class="{kind}" role="img" aria-label="{label}" height="{height}" '
    return f'{head}viewBox="0 0 {width} {height}">{inside}'
