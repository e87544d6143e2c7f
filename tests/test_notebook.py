"""What a notebook shows: a bar while a study runs, what it asks, what was found, its page."""

import nbformat
import pytest
from nbclient import NotebookClient

from sgdscope import RequestError, Results, Study, run

STUDY = """
import sgdscope
study = sgdscope.Study(
    name="in a notebook <b>", model="stdcnn", data="digits", batch_size=[32, 64, 128], seed=[0, 1],
    epochs=1, schedule={"fixed": {"learning_rate": 0.01}},
    measure={"train_loss": {}, "test_accuracy": {}},
)
study
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell of a notebook that runs a study shows, in a kernel of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = [STUDY, 'results = sgdscope.run(study, out="out", engine="inline")', "results"]
    cells += ["results.report(height=700)"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [
        [output.data["text/html"] for output in cell.outputs if "data" in output]
        for cell in book.cells
    ]


def test_a_study_shows_what_it_asks(outputs):
    (html,) = outputs[0]
    assert "in a notebook &lt;b&gt;" in html
    assert "6 runs" in html
    assert "32, 64, 128" in html
    assert "stdcnn on digits" in html


def test_a_run_shows_how_far_it_is_in_place(outputs):
    (html,) = outputs[1]  # one output, drawn again and again
    assert '<progress value="1.000"' in html
    assert "6/6 runs" in html
    assert "elapsed" in html


def test_results_show_what_was_found_and_the_table(outputs):
    (html,) = outputs[2]
    assert (
        "<li><b>Under fixed, m = 0, at least half of the runs did not train." in html
    )  # one epoch is too few
    assert "<pre" in html
    assert "128" in html


def test_the_page_is_drawn_below_the_cell(outputs):
    (html,) = outputs[3]
    assert html.startswith("<iframe srcdoc=")
    assert "height:700px" in html
    assert "&lt;!doctype html&gt;" in html.lower()


def test_results_without_a_folder_have_no_page():
    with pytest.raises(RequestError, match="results without a folder have no page"):
        Results.collect([]).report()


def test_results_without_a_run_say_so():
    assert "No run has finished yet" in Results.collect([])._repr_html_()


def test_outside_a_notebook_nothing_is_drawn(tmp_path, capsys):
    study = Study(
        name="quiet", model="stdcnn", data="digits", batch_size=64, epochs=1,
        schedule={"fixed": {"learning_rate": 0.05}}, measure={"train_loss": {}},
    )  # fmt: skip
    run(study, out=tmp_path / "out", engine="inline")
    assert capsys.readouterr().out == ""
