"""The explorer in a real browser: what it shows, where it leads, and how light it is.

Needs Chromium, as the tests in `test_browser.py`.
"""

# ruff: noqa: F811  # fixtures are imported

import csv
import json
import re

import pytest
from playwright.sync_api import expect
from test_browser import (  # noqa: F401  # fixtures
    CUT,
    address,
    browser,
    find_violations,
    pytestmark,
    tab,
)

PHONE = {"width": 390, "height": 844}
INDEX_LIMIT, PART_LIMIT = 40_000, 80_000  # bytes; before compression
SHIFTS = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    resolve(list.getEntries().reduce((sum, entry) => sum + entry.value, 0));
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(0), 500);
})"""


def visit(page, place=""):
    """Open the explorer at a place, and wait for its lists."""
    page.goto(f"/book/explorer.html{place}")
    expect(page.locator(".xl-list.positive ol")).to_be_attached()


def read_data(site, name):
    """The data of a script: of an index, 'demo-pawsx', or of a part, 'demo-pawsx/test-0'."""
    text = (site / "_static" / "explorer" / f"{name}.js").read_text(encoding="utf-8")
    return json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))


@pytest.fixture
def korean(site):
    """The index of a parallel task, and its Korean test samples."""
    index = read_data(site, "demo-pawsx")
    return index, [test for test in index["tests"] if test["lang"] == "ko"]


def title(page):
    return page.locator("#xl-test-title")


def in_address(page, part):
    expect(page).to_have_url(re.compile(re.escape(part)))


def change_data(page, site, task, change):
    """Serve the task's data as `change` leaves them: a function of a script's name and its data."""

    def answer(route):
        name = route.request.url.split("/explorer/")[1].removesuffix(".js")
        data = change(name, read_data(site, name))
        body = f"window.explorer[{json.dumps(name)}] = {json.dumps(data)};"
        route.fulfill(body=body, content_type="text/javascript; charset=utf-8")

    page.route(re.compile(rf"/explorer/{task}(/[\w-]+)?\.js$"), answer)


def test_the_first_sample_is_the_telling_one(tab, site):
    visit(tab)
    first = json.loads(tab.locator("#xl-explorer").get_attribute("data-first"))
    expect(title(tab)).to_have_text(f"Test sample {first[2]}")
    deviations = {}
    for path in (site / "_static" / "explorer").glob("*.js"):
        data = read_data(site, path.stem)
        if data["texts"] and data["parallel"]:
            deviations[path.stem] = abs(data["deviation"])
        if path.stem == first[0]:
            assert data["tests"][data["first"]]["uid"] == first[2]
    assert deviations[first[0]] == max(deviations.values())


def test_steps_by_keyboard_stop_at_the_end(tab, korean):
    count = len(korean[1])
    visit(tab, f"#demo-pawsx/ko/{korean[1][0]['uid']}")
    button = tab.get_by_role("button", name="Next test sample")
    button.focus()
    for place in range(2, count + 4):
        tab.keyboard.press("Enter")
        expect(tab.locator(".xl-position")).to_have_text(f"{min(place, count)} of {count}")
        expect(button).to_be_focused()
    # at the end the focus stays on the button, which does nothing
    expect(title(tab)).to_have_text(f"Test sample {korean[1][-1]['uid']}")
    expect(tab.locator(".xl-position")).to_have_text(f"{count} of {count}")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(tab.get_by_role("status")).to_have_text("This is the last test sample.")
    last = title(tab).inner_text()
    tab.keyboard.press("k")
    expect(title(tab)).not_to_have_text(last)
    expect(tab.get_by_role("status")).to_contain_text(f"{count - 1} of {count}")
    tab.keyboard.press("j")
    expect(title(tab)).to_have_text(last)
    tab.reload()
    expect(title(tab)).to_have_text(last)


def test_a_letter_that_is_typed_is_no_step(tab):
    visit(tab, "#demo-pawsx/ko?open=training")
    first = title(tab).inner_text()
    field = tab.get_by_label("Training sample", exact=True)
    field.press_sequentially("jk")
    tab.get_by_role("button", name="Next test sample").press("Control+j")
    expect(field).to_have_value("jk")
    assert title(tab).inner_text() == first


def test_back_undoes_a_step_and_open_details_stay_open(tab, korean):
    visit(tab, f"#demo-pawsx/ko/{korean[1][0]['uid']}")
    first = title(tab).inner_text()
    fold = tab.locator(".xl-list.positive > ol > li > details")
    fold.first.locator("summary").first.click()
    in_address(tab, "open=p1")
    tab.get_by_role("button", name="Next test sample").click()
    expect(title(tab)).not_to_have_text(first)
    assert fold.first.get_attribute("open") is not None
    expect(fold.first.get_by_role("heading", name="Its translations")).to_be_visible()
    tab.go_back()
    expect(title(tab)).to_have_text(first)
    tab.goto("/book/index.html")
    visit(tab, "#demo-pawsx/ko?open=n1")
    expect(tab.locator(".xl-list.negative > ol > li > details[open]")).to_have_count(1)


def test_the_parts_of_a_score_add_up(tab):
    visit(tab, "#demo-pawsx/ko?open=p1")
    expect(tab.locator(".xl-test .xl-language")).to_have_text("Korean")
    first = tab.locator(".xl-list.positive > ol > li").first
    expect(first.get_by_role("heading", name="Its translations")).to_be_visible()
    score = read(first.locator(".xl-score b").first)
    for caption in ("What each epoch adds", "What each part of the network adds"):
        table = first.locator("table.xl-bars").filter(has_text=caption)
        parts = [read(cell) for cell in table.locator("td:last-child").all()]
        assert parts and abs(sum(parts) - score) <= 0.005 * (len(parts) + 1)  # each is rounded


def read(cell):
    return float(cell.inner_text().replace("\u2212", "-"))


def test_lists_say_what_is_counted_and_what_is_listed(tab, korean):
    visit(tab, "#demo-pawsx/ko")
    rows, head = (
        tab.locator(f".xl-list.positive {part}") for part in ("> ol > li", ".xl-composition")
    )
    expect(head).to_contain_text(f"Counted: the {korean[0]['top_k']} most helpful")
    expect(head).to_contain_text(f"Listed: the {rows.count()} most helpful.")
    tab.get_by_label("Training samples in").select_option("fr")
    expect(head).to_contain_text(re.compile(r"Listed: the [123] most helpful in French"))
    shown = tab.locator(".xl-list > ol > li > .xl-facts .xl-language").all_inner_texts()
    assert set(shown) == {"French"} and rows.count() <= 3
    in_address(tab, "from=fr")
    tab.reload()
    expect(tab.get_by_label("Training samples in")).to_have_value("fr")
    tab.get_by_label("Near-duplicates").select_option("without")
    expect(head).to_contain_text("near-duplicates left out")
    expect(rows.locator(":scope > .xl-facts .xl-twin")).to_have_count(0)
    tab.get_by_label("Task").select_option("demo-marc")
    expect(tab.locator("#xl-item-title")).to_have_count(0)  # MARC is not parallel


def test_every_bar_has_the_same_scale(tab, korean):
    most = len(korean[0]["epochs"])  # each adds 1 at most
    visit(tab, "#demo-pawsx/ko")
    rows = tab.locator(".xl-list > ol > li")
    found = rows.evaluate_all(
        """(rows) => rows.map((row) => {
          const bar = row.querySelector(".xl-bar").getBoundingClientRect();
          const fill = row.querySelector(".xl-fill").getBoundingClientRect();
          const score = Number(row.querySelector(".xl-score b").innerText.replace("\u2212", "-"));
          const middle = bar.left + bar.width / 2;
          return [score, (score < 0 ? fill.left - middle : fill.right - middle) / bar.width];
        })"""
    )
    assert {score > 0 for score, _ in found} == {True, False}
    for score, length in found:
        assert length == pytest.approx(score / (2 * most), abs=0.012)
    expect(tab.locator(".xl-scale").first).to_have_text(f"\u2212{most}0+{most}")
    expect(tab.locator(".xl-scores")).to_contain_text(f"+{most} is the largest possible score")


def test_all_scores_and_the_listed_ones(tab, korean):
    visit(tab, "#demo-pawsx/ko")
    total = sum(korean[0]["trained"].values())
    expect(tab.locator("#xl-scores-title")).to_have_text(
        f"The scores of all {total} training samples"
    )
    assert tab.locator(".xl-marks i").count() == tab.locator(".xl-list > ol > li").count()


def test_one_item_in_its_languages(tab, korean):
    tests = korean[0]["tests"]
    items = [test["item"] for test in tests]
    test = next(test for test in tests if "english" in test and items.count(test["item"]) > 1)
    other = next(one for one in tests if one["item"] == test["item"] and one != test)
    visit(tab, f"#demo-pawsx/all/{test['uid']}")
    cards = tab.locator(".xl-item .xl-card")
    expect(cards).to_have_count(5)  # languages without a test sample of this item say so
    without = cards.filter(has_text="Not among this run’s test samples")
    expect(without).to_have_count(5 - items.count(test["item"]))
    expect(cards.locator(".xl-stack")).to_have_count(2 * items.count(test["item"]))
    expect(tab.locator(".xl-test .xl-english")).to_have_count(1)
    link = cards.get_by_role("link", name=other["uid"], exact=True)
    link.focus()
    tab.keyboard.press("Enter")
    expect(title(tab)).to_have_text(f"Test sample {other['uid']}")
    expect(link).to_be_focused()
    in_address(tab, other["uid"])
    tab.get_by_label("Test language").select_option("en")
    expect(tab.locator(".xl-test .xl-english")).to_have_count(0)


def test_search_and_filters(tab, korean):
    total = len(korean[0]["tests"])
    visit(tab, "#demo-pawsx/all/")
    tab.get_by_text("Search and filter test samples").click()
    position = tab.locator(".xl-position")
    phenomenon = tab.get_by_label("Phenomenon")
    name = phenomenon.locator("option").nth(1).get_attribute("value")
    phenomenon.select_option(name)
    expect(tab.locator(".xl-test")).to_contain_text(f"tests: {name}")
    count = phenomenon.locator("option:checked").inner_text().split("(")[1].strip(")")
    expect(position).to_contain_text(f"of {count}")
    in_address(tab, "phenomenon=")
    tab.get_by_role("button", name="Clear filters").click()
    expect(position).to_contain_text(f"of {total}")
    uid = (
        tab.get_by_label("Test sample", exact=True).locator("option").nth(7).get_attribute("value")
    )
    search = tab.get_by_label("Words or identifier")
    search.fill(uid)
    expect(title(tab)).to_have_text(f"Test sample {uid}")
    expect(search).to_be_focused()
    search.fill("nothing has these words")
    expect(position).to_have_text("0 of 0")
    expect(tab.get_by_role("status")).to_have_text("No test sample passes the filters.")
    expect(title(tab)).to_have_text(f"Test sample {uid}")
    # a run chooses its test samples among those that the model labels correctly
    wrong = tab.get_by_label("Prediction").locator("option[value=wrong]")
    expect(wrong).to_have_text("wrong (0)")
    expect(tab.locator("#xl-explorer > .xl-note")).to_contain_text(
        "wrong predictions have no scores"
    )


def test_wrong_predictions_are_shown_as_such(tab, site, korean):
    def make_wrong(name, data):
        if name == "demo-pawsx":
            test = next(test for test in data["tests"] if test["lang"] == "ko")
            test |= {"right": False, "predicted": 1 - test["label"], "confidence": 0.2}
        return data

    change_data(tab, site, "demo-pawsx", make_wrong)
    visit(tab, "#demo-pawsx/ko?right=wrong")
    expect(tab.locator(".xl-position")).to_have_text("1 of 1")
    expect(tab.locator(".xl-test .xl-wrong")).to_contain_text("✗ wrong: the model says")
    words = f"labels 1 of these {len(korean[0]['tests'])} test samples wrongly"
    expect(tab.locator("#xl-explorer > .xl-note")).to_contain_text(words)


def test_a_study_without_texts(tab, site):
    def strip(_, data):
        text = json.dumps(data)
        data = json.loads(text, object_hook=lambda found: _without_texts(found))
        return data | {"texts": False, "twins": None, "untested": {}} if "tests" in data else data

    change_data(tab, site, "demo-pawsx", strip)
    visit(tab, "#demo-pawsx/ko?open=p1")
    expect(tab.get_by_text("Which test samples does it influence?")).to_be_visible()
    note = tab.locator("#xl-explorer > .xl-note")
    expect(note).to_contain_text("does not publish the texts")
    expect(tab.locator(".xl-text, .xl-english, .xl-twin")).to_have_count(0)
    expect(tab.get_by_label("Near-duplicates")).to_be_hidden()
    facts = tab.locator(".xl-test .xl-facts")
    expect(facts).to_contain_text("row test-7 of the official release")


def _without_texts(found):
    if "texts" in found and isinstance(found["texts"], list):
        dropped = ("english", "phenomenon")
        found = {key: value for key, value in found.items() if key not in dropped}
        found |= {"texts": [], "official": "test-7", "twin": False}
    if "sways" in found:
        swayed = {
            sign: [[*row[:3], False] for row in rows] for sign, rows in found["sways"].items()
        }
        found = found | {"sways": swayed}
    return found


def test_the_way_back(tab, korean):
    visit(tab, "#demo-pawsx/ko?open=p1")
    row = tab.locator(".xl-list.positive > ol > li").first
    head = row.get_by_text("Which test samples does it influence?")
    expect(head).to_be_visible()
    link = row.locator(".xl-plain a").first
    name = link.inner_text()
    link.click()
    expect(title(tab)).to_have_text(f"Test sample {name}")
    tab.get_by_text("Start from a training sample").click()
    offer = tab.locator(".xl-offers a").first
    name, count = offer.inner_text(), offer.evaluate("node => node.nextSibling.textContent")
    offer.click()
    in_address(tab, f"train={name}")
    part = tab.locator(".xl-training")
    expect(part.get_by_role("heading", name=f"Training sample {name}")).to_be_visible()
    number = re.search(r"\d+", count)[0]
    top_k, tests = korean[0]["top_k"], korean[0]["tests"]
    words = f"{top_k} most helpful training samples for {number} of the {len(tests)} test samples"
    expect(part).to_contain_text(words)
    field = tab.get_by_label("Training sample", exact=True)
    field.fill("nobody")
    field.press("Enter")
    expect(part.get_by_role("alert")).to_have_text("No training sample is called nobody.")


def test_what_is_listed_as_csv(tab):
    visit(tab, "#demo-pawsx/ko?from=fr")
    rows = tab.locator(".xl-list > ol > li")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save what is listed").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    found = list(csv.DictReader(text.splitlines()))
    assert len(found) == rows.count() and {row["lang"] for row in found} == {"fr"}
    assert found[0]["test_uid"] in title(tab).inner_text()
    assert found[0]["text_a"] in rows.first.inner_text() and found[0]["english_a"]
    assert download.value.suggested_filename == f"demo-pawsx-{found[0]['test_uid']}.csv"


def test_one_list_at_a_time_on_a_phone(tab):
    tab.set_viewport_size(PHONE)
    visit(tab, "#demo-pawsx/ko")
    helped, hurt = tab.locator(".xl-list.positive"), tab.locator(".xl-list.negative")
    expect(helped).to_be_visible()
    expect(hurt).to_be_hidden()
    tab.locator(".xl-list.positive > ol > li").last.scroll_into_view_if_needed()
    chosen = tab.get_by_role("tab", name="Hurt most")
    expect(chosen).to_be_in_viewport()  # the bar stays in view
    chosen.click()
    expect(hurt).to_be_visible()
    expect(helped).to_be_hidden()
    in_address(tab, "tab=negative")
    tab.keyboard.press("ArrowLeft")
    expect(tab.get_by_role("tab", name="Helped most")).to_be_focused()
    expect(helped).to_be_visible()
    tab.set_viewport_size({"width": 1440, "height": 900})
    expect(hurt).to_be_visible()
    expect(tab.get_by_role("tab", name="Hurt most")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_with_everything_open(tab, theme, width):
    tab.emulate_media(color_scheme=theme)
    tab.set_viewport_size({"width": width, "height": 900})
    visit(tab, "#demo-pawsx/ko?open=p1+n1+means+training")
    expect(tab.locator(".xl-offers").first).to_be_visible()
    expect(tab.get_by_text("Loading")).to_have_count(0)
    assert tab.evaluate(CUT) == []
    assert find_violations(tab) == []


def test_data_that_are_missing_are_an_error_with_a_name(browser, address):
    page = browser.new_page()
    page.route("**/explorer/demo-pawsx/test-*.js", lambda route: route.abort())
    page.goto(f"{address}/book/explorer.html#demo-pawsx/ko")
    expect(page.get_by_role("alert")).to_contain_text("cannot be read: build the book again")
    page.close()


def test_it_opens_from_a_disk(browser, site):
    page = browser.new_page()
    page.goto((site / "book" / "explorer.html").as_uri())
    expect(page.locator(".xl-list.positive > ol > li").first).to_be_visible()
    page.close()


def test_it_is_light_and_stays_where_it_is(tab, site):
    tab.set_viewport_size(PHONE)
    loaded = set()
    tab.on("request", lambda request: loaded.update(re.findall(r"/explorer/(.*)", request.url)))
    visit(tab)
    assert len(loaded) == 2, "an index and one part"  # the rest is loaded when it is needed
    assert tab.evaluate(SHIFTS) < 0.02
    folder = site / "_static" / "explorer"
    assert max(path.stat().st_size for path in folder.glob("*.js")) <= INDEX_LIMIT
    assert max(path.stat().st_size for path in folder.glob("*/*.js")) <= PART_LIMIT
