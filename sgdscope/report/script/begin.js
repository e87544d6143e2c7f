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

reveal();
