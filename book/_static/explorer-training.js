// The way back, from a training sample to the test samples that it influences; and the list as CSV.
(() => {
  "use strict";

  const xl = (window.xl = window.xl || {});
  const { make } = xl;
  const MOST_OFFERED = 1000; // training samples; with more, the reader types an identifier

  // One training sample ---------------------------------------------------------------------------

  const makeInfluenced = ([row, influence, rank, isNearDuplicate]) => {
    const test = xl.data.tests[row];
    return make(
      "li",
      {},
      xl.makeFacts(
        xl.makeLink(xl.leadTo(test), test.uid, {}, true),
        xl.makeLanguage(test.lang),
        xl.labelOf(test),
        `rank ${rank} there`,
        isNearDuplicate && make("span", { class: "xl-twin" }, "near-duplicate"),
      ),
      make(
        "p",
        { class: "xl-score" },
        xl.makeBar(influence, xl.colorOf(test.lang)),
        make("b", {}, xl.formatSigned(influence)),
      ),
      ...xl.makeTexts(test),
    );
  };

  const makeMeans = (means) => {
    const rows = Object.entries(means).map(([lang, value]) => [
      xl.makeLanguage(lang),
      value,
      xl.colorOf(lang),
    ]);
    return xl.makeTable("Its mean score for the test samples in each language", rows);
  };

  // What a training sample influences; `sample` is as its part has it.
  xl.makeWayBack = (sample) => {
    const { top_k: k, tests } = xl.data;
    const counts = `It is among the ${k} most helpful training samples for ` +
      `${sample.in_top.positive} of the ${xl.count(tests.length, "test sample")}, and among the ` +
      `${k} most harmful for ${sample.in_top.negative}.`;
    const lists = Object.entries(xl.signs).flatMap(([sign, words]) => {
      const influenced = sample.sways[sign];
      if (!influenced.length) return [];
      const title = `${words.arrow} The ${influenced.length} that it ${words.verb} most`;
      const list = make("ul", { class: "xl-plain" }, ...influenced.map(makeInfluenced));
      return [make("h4", {}, title), list];
    });
    return [make("p", {}, counts), makeMeans(sample.means), ...lists];
  };

  // Starting from a training sample ---------------------------------------------------------------

  const findChunk = (training, uid) => training.chunks.findIndex((uids) => uids.includes(uid));

  const makeSample = async (training, uid) => {
    const chunk = findChunk(training, uid);
    if (chunk < 0) return [make("p", { role: "alert" }, `No training sample is called ${uid}.`)];
    const sample = (await xl.loadPart(`train-${chunk}`))[uid];
    return [
      make("h3", {}, `Training sample ${uid}`),
      ...xl.makeTexts(sample),
      xl.makeFacts(
        xl.makeLanguage(sample.lang),
        `label “${xl.labelOf(sample)}”`,
        sample.phenomenon && `tests: ${sample.phenomenon}`,
        xl.describeOrigin(sample),
      ),
      ...xl.makeWayBack(sample),
    ];
  };

  const makeOffers = (training) =>
    Object.entries(training.busiest).map(([sign, busiest]) => {
      const links = busiest.flatMap(([uid, count]) => {
        return [xl.makeLink({ train: uid }, uid), ` (${count}) `];
      });
      const words = `Most often among the ${xl.data.top_k} most ${xl.signs[sign].adjective}: `;
      return make("p", { class: "xl-offers" }, words, ...links);
    });

  const makeLookUp = (training) => {
    const input = make("input", { id: "xl-train", list: "xl-uids", value: xl.state.train });
    const known = training.chunks.flat();
    const offered = known.length > MOST_OFFERED ? [] : known;
    const uids = offered.map((uid) => make("option", { value: uid }));
    const onsubmit = (event) => {
      event.preventDefault();
      xl.go({ train: input.value.trim() });
    };
    return make(
      "form",
      { class: "xl-form xl-look-up", onsubmit },
      make(
        "div",
        { class: "xl-control" },
        make("label", { for: "xl-train" }, "Training sample"),
        input,
      ),
      make("datalist", { id: "xl-uids" }, ...uids),
      make("button", { type: "submit" }, "Look up"),
    );
  };

  // What is below the title is made when it is unfolded for the first time.
  const fill = async (fold) => {
    if (fold.childElementCount > 1) return;
    const sample = make("div", { class: "xl-sample" });
    const place = make("div", { class: "xl-details" }, sample);
    fold.append(place);
    const training = await xl.loadPart("train");
    place.replaceChildren(makeLookUp(training), ...makeOffers(training), sample);
    await showSample(fold);
  };

  const showSample = async (fold) => {
    const place = fold.querySelector(".xl-sample");
    const { train } = xl.state;
    if (!place || place.dataset.uid === train) return;
    place.dataset.uid = train;
    const input = fold.querySelector("input");
    if (input) input.value = train;
    const sample = train ? await makeSample(await xl.loadPart("train"), train) : [];
    if (place.dataset.uid === train) place.replaceChildren(...sample);
  };

  const makeTraining = () => {
    const fold = make("details", {}, make("summary", {}, "Start from a training sample"));
    fold.addEventListener("toggle", () => {
      if (fold.open) fill(fold);
      else xl.state.train = "";
      xl.noteOpen("training", fold.open);
    });
    return fold;
  };

  // The part of the page that starts from a training sample. It stays as the test samples change.
  xl.drawTraining = (place) => {
    if (place.dataset.task !== xl.state.task) {
      place.dataset.task = xl.state.task;
      place.replaceChildren(makeTraining());
    }
    const fold = place.firstElementChild;
    if (xl.state.train || xl.isOpen("training")) fold.open = true;
    showSample(fold);
  };

  // Export ----------------------------------------------------------------------------------------

  const quote = (value) => {
    const cell = String(value ?? "");
    return /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  };

  const listCells = (test, sign, row) => {
    const [textA, textB] = xl.plainTexts(row);
    const [englishA, englishB] = row.english || [];
    const added = Object.fromEntries(
      row.epochs.map((value, position) => [`epoch_${xl.data.epochs[position]}`, value]),
    );
    return {
      data: xl.data.title,
      test_uid: test.uid,
      test_lang: test.lang,
      test_label: xl.labelOf(test),
      confidence: test.confidence,
      sign,
      rank: row.rank,
      uid: row.uid,
      lang: row.lang,
      label: xl.labelOf(row),
      phenomenon: row.phenomenon,
      official: row.official,
      near_duplicate: xl.data.twins ? row.twin : "",
      influence: row.influence,
      ...added,
      text_a: textA,
      text_b: textB,
      english_a: englishA,
      english_b: englishB,
    };
  };

  // The training samples that the lists show, as a table.
  xl.makeCsv = (test, listed) => {
    const rows = Object.entries(listed).flatMap(([sign, part]) =>
      part.map((row) => listCells(test, sign, row)),
    );
    if (!rows.length) return "";
    const names = Object.keys(rows[0]);
    const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
    return lines.map((line) => line.map(quote).join(",")).join("\n") + "\n";
  };

  xl.makeExport = (test, listed) => {
    const onclick = () => {
      const blob = new Blob(["\ufeff", xl.makeCsv(test, listed)], { type: "text/csv" });
      const href = URL.createObjectURL(blob);
      make("a", { href, download: `${xl.state.task}-${test.uid}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(href), 1000);
    };
    const attributes = { type: "button", class: "xl-export", onclick, "data-key": "export" };
    return make("button", attributes, "Save what is listed as CSV");
  };
})();
