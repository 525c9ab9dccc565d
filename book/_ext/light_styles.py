"""Styles without what no page uses, and icons without the script of 1.5 MB that draws them.

After a build, the theme's icon script goes, and with it the icon fonts. Each icon becomes a mask in
the style sheet, cut from that script, and takes the colour of the text around it. Rules for classes
that occur in no page and no script go too: they are most of the theme's 390 kB.

A page also has its colours at the first paint, light or dark, and light without JavaScript. The
theme alone gives it colours only when its own script has run.
"""

import re
import shutil
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import tinycss2
from sphinx.application import Sphinx

ICON_SCRIPT = Path("scripts") / "fontawesome.js"
ICON_FONTS = Path("vendor") / "fontawesome"
SHEETS = ("styles/*theme.css", "sphinx-design*.css", "mystnb*.css")
# What we replace in a page: the icon script, and colours that are known only later
IN_PAGES = (
    (re.compile(r"<!-- So that users can add custom icons -->\s*<script [^>]*></script>"), ""),
    (re.compile(r'(<html [^>]*data-theme=)"auto"'), r'\1"light"'),
    (
        re.compile(r'(dataset\.theme = localStorage\.getItem\("theme"\) \|\|) "auto"'),
        r'\1 (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")',
    ),
)
WORD = re.compile(r"[\w-]+")
KEPT = ("bs-",)  # classes that Bootstrap puts together in its script
# "name":[width,height,[aliases],"code","path"] in the icon script; the solid style comes last
ICON = re.compile(r'\[(\d+),(\d+),\[[^\]]*\],"(\w+)",\[?"([^"]+)"')
VARIABLE = re.compile(r'(--pst-icon-[\w-]+):("[^"]*"|var\([^)]*\))')
CONTENT = re.compile(r'content:\s*(?:var\((--pst-icon-[\w-]+)\)|"([^"]*)")')
LICENCE = (
    "/* Icons: Font Awesome Free by @fontawesome, fontawesome.com/license/free (CC BY 4.0) */\n"
)
MASK = (
    'content:"";display:inline-block;width:1em;height:1em;background-color:currentColor;'
    "forced-color-adjust:none;-webkit-mask:{url} center/contain no-repeat;"
    "mask:{url} center/contain no-repeat"
)


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Rewrite the style sheets of the built book, and take the icon script out of its pages."""
    static = Path(app.outdir) / "_static"
    if error or app.builder.format != "html" or not (static / ICON_SCRIPT).exists():
        return
    icons = read_icons((static / ICON_SCRIPT).read_text(encoding="utf-8"))
    for path in (static / ICON_SCRIPT, (static / ICON_SCRIPT).with_suffix(".js.map")):
        path.unlink(missing_ok=True)
    shutil.rmtree(static / ICON_FONTS, ignore_errors=True)
    words = rewrite_pages(Path(app.outdir))
    for pattern in SHEETS:
        for path in static.glob(pattern):
            css = path.read_text(encoding="utf-8")
            path.write_text(trim(css, words, icons), encoding="utf-8")


def forget_trimmed(app: Sphinx) -> None:
    """Remove the style sheets of an earlier build, so that Sphinx writes them anew and whole."""
    for pattern in SHEETS:
        for path in (Path(app.outdir) / "_static").glob(pattern):
            path.unlink()


def rewrite_pages(folder: Path) -> set[str]:
    """Replace in the pages what `IN_PAGES` says, and return all words of pages and scripts."""
    words: set[str] = set()
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in IN_PAGES:
            text = pattern.sub(replacement, text, count=1)
        path.write_text(text, encoding="utf-8")
        words.update(WORD.findall(text))
    static = folder / "_static"
    for path in [*static.glob("*.js"), *(static / "scripts").glob("*.js")]:
        words.update(WORD.findall(path.read_text(encoding="utf-8")))
    return words


def read_icons(script: str) -> dict[str, str]:
    """Read each icon's character → its drawing, as the address of a style sheet's image."""
    icons = {}
    for width, height, code, path in ICON.findall(script):
        drawing = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
            f'<path d="{path}"/></svg>'
        )
        icons[chr(int(code, 16))] = f"url('data:image/svg+xml,{quote(drawing, safe=' ,=:/<>')}')"
    return icons


def trim(css: str, words: set[str], icons: dict[str, str]) -> str:
    """Leave out the rules that match nothing, and turn characters of the icon fonts into masks.

    Parameters
    ----------
    css
        The style sheet.
    words
        All words of the book; a class that is not among them cannot occur.
    icons
        From `read_icons`.
    """
    named = {
        name: _unquote(value)
        for name, value in VARIABLE.findall(css)  # an icon's name → character or another name
    }
    used: dict[str, str] = {}

    def draw(match: re.Match[str]) -> str:
        character = _unquote(f'"{match[2]}"') if match[1] is None else f"var({match[1]})"
        while character.startswith("var("):
            character = named.get(character[4:-1], "")
        if character not in icons:
            return match[0]
        name = f"--icon-{ord(character):x}"
        used[name] = icons[character]
        return MASK.format(url=f"var({name})")

    kept = CONTENT.sub(draw, "".join(_keep(tinycss2.parse_stylesheet(css, True, True), words)))
    if not used:
        return kept
    drawings = ";".join(f"{name}:{url}" for name, url in used.items())
    return f"{LICENCE}:root{{{drawings}}}{kept}"


def _unquote(value: str) -> str:
    """The character behind a style sheet's string, which may be written as its code."""
    [token] = tinycss2.parse_component_value_list(value)
    return token.value if token.type == "string" else value


def _keep(rules: Iterable[Any], words: set[str]) -> Iterable[str]:
    """The text of each rule that may match something."""
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [s for s in _split(rule.prelude) if _can_match(s, words)]
            if selectors:
                text = ",".join(tinycss2.serialize(s).strip() for s in selectors)
                yield f"{text}{{{tinycss2.serialize(rule.content).strip()}}}"
        elif rule.type == "at-rule" and rule.at_keyword in ("media", "supports"):
            inner = "".join(_keep(tinycss2.parse_rule_list(rule.content, True, True), words))
            if inner:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}"
        elif not _is_icon_font(rule):
            yield rule.serialize()


def _split(prelude: list[Any]) -> list[list[Any]]:
    """The selectors of a rule, each as a list of tokens."""
    selectors: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def _can_match(selector: list[Any], words: set[str]) -> bool:
    """Whether all classes of a selector occur; those inside `:not(...)` do not count."""
    return all(
        name.value in words or name.value.startswith(KEPT)
        for dot, name in pairwise(selector)
        if dot == "." and name.type == "ident"
    )


def _is_icon_font(rule: Any) -> bool:
    is_font = rule.type == "at-rule" and rule.at_keyword == "font-face"
    return is_font and "Font Awesome" in rule.serialize().replace("\\", "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after all files are written."""
    app.connect("builder-inited", forget_trimmed, priority=1)
    app.connect("build-finished", lighten, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
