// The explorer's controls. They are made once and then kept up to date, so that the focus stays
// where it is.
(() => {
  "use strict";

  const xl = (window.xl = window.xl || {});
  const { make, state } = xl;
  const controls = {}; // key → select or input

  // `options`: [value, text, disabled?] of each.
  const setOptions = (select, options, value) => {
    const signature = JSON.stringify(options);
    if (select.dataset.options !== signature) {
      select.dataset.options = signature;
      const nodes = options.map(([each, text, disabled]) =>
        make("option", { value: each, disabled: Boolean(disabled) }, text),
      );
      select.replaceChildren(...nodes);
    }
    select.value = value;
  };

  const makeControl = (key, label, node) => {
    node.id = `xl-${key}`;
    controls[key] = node;
    const name = make("label", { for: node.id }, label);
    return make("div", { class: `xl-control ${key}` }, name, node);
  };

  // A choice that sets `state[key]`; `cleared`: what a change of it empties.
  const makeSelect = (key, label, cleared = []) => {
    const onchange = (event) => {
      const emptied = Object.fromEntries(cleared.map((name) => [name, ""]));
      xl.go({ ...emptied, [key]: event.target.value });
    };
    return makeControl(key, label, make("select", { onchange }));
  };

  const makeSearch = () => {
    const oninput = (event) => xl.go({ q: event.target.value.trim() }, { isStep: false });
    const attributes = { type: "search", oninput, autocomplete: "off", spellcheck: "false" };
    return makeControl("q", "Words or identifier", make("input", attributes));
  };

  const makeClear = () => {
    const onclick = () => xl.go(xl.NO_FILTERS);
    return make("button", { type: "button", class: "xl-clear", onclick }, "Clear filters");
  };

  const onsubmit = (event) => event.preventDefault();

  xl.makeTestForm = () => {
    const filters = [
      makeSearch(),
      makeSelect("label", "Label"),
      makeSelect("phenomenon", "Phenomenon"),
      makeSelect("confidence", "Confidence"),
      makeSelect("right", "Prediction"),
      makeClear(),
    ];
    const summary = make("summary", {}, "Search and filter test samples");
    return make(
      "form",
      { class: "xl-form", onsubmit, "aria-label": "Choose a test sample" },
      makeSelect("task", "Task", ["lang", "uid", "from", "train", "open", ...xl.FILTERS, "with"]),
      makeSelect("lang", "Test language"),
      makeSelect("uid", "Test sample"),
      make("details", { class: "xl-filters" }, summary, make("div", { class: "xl-form" }, filters)),
    );
  };

  xl.makeTrainForm = () =>
    make(
      "form",
      { class: "xl-form xl-train-form", onsubmit, "aria-label": "Training samples to list" },
      makeSelect("from", "Training samples in"),
      makeSelect("with", "With the label"),
      makeSelect("twins", "Near-duplicates"),
    );

  // Options ---------------------------------------------------------------------------------------

  const describeTest = (test) => {
    const texts = xl.plainTexts(test);
    return [test.uid, texts[0] || xl.labelOf(test)].join(": ");
  };

  // How many test samples each value would leave, the other filters being as they are.
  const countValues = (key, values) => {
    const tests = xl.findTests(key);
    return values.map(([value, text, test]) => {
      const count = tests.filter(test).length;
      return [value, `${text} (${count})`, !count && state[key] !== value];
    });
  };

  const fillTestFilters = () => {
    const { data } = xl;
    const labels = data.classes.map((name, label) => [
      String(label),
      name,
      (test) => test.label === label,
    ]);
    const phenomena = new Set(data.tests.map((test) => test.phenomenon).filter(Boolean));
    const named = [...phenomena]
      .sort()
      .map((name) => [name, name, (test) => test.phenomenon === name]);
    const bands = xl.BANDS.map(([name, text, low, high]) => [
      name,
      text,
      (test) => test.confidence >= low && test.confidence < high,
    ]);
    const rights = Object.entries(xl.RIGHT).map(([name, right]) => [
      name,
      name,
      (test) => test.right === right,
    ]);
    const all = { label: labels, phenomenon: named, confidence: bands, right: rights };
    for (const [key, values] of Object.entries(all)) {
      setOptions(controls[key], [["", "any"], ...countValues(key, values)], state[key]);
    }
    controls.phenomenon.parentNode.hidden = !named.length;
    if (document.activeElement !== controls.q) controls.q.value = state.q;
  };

  const fillTrainFilters = () => {
    const { data } = xl;
    const languages = Object.keys(data.trained).map((lang) => [lang, xl.nameOf(lang)]);
    setOptions(controls.from, [["", "all languages"], ...languages], state.from);
    const labels = data.classes.map((name, label) => [String(label), name]);
    setOptions(controls.with, [["", "any"], ...labels], state.with);
    const twins = [
      ["", "listed"],
      ["without", "left out"],
      ["only", "nothing else"],
    ];
    setOptions(controls.twins, twins, state.twins);
    controls.twins.parentNode.hidden = !data.twins;
  };

  // Bring all controls up to date; `tests`: those that pass the filters.
  xl.fillControls = (tests) => {
    setOptions(controls.task, xl.tasks, state.task);
    const present = Object.keys(xl.data.languages).map((lang) => [
      lang,
      xl.nameOf(lang),
      (test) => test.lang === lang,
    ]);
    setOptions(
      controls.lang,
      [["", "all languages"], ...countValues("lang", present)],
      state.lang,
    );
    const options = tests.map((test) => [test.uid, describeTest(test)]);
    if (options.length) setOptions(controls.uid, options, state.uid);
    else setOptions(controls.uid, [["", "none passes the filters"]], "");
    fillTestFilters();
    fillTrainFilters();
    showFilters(xl.FILTERS.filter((key) => state[key]).length);
  };

  // Say how many filters are set; those of the address are unfolded.
  const showFilters = (count) => {
    const fold = controls.q.closest("details");
    const words = count ? `: ${xl.count(count, "filter")} set` : "";
    fold.querySelector("summary").textContent = `Search and filter test samples${words}`;
    fold.querySelector(".xl-clear").hidden = !count;
    if (count && !fold.dataset.drawn) fold.open = true;
    fold.dataset.drawn = "yes";
  };

  // The bar that stays in view: steps, the position, and on a narrow screen the tabs --------------

  const makeStep = (name, key, arrow) => {
    const onclick = () => xl.step(key === "next" ? 1 : -1);
    const title = `${name} (${key === "next" ? "j" : "k"})`;
    const attributes = { type: "button", class: `xl-step ${key}`, onclick };
    return make("button", { ...attributes, "aria-label": name, title }, arrow);
  };

  const makeTab = (sign) => {
    const attributes = {
      type: "button",
      role: "tab",
      id: `xl-tab-${sign}`,
      "aria-controls": `xl-list-${sign}`,
      onclick: () => xl.showList(sign),
    };
    return make("button", attributes, `${xl.signs[sign].arrow} ${xl.signs[sign].title}`);
  };

  // The arrow keys move between the tabs.
  const onkeydown = (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const [first, second] = event.currentTarget.children;
    const other = document.activeElement === first ? second : first;
    other.focus();
    other.click();
    event.preventDefault();
  };

  xl.makeStepBar = () => {
    const tabs = Object.keys(xl.signs).map(makeTab);
    return make(
      "div",
      { class: "xl-step-bar" },
      makeStep("Previous test sample", "previous", "←"),
      make("span", { class: "xl-position" }),
      makeStep("Next test sample", "next", "→"),
      make("span", { class: "xl-now" }),
      make("div", { class: "xl-tabs", role: "tablist", "aria-label": "Lists", onkeydown }, ...tabs),
    );
  };

  // At an end, the button for a step keeps the focus and does nothing.
  xl.fillStepBar = (bar, tests) => {
    const position = tests.indexOf(xl.findTest());
    const ends = { previous: position <= 0, next: position < 0 || position === tests.length - 1 };
    for (const [key, isEnd] of Object.entries(ends)) {
      bar.querySelector(`.${key}`).setAttribute("aria-disabled", String(isEnd));
    }
    bar.querySelector(".xl-position").textContent = `${position + 1} of ${tests.length}`;
    const test = xl.findTest();
    const words = [test.uid, xl.nameOf(test.lang), xl.labelOf(test)];
    bar.querySelector(".xl-now").textContent = words.join(" · ");
    for (const tab of bar.querySelectorAll("[role=tab]")) {
      const isChosen = tab.id === `xl-tab-${state.tab || "positive"}`;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
    }
  };
})();
