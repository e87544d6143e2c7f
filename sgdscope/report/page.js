const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const unpacked = (id) => {
  const packed = new Blob([bytes(document.getElementById(id).textContent)]);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
};

const { tables, lines, cards, gallery, parts, dark, template, stretch } = JSON.parse(await unpacked("payload"));
for (const hole of document.querySelectorAll("[data-part]")) hole.innerHTML = parts[hole.dataset.part];
if (cards.length) document.head.append(Object.assign(document.createElement("script"), { text: await unpacked("plotly") }));
const night = matchMedia("(prefers-color-scheme: dark)");
let printing = false; // paper is light, and narrower than a screen
const isDark = () => night.matches && !printing;
const narrow = matchMedia("(max-width: 34rem)");
const hidden = new Set(); // keys of lines and batch sizes switched off by their legend
const drawn = new Map(); // box of a plot → how to draw it again

// ---- small helpers

const make = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
};

// New children for old ones; the focus stays where it was.
const renew = (node, ...children) => {
  const reached = () => [...node.querySelectorAll("button, select")];
  const at = reached().indexOf(document.activeElement);
  node.replaceChildren(...children);
  reached()[at]?.focus();
};

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

const short = (value) => {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return Math.abs(value) < 10000 ? String(value) : value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return Number(value.toPrecision(4)).toString();
};

const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).join(",");
const recolouring = Object.entries(dark).map(([light, other]) => [`"${light}"`, `"${other}"`]);

// A fresh copy in the colours of the hour: plotly keeps and changes what it is given.
const themed = (value) => {
  let text = JSON.stringify(value);
  if (isDark()) for (const [light, other] of recolouring) text = text.replaceAll(light, other);
  return JSON.parse(text);
};

// ---- what a run says when pointed at

const column = Object.fromEntries(tables.columns.map((name, i) => [name, i]));

const described = (place) => {
  const reading = place < 0 ? null : tables.readings[place];
  const run = tables.runs[reading ? reading[0] : -1 - place];
  const get = (name) => escaped(short(run[column[name]]));
  const parts = [
    `<b>${get("label")}</b>, ${get("place")}, seed ${get("seed")}`,
  ];
  if (reading) {
    const [, which, eps, value, flags, ...evidence] = reading;
    const measure = tables.measures[which];
    const at = eps === null ? "" : ` at eps ${short(eps)}`;
    parts.push(`${escaped(measure.label)}${at}: <b>${short(value)}</b>`);
    const found = measure.evidence
      .map((name, i) => (evidence[i] === null ? null : `${name.replaceAll("_", " ")} ${short(evidence[i])}`))
      .filter((text) => text !== null);
    for (let i = 0; i < found.length; i += 3) parts.push(escaped(found.slice(i, i + 3).join(" · ")));
    if (flags) for (const flag of flags.split(" | ")) parts.push(`⚠ ${escaped(flag)}`);
  }
  parts.push(
    `lr ${get("learning_rate")} · ${get("steps")} steps · lr·steps ${get("lr_steps")}`,
    `noise scale ${get("noise_scale")} · final training loss ${get("final_train_loss")}`,
    `${get("status")} · run ${get("run")}`,
  );
  return parts.join("<br>");
};

const runOf = (place) => tables.runs[place < 0 ? -1 - place : tables.readings[place][0]][column.run];

// ---- plots

const stretched = (accuracy) => -Math.log10(Math.max(1 - accuracy, -stretch.end / 2) + stretch.end);

const towardsOne = (figure) => {
  for (const trace of figure.data) {
    if (trace.yaxis !== "y2") trace.y = trace.y.map((value) => (value === null ? null : stretched(value)));
  }
  for (const shape of figure.layout.shapes ?? []) shape.y0 = shape.y1 = stretched(shape.y0);
  Object.assign(figure.layout.yaxis, {
    tickvals: stretch.ticks.map(stretched),
    ticktext: stretch.ticks.map(String),
    range: [stretched(0), stretched(1)],
  });
};

