"""The paper's figures by number: all 22, and what a study lacks of them."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from known import ALL_LINES, results

from sgdscope import figures
from sgdscope.figures import canvas, paper

LINES = ALL_LINES
MNIST = [("m1", "mnist"), ("stdcnn", "mnist")]


@pytest.fixture(scope="module")
def mnist():
    """MNIST at the paper's eps, without FGSM."""
    return results(lines=LINES, panels=MNIST, sizes=[64, 256, 1024], eps=(0.1, 0.3), every=5)


def test_there_are_22_figures_arranged_as_in_the_paper():
    assert list(paper.FIGURES) == list(range(1, 23))
    shown = {
        number: {(p.model, p.data, p.measure) for p in plate.panels}
        for number, plate in paper.FIGURES.items()
    }
    assert shown[4] == {("m1", "fashion_mnist", m) for m in ("fgsm_accuracy", "pgd_accuracy")}
    assert shown[10] == {("stdcnn", "fashion_mnist", "top_eigenvalue")}
    assert shown[15] == {(m, "cifar10", "pgd_accuracy") for m in ("c1", "resnet18")}
    assert [paper.label(line) for line in paper.FIGURES[13].lines] == [
        "LR m=0", "LR m=0.2", "LR m=0.5", "LR m=0.9",
    ]  # fmt: skip
    assert [paper.label(line) for line in paper.FIGURES[7].lines] == [
        "LR m=0", "LR/BS m=0", "Benchmark",
    ]  # fmt: skip


def test_the_eps_is_the_papers():
    eps = {p.data: p.eps for plate in paper.FIGURES.values() for p in plate.panels if p.eps}
    assert eps == {"mnist": 0.3, "fashion_mnist": 0.3, "cifar10": 0.02}


def test_what_a_study_has_is_drawn_and_what_it_lacks_is_named(mnist, tmp_path):
    drawn = {one.number: one for one in paper.numbered(mnist)}
    files = figures.draw(mnist, tmp_path, only=["fig*"], kinds=["svg"])
    assert [file.stem for file in files] == ["fig02", "fig03", "fig12", "fig13", "fig18", "fig19"]
    assert drawn[2].missing == []
    assert not drawn[1].there
    assert drawn[1].missing == [
        "M1 on MNIST, FGSM accuracy, eps = 0.3: every line",
        "StdCNN on MNIST, FGSM accuracy, eps = 0.3: every line",
    ]
    assert "Benchmark" in (tmp_path / "fig03.svg").read_text()


def test_two_drawings_are_the_same_bytes(mnist, tmp_path):
    for number in (2, 3):
        drawn = []
        for name in ("a", "b"):
            with canvas.in_style():
                drawn.append(canvas.write(paper.make(mnist, number), tmp_path / name, "figure"))
        for first, second in zip(*drawn, strict=True):
            assert first.read_bytes() == second.read_bytes()


def test_missing_lines_and_batch_sizes_are_named(mnist):
    runs = mnist.runs
    gone = runs[((runs["momentum"] == 0.5) & (runs["model"] == "m1"))
                | ((runs["momentum"] == 0.2) & (runs["batch_size"] == 256))]["run"]  # fmt: skip
    left = replace(
        mnist,
        table=mnist.table[~mnist.table["run"].isin(gone)],
        runs=runs[~runs["run"].isin(gone)],
    )
    assert paper.missing(left, paper.FIGURES[13]) == [
        "M1 on MNIST, λ₁: LR m=0.2 at batch size 256",
        "M1 on MNIST, λ₁: LR m=0.5",
        "StdCNN on MNIST, λ₁: LR m=0.2 at batch size 256",
    ]


def test_colours_are_the_papers(mnist):
    with canvas.in_style():
        figure = paper.make(mnist, 2)
    colours = {text.get_text(): handle.get_color() for text, handle in zip(
        figure.legends[0].get_texts(), figure.legends[0].legend_handles, strict=True)}  # fmt: skip

    def hue(name):
        red, green, blue = mpl.colors.to_rgb(colours[name])
        return {"red": red, "green": green, "blue": blue}

    assert hue("LR m=0")["blue"] > hue("LR m=0")["green"] > hue("LR m=0")["red"]  # light blue
    assert hue("LR/BS m=0")["blue"] > hue("LR/BS m=0")["red"] > hue("LR/BS m=0")["green"]  # purple
    assert hue("Benchmark")["red"] > 2 * hue("Benchmark")["blue"]


def test_a_line_looks_the_same_in_both_panels_whatever_else_is_in_them(mnist):
    """M1 has two of the four momenta; the legend has all, in order."""
    runs = mnist.runs
    gone = runs[(runs["model"] == "m1") & runs["momentum"].isin([0.2, 0.5])]["run"]
    part = replace(
        mnist,
        table=mnist.table[~mnist.table["run"].isin(gone)],
        runs=runs[~runs["run"].isin(gone)],
    )
    with canvas.in_style():
        figure = paper.make(part, 13)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LR m=0", "LR m=0.2", "LR m=0.5", "LR m=0.9"]
    looks = [
        {(line.get_color(), line.get_marker()) for line in ax.lines if len(line.get_xdata()) > 1}
        for ax in figure.axes
    ]
    assert [len(some) for some in looks] == [2, 4]
    assert looks[0] < looks[1]


def test_a_stand_in_is_named_and_a_study_of_something_else_draws_nothing(tmp_path):
    narrow = results(lines=[("fixed", 0.0)], panels=[("resnet18-narrow", "cifar10")], eps=(0.02,))
    assert {one.number for one in paper.numbered(narrow) if one.there} == {7, 8, 15, 16}
    figures.draw(narrow, tmp_path, only=["fig07"], kinds=["svg"])
    assert "here resnet18-narrow" in (tmp_path / "fig07.svg").read_text()
    other = results(lines=[("fixed", 0.0)], panels=[("stdcnn", "digits")])
    assert paper.numbered(other) == []


def test_miniatures_stand_at_the_batch_sizes_that_they_stand_for():
    made = results(lines=LINES[:1], panels=MNIST, sizes=[4, 8, 16], eps=(0.3,))
    factors = made.runs["model"].map({"m1": 64, "stdcnn": 16})
    for rows in (made.runs, made.table, made.history):
        rows["train_size"] = 55_000 // rows["run"].map(factors.set_axis(made.runs["run"]))
    with canvas.in_style():
        m1, stdcnn = paper.make(made, 3).axes
    assert "here sizes divided by 64" in m1.get_title(loc="left")
    assert "here sizes divided by 16" in stdcnn.get_title(loc="left")
    drawn = [
        axes.lines[0].get_xdata()[~np.isnan(axes.lines[0].get_ydata())] for axes in (m1, stdcnn)
    ]
    assert [list(x) for x in drawn] == [[256, 512, 1024], [64, 128, 256]]


def test_lost_runs_keep_their_marks(tmp_path):
    found = results(
        lines=LINES, panels=MNIST, eps=(0.3,), sizes=[64, 256, 1024],
        status=lambda run: {256: "collapsed", 1024: "diverged"}.get(run.batch_size, "done"),
    )  # fmt: skip
    for number in (2, 3):
        with canvas.in_style():
            svg, _ = canvas.write(paper.make(found, number), tmp_path, f"fig{number:02}")
        text = svg.read_text()
        assert "collapsed run" in text
        assert "diverged run" in text
