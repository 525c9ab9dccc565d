"""The pages in a real browser: weight, navigation, and without JavaScript, on paper, on a phone.

Fixtures, and what is needed, as in `test_browser`.
"""

import json
import re

import pytest
from conftest import ROOT
from playwright.sync_api import expect
from test_browser import address, browser, pytestmark, tab  # noqa: F401 (fixtures)

COMPUTED = "/book/runs/"
CHAPTERS = [
    name
    for name in re.findall(r"(?:root|file): ([\w/-]+)", (ROOT / "_toc.yml").read_text())
    if not re.match(r"book/runs/(00|16|17|xnli|pawsx|marc|demo)", name)
]
# A first visit: at most so many kB, without compression, and so many requests
LIMITS = {
    "book/index": (1500, 25),
    "book/zero-shot": (1500, 25),
    "book/cross-language-influence": (1700, 25),  # three charts with a dot for each test sample
    "book/runs/pawsx/07-zero-shot": (1500, 25),
    "book/glossary": (500, 20),
    "book/how-to-read": (500, 20),
    "book/explorer": (1500, 22),
}
ICONS = """() => [...document.querySelectorAll('i[class*="fa-"]')].map((icon) => {
  const style = getComputedStyle(icon, '::before');
  return [icon.className, style.maskImage, parseFloat(style.width) || 0];
})"""
TOO_WIDE = """() => [...document.querySelectorAll('article table')]
  .filter((table) => table.checkVisibility())
  .filter((table) => table.getBoundingClientRect().right > document.documentElement.clientWidth)
  .map((table) => table.innerText.slice(0, 60))"""
# Words of the links to the neighbouring chapters that are cut in two
CUT_WORDS = r"""() => [...document.querySelectorAll('.prev-next-title')].flatMap((title) => {
  const text = document.createTreeWalker(title, NodeFilter.SHOW_TEXT).nextNode();
  return [...text.data.matchAll(/\w+/g)].filter((word) => {
    const range = document.createRange();
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    return range.getClientRects().length > 1;
  }).map((word) => word[0]);
})"""
# A margin note that begins above the end of what stands before it in the text's order
EARLY_NOTES = """() => [...document.querySelectorAll('article aside.margin')].filter((note) => {
  const before = note.previousElementSibling.getBoundingClientRect();
  return note.getBoundingClientRect().top < before.bottom - 1;
}).length"""


@pytest.mark.parametrize("name", LIMITS)
def test_a_first_visit_is_light(tab, name):  # noqa: F811
    client = tab.context.new_cdp_session(tab)
    client.send("Network.enable")
    inline, sizes = set(), []  # an icon inside a style sheet asks the server for nothing

    def begin(event):
        if event["request"]["url"].startswith("data:"):
            inline.add(event["requestId"])

    def end(event):
        if event["requestId"] not in inline:
            sizes.append(event["encodedDataLength"])

    client.on("Network.requestWillBeSent", begin)
    client.on("Network.loadingFinished", end)
    tab.goto(f"/{name}.html")
    tab.wait_for_load_state("networkidle")
    most_kb, most_requests = LIMITS[name]
    assert sum(sizes) <= 1000 * most_kb, f"{sum(sizes) / 1000:.0f} kB"
    assert 5 < len(sizes) <= most_requests


def test_next_leads_from_chapter_to_chapter(tab):  # noqa: F811
    tab.goto("/book/index.html")
    seen = ["book/index"]
    while (link := tab.locator(".prev-next-area a.right-next")).count():
        link.click()
        tab.wait_for_load_state("domcontentloaded")
        seen.append(re.sub(r"^https?://[^/]+/|\.html.*$", "", tab.url))
    assert seen == CHAPTERS


@pytest.mark.parametrize("name", ["sharing-dynamics", "cross-language-influence", "glossary"])
def test_links_to_the_neighbours_cut_no_word_on_a_phone(tab, name):  # noqa: F811
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(f"/book/{name}.html")
    expect(tab.locator(".prev-next-title")).to_have_count(2)
    assert tab.evaluate(CUT_WORDS) == []


def test_computed_pages_lead_back_and_are_not_in_the_sidebar(tab):  # noqa: F811
    tab.goto(f"{COMPUTED}pawsx/07-zero-shot.html")
    assert tab.locator(f"#pst-primary-sidebar a[href*='{COMPUTED[6:]}pawsx']").count() == 0
    expect(tab.locator(".way-back a").first).to_have_text("Zero-shot testing")
    tab.locator(".prev-next-area a.left-prev").click()
    expect(tab).to_have_url(re.compile(r"/book/zero-shot\.html$"))


