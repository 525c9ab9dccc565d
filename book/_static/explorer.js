// The explorer: pick a task, a language and a test sample, and see the training samples behind its
// prediction. Each task's data are a script, loaded when the task is picked (book/_ext/explorer.py
// and xl_influence/explorer.py). Texts are set as text, never as markup. The address holds what is
// shown: #task/language/sample.
(() => {
  "use strict";

  const root = document.getElementById("xl-explorer");
  if (!root) return;
  const folder = new URL("explorer/", document.currentScript.src);
  const tasks = JSON.parse(root.dataset.tasks); // [name, title] of each
  const signs = {
    positive: {
      title: "Helped most",
      verb: "helped most",
      explanation: "A step of training on these lowers the loss on the test sample.",
    },
    negative: {
      title: "Hurt most",
      verb: "hurt most",
      explanation: "A step of training on these raises it.",
    },
  };
  // What is shown: a task, a test language, a test sample, and training samples in the language
  // `from` (in all of them if it is empty).
  const state = { task: tasks[0][0], lang: "", uid: "", from: "" };
  let data = null; // of the task that is shown

  // Elements -------------------------------------------------------------------------------------

  const setAttribute = (node, name, value) => {
    if (name === "style") {
      for (const [property, setting] of Object.entries(value)) {
        node.style.setProperty(property, setting);
      }
    } else if (name.startsWith("on")) {
      node.addEventListener(name.slice(2), value);
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false) {
      node.setAttribute(name, value);
    }
  };

  const make = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
    node.append(...children);
    return node;
  };

  const formatSigned = (value) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(2);

  const nameOf = (lang) => data.languages[lang].name;

  const colorOf = (lang) => data.languages[lang].color;

  const makeLanguage = (lang, count = "") => {
    const attributes = { class: "xl-language", style: { "--color": colorOf(lang) } };
    return make("span", attributes, `${nameOf(lang)} ${count}`.trim());
  };

  // A language and some words about a sample; words that are missing are left out.
  const makeFacts = (lang, ...words) => {
    const spans = words.filter(Boolean).map((word) => make("span", {}, word));
    return make("p", { class: "xl-facts" }, makeLanguage(lang), ...spans);
  };

  const makeTexts = (sample) => {
    const attributes = { class: "xl-text", lang: sample.lang, dir: "auto" };
    return sample.texts.map((text) => make("p", attributes, text));
  };

  // A bar as long as `part` of the place that it has.
  const makeBar = (part, attributes = {}, style = {}) =>
    make("span", { class: "xl-bar", ...attributes, style: { "--part": part, ...style } });

  // Data -----------------------------------------------------------------------------------------

  window.explorer = window.explorer || {}; // task → data; the tasks' scripts fill it

  const loadData = (task) =>
    new Promise((resolve, reject) => {
      if (window.explorer[task]) {
        resolve(window.explorer[task]);
        return;
      }
      const script = make("script", { src: new URL(`${task}.js`, folder).href });
      script.onload = () => resolve(window.explorer[task]);
      script.onerror = () => {
        reject(new Error(`${script.src} cannot be read: build the book again`));
      };
      document.head.append(script);
    });

  const testsInLanguage = () => data.tests.filter((test) => test.lang === state.lang);

  // Controls -------------------------------------------------------------------------------------

  // `options`: [value, text] of each.
  const makeSelect = (label, options, selected, onChange) => {
    const id = `xl-${label.toLowerCase().replaceAll(" ", "-")}`;
    const choices = options.map(([value, text]) =>
      make("option", { value, selected: value === selected }, text),
    );
    const onchange = (event) => onChange(event.target.value);
    return make(
      "div",
      { class: "xl-control" },
      make("label", { for: id }, label),
      make("select", { id, onchange }, ...choices),
    );
  };

  // A button to the test sample `uid`; disabled if there is none.
  const makeStep = (arrow, name, uid) => {
    const attributes = { type: "button", "aria-label": name, title: name };
    const onclick = () => go({ uid });
    return make("button", { ...attributes, disabled: uid === undefined, onclick }, arrow);
  };

  const makeSteps = (tests) => {
    const position = tests.findIndex((test) => test.uid === state.uid);
    return make(
      "div",
      { class: "xl-steps" },
      makeStep("←", "Previous test sample", tests[position - 1]?.uid),
      makeStep("→", "Next test sample", tests[position + 1]?.uid),
    );
  };

  const makeControls = () => {
    const tests = testsInLanguage();
    const withName = (lang) => [lang, nameOf(lang)];
    const testLanguages = [...new Set(data.tests.map((test) => test.lang))].map(withName);
    const trainLanguages = [["", "all languages"], ...Object.keys(data.trained).map(withName)];
    const samples = tests.map((test) => [
      test.uid,
      test.texts.length ? `${test.uid}: ${test.texts[0]}` : test.uid,
    ]);
    const pickTask = (task) => go({ task, lang: "", uid: "", from: "" });
    const pickLanguage = (lang) => go({ lang, uid: "" });
    const pickSample = (uid) => go({ uid });
    const pickFrom = (from) => go({ from });
    return make(
      "form",
      { class: "xl-controls", onsubmit: (event) => event.preventDefault() },
      makeSelect("Task", tasks, state.task, pickTask),
      makeSelect("Test language", testLanguages, state.lang, pickLanguage),
      makeSelect("Test sample", samples, state.uid, pickSample),
      makeSelect("Training samples in", trainLanguages, state.from, pickFrom),
      makeSteps(tests),
    );
  };

  // The test sample ------------------------------------------------------------------------------

  const makeTest = (test) => {
    const facts = makeFacts(
      test.lang,
      `labelled “${data.classes[test.label]}”, correctly`,
      `confidence ${(100 * test.confidence).toFixed(0)} %`,
      test.phenomenon && `tests: ${test.phenomenon}`,
    );
    return make(
      "section",
      { class: "xl-test", "aria-labelledby": "xl-test-title" },
      make("h2", { id: "xl-test-title" }, `Test sample ${test.uid}`),
      ...makeTexts(test),
      facts,
    );
  };

  // The languages of its most influential training samples ----------------------------------------

  const describeComposition = (test, sign) => {
    const other = data.top_k - (test.shares[sign][test.lang] || 0);
    const total = Object.values(data.trained).reduce((sum, count) => sum + count, 0);
    const chance = 1 - (data.trained[test.lang] || 0) / total;
    return (
      `Of the ${data.top_k} that ${signs[sign].verb}, ${other} are in a language other than ` +
      `${nameOf(test.lang)} (chance: ${(chance * data.top_k).toFixed(0)}).`
    );
  };

  const makeStack = (counts) => {
    const label = counts.map(([lang, count]) => `${nameOf(lang)} ${count}`).join(", ");
    const parts = counts
      .filter(([, count]) => count)
      .map(([lang, count]) => {
        const style = { "flex-grow": count, "--color": colorOf(lang) };
        return make("span", { style, title: `${nameOf(lang)}: ${count}` });
      });
    return make("div", { class: "xl-stack", role: "img", "aria-label": label }, ...parts);
  };

  const makeComposition = (test, sign) => {
    const counts = Object.entries(test.shares[sign]);
    const legend = counts.map(([lang, count]) => makeLanguage(lang, count));
    return make(
      "div",
      { class: "xl-composition" },
      make("p", {}, describeComposition(test, sign)),
      makeStack(counts),
      make("p", { class: "xl-legend", "aria-hidden": "true" }, ...legend),
    );
  };

  // One training sample --------------------------------------------------------------------------

  const makeBars = (caption, names, values) => {
    const largest = Math.max(...values.map(Math.abs), 1e-9);
    const rows = values.map((value, index) => {
      const bar = makeBar(Math.abs(value) / largest, value < 0 ? { class: "xl-bar below" } : {});
      return make(
        "tr",
        {},
        make("th", { scope: "row" }, names[index]),
        make("td", {}, bar),
        make("td", {}, formatSigned(value)),
      );
    });
    const body = make("tbody", {}, ...rows);
    return make("table", { class: "xl-bars" }, make("caption", {}, caption), body);
  };

  const makeTranslation = ([uid, influence, rank]) => {
    const sample = data.samples[uid];
    const text = ` ${uid}: ${formatSigned(influence)}, rank ${rank}`;
    return make("li", {}, makeLanguage(sample.lang), text, ...makeTexts(sample));
  };

  const makeDetails = (row) => {
    const epochs = data.epochs.map((epoch) => `epoch ${epoch}`);
    const parts = [makeBars("What each epoch adds", epochs, row.epochs)];
    if (data.groups.length > 1) {
      parts.push(makeBars("What each part of the network adds", data.groups, row.groups));
    }
    if (row.translations.length) {
      const translations = row.translations.map(makeTranslation);
      parts.push(make("h4", {}, "Its translations"));
      parts.push(make("ul", { class: "xl-translations" }, ...translations));
    }
    return make("div", { class: "xl-details" }, ...parts);
  };

  // The details of a training sample, made when they are unfolded for the first time.
  const makeFold = (row) => {
    const contents = ["epochs"];
    if (data.groups.length > 1) contents.push("layers");
    if (row.translations.length) contents.push("translations");
    const fold = make("details", {}, make("summary", {}, contents.join(", ")));
    fold.addEventListener("toggle", () => {
      if (fold.open && fold.childElementCount === 1) fold.append(makeDetails(row));
    });
    return fold;
  };

  const makeRow = (row, largest) => {
    const sample = data.samples[row.uid];
    const label = data.classes[sample.label];
    const bar = makeBar(Math.abs(row.influence) / largest, {}, { "--color": colorOf(sample.lang) });
    return make(
      "li",
      { value: row.rank },
      makeFacts(sample.lang, `rank ${row.rank}`, row.uid, label, sample.phenomenon),
      make("p", { class: "xl-score" }, bar, make("b", {}, formatSigned(row.influence))),
      ...makeTexts(sample),
      makeFold(row),
    );
  };

  const makeList = (test, sign) => {
    const isShown = (row) =>
      state.from ? data.samples[row.uid].lang === state.from : row.rank <= data.strongest;
    const rows = test.rows[sign];
    const largest = Math.abs(rows[0].influence) || 1;
    const items = rows.filter(isShown).map((row) => makeRow(row, largest));
    return make(
      "section",
      { class: `xl-list ${sign}`, "aria-labelledby": `xl-${sign}` },
      make("h2", { id: `xl-${sign}` }, signs[sign].title),
      make("p", { class: "xl-explain" }, signs[sign].explanation),
      makeComposition(test, sign),
      make("ol", {}, ...items),
    );
  };

  // Drawing --------------------------------------------------------------------------------------

  const findControls = () => [...root.querySelectorAll("select, button")];

  // Focus the control at `position`, or the one before it if that is disabled now.
  const focusControl = (position) => {
    const controls = findControls();
    const control = controls[position];
    (control.disabled ? controls[position - 1] || controls[0] : control).focus();
  };

  const draw = () => {
    const focused = findControls().indexOf(document.activeElement);
    const test = data.tests.find((one) => one.uid === state.uid);
    const lists = [makeList(test, "positive"), makeList(test, "negative")];
    root.replaceChildren(
      makeControls(),
      makeTest(test),
      make("div", { class: "xl-lists" }, ...lists),
    );
    if (focused >= 0) focusControl(focused);
    history.replaceState(null, "", `#${state.task}/${state.lang}/${state.uid}`);
  };

  // Replace what the data do not have: by Spanish or the first language, and by its first sample.
  const completeState = () => {
    const languages = data.tests.map((test) => test.lang);
    if (!languages.includes(state.lang)) {
      state.lang = languages.includes("es") ? "es" : languages[0];
    }
    const tests = testsInLanguage();
    if (!tests.some((test) => test.uid === state.uid)) state.uid = tests[0].uid;
    if (!(state.from in data.trained)) state.from = "";
  };

  const go = async (change) => {
    Object.assign(state, change);
    try {
      data = await loadData(state.task);
    } catch (error) {
      root.replaceChildren(make("p", { role: "alert" }, error.message));
      return;
    }
    completeState();
    draw();
  };

  const readAddress = () => {
    const [task, lang, uid] = decodeURIComponent(location.hash.slice(1)).split("/");
    const isKnown = tasks.some(([name]) => name === task);
    return isKnown ? { task, lang: lang || "", uid: uid || "" } : {};
  };

  window.addEventListener("hashchange", () => go(readAddress()));
  go(readAddress());
})();