// On a logarithmic axis of some decades 1, 2 and 5 of each; on a long one whole decades.
const fewTicks = ({ data, layout }, way) => {
  const axis = layout[`${way}axis`];
  if (axis?.type !== "log" || axis.tickvals || axis.dtick) return;
  const values = data.filter((trace) => trace.yaxis !== "y2").flatMap((trace) => trace[way]).filter((value) => value > 0);
  const span = Math.max(...values) / Math.min(...values);
  if (span > 6) axis.dtick = span < 1000 ? "D2" : 1;
};

const axes = {
  "0 to 1": () => {},
  "towards 1": towardsOne,
  fitted: (figure) => { delete figure.layout.yaxis.range; },
  log: (figure) => { figure.layout.yaxis.type = "log"; },
  linear: (figure) => { figure.layout.yaxis.type = "linear"; },
};
const axisChoices = { accuracy: ["0 to 1", "towards 1", "fitted"], positive: ["log", "linear"] };

const config = {
  responsive: true,
  displaylogo: false,
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
  toImageButtonOptions: { format: "svg" },
};

// The band of a mean as one closed outline, interrupted where nothing was measured.
const band = ({ x, y, customdata, legendgroup, line, meta }) => {
  if (meta !== "mean" || !customdata.some(([low, high]) => high > low)) return null;
  const outline = { x: [], y: [] };
  let piece = [];
  const close = () => {
    const there = piece.map((i) => [x[i], customdata[i][1]]);
    const back = piece.map((i) => [x[i], customdata[i][0]]).reverse();
    for (const [at, value] of piece.length ? [...there, ...back, [null, null]] : []) {
      outline.x.push(at);
      outline.y.push(value);
    }
    piece = [];
  };
  y.forEach((value, i) => { if (value === null) close(); else piece.push(i); });
  close();
  return {
    ...outline, type: "scatter", mode: "lines", line: { width: 0 }, legendgroup, hoverinfo: "skip",
    fill: "toself", fillcolor: `rgba(${channels(line.color)},.15)`,
  };
};

const PAPER = { width: 600, height: 240 }; // pixels of a plot on A4; as in the style for print

const draw = (box, plot, axis) => {
  const figure = themed({ data: plot.data, layout: plot.layout });
  for (const trace of figure.data) {
    if (trace.meta === "runs") trace.text = trace.customdata.map(described);
    else if (trace.customdata) trace.text = trace.y.map(short);
  }
  figure.data = figure.data.flatMap((trace) => [band(trace), trace]).filter(Boolean);
  axes[axis]?.(figure);
  for (const way of ["x", "y"]) fewTicks(figure, way);
  for (const trace of figure.data) trace.visible = !hidden.has(trace.legendgroup);
  figure.layout.template = themed(template);
  if (printing) {
    const share = box.closest(".single") ? 1 : 0.48;
    Object.assign(figure.layout, { width: PAPER.width * share, height: PAPER.height });
  }
  figure.layout.dragmode = narrow.matches ? false : "zoom";
  Plotly.react(box, figure.data, figure.layout, { ...config, displayModeBar: narrow.matches ? false : "hover" });
};

const begin = (box) => {
  const again = drawn.get(box);
  if (again.done || box.parentNode.hidden) return;
  seen.unobserve(box);
  again.done = true;
  again.draw();
  box.on("plotly_click", ({ points }) => {
    const place = points[0].customdata;
    if (typeof place === "number") showRun(runOf(place));
  });
};

const seen = new IntersectionObserver(
  (entries) => { for (const { isIntersecting, target } of entries) if (isIntersecting) begin(target); },
  { rootMargin: "500px" },
);

const redraw = () => {
  for (const [box, again] of drawn) if (again.done && !box.parentNode.hidden) again.draw();
  for (const card of built) card.legend();
};
night.addEventListener("change", redraw);

// On paper every plot is drawn, in light colours, and what is short lies open.
const folds = "#trends details, #attention > details";
let unfolded = [];
addEventListener("beforeprint", () => {
  printing = true;
  unfolded = [...document.querySelectorAll(folds)].filter((one) => !one.open);
  for (const one of unfolded) one.open = true;
  redraw();
  for (const box of drawn.keys()) begin(box);
});
addEventListener("afterprint", () => {
  printing = false;
  for (const one of unfolded) one.open = false;
  redraw();
});

