"""The page as a person uses it: in Chromium, by mouse, by keyboard, on a phone and on paper."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import synthetic

from sgdscope import report
from sgdscope.findings import Judged
from sgdscope.report import explained
from sgdscope.results.record import Result

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: sgdscope[test]")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path")

DESK, PHONE = (1400, 900), (390, 844)
HOSTILE = "<img src=x onerror=hurt()>"
LONG = "w" * 120  # a path, say, that nothing breaks
Page = Any  # playwright.sync_api.Page, where that is installed
Open = Callable[..., AbstractContextManager[Page]]
Look = Callable[..., Page]

# What the visible plots of a card show, in a word that differs when they do.
SHOWN = """card => JSON.stringify([...card.querySelectorAll(".plot")]
  .filter(box => !box.parentNode.hidden)
  .map(({data, layout: {yaxis}}) => [
    data.map(({x, y, visible}) => [x, y, visible]),
    yaxis.type, yaxis.tickvals, yaxis.autorange]))"""
DRAWN = """card => [...card.querySelectorAll(".plot")]
  .every(box => box.parentNode.hidden
    || (box.querySelector(".main-svg") && box.ariaBusy !== "true"))"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study whose name, description, networks and flags are HTML that would call ``hurt``."""
    lines = [("fixed", 0.0), ("constant-ratio", 0.0)]
    folder = synthetic.study(
        tmp_path_factory.mktemp("study"), lines=lines, extra_measures=7, spectrum=True
    )
    _replace(folder.study_file, "made-up <b>study</b>", HOSTILE)
    _replace(folder.study_file, "Does the", f"</script><script>hurt()</script>{LONG}")
    for file in [*folder.path.glob("runs/*/result.json")]:
        _replace(file, "stdcnn", HOSTILE)
        _replace(file, '"flags": []', f'"flags": ["{HOSTILE}{LONG}"]')
        _replace(file, "A <fast> CPU", LONG)
        result = Result.model_validate_json(file.read_text(encoding="utf-8"))
        file.parent.rename(file.parent.with_name(result.run.id))
    return report.write(Judged.open(folder.path), folder.path).resolve().as_uri()


