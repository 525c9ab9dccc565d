// One test sample, the same item in its languages side by side, and the scores of all training
// samples.
(() => {
  "use strict";

  const xl = (window.xl = window.xl || {});
  const { make } = xl;

  // The test sample -------------------------------------------------------------------------------

  const describePrediction = (test) => {
    if (test.right) return "✓ the model agrees";
    if (test.right === null) return "the run does not record which class the model chose";
    const name = xl.data.classes[test.predicted];
    return `✗ wrong: the model says ${name ? `“${name}”` : "another class"}`;
  };

  xl.makeTest = (test) =>
    make(
      "section",
      { class: "xl-test", "aria-labelledby": "xl-test-title" },
      make("h2", { id: "xl-test-title", tabindex: "-1" }, `Test sample ${test.uid}`),
      ...xl.makeTexts(test),
      xl.makeFacts(
        xl.makeLanguage(test.lang),
        `label “${xl.labelOf(test)}”`,
        make("span", { class: test.right === false ? "xl-wrong" : "" }, describePrediction(test)),
        `${xl.formatPercent(test.confidence)} confident of this label`,
        test.phenomenon && `tests: ${test.phenomenon}`,
        xl.describeOrigin(test),
      ),
    );

  // Side by side ----------------------------------------------------------------------------------

  const makeShares = (shares, lang) =>
    Object.entries(xl.signs).map(([sign, words]) => {
      const counts = shares[sign];
      const total = xl.sum(Object.values(counts));
      const own = `${xl.formatCount(counts[lang] || 0)} of ${xl.formatCount(total)}`;
      const chance = xl.formatCount(xl.chanceOf(lang, total));
      return make(
        "div",
        { class: `xl-share ${sign}` },
        make(
          "p",
          {},
          `${words.arrow} ${words.title}: `,
          make("b", {}, own),
          ` in ${xl.nameOf(lang)} (chance: ${chance})`,
        ),
        xl.makeStack(counts, lang),
        make("p", { class: "xl-counts" }, xl.listCounts(counts, lang)),
      );
    });

  const makeCard = (lang, isCurrent, ...children) =>
    make(
      "li",
      { class: isCurrent ? "xl-card current" : "xl-card" },
      make("h3", {}, xl.makeLanguage(lang)),
      ...children,
    );

  const makeItemCard = (test, current) => {
    const isCurrent = test === current;
    const attributes = { "data-key": `item ${test.lang}`, "aria-current": isCurrent && "true" };
    const link = xl.makeLink(xl.leadTo(test), test.uid, attributes);
    return makeCard(
      test.lang,
      isCurrent,
      make("p", { class: "xl-link" }, link, isCurrent ? " (above)" : ""),
      make("div", {}, ...xl.makeTexts(test, false)),
      make(
        "p",
        { class: "xl-verdict" },
        `${test.right === false ? "✗" : test.right ? "✓" : "?"} “${xl.labelOf(test)}”, ` +
          xl.formatPercent(test.confidence),
      ),
      ...makeShares(test.shares, test.lang),
    );
  };

  const makeUntestedCard = (lang, texts) =>
    makeCard(
      lang,
      false,
      make("span", {}),
      make("div", {}, ...xl.makeTexts({ lang, texts }, false)),
      make("p", { class: "xl-note" }, "Not among this run’s test samples, so it has no scores."),
    );

  // The item of this test sample in all its languages, as far as the run has it.
  xl.makeSideBySide = (test) => {
    if (!xl.data.parallel) return "";
    const versions = xl.data.tests.filter((one) => one.item === test.item);
    const untested = xl.data.untested[test.item] || {};
    const cards = Object.keys(xl.data.languages).map((lang) => {
      const version = versions.find((one) => one.lang === lang);
      return version ? makeItemCard(version, test) : makeUntestedCard(lang, untested[lang] || []);
    });
    const { top_k: k } = xl.data;
    const counted = `Counted: the ${k} most helpful and the ${k} most harmful`;
    return make(
      "section",
      { class: "xl-item", "aria-labelledby": "xl-item-title" },
      make("h2", { id: "xl-item-title" }, "The same item in its languages"),
      make(
        "p",
        { class: "xl-explain" },
        `${counted} training samples for each version. In each bar its own language comes first; ` +
          "the upright line shows how far that part would reach by chance.",
      ),
      make("ul", { class: "xl-cards" }, ...cards),
    );
  };

  // Means over the test samples that pass the filters ---------------------------------------------

  const averageShares = (tests, sign) => {
    const mean = {};
    for (const lang of Object.keys(xl.data.trained)) {
      const counts = tests.map((test) => test.shares[sign][lang] || 0);
      mean[lang] = xl.sum(counts) / tests.length;
    }
    return mean;
  };

  const makeMeanCard = (lang, tests) => {
    const mean = xl.sum(tests.map((test) => test.confidence)) / tests.length;
    const shares = Object.fromEntries(
      Object.keys(xl.signs).map((sign) => [sign, averageShares(tests, sign)]),
    );
    const words = `${xl.count(tests.length, "test sample")}, mean confidence `;
    return makeCard(
      lang,
      false,
      make("p", { class: "xl-verdict" }, words + xl.formatPercent(mean)),
      ...makeShares(shares, lang),
    );
  };

  // `tests`: those that pass the filters, the language aside.
  xl.makeMeans = (tests) => {
    const cards = Object.keys(xl.data.languages).map((lang) => {
      const part = tests.filter((test) => test.lang === lang);
      return part.length ? makeMeanCard(lang, part) : "";
    });
    const filtered = xl.FILTERS.some((key) => xl.state[key]) ? " that pass the filters" : "";
    const title = `Means over the ${xl.count(tests.length, "test sample")}${filtered}`;
    const note =
      "Every language has texts of its own in this task, so no item can be set side by side. " +
      "These are means for each test language.";
    const fold = make(
      "details",
      { class: "xl-means", open: !xl.data.parallel || xl.isOpen("means") },
      make("summary", { "data-key": "means" }, title),
      xl.data.parallel ? "" : make("p", { class: "xl-explain" }, note),
      make("ul", { class: "xl-cards xl-mean-cards" }, ...cards),
    );
    if (xl.data.parallel) fold.addEventListener("toggle", () => xl.noteOpen("means", fold.open));
    return fold;
  };

  // All scores ------------------------------------------------------------------------------------

  const makeColumn = (own, other, largest) => {
    const parts = [
      ["other", other],
      ["own", own],
    ].map(([name, count]) => {
      const style = { "--part": count / largest };
      return count ? make("span", { class: name, style }) : "";
    });
    return make("span", { class: "xl-column" }, ...parts);
  };

  // A mark for each training sample that a list shows.
  const makeMarks = (listed) =>
    Object.entries(listed).flatMap(([sign, rows]) =>
      rows.map((row) => {
        const place = (row.influence / xl.data.limit + 1) / 2;
        return make("i", { class: sign, style: { "--place": place } }, xl.signs[sign].arrow);
      }),
    );

  xl.makeHistogram = (test, part, listed) => {
    const { own, other } = part.histogram;
    const largest = Math.max(...own.map((count, bin) => count + other[bin]), 1);
    const total = xl.sum([...own, ...other]);
    const counts = Object.values(listed).map((rows) => rows.length);
    const label =
      `Histogram of the scores of all ${total} training samples; ` +
      `the ${counts[0]} listed that helped and the ${counts[1]} listed that hurt are marked`;
    const name = xl.nameOf(test.lang);
    const columns = own.map((count, bin) => makeColumn(count, other[bin], largest));
    return make(
      "section",
      {
        class: "xl-scores",
        "aria-labelledby": "xl-scores-title",
        style: { "--xl-own": xl.colorOf(test.lang) },
      },
      make("h2", { id: "xl-scores-title" }, `The scores of all ${total} training samples`),
      make(
        "div",
        { class: "xl-histogram", role: "img", "aria-label": label },
        make("div", { class: "xl-columns" }, ...columns),
        make("div", { class: "xl-marks" }, ...makeMarks(listed)),
      ),
      xl.makeScale(),
      make(
        "p",
        { class: "xl-key" },
        make("span", { class: "own" }, `in ${name}`),
        make("span", { class: "other" }, "in other languages"),
        make("span", {}, "▲ ▼ listed below"),
        make("span", {}, `tallest column: ${largest}`),
      ),
      make("p", { class: "xl-explain" }, describeScale()),
    );
  };

  const describeScale = () => {
    const { epochs, limit, bounded } = xl.data;
    if (!bounded) return `The scale ends at the largest score of this run, ${limit.toFixed(2)}.`;
    const each = epochs.length === 1 ? "in the one epoch" : `after each of ${epochs.length} epochs`;
    return (
      `Every bar on this page has this scale. +${limit} is the largest possible score: ${each}, ` +
      "the training sample pulls the model exactly where the test sample would pull it. " +
      "At 0, its pull has nothing to do with the test sample; at " +
      `\u2212${limit}, it pulls the opposite way.`
    );
  };
})();
