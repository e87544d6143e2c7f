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
  const restyle = (box) => Plotly.restyle(box, { visible: box.data.map((trace) => !hidden.has(trace.legendgroup)) });
  const boxes = [...drawn.keys()].filter((box) => drawn.get(box).done && !waiting.has(box));
  soon(boxes.map((box) => [box, () => restyle(box)]));
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
  const nothing = make("p", { class: "note" }, "No successful run has this measurement.");
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
  // Beside the knob on the x axis others can be held fixed: of the lines those with that value are left.
  const held = {};
  const isHeld = (group) => {
    const knobs = lineOf.get(group)?.knobs;
    return !knobs || Object.entries(held).every(([knob, value]) => knobs[knob] === value);
  };
  const fixing = make("div", { class: "fixing", role: "group", "aria-label": "held fixed" });
  const offerFixing = () => {
    const groups = new Set(shown.flatMap(({ data }) => data.map(({ legendgroup }) => legendgroup)));
    const values = new Map();
    for (const group of groups) {
      for (const [knob, value] of Object.entries(lineOf.get(group)?.knobs ?? {})) {
        if (!values.has(knob)) values.set(knob, new Set());
        values.get(knob).add(value);
      }
    }
    const several = [...values].filter(([, own]) => own.size > 1);
    renew(fixing, ...several.map(([knob, own]) => {
      const name = knob.replaceAll("_", " ");
      const ordered = [...own].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const list = make("select", {
        "aria-label": `${name} held fixed`,
        onchange: () => {
          if (list.value) held[knob] = list.value; else delete held[knob];
          fill();
        },
      }, make("option", { value: "" }, "any"), ...ordered.map((one) =>
        make("option", { value: one }, one.replace(`${name} `, ""))));
      return make("label", {}, make("span", {}, name), list);
    }));
    fixing.hidden = several.length === 0;
  };

  const fill = () => {
    shown = card.plots.filter(({ choice }) => Object.entries(choice).every(([name, value]) => chosen[name] === value));
    panels.classList.toggle("single", shown.length === 1);
    const stale = shown.map((plot, i) => {
      const again = drawn.get(boxAt(i));
      again.draw = () => {
        boxes[i].previousSibling.textContent = plot.panel;
        draw(boxes[i], plot, axis, isHeld);
      };
      if (!again.done) boxes[i].previousSibling.textContent = plot.panel;
      return [boxes[i], again];
    });
    nothing.hidden = shown.length > 0;
    if (axisControl) press(axisControl, axis in axes ? axis : (shown[0]?.layout.yaxis.type ?? "linear"));
    boxes.forEach((box, i) => { box.parentNode.hidden = i >= shown.length; });
    own.legend();
    soon(stale.filter(([, { done }]) => done).map(([box, again]) => [box, again.draw]));
  };
  const own = {
    legend: () => {
      const found = entries(shown).filter(([group]) => isHeld(group));
      const groups = found.map(([group]) => group);
      renew(legend, ...found.map(([group, { name, colour, mark }]) =>
        make("button", {
          type: "button",
          "aria-pressed": String(!hidden.has(group)),
          title: "click: show or hide; double-click: show only this one",
          onclick: (event) => toggle(group, groups, event.detail === 2),
        }, key(colour, mark), name)));
    },
  };
  const controls = Object.entries(card.controls)
    .filter(([, { choices }]) => choices.length > 1)
    .map(([name, { choices }]) => segments(name, choices, chosen[name], (one) => {
      chosen[name] = one;
      if (name === "along") for (const knob of Object.keys(held)) delete held[knob];
      fill();
      if (name === "along") offerFixing();
    }));
  const isFree = (card.controls.along?.choices.length ?? 0) > 1;
  const axisControl = card.axis in axisChoices
    && segments("axis", axisChoices[card.axis], axis, (one) => { axis = one; fill(); });
  if (axisControl) controls.push(axisControl);
  hole.append(...[
    make("header", {}, make("h3", {}, card.title), ...controls),
    isFree ? fixing : null,
    card.note ? make("p", { class: "note" }, card.note) : null,
    legend, nothing, panels,
  ].filter(Boolean));
  fill();
  if (isFree) offerFixing();
  return own;
};
