"""How fast a page is in Chromium: first paint, pointing at a run, and each kind of switch.

    python benchmarks/pages.py [report.html …] [--times 5]

Without pages, that of results/paper-small (204 runs) is drawn. A move of the pointer lasts from
the event to the frame that shows it; a switch until its first plots are shown, and until all are.
Needs Chromium on the path, and Playwright (`pip install "sgdscope[test]"`).
"""

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from sgdscope import report
from sgdscope.findings import Judged

KEPT = Path(__file__).parents[1] / "results" / "paper-small"
CONTROLS = ["axis", "eps", "along", "measure", "on", "show"]  # by their label on a card

# Milliseconds from a click to the end of the frame that shows the first plots, and of the last.
CLICK = """([card, label, i]) => new Promise(done => {
  const control = card.querySelector(`.segments[aria-label="${label}"]`)
    ?? card.querySelector(`select[aria-label="${label}"]`);
  const start = performance.now();
  if (control.tagName === "SELECT") {
    control.selectedIndex = i % control.options.length;
    control.dispatchEvent(new Event("change"));
  } else {
    const others = [...control.querySelectorAll("button[aria-pressed=false]")];
    others[i % others.length].click();
  }
  let first = 0;
  const look = () => requestAnimationFrame(() => setTimeout(() => {
    first ||= performance.now() - start;
    if (card.querySelector("[aria-busy=true]")) look();
    else done([first, performance.now() - start]);
  }));
  look();
})"""
# The same from a move of the pointer to the box that says what is there.
POINT = """([card, i]) => new Promise(done => {
  const box = card.querySelector("figure:not([hidden]) .plot");
  const points = [...box.querySelectorAll(".point")];
  const {x, y, width, height} = points[(7 * i) % points.length].getBoundingClientRect();
  const at = {clientX: x + width / 2, clientY: y + height / 2, bubbles: true};
  const start = performance.now();
  const layer = box.querySelector(".nsewdrag");
  layer.dispatchEvent(new MouseEvent("mouseover", at));
  layer.dispatchEvent(new MouseEvent("mousemove", at));
  const look = () => box.querySelector(".hovertext") || performance.now() - start > 2000
    ? setTimeout(() => done([performance.now() - start])) : requestAnimationFrame(look);
  requestAnimationFrame(look);
})"""
LEAVE = "card => Plotly.Fx.unhover(card.querySelector('figure:not([hidden]) .plot'))"
COUNT = "card => card.querySelectorAll('figure:not([hidden])').length"
READY = """card => [...card.querySelectorAll("figure:not([hidden]) .plot")]
  .filter(box => box.getBoundingClientRect().top < innerHeight)
  .every(box => box.querySelector(".main-svg"))"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--times", type=int, default=5, help="each is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pages = options.pages or [report.write(Judged.open(KEPT), Path(scratch))]
        table = Table("page", "MB", "what", "median ms", "worst ms", title="Pages in Chromium")
        for file in pages:
            name = KEPT.name if file.parent == Path(scratch) else f"{file.parent.name}/{file.name}"
            size = f"{file.stat().st_size / 1e6:.1f}"
            for what, found in measured(file.resolve().as_uri(), options.times):
                middle = f"{statistics.median(found):.0f}"
                table.add_row(name, size, what, middle, f"{max(found):.0f}")
                name = size = ""
            table.add_section()
        Console().print(table)


def measured(url: str, times: int) -> Iterator[tuple[str, list[float]]]:
    with sync_playwright() as started:
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))))
        browser = started.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        paints = []
        for _ in range(times):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(url)
            page.wait_for_function(PAINT)
            paints.append(page.evaluate(PAINT))
            page.close()
        yield "first paint", paints
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(url)
        page.locator("#run-table tbody tr").first.wait_for()
        for what, card, script in events(page):
            card.scroll_into_view_if_needed()
            page.evaluate("card => card.scrollIntoView()", card.element_handle())
            page.wait_for_function(READY, arg=card.element_handle())
            page.wait_for_timeout(500)
            handle, found = card.element_handle(), []
            for i in range(times):
                arguments = [handle, what, i + 1] if script is CLICK else [handle, i + 1]
                found.append(page.evaluate(script, arguments))
                page.evaluate(LEAVE, handle)
                page.wait_for_timeout(300)
            title, plots = card.locator("h3").inner_text(), card.evaluate(COUNT)
            first, *every = zip(*found, strict=True)
            yield f"{title}: {what}", list(first)
            if every and plots > 1:
                yield f"… all {plots} plots", list(every[0])
        browser.close()


def events(page: Page) -> Iterator[tuple[str, Locator, str]]:
    """What is done, on which card: the pointer on the first, each control where it is slowest."""
    cards = page.locator("[data-card]").all()
    if cards:
        yield "pointing", cards[0], POINT
    for label in CONTROLS:
        having = [card for card in cards if card.locator(f"[aria-label='{label}']").count()]
        if having:
            yield label, max(having, key=lambda card: card.evaluate(COUNT)), CLICK


if __name__ == "__main__":
    main()
