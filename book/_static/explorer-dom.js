// The explorer's elements and words. Texts are set as text, never as markup. All its scripts share
// one object, `xl`: scripts that a page opened from a disk may load are not modules.
(() => {
  "use strict";

  const xl = (window.xl = window.xl || {});

  xl.signs = {
    positive: { title: "Helped most", adjective: "helpful", verb: "helped", arrow: "▲" },
    negative: { title: "Hurt most", adjective: "harmful", verb: "hurt", arrow: "▼" },
  };

  const setAttribute = (node, name, value) => {
    if (name === "style") {
      for (const [property, setting] of Object.entries(value)) {
        node.style.setProperty(property, setting);
      }
    } else if (name.startsWith("on")) {
      node.addEventListener(name.slice(2), value);
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== undefined) {
      node.setAttribute(name, value);
    }
  };

  // An element; children that are missing are left out.
  xl.make = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
    node.append(...children.flat().filter((child) => child || child === 0));
    return node;
  };

  const { make } = xl;

  // Numbers ---------------------------------------------------------------------------------------

  xl.formatSigned = (value) => {
    const digits = Math.abs(value).toFixed(2);
    return (value < 0 && Number(digits) ? "\u2212" : "+") + digits;
  };

  xl.formatPercent = (share) => `${(100 * share).toFixed(0)}\u00a0%`;

  // At most one digit after the point: 3, 2.5.
  xl.formatCount = (count) => String(Math.round(10 * count) / 10);

  xl.sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

  xl.count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

  // Languages and classes -------------------------------------------------------------------------

  xl.nameOf = (lang) => xl.data.languages[lang].name;

  xl.colorOf = (lang) => xl.data.languages[lang].color;

  xl.labelOf = (sample) => xl.data.classes[sample.label];

  xl.makeLanguage = (lang) => {
    const attributes = { class: "xl-language", style: { "--color": xl.colorOf(lang) } };
    return make("span", attributes, xl.nameOf(lang));
  };

  xl.makeFacts = (...facts) => {
    const shown = facts.flat().filter(Boolean);
    const items = shown.map((fact) => (fact instanceof Node ? fact : make("span", {}, fact)));
    return make("p", { class: "xl-facts" }, ...items);
  };

  // The training samples in the test language, of `total` training samples: how many by chance.
  xl.chanceOf = (lang, total) => {
    const { trained } = xl.data;
    return (total * (trained[lang] || 0)) / xl.sum(Object.values(trained));
  };

  // Texts -----------------------------------------------------------------------------------------

  // A text is a string, or its pieces: strings, and [mark, words] where a pair differs.
  const joinPieces = (text) =>
    typeof text === "string"
      ? text
      : text.map((piece) => (typeof piece === "string" ? piece : piece[1])).join("");

  xl.plainTexts = (sample) => sample.texts.map(joinPieces);

  const makePieces = (text) =>
    typeof text === "string"
      ? [text]
      : text.map((piece) => (typeof piece === "string" ? piece : make(piece[0], {}, piece[1])));

  // The texts of a sample, and below them the English ones of its translation.
  xl.makeTexts = (sample, withEnglish = true) => {
    const attributes = { class: "xl-text", lang: sample.lang, dir: "auto" };
    const texts = sample.texts.map((text) => make("p", attributes, ...makePieces(text)));
    if (withEnglish && sample.english) {
      const english = sample.english.map((text) => make("span", {}, text));
      texts.push(make("p", { class: "xl-english", lang: "en" }, ...english));
    }
    return texts;
  };

  // What names a sample where there are no texts.
  xl.describeOrigin = (sample) =>
    sample.official && `row ${sample.official} of the official release`;

  // Bars ------------------------------------------------------------------------------------------

  // A score on the scale from −limit to +limit, which is the same everywhere on the page.
  xl.makeBar = (value, color = "") => {
    const part = Math.min(Math.abs(value) / xl.data.limit, 1) / 2;
    const start = value < 0 ? 0.5 - part : 0.5;
    const style = { "--start": start, "--length": part };
    if (color) style["--color"] = color;
    const fill = make("span", { class: value < 0 ? "xl-fill below" : "xl-fill", style });
    return make("span", { class: "xl-bar", "aria-hidden": "true" }, fill);
  };

  // A table of bars; `rows`: what each is called, its score and, if it has one, its colour.
  xl.makeTable = (caption, rows) => {
    const lines = rows.map(([name, value, color]) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, name),
        make("td", {}, xl.makeBar(value, color)),
        make("td", {}, xl.formatSigned(value)),
      ),
    );
    const title = make("caption", {}, caption);
    return make("table", { class: "xl-bars" }, title, make("tbody", {}, ...lines));
  };

  // The ends of that scale, above bars.
  xl.makeScale = () => {
    const end = Number.isInteger(xl.data.limit) ? xl.data.limit : xl.data.limit.toFixed(2);
    const marks = [`\u2212${end}`, "0", `+${end}`].map((text) => make("span", {}, text));
    return make("p", { class: "xl-scale", "aria-hidden": "true" }, make("span", {}, ...marks));
  };

  // Languages of the top k as one bar, the test language's own first, with a mark for chance.
  xl.makeStack = (counts, own) => {
    const total = xl.sum(Object.values(counts));
    const order = Object.keys(counts).sort((a, b) => (b === own) - (a === own));
    const parts = order
      .filter((lang) => counts[lang])
      .map((lang) => {
        const style = { "flex-grow": counts[lang], "--color": xl.colorOf(lang) };
        const title = `${xl.nameOf(lang)}: ${xl.formatCount(counts[lang])}`;
        return make("span", { style, title, class: lang === own ? "own" : "" });
      });
    const chance = { "--part": total ? xl.chanceOf(own, total) / total : 0 };
    const mark = make("i", { style: chance, title: "chance, for the test language" });
    return make("span", { class: "xl-stack", "aria-hidden": "true" }, ...parts, mark);
  };

  // 'Korean 18 · English 1 · German 1', the test language's own first.
  xl.listCounts = (counts, own) =>
    Object.keys(counts)
      .sort((a, b) => (b === own) - (a === own))
      .filter((lang) => counts[lang] || lang === own)
      .map((lang) => `${xl.nameOf(lang)}\u00a0${xl.formatCount(counts[lang] || 0)}`)
      .join(" · ");
})();
