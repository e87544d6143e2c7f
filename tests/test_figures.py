import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import synthetic
from known import made
from matplotlib.figure import Figure

from sgdscope import figures
from sgdscope.errors import RequestError, unknown
from sgdscope.figures import batches, canvas, curves, radii, relation
from sgdscope.results.record import Status
from sgdscope.results.tables import Results
from sgdscope.results.view import View


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results.load(synthetic.study(tmp_path_factory.mktemp("study")).path)


def test_every_figure(results: Results) -> None:
    wanted = ["test_accuracy", "top_eigenvalue", "learning-stdcnn-mnist"]
    wanted += ["top_eigenvalue-by-epoch-stdcnn-mnist"]
    wanted += [f"progress-by-{what}-stdcnn-mnist" for what in ("training_loss", "lr-steps")]
    wanted.append("why-stdcnn-mnist")
    for attack in ("fgsm_accuracy", "pgd_accuracy"):
        wanted.append(f"{attack}-by-eps-stdcnn-mnist")
        wanted += [f"{attack}-eps{eps}" for eps in ("0.05", "0.1", "0.3")]
        wanted += [f"{attack}-eps{eps}-by-top_eigenvalue" for eps in ("0.05", "0.1", "0.3")]
    wanted += [f"fig{number:02}" for number in (1, 2, 3, 11, 12, 13, 17, 18, 19)]
    assert sorted(name for name, _ in figures.drawings(results)) == sorted(wanted)


def test_a_file_of_each_kind(results: Results, tmp_path: Path) -> None:
    some = results.table[results.table["measure"] == "test_accuracy"]
    few = replace(results, table=some, history=results.history.iloc[:0], folder=None)
    files = figures.draw(few, tmp_path, only=["test*"])
    assert [file.name for file in files] == ["test_accuracy.pdf", "test_accuracy.svg"]
    assert [file.read_bytes()[:5] for file in files] == [b"%PDF-", b"<?xml"]
    with pytest.raises(RequestError, match="unknown figure 'test_acuracy'; did you mean"):
        figures.draw(few, tmp_path, only=["test_acuracy"])


def test_a_wrong_name_is_answered_with_some_of_many_valid_ones() -> None:
    message = str(unknown("figure", "fig99", [f"fig{number:02}" for number in range(60)]))
    assert "did you mean 'fig" in message
    assert message.endswith("fig39 and 20 more")


def test_several_processes_draw_the_same_bytes(tmp_path: Path) -> None:
    small = synthetic.study(tmp_path / "study", batch_sizes=[64, 128], lines=[("fixed", 0.0)])
    results, names = Results.load(small.path), ["test_accuracy", "top_eigenvalue", "fig0*"]
    alone = figures.draw(results, tmp_path / "alone", only=names, kinds=["svg"])
    apart = figures.draw(results, tmp_path / "apart", only=names, kinds=["svg"], workers=2)
    assert [file.name for file in apart] == [file.name for file in alone]
    assert len(apart) > 3
    assert [file.read_bytes() for file in apart] == [file.read_bytes() for file in alone]


def test_same_bytes_twice(tmp_path: Path) -> None:
    small = synthetic.study(tmp_path / "study", batch_sizes=[64, 128], lines=[("fixed", 0.0)])
    results = Results.load(small.path)
    written = []
    for time in ("first", "second"):
        with canvas.in_style():
            figure = batches.measure(View(results), "test_accuracy")
            written.append(canvas.write(figure, tmp_path / time, "test_accuracy"))
    for files in zip(*written, strict=True):
        first, second = (file.read_bytes() for file in files)
        assert first == second
        assert not re.search(rb"dc:date|CreationDate", first)


def test_a_slash_in_a_name_makes_no_folder(tmp_path: Path) -> None:
    """As in the names of two networks that are called alike in files of several folders."""
    small = synthetic.study(tmp_path / "study", batch_sizes=[64], lines=[("fixed", 0.0)])
    results = Results.load(small.path)
    names = ["x/net.py:a", "y/net.py:a"]
    renamed = replace(results, runs=results.runs.assign(model=names), folder=None)
    files = figures.draw(renamed, tmp_path / "figures", only=["learning*"], kinds=["svg"])
    assert [file.name for file in files] == [
        "learning-x-net.py:a-mnist.svg", "learning-y-net.py:a-mnist.svg",
    ]  # fmt: skip
    assert {file.parent for file in files} == {tmp_path / "figures"}


