"""The charts of the built book in a real browser: on any screen, by finger and by key, on paper.

Needs Chromium, as `test_browser.py` does.
"""

import json
import re

import pytest
import vl_convert
from playwright.sync_api import expect
from test_browser import DRAWN, address, browser, pytestmark, tab
from test_chart_sizes import EVERY, specs, still_charts

from xl_influence.charts import vega

# fixtures and the marker of the module
__all__ = ["address", "browser", "pytestmark", "specs", "tab"]

PAGE = "/book/runs/pawsx/04-cross-language-influence.html"
CHART = "#fig-composition-pawsx"
TAB = 318  # pixels of a chart in a tab on a phone
# Vega-Lite cannot know that panels of different heights draw the same rows in all their layers
KNOWN = {"plot_rates": "WARN Detected faceted independent scales"}
# Of every chart on the screen: the width of its place, of what is drawn, and the smallest text.
SIZES = """() => [...document.querySelectorAll('.xl-chart')]
  .filter((chart) => chart.checkVisibility() && chart.classList.contains('drawn'))
  .map((chart) => {
    const svg = chart.querySelector('svg.marks'), box = svg.getBoundingClientRect();
    const scale = box.width / Number(svg.getAttribute('width'));
    const texts = [...svg.querySelectorAll('text')];
    const sizes = texts.map((text) => parseFloat(text.getAttribute('font-size')));
    return [chart.querySelector('.xl-plot').clientWidth, box.width, scale * Math.min(...sizes)];
  })"""
# Texts that reach over the edge of their picture, and names of an axis that touch each other
CUT = """() => {
  const svg = document.querySelector('svg'), box = svg.getBoundingClientRect();
  const all = [...svg.querySelectorAll('text')].filter((text) => text.textContent.trim());
  const found = all.filter((text) => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1;
  }).map((text) => `cut: ${text.textContent}`);
  for (const axis of svg.querySelectorAll('.role-axis-label')) {
    const names = [...axis.querySelectorAll('text')]
      .filter((text) => text.getAttribute('opacity') !== '0')
      .filter((text) => !text.getAttribute('transform').includes('rotate'));
    const boxes = names.map((text) => text.getBoundingClientRect());
    boxes.slice(1).forEach((one, place) => {
      const last = boxes[place];
      const apart = one.left >= last.right || one.right <= last.left
        || one.top >= last.bottom - 3 || one.bottom <= last.top + 3;
      if (!apart) found.push(`on each other: ${names[place].textContent}`);
    });
  }
  return found;
}"""
HEIGHTS = """() => [...document.querySelectorAll('.xl-plot')]
  .map((plot) => Math.round(plot.getBoundingClientRect().height))"""


def find_live(page, chart=CHART):
    live = page.locator(f"{chart} .xl-live:not(.waiting)")
    live.scroll_into_view_if_needed()
    expect(live).to_be_visible()
    return live


@pytest.mark.parametrize("width", [*still_charts.WIDTHS.values(), TAB])
@pytest.mark.parametrize("which", EVERY, ids=lambda which: f"{which[0]}-{which[1]}")
def test_no_text_of_a_chart_is_cut_or_lies_on_another(browser, specs, which, width):
    spec = specs[which]
    spec = spec | {"config": spec["config"] | {"font": "DejaVu Sans"}}  # wider than most fonts
    svg = vl_convert.vegalite_to_svg(json.dumps(still_charts.arrange(spec, width)))
    page = browser.new_page()
    page.set_content(f"<body>{svg}</body>")
    found = page.evaluate(CUT)
    page.close()
    assert found == []