def test_the_search_finds_each_page_once_and_no_computed_page(tab):  # noqa: F811
    tab.goto("/search.html?q=korean")
    results = tab.locator("#search-results li a")
    expect(results.filter(has_text="Zero-shot testing").first).to_be_visible()
    expect(tab.locator("#search-results")).to_contain_text("Search finished")
    pages = [link.get_attribute("href").split("?")[0] for link in results.all()]
    computed = [page for page in pages if re.search(r"runs/(\w+/)?(xnli|pawsx|marc)/", page)]
    assert pages and not computed


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "runs/pawsx/03-quality", "api"])
def test_every_icon_is_drawn(tab, name, theme):  # noqa: F811
    tab.emulate_media(color_scheme=theme)
    tab.goto(f"/book/{name}.html")
    icons = tab.evaluate(ICONS)
    assert len(icons) >= 8
    assert [icon for icon in icons if not icon[1].startswith("url(")] == []
    visible = tab.locator("i[class*='fa-']:visible")
    assert visible.count() >= 3
    assert all(icon.bounding_box()["width"] >= 8 for icon in visible.all())


def test_the_slider_moves_the_sentence_and_the_cards_by_keyboard(tab):  # noqa: F811
    tab.goto("/book/index.html")
    steps = json.loads(tab.locator("#share-by-k").text_content())
    sentence, number = tab.locator(".share-sentence"), tab.locator(".share-card .number").first
    start = int(tab.locator(".share-slider output").inner_text())
    [own] = [step for step in steps if step["k"] == start]
    expect(sentence).to_have_text(own["sentence"])  # as without JavaScript
    tab.get_by_label("How many of the most helpful samples?").focus()
    tab.keyboard.press("Home")
    expect(tab.locator(".share-slider output")).to_have_text(str(steps[0]["k"]))
    expect(sentence).to_have_text(steps[0]["sentence"])
    expect(number).to_have_text(steps[0]["tasks"]["xnli"]["share"])
    tab.keyboard.press("ArrowRight")
    expect(sentence).to_have_text(steps[1]["sentence"])
    assert steps[0]["sentence"] != steps[1]["sentence"]


def test_without_javascript_text_and_tables_are_there(browser, address):  # noqa: F811
    context = browser.new_context(java_script_enabled=False, base_url=address)
    page = context.new_page()
    page.goto("/book/index.html")
    expect(page.locator(".share-sentence")).to_contain_text("Chance is 80")
    expect(page.locator(".share-slider")).to_be_hidden()
    expect(page.locator(".share-card .number")).to_have_count(3)
    page.goto("/book/quality.html")
    expect(page.locator("article table").first).to_be_visible()
    tabs = page.locator(".sd-tab-content")
    assert tabs.count() >= 3
    assert all(one.is_visible() for one in tabs.all())
    context.close()


@pytest.mark.parametrize("name", ["quality", "cross-language-influence"])
def test_a_page_prints_without_its_frame_and_nothing_is_cut(tab, name):  # noqa: F811
    tab.goto(f"/book/{name}.html")
    tab.wait_for_load_state("networkidle")
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 700, "height": 990})  # A4 within its margins, in CSS pixels
    for frame in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article"):
        expect(tab.locator(frame).first).to_be_hidden()
    figures = tab.locator("article figure:has(.xl-plot)")
    assert figures.count() >= 3
    for figure in figures.all():
        box = figure.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 701 and box["height"] < 990
    assert len(tab.pdf(format="A4")) > 20_000


@pytest.mark.parametrize("width", [390, 820, 1440])
@pytest.mark.parametrize("name", ["quality", "zero-shot", "cross-language-influence"])
def test_margin_notes_come_after_what_they_comment_on(tab, name, width):  # noqa: F811
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"/book/{name}.html")
    tab.wait_for_load_state("networkidle")
    assert tab.locator("article aside.margin").count() >= 1
    assert tab.evaluate(EARLY_NOTES) == 0


@pytest.mark.parametrize(
    "name",
    ["the-paper-and-this-run", "runs/11-how-fast", "runs/12-what-ran", "cross-language-influence"],
)
def test_no_table_is_cut_on_a_phone(tab, name):  # noqa: F811
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(f"/book/{name}.html")
    assert tab.locator("article table.cards").count() >= 1
    assert tab.evaluate(TOO_WIDE) == []