@pytest.fixture(scope="module")
def several_knobs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study of three batch sizes and three momenta."""
    lines = [("fixed", momentum) for momentum in (0.0, 0.5, 0.9)]
    folder = synthetic.study(tmp_path_factory.mktemp("knobs"), lines=lines, seeds=1, mishaps=False)
    return report.write(Judged.open(folder.path), folder.path).resolve().as_uri()


def _replace(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield made
        made.close()


@pytest.fixture(scope="module")
def opened(browser: Any, url: str) -> Open:
    """Opens the page; on leaving, nothing was requested, logged as an error, or thrown."""

    @contextmanager
    def opening(
        size: tuple[int, int] = DESK, scheme: str = "light", url: str = url
    ) -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        asked: list[str] = []
        wrong: list[str] = []
        context.route(re.compile("^(?!file:|data:)"), lambda route: route.abort())
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(url)
        page.locator("#run-table tbody tr").first.wait_for()
        yield page
        asked = [address for address in asked if not address.startswith("data:")]
        context.close()
        assert asked == [url]
        assert wrong == []

    return opening


@pytest.fixture(scope="module")
def seen(opened: Open) -> Iterator[Look]:
    """A page to look at without using its controls, one for all tests."""
    with ExitStack() as stack:

        @cache
        def looking(size: tuple[int, int], scheme: str) -> Page:
            return stack.enter_context(opened(size, scheme))

        yield looking


def _inside(page: Page, selector: str) -> list[bool]:
    """Whether each element lies wholly on the first screen."""
    page.evaluate("scrollTo(0, 0)")
    found: list[bool] = page.eval_on_selector_all(
        selector,
        "all => all.map(one => one.getBoundingClientRect().bottom <= innerHeight)",
    )
    return found


def test_findings_stand_on_the_first_screen(seen: Look) -> None:
    page = seen(DESK, "light")
    assert _inside(page, "#overview h1, #overview .abstract") == [True, True]
    assert _inside(page, "#overview .caution") == [True]
    assert _inside(page, "#overview .picture") == [True] * 3
    rows = _inside(page, "#overview .findings li")
    assert rows
    assert all(rows[:3])


def test_a_phones_first_screen_has_title_and_caution_and_nothing_is_cut_off(seen: Look) -> None:
    page = seen(PHONE, "dark")
    assert _inside(page, "#overview h1, #overview .abstract, #overview .caution") == [True] * 3
    _unfold(page)
    for card in page.locator("[data-card]").all():
        card.scroll_into_view_if_needed()
    _assert_nothing_is_cut_off(page)


def test_long_names_of_folders_are_not_cut_off_on_a_phone(opened: Open, tmp_path: Path) -> None:
    made = [tmp_path / f"{name}-{'long-' * 14}" for name in ("one", "other")]
    for path, length in zip(made, (20, 40), strict=True):
        lines = [("fixed", momentum) for momentum in (0.0, 0.3, 0.6, 0.9)]
        folder = synthetic.study(path, lines=lines, seeds=1, mishaps=False)
        hypothesis = '[claim.mine]\nsays = "It rises"\nmeasure = "test_accuracy"\n'
        hypothesis += 'rises_with = "batch_size"\nunder = {momentum = 0.0}\n'
        with folder.study_file.open("a", encoding="utf-8") as file:
            file.write(f"\n{hypothesis}")
        for file in folder.path.glob("runs/*/result.json"):
            _replace(file, '"train_size":null', f'"train_size":{length}')
    judged = Judged.open(*made)
    assert len(judged.results.hypotheses) == 1  # both state the same one
    address = report.write(judged, tmp_path).resolve().as_uri()
    with opened(PHONE, url=address) as page:
        _unfold(page)
        for card in page.locator("[data-card]").all():
            card.scroll_into_view_if_needed()
        _assert_nothing_is_cut_off(page)


def _assert_nothing_is_cut_off(page: Page) -> None:
    width, room = page.evaluate(
        "(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])(document.documentElement)"
    )
    assert width <= room == PHONE[0]
    past = """all => all.filter(one => !one.closest(".scroll, .matrix, .runs, .plot"))
      .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
      .map(one => one.outerHTML.slice(0, 120))"""
    assert page.eval_on_selector_all("main *", past) == []


def _unfold(page: Page) -> None:
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")


def test_every_control_of_every_card_changes_what_is_drawn(opened: Open) -> None:
    with opened() as page:
        cards = page.locator("[data-card]").all()
        assert len(cards) > 8
        kinds = set()
        for card in cards:
            now = _shown(card)
            for i, control in enumerate(card.locator(".segments").all()):
                kinds.add("select" if control.locator("select").count() else "buttons")
                for choose in _choices(card, i):
                    choose()
                    before, now = now, _shown(card)
                    assert now != before
        assert kinds == {"select", "buttons"}


def _choices(card: Page, i: int) -> Iterator[Callable[[], Any]]:
    """What chooses each of a control's values but the one it has."""
    control = card.locator(".segments").nth(i)
    if control.locator("select").count():
        menu = control.locator("select")
        for text in menu.locator("option").all_inner_texts():
            if text != menu.input_value():
                yield lambda text=text: menu.select_option(text)
        return
    for button in control.locator("button").all():
        if button.get_attribute("aria-pressed") == "false":
            yield button.click
            pressed = control.locator("button[aria-pressed=true]").all_inner_texts()
            assert pressed == [button.inner_text()]


def _shown(card: Page) -> str:
    card.scroll_into_view_if_needed()
    card.page.wait_for_function(DRAWN, arg=card.element_handle())
    assert card.locator("figure:not([hidden])").count() or card.locator(".note").last.is_visible()
    shown: str = card.evaluate(SHOWN)
    return shown


