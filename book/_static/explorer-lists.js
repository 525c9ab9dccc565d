// The training samples that helped and hurt most, and what is behind each of them.
(() => {
  "use strict";

  const xl = (window.xl = window.xl || {});
  const { make } = xl;

  // The head of a list: what is counted, what is listed -------------------------------------------

  const describeCounted = (test, sign, counts) => {
    const total = xl.sum(Object.values(counts));
    const own = counts[test.lang] || 0;
    const chance = xl.formatCount(xl.chanceOf(test.lang, total));
    const without = xl.state.twins === "without" ? ", near-duplicates left out" : "";
    return (
      `Counted: the ${total} most ${xl.signs[sign].adjective}${without}. ${total - own} of them ` +
      `are in a language other than ${xl.nameOf(test.lang)} ` +
      `(chance: ${xl.formatCount(total - Number(chance))}).`
    );
  };

  const describeListed = (sign, count) => {
    const { from, with: label, twins } = xl.state;
    const where = from ? ` in ${xl.nameOf(from)}` : "";
    const labelled = label ? ` with the label “${xl.data.classes[label]}”` : "";
    const only = twins === "only" ? " near-duplicates" : "";
    const without = twins === "without" ? ", near-duplicates left out" : "";
    const { adjective, verb } = xl.signs[sign];
    if (!count) return `Listed: none. No training sample${where}${labelled} ${verb}.`;
    return `Listed: the ${count} most ${adjective}${only}${where}${labelled}${without}.`;
  };

  const describeTwins = (rows, part) => {
    if (!xl.data.twins || xl.state.twins) return "";
    const count = rows.filter((row) => row.twin).length;
    const all = xl.count(part.twins, "near-duplicate");
    return `The test sample has ${all} among the training samples; ${count} of them are listed.`;
  };

  const makeHead = (test, sign, rows, part) => {
    const isWithout = xl.state.twins === "without";
    const counts = (isWithout ? part.without : test.shares)[sign];
    return make(
      "div",
      { class: "xl-composition" },
      make("p", {}, describeCounted(test, sign, counts)),
      xl.makeStack(counts, test.lang),
      make("p", { class: "xl-counts" }, xl.listCounts(counts, test.lang)),
      make("p", {}, describeListed(sign, rows.length), " ", describeTwins(rows, part)),
    );
  };

  // Details of a training sample ------------------------------------------------------------------

  const makeTranslation = (sample, influence, rank) =>
    make(
      "li",
      {},
      xl.makeFacts(
        xl.makeLanguage(sample.lang),
        sample.uid,
        `${xl.formatSigned(influence)}, rank ${rank}`,
      ),
      ...xl.makeTexts(sample, false),
    );

  const makeTranslations = async (row) => {
    const chunks = row.translations.map(([, , , chunk]) => xl.loadPart(`train-${chunk}`));
    const found = await Promise.all(chunks);
    const items = row.translations.map(([uid, influence, rank], position) =>
      makeTranslation(found[position][uid], influence, rank),
    );
    return [
      make("h3", {}, "Its translations"),
      make("ul", { class: "xl-plain" }, ...items),
    ];
  };

  const makeDetails = async (row) => {
    const { epochs, groups } = xl.data;
    const named = row.epochs.map((value, position) => [`epoch ${epochs[position]}`, value]);
    const parts = [xl.makeTable("What each epoch adds", named)];
    if (groups.length > 1) {
      const added = row.groups.map((value, position) => [groups[position], value]);
      parts.push(xl.makeTable("What each part of the network adds", added));
    }
    if (row.translations.length) parts.push(...(await makeTranslations(row)));
    const sample = (await xl.loadPart(`train-${row.chunk}`))[row.uid];
    parts.push(make("h3", {}, "Which test samples does it influence?"), ...xl.makeWayBack(sample));
    return parts;
  };

  // The details are made when they are unfolded for the first time.
  const fill = async (fold, row) => {
    if (fold.dataset.filled) return;
    fold.dataset.filled = "yes";
    const place = make("div", { class: "xl-details" }, make("p", {}, "Loading …"));
    fold.append(place);
    try {
      place.replaceChildren(...(await makeDetails(row)));
    } catch (error) {
      place.replaceChildren(make("p", { role: "alert" }, error.message));
    }
  };

  // Folds are named by their rank, so that the same ones are open at the next test sample.
  const makeFold = (row, sign) => {
    const key = sign[0] + row.rank;
    const words = ["epochs"];
    if (xl.data.groups.length > 1) words.push("layers");
    if (row.translations.length) words.push("translations");
    words.push("test samples it influences");
    const summary = make("summary", { "data-key": key }, words.join(", "));
    const fold = make("details", { open: xl.isOpen(key) }, summary);
    fold.addEventListener("toggle", () => {
      if (fold.open) fill(fold, row);
      xl.noteOpen(key, fold.open);
    });
    return fold;
  };

  // Whether a model with another seed ranks the sample as high.
  const describeSeeds = (row) => {
    const { seeds, top_k: k } = xl.data;
    if (!seeds || row.rank > k) return "";
    return `in the top ${k} with ${row.again} of ${xl.count(seeds, "other seed")}`;
  };

  // Lists -----------------------------------------------------------------------------------------

  const makeRow = (row, sign) =>
    make(
      "li",
      { value: row.rank },
      xl.makeFacts(
        make("b", {}, `${row.rank}.`),
        xl.makeLanguage(row.lang),
        row.uid,
        xl.labelOf(row),
        row.phenomenon,
        xl.describeOrigin(row),
        row.twin && make("span", { class: "xl-twin" }, "near-duplicate"),
        describeSeeds(row),
      ),
      make(
        "p",
        { class: "xl-score" },
        xl.makeBar(row.influence, xl.colorOf(row.lang)),
        make("b", {}, xl.formatSigned(row.influence)),
      ),
      ...xl.makeTexts(row),
      makeFold(row, sign),
    );

  xl.makeList = (test, sign, rows, part) =>
    make(
      "section",
      { class: `xl-list ${sign}`, id: `xl-list-${sign}`, "aria-labelledby": `xl-${sign}` },
      make("h2", { id: `xl-${sign}` }, `${xl.signs[sign].arrow} ${xl.signs[sign].title}`),
      makeHead(test, sign, rows, part),
      rows.length ? xl.makeScale() : "",
      make("ol", {}, ...rows.map((row) => makeRow(row, sign))),
    );
})();
