"""The book builds without a warning from executed notebooks.

It loads nothing from elsewhere, its links work, and its numbers are those of the notebooks.
"""

import functools
import importlib
import os
import re
import types
from urllib.parse import unquote, urlsplit

import bs4
import nbformat
import pytest
from conftest import ROOT

from xl_influence import pages, params, prose, runs, tables, workflow
from xl_influence.tasks import TASKS

ROLES = "glue:text|number|lead|task|figures|computed|numref|cite|doc|eq|ref"
# Glossary terms that have no everyday meaning as well, as their anchors have them
TERMS = {
    "chance",
    "complementary",
    "confidence",
    "cosine",
    "encoder",
    "gradient",
    "harmful",
    "helpful",
    "interval",
    "parameter-group",
    "reinforcing",
    "score-cube",
    "test-language",
    "zero-shot",
}

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
        "computed-pages",
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
        pasted = r"\{(?:number|lead)\}`(\S+) (\S+)`|\{glued-table\} (\S+) (\S+)"
        for pair in re.findall(pasted, text):
            where, key = filter(None, pair)
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


def test_no_page_shows_an_object_instead_of_what_it_holds(site):
    shown = re.compile(
        r"<(?:IPython|pandas|altair)\.[\w.]+ object|\bobject at 0x|\balt\.\w+Chart\("
    )
    for path in find_pages(site):
        article = read_page(path).select_one("article")
        for code in article.select(".cell_input"):
            code.decompose()
        assert not shown.search(article.get_text()), path


def read_page(path):
    return bs4.BeautifulSoup(path.read_text(), "html.parser")


def find_pages(site):
    return sorted((site / "book").rglob("*.html"))


def test_every_page_describes_itself_and_names_the_book_once(site):
    titles, descriptions = [], []
    for path in find_pages(site):
        head = read_page(path).head
        titles.append(head.title.get_text())
        description = head.select_one('meta[name="description"]')["content"]
        assert 30 <= len(description) <= 202, (path, description)
        assert head.select_one('meta[property="og:description"]')["content"] == description
        assert not head.select('meta[property^="og:image"]'), "the book's address is not set"
        descriptions.append(description)
    assert titles and all(title.count("How do languages influence") == 1 for title in titles)
    assert len(set(titles)) >= len(find_pages(site)) / 2  # both parts of this book show one study


@pytest.mark.parametrize("address", ["https://example.org/book", "https://example.org/book/"])
def test_the_picture_of_a_preview_has_a_whole_address(extensions, address):
    tags = extensions("preview").name_image(address)
    assert tags["og:image"] == "https://example.org/book/_static/preview.png"
    assert tags["twitter:card"] == "summary_large_image"