def test_a_reader_chooses_the_axis_and_what_is_held_fixed_by_keyboard(
    opened: Open, several_knobs: str
) -> None:
    with opened(url=several_knobs) as page:
        card = page.locator("#card-test_accuracy")
        along = card.locator(".segments[aria-label=along]")
        assert along.locator("button").all_inner_texts() == ["batch size", "momentum"]
        _shown(card)
        title = "card => card.querySelector('.plot').layout.xaxis.title.text"
        names = card.locator(".legend button")
        assert card.evaluate(title) == "batch size"
        assert names.count() == 3
        along.locator("button").last.focus()
        page.keyboard.press("Enter")
        assert along.locator("[aria-pressed=true]").all_inner_texts() == ["momentum"]
        assert card.evaluate(title) == "momentum"
        sizes = [f"fixed, batch size {size}" for size in (64, 256, 1024)]
        assert names.all_inner_texts() == sizes
        fixed = card.get_by_label("batch size held fixed")
        fixed.focus()
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.ariaLabel") == "batch size held fixed"
        assert names.count() == 1
        lines = (
            "card => card.querySelector('.plot').data.filter(({meta}) => meta === 'mean').length"
        )
        assert card.evaluate(lines) == 1
        fixed.select_option("any")
        assert names.count() == 3
        along.locator("button").first.click()
        assert card.get_by_label("batch size held fixed").count() == 0
        assert card.get_by_label("momentum held fixed").count() == 1


def test_a_legend_hides_its_line_everywhere_and_shows_one_alone(opened: Open) -> None:
    with opened() as page:
        first, second = page.locator("[data-card]").nth(0), page.locator("[data-card]").nth(1)
        before = _shown(first), _shown(second)
        first.locator(".legend button").first.click()
        pressed = "all => all.map(one => one.getAttribute('aria-pressed'))"
        for card, drawn in zip((first, second), before, strict=True):
            states = card.locator(".legend button").evaluate_all(pressed)
            assert states == ["false", "true"]
            assert _shown(card) != drawn
        first.locator(".legend button").first.click()
        assert (_shown(first), _shown(second)) == before
        first.locator(".legend button").last.dblclick()
        assert first.locator(".legend button").evaluate_all(pressed) == ["false", "true"]


def test_a_verdicts_link_leads_to_its_card_and_why_opens_the_warnings(opened: Open) -> None:
    with opened() as page:
        _unfold(page)
        link = page.locator("#claims .statement a").first
        target = (link.get_attribute("href") or "")[1:]
        link.click()
        page.wait_for_function(
            "id => { const {top} = document.getElementById(id).getBoundingClientRect();"
            " return top >= 0 && top < innerHeight / 2; }",
            arg=target,
        )
        assert page.locator(f"[id='{target}'] h3").count()
    with opened() as page:
        assert not page.locator("#attention details").first.evaluate("one => one.open")
        page.locator(".caution summary").click()
        page.locator(".caution a").last.click()
        page.wait_for_function("document.querySelector('#attention details').open")
    with opened() as page:
        page.locator(".caution summary").click()
        for link in page.locator(".caution li a").all():
            link.click()
            target = (link.get_attribute("href") or "")[1:]
            page.wait_for_function("id => document.getElementById(id).open", arg=target)
            assert page.locator(f"[id='{target}'] > summary").is_visible()


def test_a_flagged_mark_and_its_cell_say_what_the_flag_means(opened: Open, tmp_path: Path) -> None:
    flag = "random noise fools 12.5% more"
    folder = synthetic.study(tmp_path, mishaps=False)
    for file in folder.path.glob("runs/*/result.json"):
        _replace(file, '"flags": []', f'"flags": ["{flag}"]')
    means = "Random changes of size eps fool points that survive the attack."
    assert means in next(one.means for one in explained.FLAGS if one.title == "Noise does better")
    address = report.write(Judged.open(folder.path), folder.path).resolve().as_uri()
    with opened(url=address) as page:
        card = page.locator("#card-test_accuracy")
        _shown(card)
        said = "card => card.querySelector('.plot').data.find(({meta}) => meta === 'runs').text[0]"
        plain = re.sub("<br>|</?i>", " ", card.evaluate(said))
        assert f"⚠ {flag}" in plain
        assert means in plain
        cell = page.locator("#run-table td.doubt").first
        assert cell.get_attribute("title") == f"{flag}\n{means}"


def test_the_table_of_runs_is_filtered_sorted_and_found_from_examples(opened: Open) -> None:
    with opened() as page:
        table = page.locator("#run-table")
        rows = table.locator("tbody tr")
        assert rows.count() == 12
        table.locator("input[type=search]").fill("fixed batch=64")
        assert rows.count() == 2
        assert table.locator("[role=status]").inner_text() == "2 of 12 runs"
        table.locator("input[type=search]").fill("")
        columns = table.locator("thead th").count()
        table.locator("input[type=checkbox]").check()
        assert table.locator("thead th").count() > columns
        head = table.locator("thead th").filter(has_text=re.compile("^batch"))
        at = head.evaluate("one => one.cellIndex")
        for order, first in (("ascending", "64"), ("descending", "1024")):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == order
            assert rows.first.locator("td").nth(at).inner_text() == first
        page.locator("#gallery .specimens button").first.click()
        assert rows.count() == 1


