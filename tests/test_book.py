"""The book builds without a warning from executed notebooks, and its pages ask no other host for anything."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run_python

from xl_influence import pages


@pytest.fixture(scope="module")
def site(smoke, tmp_path_factory):
    """The HTML of a copy of the book's sources, with the smoke study's notebooks."""
    source = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "book", source / "book", ignore=shutil.ignore_patterns("runs"))
    pages.gather("smoke", runs_root=str(smoke), target=source / "book" / "runs")
    script = str(Path(sys.executable).parent / "jupyter-book")
    run_python(script, "build", str(source), "-n", "-W", "--keep-going")
    return source / "_build" / "html"


def test_every_page_is_there(site):
    for name in ("index", "how-to-read", "method", "data-and-fine-tuning", "quality", "zero-shot", "the-paper-and-this-run"):
        assert (site / "book" / f"{name}.html").is_file()
    assert len(list((site / "book" / "runs").rglob("*.html"))) == 32
    assert "book/index.html" in (site / "index.html").read_text()


def test_nothing_is_loaded_from_elsewhere(site):
    loads = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//[^\"']+")
    for page in site.rglob("*.html"):
        found = [tag for tag in loads.findall(page.read_text()) if 'rel="canonical"' not in tag]
        assert not found, (page, found)


def test_numbers_in_the_prose_are_those_of_the_notebooks(site, smoke):
    from xl_influence import runs

    shares = [runs.read_table(smoke / "smoke" / task / "base", "cross_language") for task in ("xnli", "pawsx", "marc")]
    positive = [t[(t["test_lang"] == "all") & (t["sign"] == "positive")]["share"].iloc[0] for t in shares]
    text = re.sub(r"<[^>]+>", "", (site / "book" / "index.html").read_text())
    assert f"between {pages.percent(min(positive))} and {pages.percent(max(positive))}" in text


def test_charts_are_on_their_pages(site):
    for name in ("book/index", "book/runs/xnli/04-cross-language-influence", "book/runs/marc/01-data-and-fine-tuning"):
        text = (site / f"{name}.html").read_text()
        assert "vega-embed" in text and "VEGA_DEBUG" in text, name
