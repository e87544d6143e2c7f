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
      measured.set(name, { which, eps, name: measure.short + (eps === null ? "" : ` ${radius(eps)}`), values: [], doubts: [] });
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
    const why = doubt?.split(" | ").flatMap((flag) => [flag, meaning(flag)]).filter(Boolean).join("\n");
    return make("td", { class: classes, title: why ?? null }, one.doubt ? aligned(value) : short(value));
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
