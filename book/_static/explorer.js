// The explorer: pick a task, a language and a test sample; see the training samples that stand behind its prediction.
// Data: one script for each task, loaded when it is wanted (see book/_ext/explorer.py and xl_influence/explorer.py).
// Texts are set as text, never as markup. What is shown stands in the address, as #task/language/sample.
(() => {
  const root = document.getElementById("xl-explorer");
  if (!root) return;
  const folder = new URL("explorer/", document.currentScript.src);
  const tasks = JSON.parse(root.dataset.tasks);
  const signs = {
    positive: { title: "Helped most", verb: "helped most", explain: "A step of training on these lowers the loss on the test sample." },
    negative: { title: "Worked against it most", verb: "worked against it most", explain: "A step on these raises it." },
  };
  const state = { task: tasks[0][0], lang: "", uid: "", from: "" };
  let data = null;

  const el = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "style") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const signed = (value) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(2);
  const language = (lang, count = "") =>
    el("span", { class: "xl-language", style: { "--color": data.languages[lang].color } }, `${data.languages[lang].name} ${count}`.trim());
  const facts = (lang, ...words) => el("p", { class: "xl-facts" }, language(lang), ...words.filter(Boolean).map((word) => el("span", {}, word)));
  const texts = (sample) => sample.texts.map((text) => el("p", { class: "xl-text", lang: sample.lang, dir: "auto" }, text));

  // Data ------------------------------------------------------------------------------------------------------------
  window.explorer = window.explorer || {};
  const load = (task) =>
    new Promise((done, fail) => {
      if (window.explorer[task]) return done(window.explorer[task]);
      const script = el("script", { src: new URL(`${task}.js`, folder).href });
      script.onload = () => done(window.explorer[task]);
      script.onerror = () => fail(new Error(`${script.src} cannot be read: build the book again`));
      document.head.append(script);
    });

  // Parts of the page -----------------------------------------------------------------------------------------------
  const select = (label, options, value, change) => {
    const id = `xl-${label.toLowerCase().replaceAll(" ", "-")}`;
    const choices = options.map(([key, text]) => el("option", { value: key, selected: key === value }, text));
    return el("div", { class: "xl-control" }, el("label", { for: id }, label),
      el("select", { id, onchange: (event) => change(event.target.value) }, ...choices));
  };

  const controls = () => {
    const ours = data.tests.filter((test) => test.lang === state.lang);
    const at = ours.findIndex((test) => test.uid === state.uid);
    const step = (by, arrow, name) =>
      el("button", { type: "button", "aria-label": name, title: name, disabled: !ours[at + by],
        onclick: () => go({ uid: ours[at + by].uid }) }, arrow);
    const languages = [...new Set(data.tests.map((test) => test.lang))];
    const trained = [["", "all languages"], ...Object.keys(data.trained).map((lang) => [lang, data.languages[lang].name])];
    return el("form", { class: "xl-controls", onsubmit: (event) => event.preventDefault() },
      select("Task", tasks, state.task, (task) => go({ task, lang: "", uid: "", from: "" })),
      select("Test language", languages.map((lang) => [lang, data.languages[lang].name]), state.lang,
        (lang) => go({ lang, uid: "" })),
      select("Test sample", ours.map((test) => [test.uid, test.texts.length ? `${test.uid}: ${test.texts[0]}` : test.uid]), state.uid, (uid) => go({ uid })),
      select("Training samples in", trained, state.from, (from) => go({ from })),
      el("div", { class: "xl-steps" }, step(-1, "←", "Previous test sample"), step(1, "→", "Next test sample")));
  };

  const testCard = (test) =>
    el("section", { class: "xl-test", "aria-labelledby": "xl-test-title" },
      el("h2", { id: "xl-test-title" }, `Test sample ${test.uid}`),
      ...texts(test),
      facts(test.lang, `labelled “${data.classes[test.label]}”, correctly`, `confidence ${(100 * test.confidence).toFixed(0)} %`,
        test.phenomenon && `tests: ${test.phenomenon}`));

  const composition = (test, sign) => {
    const counts = Object.entries(test.shares[sign]);
    const own = test.shares[sign][test.lang] || 0;
    const all = Object.values(data.trained).reduce((a, b) => a + b, 0);
    const chance = 1 - (data.trained[test.lang] || 0) / all;
    const words = counts.map(([lang, n]) => `${data.languages[lang].name} ${n}`).join(", ");
    return el("div", { class: "xl-composition" },
      el("p", {}, `Of the ${data.top_k} that ${signs[sign].verb}, ${data.top_k - own} are in another language than ` +
        `${data.languages[test.lang].name}; by chance it would be ${(chance * data.top_k).toFixed(0)}.`),
      el("div", { class: "xl-stack", role: "img", "aria-label": words },
        ...counts.filter(([, n]) => n).map(([lang, n]) =>
          el("span", { style: { "flex-grow": n, "--color": data.languages[lang].color }, title: `${data.languages[lang].name}: ${n}` }))),
      el("p", { class: "xl-legend", "aria-hidden": "true" },
        ...counts.map(([lang, n]) => language(lang, n))));
  };

  const bars = (caption, names, values) => {
    const most = Math.max(...values.map(Math.abs), 1e-9);
    return el("table", { class: "xl-bars" }, el("caption", {}, caption),
      el("tbody", {}, ...values.map((value, i) =>
        el("tr", {}, el("th", { scope: "row" }, names[i]),
          el("td", {}, el("span", { class: value < 0 ? "xl-bar below" : "xl-bar", style: { "--part": Math.abs(value) / most } })),
          el("td", {}, signed(value))))));
  };

  const details = (row) => {
    const others = row.translations.map(([uid, influence, rank]) =>
      el("li", {}, language(data.samples[uid].lang), ` ${uid}: ${signed(influence)}, rank ${rank}`, ...texts(data.samples[uid])));
    return el("div", { class: "xl-details" },
      bars("What each epoch adds", data.epochs.map((epoch) => `epoch ${epoch}`), row.epochs),
      ...(data.groups.length > 1 ? [bars("What each part of the network adds", data.groups, row.groups)] : []),
      ...(others.length ? [el("h4", {}, "Its translations"), el("ul", { class: "xl-translations" }, ...others)] : []));
  };

  const card = (row, most) => {
    const sample = data.samples[row.uid];
    const more = el("details", {}, el("summary", {}, (data.groups.length > 1 ? "epochs, layers" : "epochs") + (row.translations.length ? ", translations" : "")));
    more.addEventListener("toggle", () => more.open && more.childElementCount === 1 && more.append(details(row)));
    return el("li", { value: row.rank },
      facts(sample.lang, `rank ${row.rank}`, row.uid, data.classes[sample.label], sample.phenomenon),
      el("p", { class: "xl-score" }, el("span", { class: "xl-bar", style: {
        "--part": Math.abs(row.influence) / most, "--color": data.languages[sample.lang].color } }), el("b", {}, signed(row.influence))),
      ...texts(sample), more);
  };

  const list = (test, sign) => {
    const rows = test.rows[sign];
    const shown = rows.filter((row) => (state.from ? data.samples[row.uid].lang === state.from : row.rank <= 10));
    const most = Math.abs(rows[0].influence) || 1;
    return el("section", { class: `xl-list ${sign}`, "aria-labelledby": `xl-${sign}` },
      el("h2", { id: `xl-${sign}` }, signs[sign].title),
      el("p", { class: "xl-explain" }, signs[sign].explain),
      composition(test, sign),
      el("ol", {}, ...shown.map((row) => card(row, most))));
  };

  // Drawing ---------------------------------------------------------------------------------------------------------
  const draw = () => {
    const focused = [...root.querySelectorAll("select, button")].indexOf(document.activeElement);
    const test = data.tests.find((one) => one.uid === state.uid);
    root.replaceChildren(controls(), testCard(test), el("div", { class: "xl-lists" }, list(test, "positive"), list(test, "negative")));
    const controlsNow = root.querySelectorAll("select, button");
    if (focused >= 0) (controlsNow[focused].disabled ? controlsNow[focused - 1] || controlsNow[0] : controlsNow[focused]).focus();
    history.replaceState(null, "", `#${state.task}/${state.lang}/${state.uid}`);
  };

  const go = async (change) => {
    Object.assign(state, change);
    try {
      data = await load(state.task);
    } catch (error) {
      root.replaceChildren(el("p", { role: "alert" }, error.message));
      return;
    }
    const languages = data.tests.map((test) => test.lang);
    if (!languages.includes(state.lang)) state.lang = languages.includes("es") ? "es" : languages[0];
    const ours = data.tests.filter((test) => test.lang === state.lang);
    if (!ours.some((test) => test.uid === state.uid)) state.uid = ours[0].uid;
    if (!(state.from in data.trained)) state.from = "";
    draw();
  };

  const fromAddress = () => {
    const [task, lang, uid] = decodeURIComponent(location.hash.slice(1)).split("/");
    return tasks.some(([name]) => name === task) ? { task, lang: lang || "", uid: uid || "" } : {};
  };
  window.addEventListener("hashchange", () => go(fromAddress()));
  go(fromAddress());
})();