// A link to what is folded opens it.
addEventListener("hashchange", () => {
  const fold = location.hash === "#attention" && document.querySelector("#attention details");
  if (fold) fold.open = true;
});

// ---- legends: one for each card, all in step

const shapes = {
  circle: "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0",
  square: "M-3.2,-3.2h6.4v6.4h-6.4z",
  "triangle-up": "M0,-4L3.8,3H-3.8z",
  diamond: "M0,-4.4L4.4,0L0,4.4L-4.4,0z",
  pentagon: "M0,-4L3.8,-1.2L2.4,3.4H-2.4L-3.8,-1.2z",
  star: "M0,-4.6L1.2,-1.4H4.5L1.8,.6L2.8,4L0,2L-2.8,4L-1.8,.6L-4.5,-1.4H-1.2z",
};
const symbols = ["circle", "square", "triangle-up", "diamond", "pentagon", "star"];

const key = (colour, mark) => {
  const holder = make("span", { style: "display:inline-flex" });
  const shade = isDark() ? (dark[colour] ?? colour) : colour;
  const shape = mark === null ? "" : `<path d="${shapes[symbols[mark]]}" fill="${shade}" transform="translate(12,6)"/>`;
  holder.innerHTML =
    `<svg width="24" height="12" aria-hidden="true"><path d="M1,6H23" stroke="${shade}" stroke-width="2"/>${shape}</svg>`;
  return holder;
};

const entries = (plots) => {
  const found = new Map();
  for (const { data } of plots) {
    for (const { legendgroup: group, line } of data) {
      if (found.has(group)) continue;
      const own = lines.find((one) => one.key === group);
      if (own) found.set(group, { name: own.label, colour: own.colour, mark: own.mark });
      else if (line?.color) found.set(group, { name: group, colour: line.color, mark: null });
    }
  }
  const order = lines.map((one) => one.key);
  return [...found].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
};

const toggle = (group, groups, alone) => {
  if (alone) {
    const others = groups.filter((one) => one !== group);
    const already = !hidden.has(group) && others.every((one) => hidden.has(one));
    for (const one of others) already ? hidden.delete(one) : hidden.add(one);
    hidden.delete(group);
  } else if (!hidden.delete(group)) hidden.add(group);
  for (const [box, again] of drawn) {
    if (again.done) Plotly.restyle(box, { visible: box.data.map((trace) => !hidden.has(trace.legendgroup)) });
  }
  for (const card of built) card.legend();
};

// ---- cards

const press = (group, chosen) => {
  for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", button.textContent === chosen);
};

const segments = (name, choices, chosen, choose) => {
  if (choices.length > 6) {
    const list = make("select", { "aria-label": name, onchange: () => choose(list.value) },
      ...choices.map((one) => make("option", { value: one, selected: one === chosen }, one)));
    return make("label", { class: "segments" }, make("span", {}, name), list);
  }
  const buttons = choices.map((one) =>
    make("button", {
      type: "button",
      "aria-pressed": String(one === chosen),
      onclick: () => {
        press(group, one);
        choose(one);
      },
    }, one));
  const group = make("div", { class: "segments", role: "group", "aria-label": name }, make("span", {}, name), ...buttons);
  return group;
};

