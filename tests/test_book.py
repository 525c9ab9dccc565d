"""The book builds without a warning from executed notebooks.

It loads nothing from elsewhere, its links work, and its numbers are those of the notebooks.
"""

import functools
import re
from urllib.parse import unquote, urlsplit

import bs4
import nbformat
import pytest
from conftest import ROOT

from xl_influence import pages, params, prose, runs, tables
from xl_influence.tasks import TASKS

ROLES = "glue:text|number|lead|task|numref|cite|doc|eq|ref"

pytestmark = pytest.mark.book


def test_every_page_is_there(site):
    names = (
        "index",
        "how-to-read",
        "method",
        "data-and-fine-tuning",
        "quality",
        "zero-shot",
        "the-paper-and-this-run",
    )
    for name in (*names, "explorer", "glossary", "bring-your-own"):
        assert (site / "book" / f"{name}.html").is_file()
    executed, built = site.parents[1] / "book" / "runs", site / "book" / "runs"
    assert {path.relative_to(built).with_suffix("") for path in built.rglob("*.html")} == {
        path.relative_to(executed).with_suffix("") for path in executed.rglob("*.ipynb")
    }
    assert "book/index.html" in (site / "index.html").read_text()


def test_nothing_is_loaded_from_elsewhere(site):
    loads = re.compile(
        r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//[^\"']+"
    )
    for page in site.rglob("*.html"):
        found = [tag for tag in loads.findall(page.read_text()) if 'rel="canonical"' not in tag]
        assert not found, (page, found)


def test_numbers_in_the_prose_are_those_of_the_notebooks(site, smoke):
    text = re.sub(r"<[^>]+>", "", (site / "book" / "cross-language-influence.html").read_text())
    for task in TASKS:
        merged = params.merge({"study": "smoke", "task": task, "runs_root": str(smoke)})
        table = tables.read(merged, "cross_language").set_index(["test_lang", "sign"])
        row = table.loc[("all", "positive")]
        assert prose.percent(row["share"]) in text
        assert prose.interval(row["ci_low"], row["ci_high"]) in text


def find_references():
    """Each number in the prose: (page, folder of the run, start of the notebook's name, key)."""
    for path in sorted((ROOT / "book").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for where, key in re.findall(r"\{(?:number|lead)\}`(\S+) (\S+)`", text):
            folder, _, notebook = where.rpartition("/")
            yield path.stem, folder, notebook, key
        for default, body in re.findall(r"```\{task-numbers\} (\S+)\n(.*?)```", text, re.DOTALL):
            options = dict(re.findall(r"^:(\w+): (.*)$", body, re.MULTILINE))
            prefix = f"{options['study']}/" if "study" in options else ""
            for row in re.findall(r"^[^:\n].*\| *(.+)$", body, re.MULTILINE):
                *notebook, key = row.split()  # a row may name another notebook
                for task in options.get("tasks", " ".join(TASKS)).split():
                    yield path.stem, f"{prefix}{task}", *(notebook or [default]), key


@functools.cache
def find_glued_keys(path):
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    stored = [o.metadata["scrapbook"] for o in outputs if "scrapbook" in o.get("metadata", {})]
    return {entry["name"] for entry in stored}


@functools.cache
def read_code(path):
    return "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")


def test_every_number_in_the_prose_has_been_stored_by_a_notebook(site):
    """Or can be: a notebook leaves out what its run does not have, and the page has a dash."""
    references = list(find_references())
    missing = []
    for page, folder, notebook, key in references:
        (path,) = (site.parents[1] / "book" / "runs" / folder).glob(f"{notebook}*.ipynb")
        task = folder.split("/")[-1]
        is_stored = (f"{task}_{key}" if task else key) in find_glued_keys(path)
        if not is_stored and not re.search(rf"\b{key}\b", read_code(path)):
            missing.append((page, path.stem, key))
    assert references
    assert not missing


def test_no_role_is_shown_as_its_source(site):
    for page in (site / "book").rglob("*.html"):
        article = bs4.BeautifulSoup(page.read_text(), "html.parser").select_one("article")
        for code in article.select("pre, code"):
            code.decompose()
        assert not re.search(rf"\{{({ROLES})\b", article.get_text()), page


def test_only_pages_with_formulas_load_mathjax(site):
    loads = {
        name: "mathjax/tex" in (site / "book" / f"{name}.html").read_text()
        for name in ("index", "explorer", "method")
    }
    assert loads == {"index": False, "explorer": False, "method": True}


def test_links_and_their_anchors_lead_somewhere(site):
    found = {
        path.resolve(): bs4.BeautifulSoup(path.read_text(), "html.parser")
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    }
    ids = {path: {tag["id"] for tag in soup.find_all(id=True)} for path, soup in found.items()}
    wrong = []
    for path, soup in found.items():
        for tag in soup.find_all(["a", "link", "script", "img"]):
            link = urlsplit(tag.get("href") or tag.get("src") or "")
            if link.scheme or link.netloc or not (link.path or link.fragment):
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            if not target.is_file() or (
                link.fragment and target in ids and unquote(link.fragment) not in ids[target]
            ):
                wrong.append((path.name, link.geturl()))
    assert not wrong


def test_the_explorer_has_its_data_beside_it(site):
    names = [f"{prefix}{task}" for prefix in ("", "demo-") for task in TASKS]
    folder = site / "_static" / "explorer"
    assert sorted(path.stem for path in folder.glob("*.js")) == sorted(names)
    assert all((folder / name / "test-0.js").is_file() for name in names)


def test_a_book_is_not_made_of_a_study_with_holes(smoke, tmp_path):
    with pytest.raises(runs.RunError, match=r"cpu or smoke is not complete.*ipynb"):
        pages.gather(
            "cpu",
            runs_root=str(smoke),
            target=tmp_path / "none",
            demo="smoke",
            demo_root=str(smoke),
        )
