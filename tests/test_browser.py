"""The built book in a real browser: nothing is fetched from elsewhere, fails, or is cut off.

All pages are accessible, by axe-core's rules, in both themes.

Needs Chromium (Debian: `apt-get install chromium`); without it these tests are skipped, and say so.
"""

import functools
import http.server
import re
import shutil
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import HOSTILE, ROOT
from playwright.sync_api import expect, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"
    ),
]
PAGES = re.findall(r"(?:root|file): ([\w/-]+)", (ROOT / "_toc.yml").read_text())
WIDTHS = (390, 820, 1440)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]
# The page keeps its width and nothing slides any more, all charts are drawn at the width that they
# have now, and no drawing at an earlier width is still under way.
DRAWN = """async () => {
  const width = () => document.querySelector('article')?.clientWidth;
  const before = width();
  await new Promise((resolve) => setTimeout(resolve, 300));  // a new width sets things in motion
  if (width() !== before) return false;
  if (document.getAnimations().some((each) => each instanceof CSSTransition)) return false;
  if (!window.xlCharts) return !document.querySelector('.xl-chart');
  await xlCharts.drawAll();
  return width() === before && !document.querySelector('.xl-live.waiting');
}"""
# Text that sticks out of the page, or of a box that hides what does not fit.
# Boxes that only screen readers see do not count.
CUT = """() => {
  const page = document.documentElement, found = [];
  if (page.scrollWidth > page.clientWidth + 1)
    found.push(`the page is ${page.scrollWidth - page.clientWidth} px too wide`);
  for (const node of document.querySelectorAll('body *')) {
    const style = getComputedStyle(node);
    if (node.clientWidth < 8 || !node.innerText?.trim()) continue;
    if (node.closest("svg, select, .math, .visually-hidden, .sr-only")) continue;
    if (['hidden', 'clip'].includes(style.overflowX) && node.scrollWidth > node.clientWidth + 1)
      found.push(`${node.tagName}.${node.className}: ${node.innerText.slice(0, 40)}`);
  }
  return found;
}"""
SMALL = """() => [...document.querySelectorAll('[id^="altair-viz"]')]
  .filter((chart) => chart.checkVisibility())
  .map((chart) => chart.querySelector('svg.marks').getBoundingClientRect())
  .filter((box) => box.width < 120 || box.height < 40).length"""


# After a resize the theme waits a moment, then makes boxes that scroll reachable by keyboard.
REACHABLE = """() => ![...document.querySelectorAll('.output[tabindex="-1"]')].some((box) =>
  box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight)"""


@pytest.fixture(scope="module")
def address(site):
    """Where a server on loopback serves the book."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def tab(browser, address):
    """A page that must not fail, open a dialog, or ask another host while the test runs."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=address)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "requestfailed",
        lambda request: _stopped(request) or wrong.append(f"{request.failure}: {request.url}"),
    )
    page.on(
        "response",
        lambda answer: answer.status < 400 or wrong.append(f"{answer.status}: {answer.url}"),
    )
    page.on(
        "request",
        lambda request: (
            request.url.startswith((address, "data:", "blob:")) or wrong.append(request.url)
        ),
    )
    yield page
    context.close()
    assert not wrong


def _stopped(request):
    """Whether the browser itself gave up: a download; an icon or Vega of a page that was left."""
    left = request.failure == "net::ERR_ABORTED" and re.search("favicon|/vega", request.url)
    return left or request.url.startswith("blob:")


def find_violations(page):
    """What axe-core finds serious or critical: rule, help, how often, first place, first reason."""
    options = {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, options=options).response["violations"]
    violations = []
    for one in found:
        if one["impact"] in ("serious", "critical"):
            first = one["nodes"][0]
            place, reason = first["html"][:200], first["any"][:1]
            violations.append((one["id"], one["help"], len(one["nodes"]), place, reason))
    return violations


