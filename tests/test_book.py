"""The book builds without a warning from executed notebooks; it loads nothing from elsewhere, and its links lead on."""

import re
from urllib.parse import unquote, urlsplit

import bs4
import pytest

from xl_influence import pages, params, prose, runs, tables

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
    assert len(list((site / "book" / "runs").rglob("*.html"))) == 63
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
    for task in ("xnli", "pawsx", "marc"):
        merged = params.merge({"study": "smoke", "task": task, "runs_root": str(smoke)})
        table = tables.read(merged, "cross_language").set_index(["test_lang", "sign"])
        row = table.loc[("all", "positive")]
        assert (
            prose.percent(row["share"]) in text
            and prose.interval(row["ci_low"], row["ci_high"]) in text
        )


def test_every_number_is_pasted(site):
    for page in (site / "book").rglob("*.html"):
        text = bs4.BeautifulSoup(page.read_text(), "html.parser").select_one("article").get_text()
        assert not re.search(r"\{(glue|numref|cite|doc|eq)\b", text), page


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
    from xl_influence.tasks import TASKS

    names = [f"{prefix}{task}" for prefix in ("", "demo-") for task in TASKS]
    assert sorted(path.stem for path in (site / "_static" / "explorer").iterdir()) == sorted(names)


def test_a_book_is_not_made_of_a_study_with_holes(smoke, tmp_path):
    with pytest.raises(runs.RunError, match="explorer.json|ipynb"):
        pages.gather(
            "cpu",
            runs_root=str(smoke),
            target=tmp_path / "none",
            demo="smoke",
            demo_root=str(smoke),
        )
