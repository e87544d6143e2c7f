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
const lineOf = new Map(lines.map((one) => [one.key, one]));
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

// Values in a column have the same digits.
const aligned = (value) => {
  const fits = typeof value === "number" && !Number.isInteger(value) && Math.abs(value) >= 1e-4 && Math.abs(value) < 1000;
  return fits ? value.toPrecision(4) : short(value);
};

// As Python's settings.written: a quotient of 255 if it is a whole number of levels.
const radius = (eps) => {
  const levels = Math.round(255 * eps);
  return Math.abs(255 * eps - levels) < 1e-3 && String(eps).length > 4 ? `${levels}/255` : String(eps);
};

const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).join(",");
const recolouring = Object.entries(dark).map(([light, other]) => [`"${light}"`, `"${other}"`]);

// A fresh copy in the colours of the hour: plotly keeps and changes what it is given.
const themed = (value) => {
  let text = JSON.stringify(value);
  if (isDark()) for (const [light, other] of recolouring) text = text.replaceAll(light, other);
  return JSON.parse(text);
};

// What the kind of a flag means; nothing of a plugin's own.
const meaning = (flag) => tables.explained.find(([parts]) => parts.some((part) => flag.includes(part)))?.[1] ?? "";

// ---- what a run says when pointed at

// In lines of a length that fits beside a mark.
const lined = (text) => {
  const fitting = new RegExp(`(.{1,${narrow.matches ? 44 : 52}})(?: +|$)`, "g");
  return text.replace(fitting, "$1\n").trim().split("\n").map(escaped).join("<br>");
};

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
    const at = eps === null ? "" : ` at eps ${radius(eps)}`;
    parts.push(`${escaped(measure.label)}${at}: <b>${short(value)}</b>`);
    const found = measure.evidence
      .map((name, i) => [name, evidence[i]])
      .filter(([name, value]) => value !== null && (value !== false || name === "converged"))
      .map(([name, value]) => `${name} ${short(value)}`.replaceAll("_", " ").replaceAll(" ", "\u00a0"));
    if (found.length) parts.push(lined(found.join("\u00a0· ")));
    const told = new Set();
    for (const flag of flags ? flags.split(" | ") : []) {
      const means = meaning(flag);
      parts.push(`⚠ ${lined(flag)}`, ...(means && !told.has(means) ? [`<i>${lined(means)}</i>`] : []));
      told.add(means);
    }
  }
  parts.push(
    `lr ${get("learning_rate")} · ${get("steps")} steps · lr·steps ${get("lr_steps")}`,
    `noise scale ${get("noise_scale")} · final training loss ${get("final_train_loss")}`,
    `${get("status")} · run ${get("run")}`,
  );
  return parts.join("<br>");
};

const runOf = (place) => tables.runs[place < 0 ? -1 - place : tables.readings[place][0]][column.run];
