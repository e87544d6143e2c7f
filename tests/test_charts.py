"""A chart is prepared once: print and page draw the same curves and the same runs."""

from pathlib import Path

import pytest
import synthetic
from matplotlib.axes import Axes

from sgdscope import charts
from sgdscope.charts import Chart
from sgdscope.figures import canvas
from sgdscope.figures.drawing import draw
from sgdscope.report.plots import plot
from sgdscope.results.spectra import spectra
from sgdscope.results.tables import Results
from sgdscope.results.view import View


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    folder = synthetic.study(tmp_path_factory.mktemp("study"), spectrum=True)
    return View(Results.load(folder.path))


def every(view: View) -> dict[str, list[Chart]]:
    ends, panel = view.at_end("test_accuracy"), view.panels[0]
    sharp = view.trajectory("top_eigenvalue")
    return {
        "measure": [*charts.along_axis(view, view.at_end("top_eigenvalue"), "top_eigenvalue")],
        "attack": [
            *charts.along_axis(
                view,
                view.at_end("pgd_accuracy", eps=0.3),
                "pgd_accuracy",
                beside=charts.beside(view, ends),
            )
        ],
        "curvature": [*charts.against_curvature(view, "pgd_accuracy", eps=0.3)],
        "eps": [*charts.against_eps(view, "pgd_accuracy")],
        "lines": [*charts.along_training(view, sharp, "top_eigenvalue", by_line=True)],
        "places": [*charts.along_training(view, sharp, "top_eigenvalue", by_line=False)],
        "progress": [*charts.at_equal_progress(view, panel, "top_eigenvalue", "loss")],
        "density": [*charts.densities(view, spectra(view))],
    }


KINDS = ["measure", "attack", "curvature", "eps", "lines", "places", "progress", "density"]


def drawn(chart: Chart) -> Axes:
    with canvas.in_style():
        _, (ax,) = canvas.sheet([chart.panel], "title", xlabel=chart.x.label)
        draw(ax, chart)
    return ax


def points(xs: list[float], ys: list[float]) -> list[float]:
    """Without gaps: every x, then every y."""
    there = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None and y == y]
    return [value for values in zip(*there, strict=True) for value in values]


@pytest.mark.parametrize("kind", KINDS)
def test_a_curve_has_the_same_points_in_print_and_on_the_page(view: View, kind: str) -> None:
    shown = every(view)[kind]
    assert shown
    for chart in shown:
        printed = [points([*line.get_xdata()], [*line.get_ydata()]) for line in drawn(chart).lines]
        traces = plot(chart, {})["data"]
        on_page = [points(one["x"], one["y"]) for one in traces if "lines" in one["mode"]]
        on_page = on_page[: len(chart.curves)]  # λ₁'s mark in a spectrum is none
        assert len(on_page) == len(chart.curves)
        for curve in on_page:  # of which the page has five digits
            assert any(own == pytest.approx(curve, rel=1e-4) for own in printed)


@pytest.mark.parametrize("kind", KINDS)
def test_axes_and_chance_are_alike_in_print_and_on_the_page(view: View, kind: str) -> None:
    for chart in every(view)[kind]:
        ax, layout = drawn(chart), plot(chart, {})["layout"]
        assert (ax.get_xscale(), ax.get_yscale()) == (
            layout["xaxis"]["type"],
            layout["yaxis"].get("type", "log"),
        )
        assert ax.xaxis_inverted() == (layout["xaxis"].get("autorange") == "reversed")
        levels = [shape["y0"] for shape in layout.get("shapes", [])]
        assert levels == ([chart.chance] if chart.chance is not None else [])
        dotted = [line for line in ax.lines if [*line.get_ydata()] == [chart.chance] * 2]
        assert len(dotted) == len(levels)


def test_a_dot_stands_for_every_run_that_trained(view: View) -> None:
    (chart,) = every(view)["measure"]
    done = view.at_end("top_eigenvalue").query("status == 'done'")
    assert {place for one in chart.dots for place in one.rows["reading"]} == set(done["reading"])
    assert {status for one in chart.lost for status in one.rows["status"]} == {
        "diverged",
        "collapsed",
    }


def test_a_flagged_run_is_ringed_in_print_and_hollow_on_the_page(view: View) -> None:
    (chart,) = every(view)["attack"]
    rings = [line for line in drawn(chart).lines if line.get_markersize() == 6.5]
    symbols = [
        one["marker"]["symbol"] for one in plot(chart, {})["data"] if one["mode"] == "markers"
    ]
    hollow = [symbol for own in symbols if isinstance(own, list) for symbol in own]
    ringed = sum(len(ring.get_xdata()) for ring in rings)
    assert ringed == sum(symbol.endswith("-open") for symbol in hollow) == 1


def test_lines_of_the_same_limit_are_one_in_print(view: View) -> None:
    (chart, *_) = every(view)["places"]
    limits = [curve for curve in chart.curves if curve.role == "limit"]
    dotted = [line for line in drawn(chart).lines if line.get_linestyle() == ":"]
    assert len(limits) == 3
    assert len(dotted) == 1


def test_nothing_measured_has_no_chart(tmp_path: Path) -> None:
    view = View(Results.load(synthetic.study(tmp_path, fail=True).path))
    assert [*charts.along_axis(view, view.at_end("test_accuracy"), "test_accuracy")] == []
