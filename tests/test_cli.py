"""The command line as a user types it."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sgdscope import cli
from sgdscope.cli import app

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
    assert "1/1" not in invoke(*words).output


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
    assert "failed" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "quik"], "did you mean 'quick'"),
        (["run", "quick", "--set", "epochs"], "--set epochs: expected KEY=VALUE"),
        (["run", "quick", "--set", "epochs=x"], "epochs = 'x'"),
        (["run", "quick", "--set", "seed=0,0"], "0 stands there twice"),
        (["run", "nowhere.toml"], "study file nowhere.toml: no such file"),
        (["report", "nowhere"], "nowhere: no study there"),
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
    ],
)
def test_set_reads_values_as_toml_or_bare_words(text, value):
    assert cli._assignment(text) == value


def test_each_set_of_overrides_has_its_own_folder():
    folders = {
        str(cli._default_out("paper/mnist-stdcnn", overrides))
        for overrides in ({}, {"epochs": 2}, {"epochs": 3})
    }
    assert len(folders) == 3
    assert "out/paper-mnist-stdcnn" in folders
