"""The command line as a user types it."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest
import synthetic
from typer.testing import CliRunner

from sgdscope.cli import app
from sgdscope.results.tables import Results
from sgdscope.study import overrides

TINY = ["--set", "batch_size=32", "--set", "seed=0", "--set", "epochs=1", "--set", "train_size=64"]


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


def test_help_needs_no_torch():
    code = (
        "import sys; sys.argv = ['sgdscope', '--help']\n"
        "from sgdscope.cli import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'plotly')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run" in done.stdout


def test_run_then_report_then_run_again(invoke, tmp_path):
    words = ["run", "quick", "--out", "here", *TINY, "--set", "schedule=fixed", "--set"]
    words += ["measure=test_accuracy,train_loss", "--workers", "1"]
    first = invoke(*words)
    assert first.exit_code == 0, first.output
    assert "1/1" in first.output
    page = tmp_path / "here" / "report.html"
    assert page.is_file()
    page.unlink()
    (tmp_path / "here" / "results.csv").unlink()
    assert invoke("report", "here").exit_code == 0
    assert page.is_file()
    assert (tmp_path / "here" / "results.csv").is_file()
    page.write_text("as it was drawn")
    assert "1/1" not in (again := invoke(*words).output)
    assert "page: here/report.html" in again
    assert page.read_text() == "as it was drawn"  # nothing is newer
    next(tmp_path.glob("here/runs/*/result.json")).touch()
    assert invoke(*words).exit_code == 0
    assert "<html" in page.read_text()


def test_a_failed_run_is_exit_code_1(invoke, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from sgdscope.measuring import Measure\n"
        "from sgdscope.registry import MEASURES\n"
        "@MEASURES.add('bad')\n"
        "class Bad(Measure):\n"
        "    '''Raises.'''\n"
        "    def read(self, subject): raise ValueError('no')\n"
    )
    (tmp_path / "mine.toml").write_text(
        'plugins = ["bad.py"]\nmodel = "stdcnn"\ndata = "digits"\nbatch_size = 32\nepochs = 1\n'
        "train_size = 64\nschedule = ['fixed']\nmeasure = ['bad']\n"
    )
    done = invoke("run", "mine.toml", "--out", "here")
    assert done.exit_code == 1
    assert "bad: ValueError: no" in done.output
    written = (tmp_path / "here" / "results.csv").read_text()
    assert "could not be measured: ValueError: no" in written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "quik"], "did you mean 'quick'"),
        (["run", "quick", "--set", "epochs"], "--set epochs: expected KEY=VALUE"),
        (["run", "quick", "--set", "epochs=x"], "epochs = 'x'"),
        (["run", "quick", "--set", "seed=0,0"], "0 is listed twice"),
        (["run", "quick", "--set", "seed=0", "--set", "seed=1"], "--set seed: given twice"),
        (["run", "quick", "--set", "learning_rate=1"], "schedule.fixed.learning_rate"),
        (["run", "quick", "--set", "schedule.fixed.momentm=1"], "did you mean 'momentum'"),
        (["run", "quick", "--set", "measure.pgd_accuracy.eps=8"], "expected at most 1"),
        (["run", "quick", "--set", "measure.pgd_accuracy.eps=0.1,0.1"], "is listed twice"),
        (["run", "nowhere.toml"], "study file nowhere.toml: no such file"),
        (["report", "nowhere"], "nowhere: holds no study"),
        (["run", "quick", "--workers", "0"], "--workers"),
        (["run", "quick", "--device", "tpu"], "--device"),
        (["list", "model"], "models"),
    ],
)
def test_a_wrong_request_is_one_message_and_exit_code_2(invoke, tmp_path, words, message):
    done = invoke(*words)
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_results_of_another_format_are_refused_and_nothing_is_overwritten(invoke, tmp_path):
    folder = synthetic.study(tmp_path / "here")
    Results.load(folder.path).save(folder)
    before = folder.csv.read_bytes()
    first = min(tmp_path.glob("here/runs/*/result.json"))
    first.write_text(first.read_text().replace('"status"', '"state"', 1))
    for command in ("report", "claims"):
        done = invoke(command, "here")
        assert done.exit_code == 2
        assert f"1 results cannot be read ({first.parent.name})" in " ".join(done.output.split())
    assert folder.csv.read_bytes() == before


def test_a_folder_with_nothing_in_it_yet_says_so(invoke, tmp_path):
    synthetic.study(tmp_path / "here", finished=False)
    assert "no run has finished yet" in invoke("report", "here").output
    assert "no claim can be tested" in invoke("claims", "here").output


QUICKEST = (
    "{'batch_size': 64, 'epochs': 1, 'seed': 0, 'schedule': 'fixed', 'measure': 'test_accuracy',"
    " 'train_size': 256}"
)
ANYWHERE = f"""
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
import sgdscope
study = sgdscope.Study.load("quick", overrides={QUICKEST})
with ThreadPoolExecutor(1) as pool:
    print(pool.submit(sgdscope.run, study, out="thread", workers=1).result().runs["status"][0])
