// Brings charts to life: draws one when it comes near the screen, at the width that there is, and
// again when the width changes. What a mark says shows on hover, on tap, and with the arrow keys.
// The page has the chart's specification and a still picture (book/_ext/offline_vega.py).
(() => {
  "use strict";

  const NARROW = 600; // pixels; `still_charts.py` has the same number, and the same `arrange`
  const NEAR = 24; // pixels between a finger or pointer and the mark that answers
  const SOURCE_WIDTH = 708; // of a saved picture
  const script = document.currentScript;
  const bundle = new URL(script.dataset.bundle, script.src);

  let libraries;
  const loadVega = () => {
    libraries ??= new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = bundle;
      tag.onload = () => resolve(window.bundledVegaEmbed);
      tag.onerror = reject;
      document.head.append(tag);
    });
    return libraries;
  };

  const find = (spec, path) =>
    path.split(".").reduce((part, key) => (key ? part[key] : part), spec);

  // The sizes of the panels, and how many stand side by side, for a width.
  const arrange = (original, width) => {
    const spec = structuredClone(original);
    const narrow = width < NARROW;
    const meta = spec.usermeta ?? {};
    for (const rule of meta.layout ?? []) {
      const columns = rule.columns[narrow ? 1 : 0];
      const inner = Math.floor((width - rule.beside + rule.apart) / columns) - rule.apart;
      for (const path of rule.panels) find(spec, path).width = inner;
      if ("grid" in rule) find(spec, rule.grid).columns = columns;
      if (narrow && rule.swap) {
        spec.facet = { row: spec.facet.column, column: spec.facet.row };
      }
    }
    if (narrow && "legend" in meta) {
      spec.config.legend = { ...spec.config.legend, columns: meta.legend };
    }
    return spec;
  };

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // What a mark says

  const spoken = make("div", { className: "visually-hidden" });
  spoken.setAttribute("role", "status");
  const tip = make("div", { className: "xl-tip", hidden: true });
  document.body.append(tip, spoken);

  const hideTip = () => {
    tip.hidden = true;
    for (const ring of document.querySelectorAll(".xl-ring")) ring.remove();
  };

  const showTip = (entries, box) => {
    const list = make("dl");
    for (const [name, value] of entries) {
      list.append(make("dt", { textContent: name }), make("dd", { textContent: value }));
    }
    tip.replaceChildren(list);
    tip.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = tip;
    const page = document.documentElement;
    const middle = box.left + box.width / 2;
    const left = Math.min(Math.max(4, middle - width / 2), page.clientWidth - width - 4);
    const above = box.top - height - 10;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${(above > 4 ? above : box.bottom + 10) + window.scrollY}px`;
  };

  const readsAloud = (item) => ["symbol", "rect"].includes(item?.mark?.marktype) && item.tooltip;
  const isLegend = (element) => element.closest(".role-legend-symbol");

  // All marks that say something, in the order of the page, then the entries of the legends. The
  // arrow keys pass over those that screen readers pass over: they repeat what others say.
  const findMarks = (live, all = false) => {
    const marks = [];
    const legends = [];
    for (const element of live.querySelectorAll("svg.marks path, svg.marks rect")) {
      const item = element.__data__;
      if (readsAloud(item) && (all || item.mark.aria !== false)) {
        marks.push({ element, entries: Object.entries(item.tooltip) });
      }
      else if (live.answers && isLegend(element) && item?.datum) {
        const entries = [["legend", `${item.datum.label}: Enter shows it alone`]];
        legends.push({ element, entries });
      }
    }
    return [...marks, ...legends];
  };

  const distance = (box, x, y) =>
    Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));

  // The mark at a point of the window, or the nearest around it; of several the last, which is on
  // top.
  const findNearest = (live, x, y) => {
    let best = { far: NEAR };
    for (const mark of findMarks(live, true)) {
      if (isLegend(mark.element)) continue;
      const box = mark.element.getBoundingClientRect();
      const [middle, center] = [box.left + box.width / 2, box.top + box.height / 2];
      const far = distance(box, x, y) + Math.hypot(middle - x, center - y) / 1e4;
      if (far < best.far) best = { far, mark, box };
    }
    return best;
  };

  const point = (live, event) => {
    const { mark, box } = findNearest(live, event.clientX, event.clientY);
    if (mark) showTip(mark.entries, box);
    else hideTip();
  };

  const ringAround = (live, box) => {
    const place = live.parentElement.getBoundingClientRect();
    const ring = make("div", { className: "xl-ring" });
    Object.assign(ring.style, {
      left: `${box.left - place.left - 4}px`,
      top: `${box.top - place.top - 4}px`,
      width: `${box.width + 8}px`,
      height: `${box.height + 8}px`,
    });
    live.parentElement.append(ring);
  };

  const press = (element) => {
    const box = element.getBoundingClientRect();
    const place = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
    element.dispatchEvent(new MouseEvent("click", { bubbles: true, view: window, ...place }));
  };

  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

  const walk = (live, event) => {
    const marks = findMarks(live);
    if (event.key === "Escape") return hideTip();
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (marks[live.place]) press(marks[live.place].element);
      return;
    }
    const ends = { Home: 0, End: marks.length - 1 };
    if (!(event.key in STEPS || event.key in ends) || !marks.length) return;
    event.preventDefault();
    const next = event.key in ends ? ends[event.key] : (live.place ?? -1) + STEPS[event.key];
    live.place = (next + marks.length) % marks.length;
    const { element, entries } = marks[live.place];
    hideTip();
    element.scrollIntoView({ block: "nearest" });
    const box = element.getBoundingClientRect();
    ringAround(live, box);
    showTip(entries, box);
    spoken.textContent = entries.map(([name, value]) => `${name}: ${value}`).join(", ");
  };

  const listen = (live, spec) => {
    live.tabIndex = 0;
    live.setAttribute("role", "group");
    live.setAttribute("aria-label", `${spec.description || "Chart"} Arrow keys read the values.`);
    live.answers = JSON.stringify(spec).includes('"bind":"legend"');
    live.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") point(live, event);
    });
    live.addEventListener("click", (event) => event.isTrusted && point(live, event));
    live.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideTip());
    live.addEventListener("keydown", (event) => walk(live, event));
    live.addEventListener("blur", hideTip);
    // a double click takes back a selection, and selects no text
    live.addEventListener("mousedown", (event) => event.detail > 1 && event.preventDefault());
  };

  document.addEventListener("click", (event) => {
    if (!event.target.closest(".xl-live")) hideTip();
    for (const menu of document.querySelectorAll(".xl-save[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  // Saving

  const describe = (chart) => {
    const caption = chart.element.closest("figure")?.querySelector(".caption-text")?.textContent;
    const first = (caption ?? chart.spec.description ?? "").split(/(?<=\.)\s/)[0];
    const title = first.replace(/\.$/, "");
    const [page, book] = document.title.split(" — ");
    const online = location.protocol.startsWith("http");
    const where = online ? `, ${location.host}${location.pathname}` : "";
    const { set } = chart.element.dataset;
    const data = set ? [`Data: ${set}`] : [];
    const source = `Source: ${book ?? page}${book ? `, “${page}”` : ""}${where}`;
    return { title, notes: [...data, source] };
  };

  const wrap = (text, size) => {
    const lines = [""];
    for (const word of text.split(" ")) {
      if ((lines.at(-1) + word).length > size) lines.push("");
      lines[lines.length - 1] += `${word} `;
    }
    return lines.map((line) => line.trim()).filter(Boolean);
  };

  const save = (chart, kind, url) => {
    make("a", { href: url, download: `${chart.element.dataset.file || "chart"}.${kind}` }).click();
    setTimeout(() => url.startsWith("blob:") && URL.revokeObjectURL(url), 10_000);
  };

  const saveText = (chart, kind, text, type) =>
    save(chart, kind, URL.createObjectURL(new Blob([text], { type })));

  // The picture has a white ground and black text in any theme, and says what it shows.
  const savePicture = async (chart, kind) => {
    const embed = await loadVega();
    const { title, notes } = describe(chart);
    const black = JSON.parse(JSON.stringify(chart.spec).replaceAll("currentColor", "#1a1a1a"));
    const spec = arrange(black, SOURCE_WIDTH);
    spec.background = "#ffffff";
    spec.padding = 12;
    const size = { subtitleFontSize: 11, subtitleColor: "#555555", offset: 12, anchor: "start" };
    spec.title = { text: wrap(title, 95), subtitle: notes, ...size };
    spec.config = { ...spec.config, background: "#ffffff", font: "sans-serif" };
    const { view } = await embed(make("div"), spec, { renderer: "svg", actions: false });
    if (kind === "png") save(chart, kind, await view.toImageURL("png", 2));
    else saveText(chart, kind, await view.toSVG(), "image/svg+xml");
    view.finalize();
  };

  const quote = (value) => {
    const number = typeof value === "number" && !Number.isInteger(value);
    const cell = String(number ? Number(value.toPrecision(4)) : (value ?? ""));
    return /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  };

  // The table behind the chart, the largest if there are several, without what is only for labels.
  const saveTable = (chart) => {
    const tables = Object.values(chart.spec.datasets ?? {});
    const [rows] = tables.sort((left, right) => right.length - left.length);
    const names = Object.keys(rows[0]).filter((name) => !name.startsWith("_"));
    const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
    const { title, notes } = describe(chart);
    const head = [title, ...notes].map((note) => `# ${note}`);
    const text = [...head, ...lines.map((line) => line.map(quote).join(","))].join("\n");
    saveText(chart, "csv", `${text}\n`, "text/csv");
  };

  const addMenu = (chart) => {
    const menu = make("div");
    const actions = {
      "Save as PNG": () => savePicture(chart, "png"),
      "Save as SVG": () => savePicture(chart, "svg"),
      "Save as CSV": () => saveTable(chart),
    };
    for (const [name, act] of Object.entries(actions)) {
      const button = make("button", { type: "button", textContent: name });
      button.addEventListener("click", () => {
        menu.parentElement.open = false;
        act();
      });
      menu.append(button);
    }
    const summary = make("summary", { textContent: "Save" });
    summary.setAttribute("aria-label", "Save this chart");
    const details = make("details", { className: "xl-save" }, summary, menu);
    details.addEventListener("keydown", (event) => {
      if (event.key === "Escape") details.open = false;
    });
    const hint = "← → read the values · Enter chooses · Esc closes";
    chart.element
      .querySelector(".xl-tools")
      .replaceChildren(make("span", { className: "xl-hint", textContent: hint }), details);
  };

  // Drawing

  // Draws at the width that there is now; what is drawn or being drawn at it already, stays.
  const draw = (chart) => {
    const width = Math.floor(chart.plot.clientWidth);
    if (width && width !== chart.width) {
      chart.width = width;
      chart.drawn = drawAt(chart, width);
    }
    return chart.drawn;
  };

  const drawAt = async (chart, width) => {
    const turn = (chart.turn = (chart.turn ?? 0) + 1);
    const embed = await loadVega();
    if (turn !== chart.turn) return;
    const live = make("div", { className: "xl-live waiting" });
    live.style.width = `${width}px`;
    chart.plot.append(live);
    const spec = arrange(chart.spec, width);
    spec.config.font = getComputedStyle(document.body).fontFamily;
    const options = { renderer: "svg", actions: false, defaultStyle: false, tooltip: false };
    const { view } = await embed(live, spec, options);
    if (turn !== chart.turn) {
      view.finalize();
      live.remove();
      return;
    }
    listen(live, spec);
    const focused = chart.live === document.activeElement && chart.live;
    chart.view?.finalize();
    chart.live?.remove();
    live.classList.remove("waiting");
    live.style.width = "";
    Object.assign(chart, { view, live });
    if (focused) live.focus({ preventScroll: true });
    if (!chart.element.classList.contains("drawn")) addMenu(chart);
    chart.element.classList.add("drawn");
  };

  // In the page, a table is the names of its columns and its rows (`pack` in offline_vega.py).
  const unpack = ({ columns, rows }) =>
    rows.map((row) => Object.fromEntries(columns.map((name, place) => [name, row[place]])));

  const read = (element) => {
    const spec = JSON.parse(element.querySelector("script").textContent);
    for (const name in spec.datasets) spec.datasets[name] = unpack(spec.datasets[name]);
    return spec;
  };

  const start = (element) => {
    const chart = { element, spec: read(element), plot: element.querySelector(".xl-plot") };
    let wait;
    const resized = new ResizeObserver(() => {
      clearTimeout(wait);
      wait = setTimeout(() => draw(chart), 150);
    });
    const near = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        near.disconnect();
        resized.observe(chart.plot);
        draw(chart);
      },
      { rootMargin: "400px" },
    );
    near.observe(element);
    return chart;
  };

  const charts = [...document.querySelectorAll(".xl-chart")].map(start);

  // For tests, and for scripts of a reader: draw all charts that have a place on the page.
  window.xlCharts = { drawAll: () => Promise.all(charts.map(draw)).then(() => true) };
})();