@pytest.mark.parametrize("name", PAGES)
def test_page(tab, name):
    tab.goto(f"/{name}.html")
    tab.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    tab.wait_for_function(DRAWN)
    assert tab.evaluate(SMALL) == 0
    for theme in ("light", "dark"):
        tab.emulate_media(color_scheme=theme)
        tab.wait_for_function(
            "theme => document.documentElement.dataset.theme === theme", arg=theme
        )
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.wait_for_function(DRAWN)
            assert tab.evaluate(CUT) == [], (theme, width)
        tab.wait_for_function(REACHABLE)
        assert find_violations(tab) == [], theme


def test_the_answer_shows_the_tasks_side_by_side(tab):
    tab.goto("/book/index.html")
    chart = tab.locator("svg.marks").first
    # the book of the tests shows the smoke study, whose data are the demo's
    for name in ("demo-NLI", "demo-paraphrase", "demo-reviews"):
        expect(chart.get_by_text(name, exact=True)).to_have_count(1)


def test_a_click_on_a_test_language_shows_its_samples(tab):
    tab.goto("/book/runs/pawsx/04-cross-language-influence.html")
    tab.wait_for_function(DRAWN)
    chart = tab.locator("#fig-composition-pawsx svg.marks")
    marks = chart.locator("path[aria-label*='test sample:']")
    before = marks.count()
    chart.locator("path[aria-label*='test language: Korean']").first.click()
    expect(marks).to_have_count(before // 5)  # one of five test languages is left
    labels = [mark.get_attribute("aria-label") for mark in marks.all()]
    assert all("test sample: ko" in label for label in labels)


def test_a_click_on_the_legend_fades_the_others(tab):
    tab.goto("/book/runs/pawsx/06-sharing-dynamics.html")
    tab.wait_for_function(DRAWN)
    chart = tab.locator("svg.marks").first
    chart.locator(".role-legend-symbol path").first.click()
    faded = chart.locator("path[aria-roledescription='point'][opacity='0.15']")
    expect(faded.first).to_be_attached()


def test_a_chart_saves_the_table_behind_it(tab):
    tab.goto("/book/index.html")
    tab.get_by_label("Save this chart").first.click()
    with tab.expect_download() as download:
        tab.get_by_text("Save as CSV").first.click()
    lines = download.value.path().read_text().splitlines()
    head, *rows = [line for line in lines if not line.startswith("#")]
    assert head.startswith("test_lang,sign,k,share,ci_low,ci_high,chance,test_samples,items")
    assert len(rows) == 3 * 2 * 7  # tasks, signs, and the k up to 120 training samples


def test_charts_in_tabs_are_drawn_when_their_tab_is_opened(tab):
    tab.goto("/book/cross-language-influence.html")
    tab.wait_for_function(DRAWN)
    charts = tab.locator(".sd-tab-content .xl-plot")
    assert charts.count() >= 3 and charts.first.is_visible() and not charts.nth(1).is_visible()
    name = tab.get_by_text("demo-paraphrase", exact=True)
    name.and_(tab.locator("label.sd-tab-label")).first.click()
    drawn = charts.nth(1).locator("svg.marks")
    expect(drawn).to_be_visible()
    assert drawn.bounding_box()["width"] > 300


def test_search_finds_a_word(tab):
    tab.goto("/search.html?q=outlier")
    expect(tab.locator("#search-results li").filter(has_text="Method").first).to_be_visible()


@pytest.mark.parametrize("name", ["explorer", "runs/marc/02-influence"])
def test_markup_in_a_review_shows_as_that_text(tab, name):
    tab.goto(f"/book/{name}.html#marc/es")
    shown = tab.locator(".xl-text, table.samples td span")
    expect(shown.first).to_be_visible()
    texts = shown.all_text_contents()
    assert len(texts) >= 7 and all(text.startswith(HOSTILE) for text in texts)
    tab.wait_for_load_state("networkidle")