def test_the_keyboard_reaches_every_control_and_keeps_its_place(opened: Open) -> None:
    with opened() as page:
        wanted = "a[href], button, select, input, summary"
        page.evaluate(
            """() => { window.reached = new Set();
              addEventListener("focusin", ({target}) => reached.add(target)); }"""
        )
        left = f"""[...document.querySelectorAll("{wanted}")]
          .filter(one => one.checkVisibility() && !one.closest(".plot") && !reached.has(one))
          .map(one => one.outerHTML.slice(0, 120))"""
        for _ in range(page.locator(wanted).count() + 40):
            page.keyboard.press("Tab")
        assert page.evaluate(left) == []

        fold = page.locator("#claims details").first
        fold.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert fold.evaluate("one => one.open")
        for selector, state in (
            (".legend button", "aria-pressed"),
            ("#run-table thead button", None),
            ("[data-card] .segments button[aria-pressed=false]", "aria-pressed"),
        ):
            button = page.locator(selector).first.element_handle()
            text = button.inner_text()
            button.focus()
            page.keyboard.press("Space")
            assert page.evaluate("document.activeElement.textContent") == text
            if state:
                assert page.evaluate(f"document.activeElement.getAttribute('{state}')") is not None


@pytest.mark.parametrize("look", [(DESK, "light"), (PHONE, "dark")])
def test_axe_finds_nothing_serious(seen: Look, look: tuple[tuple[int, int], str]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    page = seen(*look)
    _unfold(page)
    page.locator(".legend button").first.click()  # one that is hidden
    grave = [
        (found["id"], node["html"][:120])
        for found in axe.Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"][:3]
    ]
    assert grave == []


@pytest.mark.parametrize("look", [(DESK, "light"), (PHONE, "dark")])
def test_text_is_readable_by_day_and_by_night(
    seen: Look, look: tuple[tuple[int, int], str]
) -> None:
    page = seen(*look)
    ink, ground = _ink_and_ground(page)
    assert (ink < ground) == (look[1] == "light")
    assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 7  # WCAG's AAA


def _ink_and_ground(page: Page) -> tuple[float, float]:
    """Relative luminance (WCAG 2.2) of the text's colour and of what is behind it."""
    said = page.evaluate(
        "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    ink, ground = (_luminance([int(n) for n in re.findall(r"\d+", text)[:3]]) for text in said)
    return ink, ground


def _luminance(colour: list[int]) -> float:
    shares = [value / 255 for value in colour]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_paper_is_light_has_every_plot_and_leaves_the_screen_as_it_was(opened: Open) -> None:
    with opened(scheme="dark") as page:
        text = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
        page.locator("[data-card]").first.scroll_into_view_if_needed()
        page.locator(".plot .xtick text").first.wait_for()
        before = page.evaluate(text)
        printed = page.pdf(format="A4")
        assert printed.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 4
        assert page.evaluate(f"({DRAWN})(document)")
        assert page.evaluate(text) == before

        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        numbers = [int(n) for n in re.findall(r"\d+", page.evaluate(text))[:3]]
        assert _luminance(numbers) < 0.2
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(34, 36, 42)"
        widths = page.eval_on_selector_all(
            "figure:not([hidden]) .plot", "all => all.map(one => one.layout.width)"
        )
        assert max(widths) <= 600


def test_hostile_names_are_shown_as_they_are_written(seen: Look) -> None:
    page = seen(DESK, "light")
    assert HOSTILE in page.locator(".byline").inner_text()
    assert page.title() == f"{HOSTILE} · sgdscope"
    assert HOSTILE in page.locator("#batch figcaption").first.inner_text()
    assert "<script>hurt()" in page.locator("#study .question").inner_text()
    assert HOSTILE in page.locator("#attention").text_content()
    assert page.locator("img").count() == 0
