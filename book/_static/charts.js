// Stands in for vega-embed until the bundle with the real one has run (book/_ext/offline_vega.py).
// Charts take the page's font and text colour, so that they follow the light and the dark theme.
(() => {
  "use strict";

  // Deferred scripts, of which the bundle is one, run before this event.
  const bundle = new Promise((resolve) => {
    document.addEventListener("DOMContentLoaded", resolve);
  });

  const text = { labelColor: "currentColor", titleColor: "currentColor" };
  const look = {
    axis: {
      ...text,
      domainColor: "currentColor",
      domainOpacity: 0.4,
      tickColor: "currentColor",
      tickOpacity: 0.4,
      gridColor: "currentColor",
      gridOpacity: 0.12,
    },
    legend: text,
    header: text,
    title: { color: "currentColor", subtitleColor: "currentColor" },
    text: { color: "currentColor" },
    rule: { color: "currentColor" },
    view: { stroke: "currentColor", strokeOpacity: 0.15 },
  };

  const quote = (value) => {
    const cell = String(value ?? "");
    return /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  };

  const makeCsv = (rows) => {
    const names = Object.keys(rows[0]);
    const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
    return lines.map((line) => line.map(quote).join(",")).join("\n") + "\n";
  };

  // The menu of a chart also saves the table behind it, the largest if there are several.
  const addTable = (element, spec) => {
    const menu = element.querySelector(".vega-actions");
    const tables = Object.values(spec.datasets || {});
    const [rows] = tables.sort((left, right) => right.length - left.length);
    if (!menu || !rows?.length) return;
    const link = document.createElement("a");
    link.textContent = "Save as CSV";
    link.download = "chart.csv";
    link.href = URL.createObjectURL(new Blob([makeCsv(rows)], { type: "text/csv" }));
    menu.append(link);
  };

  // A chart of fixed width shrinks to seven tenths on a narrow screen, and scrolls from there.
  const limitShrinking = (element, spec) => {
    const svg = element.querySelector("svg.marks");
    if (svg && spec.width !== "container") {
      svg.style.minWidth = `${0.7 * svg.getAttribute("width")}px`;
    }
  };

  // A chart as wide as its container has no width while its tab is closed.
  document.addEventListener("change", (event) => {
    if (event.target.matches(".sd-tab-set > input")) window.dispatchEvent(new Event("resize"));
  });

  window.vegaEmbed = async (element, spec, options) => {
    await bundle;
    const font = getComputedStyle(document.body).fontFamily;
    const transparent = { ...spec, background: "transparent" };
    const drawn = await window.bundledVegaEmbed(element, transparent, {
      ...options,
      renderer: "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: "chart",
      config: { ...look, font },
    });
    limitShrinking(element, spec);
    addTable(element, spec);
    element.querySelector("summary")?.setAttribute("aria-label", "Save this chart");
    return drawn;
  };
})();
