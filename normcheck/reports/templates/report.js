"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // --- pictures ------------------------------------------------------------------------------------------

  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const copy = (value) => JSON.parse(JSON.stringify(value));

  function config() {
    const ink = variable("--ink"), quiet = variable("--quiet"), line = variable("--line");
    return {
      background: null,
      font: getComputedStyle(document.body).fontFamily,
      view: { stroke: null },
      axis: { labelColor: quiet, titleColor: quiet, titleFontWeight: "normal", gridColor: line, domainColor: line, tickColor: line },
      legend: { labelColor: ink, titleColor: quiet, labelLimit: 220, symbolStrokeColor: "transparent" },
      text: { color: quiet },
      bar: { color: variable("--accent") },
    };
  }

  const OPTIONS = {
    mode: "vega-lite", // told, not guessed
    ast: true, // expressions are interpreted, so that no script is made of text
    actions: false,
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };

  function heat(figure, place) {
    const spec = copy(data.specs.heat), failure = data.failures[place];
    const [rect, labels] = spec.layer, width = figure.clientWidth;
    const cell = Math.min(22, width / failure.columns, Math.max(6, 420 / failure.rows));
    spec.datasets = { cells: failure.cells, labels: failure.labels };
    spec.width = Math.floor(cell * failure.columns);
    spec.height = Math.ceil(cell * failure.rows) + 14;
    const above = 14 / cell; // room for the first line of labels
    labels.mark.fontSize = Math.max(6, Math.min(10, 2 * cell - 4));
    rect.encoding.x.scale.domain = [0, failure.columns];
    rect.encoding.y.scale.domain = [failure.rows, -above];
    rect.encoding.color.scale.range = [0, 1, 2, 3, 4, 5, 6, 7].map((level) => variable(`--heat-${level}`));
    const known = new Set(Object.keys(failure.cells[0]));
    rect.encoding.tooltip = rect.encoding.tooltip.filter((each) => known.has(each.field));
    if (!known.has("set")) {
      delete rect.params;
      delete rect.encoding.opacity;
    }
    return spec;
  }

  function ulp(figure, place) {
    const spec = copy(data.specs.ulp);
    spec.datasets.bars = data.failures[place].ulp.bars;
    return spec;
  }

  function decades([least, most]) {
    const powers = [];
    for (let power = Math.round(Math.log10(least)); power <= Math.round(Math.log10(most)); power += 1) powers.push(10 ** power);
    return powers;
  }

  function offset(figure, place) {
    const spec = copy(data.specs.offset), chart = data.offsets[place];
    const [limits, guides, ends, along, level, points] = spec.layer, [left, right] = chart.offset, top = chart.beta[1];
    const end = Math.min(right, top);
    spec.datasets = {
      points: chart.points,
      limits: chart.limits[0] === null ? [] : [{ left, right, least: chart.limits[0], most: chart.limits[1] }],
      guides: [
        { name: "slope 1: one pass", offset: 1, beta: 1 }, { name: "slope 1: one pass", offset: end, beta: end },
        { name: "slope 0: honest", offset: left, beta: 1 }, { name: "slope 0: honest", offset: right, beta: 1 },
      ],
      ends: chart.limits[0] === null ? [] : [{ name: "allowed", offset: left, beta: chart.limits[1] }],
      level: [{ name: "slope 0: honest", offset: right, beta: 1 }],
    };
    const half = Math.sqrt(end);
    spec.datasets.slope = [{ name: "slope 1: one pass", offset: half, beta: half }];
    spec.encoding.x.axis.values = decades(chart.offset);
    spec.encoding.y.axis.values = decades(chart.beta);
    spec.encoding.x.scale.domain = chart.offset;
    spec.encoding.y.scale.domain = chart.beta;
    limits.mark.color = variable("--bad");
    limits.mark.opacity = 0.3;
    guides.mark.color = ends.mark.color = along.mark.color = level.mark.color = variable("--quiet");
    points.encoding.color.scale.domain = points.encoding.shape.scale.domain = chart.backends;
    const colours = dark.matches
      ? ["#8ab4f8", "#f2b866", "#7bd09a", "#ff8f86", "#c9a3f5", "#6fd3d8", "#e8e9ec", "#d8a38a"]
      : ["#1f5fbf", "#c26a00", "#17703a", "#b3261e", "#7440b5", "#0b7a80", "#1c1d21", "#8a5a44"];
    points.encoding.color.scale.range = chart.turns.map((turn) => colours[turn % colours.length]);
    return spec;
  }

  const MAKERS = { heat, ulp, offset };
  const drawn = new Map(); // elements, with what is drawn in them

  async function draw(element) {
    const before = drawn.get(element);
    if (before) before.finalize();
    const spec = MAKERS[element.dataset.chart](element, Number(element.dataset.place));
    spec.description = element.getAttribute("aria-label");
    spec.autosize = spec.width === "container" ? { type: "fit", contains: "padding" } : undefined;
    spec.padding = spec.width === "container" ? 4 : 0;
    const renderer = element.dataset.chart === "heat" ? "canvas" : "svg";
    const target = document.createElement("div");
    target.setAttribute("aria-hidden", "true"); // what it shows is in the label and beside it
    element.replaceChildren(target);
    drawn.set(element, await vegaEmbed(target, spec, { ...OPTIONS, renderer, config: config() }));
    element.dataset.drawn = String(Number(element.dataset.drawn || 0) + 1);
  }

  const charts = [...document.querySelectorAll("[data-chart]")];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !drawn.has(entry.target)) {
        drawn.set(entry.target, null);
        draw(entry.target);
      }
    }
  }, { rootMargin: "400px" });
  charts.forEach((chart) => seen.observe(chart));
  dark.addEventListener("change", () => drawn.forEach((_, element) => draw(element)));
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone that hides its address bar
    width = innerWidth;
    drawn.forEach((_, element) => element.dataset.chart === "heat" && draw(element));
  });

  // --- the table of all results ----------------------------------------------------------------------------

  const table = document.querySelector("table.results"), form = document.querySelector(".filters");
  const body = table.tBodies[0], rows = [...body.rows], count = document.getElementById("count");
  const heads = [...table.tHead.rows[0].cells];
  let sorted = "";

  function filter() {
    const wanted = [...form.querySelectorAll("select")].filter((select) => select.value);
    const words = form.elements.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = (row.dataset.text ??= row.textContent.toLowerCase());
      const fits = wanted.every((select) => row.cells[Number(select.dataset.column)].dataset.filter === select.value)
        && words.every((word) => text.includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = (shown === rows.length ? `All ${shown} results` : `${shown} of ${rows.length} results`) + sorted;
    document.getElementById("none").hidden = shown > 0;
  }

  function key(row, column, numeric) {
    const cell = row.cells[column];
    if (!numeric) return cell.dataset.filter ?? cell.textContent.trim();
    const text = cell.dataset.value;
    return text === "" ? null : text === "inf" ? Infinity : text === "nan" ? Infinity : Number(text);
  }

  function sort(head) {
    const column = heads.indexOf(head), numeric = head.dataset.numeric === "true";
    const first = numeric ? "descending" : "ascending"; // of figures the worst ones are wanted
    const second = numeric ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const keyed = rows.map((row) => [key(row, column, numeric), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what has no figure is last
      if (numeric) return a === b ? 0 : sign * (a < b ? -1 : 1);
      return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
    });
    body.append(...keyed.map(([, row]) => row));
    sorted = `, sorted by ${head.textContent.trim()}, ${order}`;
    filter();
  }

  heads.forEach((head) => head.querySelector("button")?.addEventListener("click", () => sort(head)));
  form.addEventListener("input", filter);
  form.addEventListener("change", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // --- commands ------------------------------------------------------------------------------------------

  document.querySelectorAll("button.copy").forEach((button) => {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  });
})();
