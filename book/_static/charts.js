// Stands in for vega-embed until the bundle with the real one has run (see book/_ext/offline_vega.py).
// Charts take the page's font and text colour, so that they follow the light and the dark theme.
(() => {
  const bundle = new Promise((done) => document.addEventListener("DOMContentLoaded", done)); // deferred scripts run before it
  const text = { labelColor: "currentColor", titleColor: "currentColor" };
  const faint = { stroke: "currentColor", strokeOpacity: 0.15 };
  const line = { domainColor: "currentColor", domainOpacity: 0.4, tickColor: "currentColor", tickOpacity: 0.4 };
  const look = {
    axis: { ...text, ...line, gridColor: "currentColor", gridOpacity: 0.12 },
    legend: text,
    header: text,
    title: { color: "currentColor", subtitleColor: "currentColor" },
    text: { color: "currentColor" },
    rule: { color: "currentColor" },
    view: faint,
  };

  // The menu of a chart also saves the table behind it (the largest, where a chart has several).
  const addTable = (element, spec) => {
    const menu = element.querySelector(".vega-actions");
    const rows = Object.values(spec.datasets || {}).sort((a, b) => b.length - a.length)[0];
    if (!menu || !rows?.length) return;
    const quoted = (value) => (/[",\n]/.test(value ?? "") ? `"${value.replaceAll('"', '""')}"` : (value ?? ""));
    const names = Object.keys(rows[0]);
    const lines = [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(quoted).join(","));
    const link = document.createElement("a");
    link.textContent = "Save as CSV";
    link.download = "chart.csv";
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    menu.append(link);
  };

  // A chart as wide as its container has no width while its tab is closed.
  document.addEventListener("change", (event) => {
    if (event.target.matches(".sd-tab-set > input")) window.dispatchEvent(new Event("resize"));
  });

  window.vegaEmbed = async (element, spec, options) => {
    await bundle;
    const font = getComputedStyle(document.body).fontFamily;
    const drawn = await window.bundledVegaEmbed(element, { ...spec, background: "transparent" }, {
      ...options,
      renderer: "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: "chart",
      config: { ...look, font },
    });
    // A chart of fixed width shrinks to seven tenths on a narrow screen, and scrolls from there.
    const svg = element.querySelector("svg.marks");
    if (svg && spec.width !== "container") svg.style.minWidth = `${0.7 * svg.getAttribute("width")}px`;
    addTable(element, spec);
    element.querySelector("summary")?.setAttribute("aria-label", "Save this chart");
    return drawn;
  };
})();