@pytest.mark.parametrize("name", ["index", "runs/pawsx/04-cross-language-influence"])
def test_charts_fill_the_width_after_every_resize(tab, name):
    tab.set_viewport_size({"width": 820, "height": 900})
    tab.goto(f"/book/{name}.html")
    tab.wait_for_function(DRAWN)
    for width in (1440, 390, 820):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.wait_for_function(DRAWN)
        sizes = tab.evaluate(SIZES)
        assert sizes
        for place, drawn, text in sizes:
            assert drawn <= place + 1, (width, "does not fit")
            assert drawn >= 0.9 * place, (width, "leaves room")
            assert text >= 10.9, (width, "small text")


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_moves_when_the_live_chart_takes_the_place_of_the_still_one(
    browser, address, width
):
    context = browser.new_context(viewport={"width": width, "height": 900}, base_url=address)
    page = context.new_page()
    page.route("**/charts.js*", lambda route: route.abort())
    page.goto(PAGE)
    still = page.evaluate(HEIGHTS)
    page.unroute("**/charts.js*")
    page.reload()
    page.wait_for_function(DRAWN)
    live = page.evaluate(HEIGHTS)
    context.close()
    assert len(live) >= 4 and all(abs(a - b) <= 1 for a, b in zip(still, live, strict=True))


@pytest.fixture(scope="module")
def vega_page(browser):
    """A page that can draw any chart, and the list of its warnings and errors."""
    page, said = browser.new_page(), []
    kinds = ("warning", "error")
    page.on("console", lambda line: said.append(line.text) if line.type in kinds else None)
    page.add_script_tag(content=vega.bundle_script("embed"))
    yield page, said
    page.close()


@pytest.mark.parametrize("which", EVERY, ids=lambda which: f"{which[0]}-{which[1]}")
def test_a_chart_is_drawn_without_a_warning(vega_page, specs, which):
    page, said = vega_page
    said.clear()
    for width in still_charts.WIDTHS.values():
        spec = still_charts.arrange(specs[which], width)
        page.evaluate("async (spec) => { await embed(document.body, spec) }", spec)
    assert [line for line in said if not line.startswith(KNOWN.get(which[0], "-"))] == []


def test_panels_stand_one_below_the_other_on_a_phone(tab):
    for width, columns in ((1440, 3), (390, 1)):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto("/book/index.html")
        tab.wait_for_function(DRAWN)
        names = tab.locator("#fig-answer svg.marks text")
        names = names.filter(has_text=re.compile("^demo-(NLI|paraphrase|reviews)$"))
        boxes = [name.bounding_box() for name in names.all()]
        middles = {round((box["x"] + box["width"] / 2) / 50) for box in boxes}
        assert (len(boxes), len(middles)) == (3, columns)


def test_a_tap_says_value_interval_chance_and_samples(browser, address):
    context = browser.new_context(
        viewport={"width": 390, "height": 800}, base_url=address, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(PAGE)
    page.wait_for_function(DRAWN)
    mark = find_live(page, "#fig-cross-language-pawsx").locator("path[aria-label*='share:']").first
    box = mark.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2)
    text = page.locator(".xl-tip").inner_text()
    context.close()
    for name in ("share", "interval", "chance", "test samples"):
        assert name in text
    assert "ci_" not in text and "_" not in text


def test_arrow_keys_read_the_values_and_enter_answers(tab):
    tab.goto(PAGE)
    tab.wait_for_function(DRAWN)
    live = find_live(tab, "#fig-cross-language-pawsx")
    live.focus()
    tab.keyboard.press("ArrowRight")
    first = tab.locator(".xl-tip").inner_text()
    expect(tab.locator(".xl-ring")).to_have_count(1)
    expect(tab.get_by_role("status").filter(has_text="share")).to_have_count(1)
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".xl-tip").inner_text() != first
    tab.keyboard.press("End")  # the last entry of the legend
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator(".xl-tip")).to_contain_text("harmful: Enter shows it alone")
    tab.keyboard.press("Enter")
    faded = live.locator("path[aria-roledescription='point'][opacity='0.15']")
    expect(faded.first).to_be_attached()
    tab.keyboard.press("Escape")
    expect(tab.locator(".xl-tip")).to_be_hidden()