def test_figures_no_longer_drawn_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    small = synthetic.study(tmp_path / "study", batch_sizes=[64, 128], lines=[("fixed", 0.0)])
    results = Results.load(small.path)
    own = results.table[results.table["measure"].isin(["test_accuracy", "top_eigenvalue"])]
    own = own[own["epoch"] == own["epoch"].max()]
    folder = tmp_path / "figures"
    few = replace(results, table=own, history=results.history.iloc[:0], folder=None)
    figures.draw(few, folder, only=["test_accuracy", "top_eigenvalue"])
    for kind in ("svg", "pdf"):
        for name in (f"mine.{kind}", f"top.{kind}"):  # renamed, once to how its title begins
            (folder / name).write_bytes((folder / f"top_eigenvalue.{kind}").read_bytes())
        (folder / f"drawn-elsewhere.{kind}").write_bytes(b"something")
    (folder / "notes.txt").write_text("sgdscope: notes")
    before = {file.name for file in folder.iterdir()}
    figures.tidy(folder, names=["test_accuracy"])
    gone = before - {file.name for file in folder.iterdir()}
    assert gone == {"top_eigenvalue.svg", "top_eigenvalue.pdf"}


def test_text_stays_text(results: Results, tmp_path: Path) -> None:
    with canvas.in_style():
        figure = batches.attack(View(results), "pgd_accuracy", eps=0.3)
        canvas.write(figure, tmp_path, "x")
    svg = (tmp_path / "x.svg").read_text(encoding="utf-8")
    for said in (
        "PGD accuracy, eps = 0.3",
        "stdcnn on mnist",
        "1024",
        "fixed, m = 0.9",
        "chance level",
        "test accuracy",
        "diverged run",
        "collapsed run",
        "flagged or unconverged",
        "line: mean over seeds; band: min–max, 1–2 seeds",
    ):
        assert f">{said}</text>" in svg


def test_batch_sizes_are_the_ticks(results: Results) -> None:
    with canvas.in_style():
        (ax,) = batches.measure(View(results), "test_accuracy").axes
    assert ax.get_xscale() == "log"
    assert list(ax.get_xticks()) == [64, 256, 1024]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["64", "256", "1024"]


def test_a_lost_run_leaves_a_gap(results: Results) -> None:
    """Both seeds of the smallest batch gone, the line begins later."""
    runs = results.runs
    gone = runs[
        (runs["schedule"] == "fixed") & (runs["momentum"] == 0) & (runs["batch_size"] == 64)
    ]
    table = results.table.copy()
    table.loc[table["run"].isin(gone["run"]), "status"] = "collapsed"
    runs = runs.assign(status=runs["status"].mask(runs["run"].isin(gone["run"]), "collapsed"))
    with canvas.in_style():
        view = View(replace(results, table=table, runs=runs, folder=None))
        (ax,) = batches.measure(view, "test_accuracy").axes
    line = next(drawn for drawn in ax.lines if drawn.get_color() == view.lines[0].colour)
    assert list(line.get_xdata()) == [64, 256, 1024]
    assert [value == value for value in line.get_ydata()] == [False, True, True]


def test_doubtful_values_are_ringed_whichever_of_the_two_it_is(results: Results) -> None:
    """One run's accuracy under attack is flagged, another's λ₁ did not converge."""
    view = View(results)
    rows = view.paired("pgd_accuracy", eps=0.3)
    done = rows[rows["status"] == "done"]
    assert sorted(done["flags"].map(lambda text: "λ₁" in text)[done["flags"] != ""]) == [
        False,
        True,
    ]
    with canvas.in_style():
        (ax,) = relation.to_curvature(view, "pgd_accuracy", eps=0.3).axes
        by_eps = radii.accuracy(view, "pgd_accuracy", "stdcnn on mnist").axes
    rings = [drawn for drawn in ax.lines if drawn.get_markersize() == 6.5]
    assert sum(len(ring.get_xdata()) for ring in rings) == 2
    ringed = [drawn for axes in by_eps for drawn in axes.lines if drawn.get_markersize() == 6.5]
    flagged = [x for ring in ringed for x in ring.get_xdata()]
    assert flagged
    assert set(flagged) <= {0.05, 0.1, 0.3}