const build = (card, hole) => {
  const chosen = Object.fromEntries(Object.entries(card.controls).map(([name, { first }]) => [name, first]));
  const legend = make("div", { class: "legend" });
  const panels = make("div", { class: "panels" });
  const nothing = make("p", { class: "note" }, "No properly trained run was measured so.");
  let axis = card.scale; // "as drawn": each plot as it comes, until one is chosen
  let shown = [];

  // Boxes are kept from choice to choice, so that a plot changes in place.
  const boxes = [];
  const boxAt = (i) => {
    if (!boxes[i]) {
      boxes[i] = make("div", { class: "plot" });
      drawn.set(boxes[i], { done: false });
      panels.append(make("figure", {}, make("figcaption"), boxes[i]));
      seen.observe(boxes[i]);
    }
    return boxes[i];
  };
  const fill = () => {
    shown = card.plots.filter(({ choice }) => Object.entries(choice).every(([name, value]) => chosen[name] === value));
    panels.classList.toggle("single", shown.length === 1);
    shown.forEach((plot, i) => {
      const again = drawn.get(boxAt(i));
      boxes[i].previousSibling.textContent = plot.panel;
      again.draw = () => draw(boxes[i], plot, axis);
      if (again.done) again.draw();
    });
    nothing.hidden = shown.length > 0;
    if (axisControl) press(axisControl, axis in axes ? axis : (shown[0]?.layout.yaxis.type ?? "linear"));
    boxes.forEach((box, i) => { box.parentNode.hidden = i >= shown.length; });
    own.legend();
  };
  const own = {
    legend: () => {
      const found = entries(shown);
      const groups = found.map(([group]) => group);
      renew(legend, ...found.map(([group, { name, colour, mark }]) =>
        make("button", {
          type: "button",
          "aria-pressed": String(!hidden.has(group)),
          title: "click: show or hide; double click: this one alone",
          onclick: (event) => toggle(group, groups, event.detail === 2),
        }, key(colour, mark), name)));
    },
  };
  const controls = Object.entries(card.controls)
    .filter(([, { choices }]) => choices.length > 1)
    .map(([name, { choices }]) => segments(name, choices, chosen[name], (one) => { chosen[name] = one; fill(); }));
  const axisControl = card.axis in axisChoices
    && segments("axis", axisChoices[card.axis], axis, (one) => { axis = one; fill(); });
  if (axisControl) controls.push(axisControl);
  hole.append(...[
    make("header", {}, make("h3", {}, card.title), ...controls),
    card.note ? make("p", { class: "note" }, card.note) : null,
    legend, nothing, panels,
  ].filter(Boolean));
  fill();
  return own;
};

// ---- adversarial examples

const share = (value) => `${(100 * value).toFixed(value > 0.99 && value < 0.99995 ? 2 : 0)} %`;
const brighter = [221, 107, 32];
const darker = [46, 121, 214];

