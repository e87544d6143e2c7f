import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic

from sgdscope import figures
from sgdscope.figures import canvas, density
from sgdscope.report.cards import cards
from sgdscope.results.spectra import DECADES, described, spectra
from sgdscope.results.tables import Results
from sgdscope.results.view import View


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    path = tmp_path_factory.mktemp("study")
    return Results.load(synthetic.study(path, spectrum=True, mishaps=False).path)


@pytest.fixture(scope="module")
def view(results: Results) -> View:
    return View(results)


def test_each_line_at_its_smallest_and_largest_batch_size(view: View) -> None:
    shown = [(one.line, one.place, one.seed) for one in spectra(view)]
    assert shown == [
        (line.key, f"batch size {size}", 0) for line in view.lines for size in (64, 1024)
    ]


def test_the_band_is_a_standard_error_wide(view: View) -> None:
    for one in spectra(view):
        assert np.allclose(one.high - one.density, one.density / 5)
        assert np.allclose(one.density - one.low, one.density / 5)


def test_top_eigenvalue_is_the_runs(view: View, results: Results) -> None:
    tops = results.at_end("top_eigenvalue").set_index("run")["value"]
    for one in spectra(view):
        assert one.top == tops[one.run]
        assert one.mark == "λ₁"  # of how many images, the study does not say
    assert "one run each on 200 images" in described(spectra(view))


def test_nothing_without_arrays(results: Results, tmp_path: Path) -> None:
    without = View(replace(results, folder=None))
    assert spectra(without) == []
    assert "spectrum" not in {card.id for card in cards(without)}
    names = [name for name, _ in figures.drawings(results)]
    assert "spectral_density-by-eigenvalue-stdcnn-mnist" in names


def test_figure(view: View) -> None:
    with canvas.in_style():
        figure = density.spectrum(view, "stdcnn on mnist", spectra(view))
    assert len(figure.axes) == 8
    assert figure.axes[1].get_title(loc="left") == "fixed, m = 0, batch size 1024"
    for ax, one in zip(figure.axes, spectra(view), strict=True):
        assert ax.get_yscale() == "log"
        curve, top = ax.lines
        assert np.array_equal(curve.get_xdata(), one.grid)
        assert list(top.get_xdata()) == [one.top, one.top]


def test_card_has_both_runs_of_a_line_on_the_same_axes(view: View) -> None:
    (card,) = (card for card in cards(view) if card.id == "spectrum")
    assert card.controls["show"].choices == [line.label for line in view.lines]
    for line in view.lines:
        small, large = (plot for plot in card.plots if plot["choice"] == {"show": line.label})
        assert small["panel"] == "stdcnn on mnist, batch size 64, seed 0"
        for axis in ("xaxis", "yaxis"):
            assert small["layout"][axis]["range"] == large["layout"][axis]["range"]
        low, high = small["layout"]["yaxis"]["range"]
        for plot in (small, large):
            curve, _ = plot["data"]
            seen = [math.log10(y) for y in curve["y"] if y is not None]
            assert low <= min(seen) <= max(seen) <= high
            assert max(seen) - min(seen) <= DECADES + 1e-3
        assert None in large["data"][0]["y"]  # a gap between the bulk and the outlier


def test_a_figure_outlives_the_arrays_that_it_was_drawn_from(tmp_path):
    folder = synthetic.study(tmp_path, batch_sizes=[64], seeds=1, spectrum=True, mishaps=False)
    results, home = Results.load(tmp_path), folder.figures
    drawn = dict(figures.drawings(results))
    name = "spectral_density-by-eigenvalue-stdcnn-mnist"
    with canvas.in_style():
        files = canvas.write(drawn[name](), home, name)
    before = [file.read_bytes() for file in files]
    for file in tmp_path.glob("runs/*/arrays.safetensors"):
        file.unlink()
    figures.tidy(home, names=[name for name, _ in figures.drawings(Results.load(tmp_path))])
    assert [file.read_bytes() for file in files] == before