with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
    print(pool.submit(sgdscope.run, study, out="process", workers=1).result().runs["status"][0])
with get_context("fork").Pool(1) as pool:
    try: pool.apply(sgdscope.run, (study,), {{"out": "pool", "workers": 1}})
    except sgdscope.RequestError as error: print(error)
"""


@pytest.mark.parametrize("source", [["-"], ["mine.py"]])
def test_a_study_starts_from_pipes_scripts_threads_and_pools(tmp_path, source):
    (tmp_path / "mine.py").write_text(ANYWHERE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *source],
        input=ANYWHERE,
        cwd=tmp_path,
        env={**os.environ, "MKL_DISABLE_FAST_MM": "1"},  # which may hang in a fork of its user
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert (first, second) == ("done", "done")
    assert "a process that cannot start others" in third


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("models", ["stdcnn", "m1", "c1", "resnet18"]),
        ("data", ["digits", "mnist", "fashion_mnist", "cifar10"]),
        ("schedules", ["fixed", "constant-ratio", "step-decay"]),
        ("measures", ["test_accuracy", "fgsm_accuracy", "pgd_accuracy", "top_eigenvalue"]),
        ("attacks", ["fgsm", "pgd", "apgd_targeted"]),
        ("studies", ["quick", "paper/mnist-stdcnn"]),
    ],
)
def test_list_names_what_there_is(invoke, kind, names):
    output = invoke("list", kind).output
    assert all(name in output for name in names)
    assert invoke("list").output.count(output.splitlines()[1]) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("epochs=2", ("epochs", 2)),
        ("batch_size=64,1024", ("batch_size", [64, 1024])),
        ("eps=[0.1]", ("eps", [0.1])),
        ("schedule=fixed,step-decay", ("schedule", ["fixed", "step-decay"])),
        ("momentum=1e-1", ("momentum", 0.1)),
        ("normalise=false", ("normalise", False)),
        ("normalise=False", ("normalise", False)),
        ("momentum=.9,1.", ("momentum", [0.9, 1.0])),
    ],
)
def test_set_reads_values_as_toml_or_bare_words(text, value):
    assert overrides.read([text]) == dict([value])


def test_each_set_of_overrides_has_its_own_folder():
    folders = {
        str(overrides.folder("paper/mnist-stdcnn", chosen, budget=None))
        for chosen in ({}, {"epochs": 2}, {"epochs": 3})
    }
    assert len(folders) == 3
    assert "out/paper-mnist-stdcnn" in folders


def test_the_version_stands_alone(invoke):
    assert invoke("--version").output == f"sgdscope {version('sgdscope')}\n"


def test_a_study_without_anything_to_test_says_so(invoke, tmp_path):
    words = ["run", "quick", "--out", "here", *TINY, "--set", "schedule=fixed", "--set"]
    invoke(*words, "measure=test_accuracy", "--workers", "1")
    said = invoke("claims", "here").output
    assert said.count("no claim can be tested: ") == 1


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii"])
def test_a_terminal_of_another_encoding_gets_replacements(encoding):
    done = subprocess.run(
        [sys.executable, "-m", "sgdscope", "list", "measures"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert b"top_eigenvalue" in done.stdout
    assert b"?" in done.stdout


def test_an_option_that_is_a_list_is_a_cell_of_the_tables(invoke, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'model = "stdcnn"\ndata = "digits"\nbatch_size = 32\nepochs = 1\ntrain_size = 64\n'
        '[schedule.fixed]\n[optimizer.sgd]\n[optimizer."torch.optim.Adam"]\n'
        "betas = [[0.8, 0.9]]\n[measure.test_accuracy]\n"
    )
    done = invoke("run", "mine.toml", "--engine", "inline", "--out", "here")
    assert done.exit_code == 0, done.output
    assert set(Results.load("here").runs["betas"].dropna()) == {"0.8, 0.9"}


def test_a_name_that_spells_an_emoji_is_printed_as_it_is(invoke, tmp_path):
    (tmp_path / "nets.py").write_text("def boom(): raise SystemExit(4)\n")
    said = invoke("run", "quick", "--set", "model=nets.py:boom", "--set", "data=nets.py:boom")
    assert said.exit_code == 2
    assert "data set 'nets.py:boom': SystemExit: 4" in said.output