// Paints each pixel with the red, green, blue and opacity that a function gives for its place.
const painted = ([, height, width], label, colour) => {
  const canvas = make("canvas", { width, height, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set(colour(i), 4 * i);
  context.putImageData(image, 0, 0);
  return canvas;
};

const example = ({ shape, peak }, one) => {
  const area = shape[1] * shape[2];
  const original = bytes(gallery.images[one.image]);
  const change = bytes(one.change);
  const channels = (get) => (i) => {
    const first = get(i);
    return shape[0] === 1 ? [first, first, first, 255] : [first, get(i + area), get(i + 2 * area), 255];
  };
  const signed = (i) => [...(change[i] > 128 ? brighter : darker), 255 * Math.abs(change[i] - 128) / 127];
  const shifted = channels((i) => 255 * (change[i] - 1) / 254);
  const result = channels((i) => Math.round(original[i] + 255 * peak * (change[i] - 128) / 127));
  return make("figure", { class: "example", title: `test image ${one.place}` },
    painted(shape, `test image ${one.place}, a ${one.label}`, channels((i) => original[i])),
    painted(shape, "perturbation", shape[0] === 1 ? signed : shifted),
    painted(shape, `taken for a ${one.answer}`, result),
    make("figcaption", {},
      make("span", {}, make("b", {}, String(one.label)), ` ${share(one.confidence)}`),
      make("span", {}, "→"),
      make("span", { class: "wrong" }, make("b", {}, String(one.answer)), ` ${share(one.answer_confidence)}`)));
};

const buildGallery = (hole) => {
  const names = Object.keys(gallery.panels);
  const controls = make("header");
  const note = make("p", { class: "note" });
  const rows = make("div");
  let panel = names[0];
  let chosen = gallery.panels[panel][0].name;

  const fill = () => {
    const there = [...gallery.panels[panel]].sort(
      (a, b) => a.name.split(",")[0].localeCompare(b.name.split(",")[0]) || a.eps - b.eps);
    const choice = there.find(({ name }) => name === chosen) ?? gallery.panels[panel][0];
    chosen = choice.name;
    renew(
      controls,
      make("h3", {}, names.length > 1 ? chosen : `${chosen}, ${panel}`),
      ...[
        names.length > 1 && segments("on", names, panel, (one) => { panel = one; fill(); }),
        there.length > 1 && segments("attack", there.map(({ name }) => name), chosen, (one) => { chosen = one; fill(); }),
      ].filter(Boolean));
    const meaning = choice.shape[0] === 1 ? "orange brighter, blue darker" : "around grey";
    const factor = short(Number(((choice.shape[0] === 1 ? 1 : 0.5) / choice.peak).toPrecision(3)));
    note.textContent =
      "Test image with its true label, which the network gave with this confidence; " +
      `perturbation × ${factor}, ${meaning}; result with the network’s new answer and its confidence.`;
    rows.replaceChildren(...choice.runs.map((run) => {
      const line = lines.find(({ key }) => key === run.line);
      const swatch = make("i", { class: "swatch", style: `--light:${line.colour};--dark:${line.dark}` });
      const title = make("h4", {}, swatch, line.label,
        make("button", { type: "button", title: "find it in the table", onclick: () => showRun(run.run) },
          `batch size ${run.batch_size}, seed ${run.seed}`));
      return make("div", { class: "specimens" }, title, make("div", {}, ...run.examples.map((one) => example(choice, one))));
    }));
  };
  hole.append(controls, note, rows);
  fill();
};

// ---- the table of runs

const cells = () => {
  const fixed = ["schedule", "momentum", "batch_size", "seed", "status", "learning_rate", "steps", "lr_steps", "final_train_loss"];
  const names = { momentum: "m", batch_size: "batch", learning_rate: "lr", lr_steps: "lr · steps", final_train_loss: "train loss" };
  const varied = (name) => new Set(tables.runs.map((run) => run[column[name]])).size > 1;
  const kinds = (names) => new Set(tables.runs.map((run) => names.map((name) => run[column[name]]).join("|"))).size;
  const first = ["model", "data"].filter(varied);
  if (kinds(["label"]) > kinds(["schedule", "momentum"])) first.push("label");
  const last = ["schedule_options", "epochs", "noise_scale", "seconds", "run"];
  const of = (name) => ({ name: names[name] ?? name.replaceAll("_", " "), get: (i) => tables.runs[i][column[name]] });
  const measured = new Map();
  for (const reading of tables.readings) {
    if (!reading) continue;
    const [run, which, eps, value, flags] = reading;
    const measure = tables.measures[which];
    const converged = reading[5 + measure.evidence.indexOf("converged")];
    const name = measure.name + (eps === null ? "" : `@${eps}`);
    if (!measured.has(name)) {
      measured.set(name, { which, eps, name: measure.short + (eps === null ? "" : ` ${eps}`), values: [], doubts: [] });
    }
    const into = measured.get(name);
    into.values[run] = value;
    if (flags || (measure.evidence.includes("converged") && converged === false)) into.doubts[run] = flags || "not converged";
  }
  const readings = [...measured.values()]
    .sort((a, b) => a.which - b.which || (a.eps ?? 0) - (b.eps ?? 0))
    .map(({ name, values, doubts, which }) => ({
      name, get: (i) => values[i], doubt: (i) => doubts[i], extra: !tables.measures[which].main,
    }));
  return [...[...first, ...fixed].map(of), ...readings, ...last.map((name) => ({ ...of(name), extra: name !== "run" }))];
};

const runTable = (hole) => {
  const columns = cells();
  const many = columns.some(({ extra }) => extra);
  const state = { sort: null, down: false, all: false, limit: 200, words: [] };
  const numeric = columns.map(({ get }) => tables.runs.some((_, i) => typeof get(i) === "number"));
  const texts = tables.runs.map((_, i) =>
    columns.map(({ name, get }) => `${name}=${get(i) ?? ""}`.toLowerCase().replaceAll(" ", "")).concat(tables.runs[i].join("\n").toLowerCase()).join("\n"));
  const search = make("input", {
    type: "search", placeholder: "filter: fixed m=0.9 batch=64 …", "aria-label": "filter runs",
    oninput: () => { state.words = search.value.toLowerCase().split(/\s+/).filter(Boolean); fill(); },
  });
  const count = make("span", { role: "status" });
  const every = make("input", { type: "checkbox", onchange: () => { state.all = every.checked; fill(); } });
  const head = make("thead");
  const body = make("tbody");
  const more = make("button", { type: "button", class: "more", onclick: () => { state.limit = Infinity; fill(); } });

  // A word with = matches a whole cell; any other word matches anywhere.
  const matches = (text) => state.words.every((word) =>
    word.includes("=") ? `\n${text}\n`.includes(`\n${word}\n`) : text.includes(word));
  const order = (get) => (a, b) => {
    const [x, y] = [get(a), get(b)];
    const [left, right] = [x ?? null, y ?? null];
    if (left === null || right === null) return (left === null) - (right === null);
    const less = typeof left === "number" ? left - right : String(left).localeCompare(String(right));
    return state.down ? -less : less;
  };
  const cell = (one, i, at) => {
    const value = one.get(i);
    if (one.name === "status") return make("td", {}, make("span", { class: `status ${value}` }, value));
    if (one.name === "run") return make("td", {}, make("code", {}, value));
    const doubt = one.doubt?.(i);
    const classes = [numeric[at] && "number", doubt && "doubt"].filter(Boolean).join(" ");
    return make("td", { class: classes, title: doubt ?? null }, short(value));
  };
  const fill = () => {
    const shown = columns.map((one, at) => [one, at]).filter(([one]) => state.all || !one.extra);
    const rows = tables.runs.map((_, i) => i).filter((i) => matches(texts[i]));
    if (state.sort !== null) rows.sort(order(columns[state.sort].get));
    renew(head, make("tr", {}, ...shown.map(([one, at]) =>
      make("th", {
        scope: "col", class: numeric[at] ? "number" : "",
        "aria-sort": state.sort === at ? (state.down ? "descending" : "ascending") : null,
      }, make("button", {
        type: "button",
        onclick: () => { state.down = state.sort === at && !state.down; state.sort = at; fill(); },
      }, one.name)))));
    body.replaceChildren(...rows.slice(0, state.limit).map((i) =>
      make("tr", {}, ...shown.map(([one, at]) => cell(one, i, at)))));
    count.textContent = rows.length === tables.runs.length ? `${rows.length} runs` : `${rows.length} of ${tables.runs.length} runs`;
    more.hidden = rows.length <= state.limit;
    more.textContent = `Show all ${rows.length}`;
  };
  hole.append(
    make("div", { class: "tools" }, search, count, many ? make("label", {}, every, " all columns") : null),
    make("div", { class: "runs" }, make("table", {}, head, body)),
    more,
  );
  fill();
  return (run) => {
    search.value = run;
    search.dispatchEvent(new Event("input"));
    hole.scrollIntoView({ block: "center" });
  };
};

// ---- begin

const built = [];
for (const hole of document.querySelectorAll("[data-card]")) {
  built.push(build(cards.find(({ id }) => id === hole.dataset.card), hole));
}
const galleryHole = document.getElementById("gallery");
if (galleryHole) buildGallery(galleryHole);
const tableHole = document.getElementById("run-table");
const showRun = tableHole ? runTable(tableHole) : () => {};

const links = new Map([...document.querySelectorAll("#contents a")].map((a) => [a.hash.slice(1), a]));
const reading = new IntersectionObserver(
  (found) => {
    for (const { target, isIntersecting } of found) {
      if (!isIntersecting) continue;
      for (const link of links.values()) link.classList.remove("here");
      [...document.querySelectorAll(`#contents a[href="#${target.id}"]:not(.brand)`)].forEach((a) => a.classList.add("here"));
    }
  },
  { rootMargin: "-20% 0px -70% 0px" },
);
for (const section of document.querySelectorAll("section[id]")) reading.observe(section);