def test_stability_limit_is_drawn(results: Results) -> None:
    with canvas.in_style():
        figure = curves.along(View(results), "top_eigenvalue", "stdcnn on mnist")
    dotted = [line for line in figure.axes[1].lines if line.get_linestyle() == ":"]
    assert [set(line.get_ydata()) for line in dotted] == [{2 * 1.9 / 0.01}]


def test_stretched_axis_and_back() -> None:
    for accuracy in (0.0, 0.1, 0.9, 0.999, 1.0):
        assert canvas._shrink(canvas._stretch(accuracy)) == pytest.approx(accuracy)


def test_a_panel_of_which_every_run_failed_is_left_out(tmp_path: Path) -> None:
    synthetic.study(tmp_path, models=["stdcnn"], mishaps=False)
    synthetic.study(tmp_path, models=["m1"], mishaps=False, fail=True)
    names = {name for name, _ in figures.drawings(Results.load(tmp_path))}
    assert "learning-stdcnn-mnist" in names
    assert "learning-m1-mnist" not in names
    figures.draw(Results.load(tmp_path), tmp_path / "figures", only=["learning*"], kinds=["svg"])


@pytest.mark.parametrize("drawing", [
    lambda view: batches.measure(view, "test_accuracy"),
    lambda view: curves.learning(view, view.panels[0]),
    lambda view: curves.progress(view, view.panels[0], "gradient_time"),
])  # fmt: skip
def test_twenty_lines_leave_every_panel_its_room(drawing: Callable[[View], Figure]) -> None:
    lines = [("fixed", 0.03 * i) for i in range(20)]
    view = View(Results.collect(made(lines=lines, sizes=[64, 128], seeds=1, every=5)))
    with canvas.in_style():
        figure = drawing(view)
        figure.savefig(BytesIO())  # laid out; a warning that there is no room is an error
    (legend,) = figure.legends
    top = legend.get_window_extent().y1
    for ax in figure.axes:
        box = ax.get_window_extent()
        assert box.y0 > top
        assert min(box.width, box.height) > figure.dpi / 2  # half an inch


def without_a_place(*, collapsed: bool) -> Results:
    """Two networks, one of which all runs collapsed, or lack the knob that is drawn along."""
    settings = {"sizes": [64, 128], "seeds": 1, "every": 5, "eps": (0.1, 0.3)}
    status: Status = "collapsed" if collapsed else "done"
    other = ("fixed" if collapsed else "constant-ratio", 0.0)
    found = made(lines=[("fixed", 0.0)], **settings)
    found += made(lines=[other], panels=[("m1", "mnist")], status=lambda run: status, **settings)
    return replace(Results.collect(found), axis="batch_size" if collapsed else "learning_rate")


@pytest.mark.parametrize("collapsed", [True, False])
def test_every_figure_that_is_listed_has_something_to_draw(collapsed: bool) -> None:
    listed = dict(figures.drawings(without_a_place(collapsed=collapsed)))
    for kind in ("learning", "pgd_accuracy-by-eps", "test_accuracy-by-epoch"):
        assert f"{kind}-stdcnn-mnist" in listed
        assert f"{kind}-m1-mnist" not in listed
    with canvas.in_style():
        for make in listed.values():
            assert make().axes


def test_a_line_without_the_knob_has_no_panel() -> None:
    found = made(lines=[("fixed", 0.0), ("constant-ratio", 0.0)], sizes=[64], seeds=1, every=5)
    view = View(replace(Results.collect(found), axis="learning_rate"))
    for figure in (
        curves.learning(view, view.panels[0]),
        curves.along(view, "test_accuracy", view.panels[0]),
        curves.progress(view, view.panels[0], "gradient_time"),
    ):
        titles = {ax.get_title(loc="left") for ax in figure.axes} - {""}
        assert titles == {"fixed, m = 0"}


def test_nothing_measured(tmp_path: Path) -> None:
    assert figures.draw(Results.collect([]), tmp_path) == []
