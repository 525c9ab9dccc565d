// What the explorer shows, the address that says it, the data, and the filters.
(() => {
  "use strict";

  const xl = (window.xl = window.xl || {});
  window.explorer = window.explorer || {}; // name → data; the scripts of the data fill it

  // Empty values: all test languages, every label, …
  // `open`: details that are unfolded, as p1 for the first rank of 'helped most'. They stay open at
  // the same ranks of the next test sample.
  const EMPTY = {
    task: "",
    lang: "",
    uid: "",
    q: "",
    label: "",
    phenomenon: "",
    confidence: "",
    right: "",
    from: "",
    with: "",
    twins: "",
    open: "",
    tab: "",
    train: "",
  };
  const PATH = ["task", "lang", "uid"];
  const ALL = "all"; // in the address, for all test languages
  xl.state = { ...EMPTY };

  // Address: #task/language/sample?filter=value&… -------------------------------------------------

  xl.formatAddress = (change = {}) => {
    const state = { ...xl.state, ...change };
    const path = [state.task, state.lang || ALL, state.uid].map(encodeURIComponent);
    const rest = Object.keys(EMPTY).filter((key) => !PATH.includes(key) && state[key]);
    const query = new URLSearchParams(rest.map((key) => [key, state[key]]));
    return `#${path.join("/")}${rest.length ? `?${query}` : ""}`;
  };

  const decode = (part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return ""; // not an address of ours
    }
  };

  xl.readAddress = () => {
    const [path, query] = location.hash.slice(1).split("?");
    const state = { ...EMPTY };
    path.split("/").forEach((part, position) => {
      if (PATH[position]) state[PATH[position]] = decode(part);
    });
    for (const [key, value] of new URLSearchParams(query)) {
      if (key in EMPTY && !PATH.includes(key)) state[key] = value;
    }
    return state;
  };

  // A step adds to the history, so that Back undoes it. Steps from sample to sample in quick
  // succession (`isRepeat`), as with a key held down, count as one.
  let last = 0;
  xl.noteInHistory = ({ isStep = true, isRepeat = false } = {}) => {
    const address = xl.formatAddress();
    if (address === location.hash) return;
    const isQuick = isRepeat && Date.now() - last < 700;
    if (isRepeat) last = Date.now();
    history[isStep && !isQuick ? "pushState" : "replaceState"](null, "", address);
  };

  // Data ------------------------------------------------------------------------------------------

  const loading = {}; // name → promise

  // The data of this name: 'pawsx', or a part such as 'pawsx/test-3'.
  xl.load = (name) => {
    loading[name] =
      loading[name] ||
      new Promise((resolve, reject) => {
        if (window.explorer[name]) {
          resolve(window.explorer[name]);
          return;
        }
        const source = new URL(`${name}.js`, xl.folder).href;
        const script = xl.make("script", { src: source });
        script.onload = () => resolve(window.explorer[name]);
        script.onerror = () => {
          delete loading[name];
          reject(new Error(`${source} cannot be read: build the book again`));
        };
        document.head.append(script);
      });
    return loading[name];
  };

  xl.loadPart = (part) => xl.load(`${xl.state.task}/${part}`);

  // Filters of test samples -----------------------------------------------------------------------

  xl.BANDS = [
    ["0-60", "below 60 %", 0, 0.6],
    ["60-80", "60 to 80 %", 0.6, 0.8],
    ["80-95", "80 to 95 %", 0.8, 0.95],
    ["95-100", "95 % or more", 0.95, 1.01],
  ];
  const isIn = (band, value) => {
    const [, , low, high] = xl.BANDS.find(([name]) => name === band) || ["", "", 0, 2];
    return value >= low && value < high;
  };

  xl.RIGHT = { right: true, wrong: false };

  const hasWord = (test, word) =>
    [test.uid, test.phenomenon || "", ...xl.plainTexts(test), ...(test.english || [])]
      .map((text) => text.toLowerCase())
      .some((text) => text.includes(word));

  const checks = {
    lang: (test, value) => test.lang === value,
    label: (test, value) => String(test.label) === value,
    phenomenon: (test, value) => test.phenomenon === value,
    confidence: (test, value) => isIn(value, test.confidence),
    right: (test, value) => test.right === xl.RIGHT[value],
    q: (test, value) => value.toLowerCase().split(/\s+/).every((word) => hasWord(test, word)),
  };

  // The test samples that pass all filters, or all but those named.
  xl.findTests = (...without) => {
    const keys = Object.keys(checks).filter((key) => xl.state[key] && !without.includes(key));
    return xl.data.tests.filter((test) => keys.every((key) => checks[key](test, xl.state[key])));
  };

  xl.FILTERS = ["q", "label", "phenomenon", "confidence", "right"];

  xl.NO_FILTERS = Object.fromEntries(xl.FILTERS.map((key) => [key, ""]));

  // What leads to a test sample, also to one that does not pass the filters.
  xl.leadTo = (test) => ({
    ...(xl.findTests("lang").includes(test) ? {} : xl.NO_FILTERS),
    lang: xl.state.lang && test.lang,
    uid: test.uid,
  });

  // A link with an address of its own; a plain click follows it without loading the page again.
  // `isJump`: it takes the reader to the test sample's title.
  xl.makeLink = (change, text, attributes = {}, isJump = false) => {
    const onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      xl.go(change, { isJump });
    };
    return xl.make("a", { ...attributes, href: xl.formatAddress(change), onclick }, text);
  };

  xl.findTest = () => xl.data.tests.find((test) => test.uid === xl.state.uid);

  xl.rowOf = (test) => xl.data.tests.indexOf(test);

  // Filters of training samples -------------------------------------------------------------------

  // The rows to list: those that the filters leave, as far as the data surely have all of them.
  xl.listRows = (rows) => {
    const { from, with: label, twins } = xl.state;
    const passes = (row) =>
      (!from || row.lang === from) &&
      (!label || String(row.label) === label) &&
      (!twins || row.twin === (twins === "only"));
    return rows.filter(passes).slice(0, from || label ? xl.data.of_each : xl.data.strongest);
  };
})();
