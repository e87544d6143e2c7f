"use strict";
const payload = JSON.parse(document.getElementById("payload").textContent);
for (const hole of document.querySelectorAll("[data-card]")) {
  const card = payload.cards.find((one) => one.id === hole.dataset.card);
  const title = document.createElement("h3");
  title.textContent = card.title;
  const panels = document.createElement("div");
  panels.className = "panels";
  hole.append(title, panels);
  const chosen = JSON.stringify(Object.fromEntries(
    Object.entries(card.controls).map(([name, choices]) => [name, choices[0]])));
  for (const plot of card.plots.filter((one) => JSON.stringify(one.choice) === chosen)) {
    const box = document.createElement("div");
    box.className = "plot";
    panels.append(box);
    Plotly.newPlot(box, plot.data, { ...plot.layout, title: { text: plot.panel }, showlegend: false },
      { responsive: true, displaylogo: false });
  }
}