@pytest.mark.parametrize(
    "name",
    [
        "04-cross-language-influence",
        "06-sharing-dynamics",
        "07-zero-shot",
        "10-where-in-the-network",
        "14-methods",
        "15-language-and-label",
    ],
)
def test_every_legend_that_says_so_can_be_clicked(tab, name):
    tab.goto(f"/book/runs/pawsx/{name}.html")
    tab.wait_for_function(DRAWN)
    answers = tab.evaluate(
        """() => [...document.querySelectorAll(".xl-live")].filter((live) => live.answers)
          .map((live) => [...live.querySelectorAll(".role-legend-symbol")]
            .some((legend) => legend.getAttribute("pointer-events") !== "none"))"""
    )
    assert answers and all(answers)


def test_the_name_of_a_row_can_be_clicked_and_a_double_click_selects_no_text(tab):
    tab.goto(PAGE)
    tab.wait_for_function(DRAWN)
    live = find_live(tab)
    marks = live.locator("path[aria-label*='test sample:']")
    before = marks.count()
    row = live.locator(".mark-text.role-mark").get_by_text("Korean", exact=True).first
    row.click()
    expect(marks).to_have_count(before // 5)  # one of five test languages is left
    row.dblclick()
    expect(marks).to_have_count(before)
    live.get_by_text("%").first.dblclick(force=True)  # the cell below the text answers
    assert tab.evaluate("() => getSelection().toString()") == ""


def test_still_charts_are_there_without_javascript(browser, address):
    context = browser.new_context(java_script_enabled=False, base_url=address)
    page = context.new_page()
    page.goto("/book/index.html")
    expect(page.locator("#fig-answer svg.wide")).to_be_visible()
    expect(page.locator("#fig-answer svg.wide").get_by_text("demo-NLI")).to_be_visible()
    expect(page.locator("#fig-answer svg.narrow")).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 800})
    expect(page.locator("#fig-answer svg.narrow")).to_be_visible()
    context.close()


def test_every_chart_prints_that_of_a_closed_tab_too(tab):
    tab.goto("/book/cross-language-influence.html")
    tab.wait_for_function(DRAWN)
    tab.emulate_media(media="print")
    stills = tab.locator(".xl-still svg.wide")
    assert stills.count() >= 6
    for still in stills.all():
        expect(still).to_be_visible()
    expect(tab.locator("svg.marks").first).to_be_hidden()
    assert tab.pdf()[:4] == b"%PDF"


def test_vega_loads_when_a_chart_comes_near(tab):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.set_viewport_size({"width": 1440, "height": 200})
    tab.goto("/book/quality.html")
    tab.wait_for_load_state("networkidle")
    assert not any(re.search(r"/vega-[\d.\w]+\.js", url) for url in asked)
    tab.locator(".xl-chart:visible").first.scroll_into_view_if_needed()
    expect(tab.locator(".xl-chart.drawn").first).to_be_visible()
    assert any(re.search(r"/vega-[\d.\w]+\.js", url) for url in asked)


def save(page, kind):
    page.locator(CHART).get_by_label("Save this chart").click()
    with page.expect_download() as download:
        page.locator(CHART).get_by_text(f"Save as {kind}").click()
    assert download.value.suggested_filename == f"pawsx-composition.{kind.lower()}"
    return download.value.path().read_bytes()


def test_saved_files_have_a_name_a_title_the_data_and_the_source(tab):
    tab.goto(PAGE)
    tab.wait_for_function(DRAWN)
    find_live(tab)
    assert save(tab, "PNG").startswith(b"\x89PNG")
    svg = save(tab, "SVG").decode()
    assert "currentColor" not in svg and 'fill="#ffffff"' in svg
    table = save(tab, "CSV").decode()
    for text in (svg, table):
        assert "Percent of the top k" in text and "Data: demo-paraphrase" in text
        assert "Source: " in text
    head, first = [line for line in table.splitlines() if not line.startswith("#")][:2]
    assert head.startswith("test,item,test_lang,train_lang,sign,share,chance")
    assert "_" not in "".join(name for name in head.split(",") if name.startswith("_"))
    assert not re.search(r"\d\.\d{5}", first)
