// ---- adversarial examples

const share = (value) => `${(100 * value).toFixed(value > 0.99 && value < 0.99995 ? 2 : 0)}%`;
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
  const silent = one.answer < 0;
  return make("figure", { class: "example", title: `test image ${one.place}` },
    painted(shape, `test image ${one.place}, a ${one.label}`, channels((i) => original[i])),
    painted(shape, "perturbation", shape[0] === 1 ? signed : shifted),
    painted(shape, silent ? "no answer" : `taken for a ${one.answer}`, result),
    make("figcaption", {},
      make("span", {}, make("b", {}, String(one.label)), ` ${share(one.confidence)}`),
      make("span", {}, "→"),
      make("span", { class: "wrong" }, ...silent
        ? ["no answer"] : [make("b", {}, String(one.answer)), ` ${share(one.answer_confidence)}`])));
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
