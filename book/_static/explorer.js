// The explorer: pick a task, a language and a test sample, and see the training samples behind its
// prediction. This script draws the page from what the others make; book/_ext/explorer.py loads
// them in their order, and xl_influence/explorer writes the data.
(() => {
  "use strict";

  const root = document.getElementById("xl-explorer");
  if (!root) return;
  // The theme would look for the target of every link to a place on this page, and fail: our
  // addresses are no selectors. It highlights a table of contents, which this page has not.
  document.body.removeAttribute("data-bs-spy");
  const xl = window.xl;
  const { make, state } = xl;
  xl.folder = new URL("explorer/", document.currentScript.src);
  xl.tasks = JSON.parse(root.dataset.tasks); // [name, title] of each
  const isNarrow = window.matchMedia("(max-width: 47.99rem)"); // one list at a time

  // Places ----------------------------------------------------------------------------------------

  const bar = xl.makeStepBar();
  const place = {
    note: make("p", { class: "xl-note" }),
    status: make("p", { class: "visually-hidden", role: "status" }),
    test: make("div", {}),
    lists: make("div", { class: "xl-lists" }),
    export: make("div", {}),
    training: make("div", { class: "xl-training" }),
  };

  const setUp = () =>
    root.replaceChildren(
      xl.makeTestForm(),
      place.note,
      bar,
      place.status,
      place.test,
      xl.makeTrainForm(),
      place.lists,
      place.export,
      place.training,
    );

  // Words -----------------------------------------------------------------------------------------

  const describeData = () => {
    const { tests, texts } = xl.data;
    const wrong = tests.filter((test) => test.right === false).length;
    const prediction = wrong
      ? `The model labels ${wrong} of these ${tests.length} test samples wrongly (✗).`
      : `The model labels all ${tests.length} test samples correctly: a run chooses them from ` +
        "those, as the paper does (section 5), so wrong predictions have no scores.";
    const without =
      "This book does not publish the texts of this data set, so samples go by their identifiers.";
    return [texts ? "" : without, prediction].filter(Boolean).join(" ");
  };

  const describeShown = (test, tests) => {
    if (!tests.length) return "No test sample passes the filters.";
    const own = test.shares.positive[test.lang] || 0;
    const position = tests.indexOf(test) + 1;
    return (
      `Test sample ${test.uid}, ${position} of ${tests.length}, ${xl.nameOf(test.lang)}, ` +
      `${xl.labelOf(test)}: ${own} of its ${xl.data.top_k} most helpful training samples are in ` +
      `${xl.nameOf(test.lang)}.`
    );
  };

  // Drawing ---------------------------------------------------------------------------------------

  const showTab = () => {
    place.lists.dataset.tab = state.tab || "positive";
    for (const list of place.lists.children) {
      const sign = list.id.replace("xl-list-", "");
      const label = isNarrow.matches ? `xl-tab-${sign}` : `xl-${sign}`;
      list.setAttribute("aria-labelledby", label);
      if (isNarrow.matches) list.setAttribute("role", "tabpanel");
      else list.removeAttribute("role");
    }
  };

  // Choose a list on a narrow screen, and go to it from above or below.
  xl.showList = async (sign) => {
    await xl.go({ tab: sign === "positive" ? "" : sign }, { isStep: false });
    const { top, bottom } = place.lists.getBoundingClientRect();
    if (top > window.innerHeight / 2 || bottom < 0) place.lists.scrollIntoView();
  };

  // What is drawn anew loses the focus: give it to the element that has taken its place.
  const keepFocus = (change) => {
    const focused = document.activeElement;
    const isDrawn = [place.test, place.lists, place.export].some((part) => part.contains(focused));
    const key = focused?.dataset?.key;
    change();
    if (!isDrawn) return;
    const same = key && root.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (same) same.focus({ preventScroll: true });
    else document.getElementById("xl-test-title").focus({ preventScroll: true });
  };

  const drawTest = (test, part, listed) =>
    place.test.replaceChildren(
      ...[
        xl.makeTest(test),
        xl.makeSideBySide(test),
        xl.makeMeans(xl.findTests("lang")),
        xl.makeHistogram(test, part, listed),
      ].filter(Boolean),
    );

  const drawLists = (test, part, listed) => {
    const lists = Object.keys(xl.signs).map((sign) => xl.makeList(test, sign, listed[sign], part));
    place.lists.replaceChildren(...lists);
    place.export.replaceChildren(xl.makeExport(test, listed));
    xl.drawTraining(place.training);
    showTab();
  };

  const draw = (part) => {
    const test = xl.findTest();
    const tests = xl.findTests();
    const listed = Object.fromEntries(
      Object.keys(xl.signs).map((sign) => [sign, xl.listRows(part.rows[sign])]),
    );
    xl.fillControls(tests);
    xl.fillStepBar(bar, tests);
    place.note.textContent = describeData();
    keepFocus(() => {
      drawTest(test, part, listed);
      drawLists(test, part, listed);
    });
    place.status.textContent = describeShown(test, tests);
  };

  // State -----------------------------------------------------------------------------------------

  // Replace what the data do not have, and a test sample that does not pass the filters.
  const complete = () => {
    const { data } = xl;
    if (!data.tests.some((test) => test.lang === state.lang)) state.lang = "";
    if (!(state.from in data.trained)) state.from = "";
    if (!data.twins) state.twins = "";
    if (!xl.BANDS.some(([name]) => name === state.confidence)) state.confidence = "";
    if (!(state.right in xl.RIGHT)) state.right = "";
    const tests = xl.findTests();
    if (tests.some((test) => test.uid === state.uid)) return;
    const telling = data.tests[data.first];
    const isKnown = data.tests.some((test) => test.uid === state.uid);
    const fallback = isKnown ? state.uid : telling.uid;
    state.uid = tests.includes(telling) ? telling.uid : tests[0]?.uid || fallback;
  };

  // `how`: `isStep`, `isRepeat` (see `noteInHistory`), and `isJump`, to focus the title.
  let calls = 0;
  xl.go = async (change, how = {}) => {
    Object.assign(state, change);
    calls += 1;
    const call = calls;
    try {
      const data = await xl.load(state.task);
      if (call !== calls) return; // there is a later call
      xl.data = data;
      complete();
      const part = await xl.loadPart(`test-${xl.rowOf(xl.findTest())}`);
      if (call !== calls) return;
      if (!root.contains(bar)) setUp();
      draw(part);
      xl.noteInHistory(how);
      if (how.isJump) document.getElementById("xl-test-title").focus();
    } catch (error) {
      root.replaceChildren(make("p", { role: "alert" }, error.message));
    }
  };

  // One test sample on or back; at an end, nothing happens.
  xl.step = (by) => {
    const tests = xl.findTests();
    const position = tests.indexOf(xl.findTest());
    const next = position < 0 ? tests[0] : tests[position + by];
    if (next) xl.go({ uid: next.uid }, { isRepeat: true });
    else place.status.textContent = `This is the ${by > 0 ? "last" : "first"} test sample.`;
  };

  const listOpen = () => state.open.split(" ").filter(Boolean);

  xl.isOpen = (key) => listOpen().includes(key);

  // Note in the address whether the details with this key are open.
  xl.noteOpen = (key, isOpen) => {
    const keys = new Set(listOpen());
    keys[isOpen ? "add" : "delete"](key);
    const open = [...keys].join(" ");
    if (open === state.open) return;
    state.open = open;
    xl.noteInHistory({ isStep: false });
  };

  // Start -----------------------------------------------------------------------------------------

  const readState = () => {
    const found = xl.readAddress();
    if (xl.tasks.some(([name]) => name === found.task)) return found;
    const [task, lang, uid] = JSON.parse(root.dataset.first);
    return { ...found, task, lang, uid };
  };

  const isTyping = (node) => node.closest?.("input, select, textarea, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    const by = { j: 1, k: -1 }[event.key];
    const isOurs = by && xl.data && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isOurs && !isTyping(event.target)) xl.step(by);
  });
  window.addEventListener("hashchange", () => xl.go(readState(), { isStep: false }));
  isNarrow.addEventListener("change", showTab);
  xl.go(readState(), { isStep: false });
})();
