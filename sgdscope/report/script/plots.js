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

const draw = (box, plot, axis, isHeld) => {
  const figure = themed({ data: plot.data.filter(({ legendgroup }) => isHeld(legendgroup)), layout: plot.layout });
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

// Work on boxes that are drawn already, those in view first. A frame shows what is done after some
// milliseconds; the others follow in the next frames.
const SHARE = 15;
const waiting = new Map();

const soon = (work) => {
  const idle = waiting.size === 0;
  for (const [box, one] of work) {
    waiting.set(box, one);
    box.setAttribute("aria-busy", "true");
  }
  if (idle) goOn();
};

const finish = (box) => {
  waiting.get(box)?.();
  waiting.delete(box);
  box.removeAttribute("aria-busy");
};

const isInView = (box) => {
  const { top, bottom } = box.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
};

const goOn = () => {
  const start = performance.now();
  const inView = [...waiting.keys()].filter(isInView);
  for (const box of new Set([...inView, ...waiting.keys()])) {
    finish(box);
    if (performance.now() - start > SHARE) break;
  }
  if (waiting.size) requestAnimationFrame(() => setTimeout(goOn));
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
  for (const box of waiting.keys()) finish(box);
  for (const [box, again] of drawn) if (again.done && !box.parentNode.hidden) again.draw();
  for (const card of built) card.legend();
};
night.addEventListener("change", redraw);

// On paper every plot is drawn, in light colours, and what is short lies open.
const folds = "#trends details, #attention > details, .caution";
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

// A link to what is folded, or lies in it, opens it.
const reveal = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target?.closest("#attention")) return;
  let fold = target.matches("details") ? target : target.querySelector("details");
  for (; fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", reveal);