def test_the_preview_has_the_size_that_services_want(site):
    data = (site / "_static" / "preview.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    assert size == (1200, 630)


def test_pages_of_text_offer_no_source_with_directives(site):
    for path in find_pages(site):
        links = {link["href"] for link in read_page(path).select(".article-header-buttons a[href]")}
        assert not any(link.endswith(".md") for link in links), path


def test_every_reference_has_a_link(site):
    references = read_page(site / "book" / "references.html").select("div.citation")
    assert len(references) >= 19
    for reference in references:
        links = reference.select('a.external[href^="https://"]')
        assert links, reference.get_text()


def test_figures_and_tables_are_numbered_in_order_and_linked_by_name(site):
    page = read_page(site / "book" / "sharing-dynamics.html")
    links = [link.get_text() for link in page.select("article p > a.reference.internal")]
    figures = [text for text in links if text.startswith(tuple("0123456789"))]
    assert [text.partition(" ")[2] for text in figures] == [
        "(demo-NLI)",
        "(demo-paraphrase)",
        "(demo-reviews)",
    ]
    numbers = [int(text.partition(" ")[0]) for text in figures]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    assert any(re.fullmatch(r"Table \d+", text) for text in links)
    first = read_page(site / "book" / "index.html").select_one("figcaption .caption-number")
    assert first.get_text(strip=True) == "Figure 1"


def test_computed_pages_and_chapters_link_to_each_other(site):
    chapters = {path: read_page(path) for path in (site / "book").glob("*.html")}
    linked = {
        (path.parent / link["href"].partition("#")[0]).resolve()
        for path, soup in chapters.items()
        for link in soup.select("article a[href]")
    }
    for path in (site / "book" / "runs").rglob("*.html"):
        assert path.resolve() in linked, path
    for task in TASKS:
        for path in (site / "book" / "runs" / task).glob("*.html"):
            back = read_page(path).select_one(".way-back a")
            assert (path.parent / back["href"]).resolve() in [p.resolve() for p in chapters]


def test_no_table_has_a_head_as_the_code_has_it(site):
    for path in find_pages(site):
        heads = [head.get_text(strip=True) for head in read_page(path).select("article table th")]
        assert not [head for head in heads if re.fullmatch(r"[a-z]+(_[a-z]+)+", head)], path


def is_pasted(text):
    return text.find_parent(class_=["pasted-sentence", "share-sentence", "share-card", "data-band"])


def test_a_glossary_term_is_linked_where_a_chapter_first_uses_it(site):
    """In the text itself; captions, tables and code do not count."""
    wrong = []
    for path in sorted((site / "book").glob("*.html")):
        if path.stem in ("glossary", "references", "explorer", "api"):
            continue
        seen = set()
        for part in read_page(path).select("article p, article li, article dd"):
            if part.find_parent(["table", "figure", "aside", "details"]):
                continue
            for text in part.find_all(string=True):
                link = text.find_parent("a")
                anchor = ((link and link.get("href")) or "").partition("#term-")[2]
                if anchor:
                    seen.add(anchor.lower())
                elif not (link or text.find_parent(["code", "pre", "dt"]) or is_pasted(text)):
                    for term in TERMS - seen:
                        if re.search(rf"\b{term.replace('-', '[ -]')}s?\b", text, re.I):
                            wrong.append((path.stem, term, str(text).strip()[:70]))
                            seen.add(term)
    assert not wrong


@pytest.fixture
def extensions(monkeypatch):
    """Import modules of `book/_ext`."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    return importlib.import_module


def test_a_style_sheet_keeps_what_can_match_and_draws_its_icons(extensions):
    light_styles = extensions("light_styles")
    css = (
        '@font-face{font-family:Font Awesome\\ 6 Free;src:url(x)}html{--pst-icon-bell:"\uf0f3"}'
        ".used:hover,.gone{color:red}.gone .used{color:blue}.used:not(.gone){color:green}"
        '@media print{.gone{margin:0}}.fa-sun:before{content:"\\f185"}'
        ".bs-tooltip-top{top:0}.note:after{content:var(--pst-icon-bell)}.word:after{content:'x'}"
    )
    script = 'x={sun:[512,512,[],"f185","M0 1z"],bell:[448,512,[1],"f0f3","M2 3z"]}'
    words = {"used", "fa-sun", "note", "word"}
    kept = light_styles.trim(css, words, light_styles.read_icons(script))
    assert ".used:hover{color:red}" in kept and ".used:not(.gone){color:green}" in kept
    assert ".gone," not in kept and "blue" not in kept and "print" not in kept
    assert "@font-face" not in kept and ".bs-tooltip-top{top:0}" in kept
    assert "--icon-f185:url('data:image/svg+xml,<svg" in kept and "M2 3z" in kept
    assert kept.count("var(--icon-f185)") == 2 and kept.count("var(--icon-f0f3)") == 2
    assert '.word:after{content:"x"}' in kept


def test_a_table_says_at_each_cell_what_its_column_is(extensions):
    rewrite = extensions("phone_tables").rewrite
    table = (
        "<table><thead><tr><th>test_lang</th><th>mean_share</th><th>de</th></tr></thead>"
        "<tbody><tr><td>ko</td><td>es</td><td>1</td></tr></tbody></table>"
    )
    assert rewrite(table) == (
        '<table class="cards"><thead><tr><th>test language</th><th>mean share</th><th>German</th>'
        '</tr></thead><tbody><tr><td data-label="test language">Korean</td>'
        '<td data-label="mean share">es</td><td data-label="German">1</td></tr></tbody></table>'
    )
    wide = table.replace("<th>de", '<th colspan="2">de')
    assert rewrite(wide) == wide


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("<p>Words.</p>", ["custom.css"]),
        ("<pre>x = 1</pre>", ["copybutton.css", "custom.css"]),
        ('<div class="sd-card">Words.</div>', ["sphinx-design.min.css", "custom.css"]),
    ],
)
def test_a_page_loads_only_the_style_sheets_that_it_uses(extensions, body, kept):
    names = ("copybutton.css", "sphinx-design.min.css", "custom.css")
    sheets = [types.SimpleNamespace(filename=f"_static/{name}") for name in names]
    context = {"body": body, "script_files": [], "css_files": sheets}
    app = types.SimpleNamespace(env=types.SimpleNamespace(found_docs={"page"}))
    extensions("lean").choose_assets(app, "page", "page.html", context, None)
    assert [sheet.filename.removeprefix("_static/") for sheet in context["css_files"]] == kept
    assert len(sheets) == 3, "the list is the builder's, for all pages"


def test_a_json_file_is_read_once_until_it_is_written_again(extensions, tmp_path):
    read_json = extensions("numbers_in_prose").read_json
    path = tmp_path / "bands.json"
    path.write_text('{"pawsx": 1}')
    assert read_json(path) is read_json(path)
    path.write_text('{"pawsx": 2}')
    os.utime(path, ns=(0, 0))  # a clock need not tell two writes apart
    assert read_json(path) == {"pawsx": 2}


@pytest.mark.parametrize(
    ("data", "tab"),
    [
        ({"text/plain": "alt.Chart(...)", "text/html": "<div>"}, "```{glued-figure} xnli_chart"),
        ({"text/plain": "<Markdown object>", "text/markdown": "*No model.*"}, "*No model.*"),
        (None, "This study has no such runs on XNLI yet."),
    ],
)
def test_a_tab_shows_the_chart_or_says_why_there_is_none(extensions, tmp_path, data, tab):
    folder = tmp_path / "book" / "runs" / "xnli"
    folder.mkdir(parents=True)
    (folder.parent / "bands.json").write_text('{"xnli": {"title": "XNLI"}}')
    cell = nbformat.v4.new_code_cell()
    if data:
        prefix = "application/papermill.record/"
        output = nbformat.v4.new_output(
            "display_data",
            {prefix + kind: text for kind, text in data.items()},
            metadata={"scrapbook": {"name": "xnli_chart", "mime_prefix": prefix}},
        )
        cell.outputs = [output]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "03-quality.ipynb")
    directive = types.SimpleNamespace(
        env=types.SimpleNamespace(srcdir=tmp_path, note_dependency=lambda path: None),
        options={"notebook": "03-quality", "name": "fig-chart"},
        arguments=["chart"],
        content=["what it shows"],
        _folder=lambda task: task,
    )
    figures = extensions("glued_figure").TaskFigures
    note = figures._find_note(directive, "xnli")
    lines = list(figures._tab(directive, "xnli", note, is_shown=False))
    assert lines[:3] == [":::{tab-item} XNLI", ":sync: xnli", ""] and lines[3] == tab
    shown = list(figures._tab(directive, "xnli", note, is_shown=True))
    assert shown == [*lines[:2], ":selected:", *lines[2:]]
    assert ("XNLI: what it shows" in lines) == bool(data and "text/html" in data)


def test_a_computed_page_belongs_to_a_chapter(extensions):
    path = extensions("reading_path")
    assert path.chapter("book/runs/pawsx/02-influence") == "book/influential-samples"
    assert path.chapter("book/runs/demo/pawsx/02-influence") == "book/run-it-yourself"
    assert path.chapter("book/runs/00-the-answer") == "book/index"
    assert path.is_computed("book/runs/marc/07-zero-shot")
    assert not path.is_computed("book/runs/12-what-ran")
    for name in workflow.PER_TASK:
        assert (ROOT / "book" / f"{pages.find_chapter(name)}.md").is_file()


def test_one_sentence_says_what_is_left_without_label_and_language(extensions):
    task = {"title": "XNLI", "k": 100, "chance": 0.8, "label": [0.7, 0.7], "language": [0.7, 0.78]}
    other = task | {"title": "MARC", "label": [0.6, 0.63], "language": [0.6, 0.7]}
    describe = extensions("taken_out").describe
    assert "by less than a point; taking the language out changes it from 70" in describe([task])
    said = describe([task, other]).replace("\xa0", " ")
    assert "the 100 most helpful samples by 3 points or less" in said
    assert "from 70 % to 78 % (XNLI) and from 60 % to 70 % (MARC). Chance is 80 %." in said


@pytest.mark.parametrize(
    ("found", "shown"), [("–", ["sentence"]), ("1 %", ["content"])], ids=["missing", "found"]
)
def test_a_sentence_stands_where_no_task_has_the_numbers(extensions, monkeypatch, found, shown):
    prose = extensions("numbers_in_prose")
    monkeypatch.setattr(prose, "lookup", lambda env, folder, notebook, key: found)
    directive = types.SimpleNamespace(
        env=None,
        options={"missing": "sentence"},
        arguments=["03-quality", "removal_k"],
        parse_text_to_nodes=lambda text: [text],
        parse_content_to_nodes=lambda: ["content"],
    )
    assert prose.WhereComputed.run(directive) == shown


@pytest.mark.parametrize(
    ("items", "languages", "said"),
    [
        (125, 5, "125 test samples"),
        (25, 5, "125 test samples (25 items in five languages)"),
        (30, 5, "125 test samples (30 items in up to five languages)"),
    ],
)
def test_a_card_says_how_many_languages_the_items_are_in(extensions, items, languages, said):
    row = {"test_samples": 125, "items": items}
    assert extensions("share_slider").count_samples(row, languages) == said


def test_the_slider_has_every_k_that_all_tasks_have(extensions):
    slider = extensions("share_slider")
    row = {"share": 0.5, "ci_low": None, "ci_high": None, "chance": 0.8, "test_samples": 5}
    shares = [
        {"top_k": 30, "rows": [row | {"k": k, "items": 5} for k in ks]}
        for ks in ((1, 20, 50), (1, 20, 40))
    ]
    assert slider.common_ks(shares) == [1, 20]
    assert slider.starting_k(shares) == 20
    texts = slider.slots(slider.at(shares[0], 20))
    assert texts["share"] == "50\u00a0%"
    assert {name for name in texts if name != "style"} == set(
        re.findall(r'data-slot="(\w+)"', slider.CARD)
    ), "the page carries no text that no card shows"
    assert texts["style"] == "--value:50.0%;--chance:80.0%;--low:50.0%;--high:50.0%"
    assert texts["reading"].endswith("5 test samples are too few for an interval.")


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
