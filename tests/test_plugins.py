"""A user's own code counts in what a run is, travels with its results, and draws from the seed."""

import hashlib
import subprocess
import sys

import pytest
from safetensors import safe_open

import sgdscope
from sgdscope import Study
from sgdscope.errors import RequestError
from sgdscope.results.files import WEIGHTS
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.study.plugins import Plugin

NET = """
import random
from torch import nn
from widths import WIDTH
from sgdscope.parts import MODELS

class Noise(nn.Module):
    def forward(self, x):
        return x + random.random() * 0.1 * x.new_empty(x.shape).normal_() if self.training else x

@MODELS.add("mine")
def mine(*, shape, classes):
    '''A perceptron with random layers that know nothing of sgdscope.'''
    return nn.Sequential(nn.Flatten(), nn.Linear(784, WIDTH), nn.ReLU(), nn.Dropout(0.5), Noise(),
                         nn.Linear(WIDTH, classes))
"""
STUDY = """
plugins = ["net.py"]
model = "mine"
data = "digits"
batch_size = [64, 128]
epochs = 2
train_size = 256
[schedule.fixed]
learning_rate = 0.1
[measure.test_accuracy]
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "widths.py").write_text("WIDTH = 16\n")
    (tmp_path / "mine.toml").write_text(STUDY)
    return tmp_path


def ids(home):
    return [run.id for run in Study.load(home / "mine.toml").runs]


def test_the_code_of_a_plugin_and_of_what_it_imports_is_part_of_a_run(home):
    first = ids(home)
    (home / "net.py").write_text(NET.replace("nn.ReLU()", "nn.Tanh()"))
    second = ids(home)
    (home / "widths.py").write_text("WIDTH = 32\n")
    third = ids(home)
    assert len({*first, *second, *third}) == 6
    (home / "widths.py").write_text("# wider\n\nWIDTH   = 32\n")
    assert ids(home) == third  # comments and layout do not count
    (home / "net.py").write_text(NET)
    (home / "widths.py").write_text("WIDTH = 16\n")
    assert ids(home) == first


def test_runs_of_shipped_parts_have_no_code():
    assert {run.code for run in Study.load("quick").runs} == {None}


def weights(out):
    return {
        file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in out.glob(f"runs/*/{WEIGHTS}")
    }


def test_random_layers_of_the_users_own_give_the_same_bits_in_any_worker(home):
    study = Study.load(home / "mine.toml")
    for out, workers in (("one", 1), ("two", 2)):
        sgdscope.run(study, out=home / out, workers=workers)
    assert len(weights(home / "one")) == 2
    assert weights(home / "one") == weights(home / "two")


def test_changed_code_is_refused_and_the_old_copy_stays(home):
    out = home / "out"
    sgdscope.run(Study.load(home / "mine.toml"), out=out, workers=1)
    (home / "widths.py").write_text("WIDTH = 32\n")
    with pytest.raises(RequestError, match=r"net\.py: the code has changed since the runs in"):
        sgdscope.run(Study.load(home / "mine.toml"), out=out, workers=1)
    assert (out / "plugins" / "widths.py").read_text() == "WIDTH = 16\n"
    assert set(Results.load(out).runs["status"]) == {"done"}


def test_code_that_failed_may_be_mended(home):
    late = NET.replace("random.random() *", "(nothing if len(x) > 8 else 1) *")  # not when tried
    (home / "net.py").write_text(late)
    with pytest.raises(sgdscope.RunsFailedError, match="NameError"):
        sgdscope.run(Study.load(home / "mine.toml"), out=home / "out", engine="inline")
    (home / "net.py").write_text(NET)
    results = sgdscope.run(Study.load(home / "mine.toml"), out=home / "out", engine="inline")
    assert results.runs["status"].tolist() == ["done", "done"]


def test_a_registered_network_that_does_not_fit_is_refused_before_any_training(home):
    (home / "net.py").write_text(NET.replace("WIDTH, classes)", "WIDTH, classes + 1)"))
    with pytest.raises(RequestError, match=r"model 'mine': .* shape \(2, 11\); expected \(2, 10\)"):
        sgdscope.run(Study.load(home / "mine.toml"), out=home / "out", engine="inline")
    assert not (home / "out").exists()


def test_a_folder_is_read_where_its_plugins_modules_are_nowhere_else(home, tmp_path_factory):
    out = home / "out"
    sgdscope.run(Study.load(home / "mine.toml"), out=out, workers=1)
    elsewhere = out.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    for name in ("net.py", "widths.py"):
        (home / name).unlink()
    StudyFolder(elsewhere).load_plugins()
    assert len(Results.load(elsewhere).runs) == 2


def test_a_measure_whose_code_changed_is_taken_anew_and_training_is_kept(home):
    measure = (
        "from sgdscope.parts import MEASURES, Measure, Reading\n"
        "@MEASURES.add('constant')\n"
        "class Constant(Measure):\n"
        "    '''A constant.'''\n"
        "    def read(self, subject): return [Reading('constant', 1.0)]\n"
    )
    (home / "m.py").write_text(measure)
    (home / "mine.toml").write_text(
        STUDY.replace('["net.py"]', '["m.py"]').replace('"mine"', '"stdcnn"')
        + "[measure.constant]\n"
    )
    for value in (1.0, 2.0):
        (home / "m.py").write_text(measure.replace("1.0", str(value)))
        results = sgdscope.run(Study.load(home / "mine.toml"), out=home / "out", workers=1)
        assert set(results.at_end("constant")["value"]) == {value}
    (kept,) = (home / "out" / "plugins").glob("m.py.*.before")
    assert "1.0" in kept.read_text()


def test_an_edited_plugin_replaces_itself_within_a_process(home):
    Plugin.read(home / "net.py").load()
    (home / "net.py").write_text(NET.replace("nn.ReLU()", "nn.Tanh()"))
    new = Plugin.read(home / "net.py")
    new.load()
    assert Study.load(home / "mine.toml").runs[0].code == new.digest


def test_what_a_file_does_as_a_script_does_not_count(home):
    before = Plugin.read(home / "net.py").digest
    (home / "net.py").write_text(NET + "\nif __name__ == '__main__':\n    print(mine)\n")
    assert Plugin.read(home / "net.py").digest == before


def test_a_plugin_knows_its_file_and_finds_modules_in_folders(home):
    (home / "lib").mkdir()
    (home / "lib" / "nets.py").write_text(NET)
    (home / "net.py").write_text(
        "\ufeffimport lib.nets\nfrom pathlib import Path\nassert Path(__file__).is_file()\n"
    )
    plugin = Plugin.read(home / "net.py")
    assert {place for place, _ in plugin.files} == {"net.py", "lib/nets.py", "widths.py"}
    study = Study.load(home / "mine.toml")
    assert study.runs[0].code == plugin.digest
    sgdscope.run(study, out=home / "out", engine="inline")
    assert (home / "out" / "plugins" / "lib" / "nets.py").is_file()


@pytest.mark.parametrize("wrong", ["raise SystemExit(3)", "1 / 0", "def", "import sgdscop"])
def test_a_plugin_that_cannot_be_read_is_named(home, wrong):
    (home / "net.py").write_text(wrong)
    with pytest.raises(RequestError, match=r"plugin net\.py: \w+"):
        Study.load(home / "mine.toml")


def test_a_plugin_changed_since_the_study_was_loaded_is_refused(home):
    study = Study.load(home / "mine.toml")
    (home / "widths.py").write_text("WIDTH = 32\n")
    with pytest.raises(RequestError, match="changed since the study was loaded"):
        sgdscope.run(study, out=home / "out", workers=1)
    assert not (home / "out").exists()


def test_another_studys_plugin_of_the_same_name_takes_nothing_away(home, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "net.py").write_text(NET.replace("nn.ReLU()", "nn.Tanh()"))
    (other / "widths.py").write_text("WIDTH = 8\n")
    (other / "mine.toml").write_text(STUDY)
    first = Study.load(home / "mine.toml")
    Study.load(other / "mine.toml")
    sgdscope.run(first, out=home / "out", engine="inline")
    (kept, _) = (home / "out").glob(f"runs/*/{WEIGHTS}")
    with safe_open(kept, "np") as file:
        assert file.get_slice("network.1.weight").get_shape() == [16, 784]


SCRIPT = """
import sgdscope
{part}
def study():
    return sgdscope.Study.load("quick", overrides={{"model": "mine", "batch_size": 64, "seed": 0,
        "epochs": 1, "train_size": 256, "schedule": "fixed", "measure": "test_accuracy"}})

{guard}
    print(sgdscope.run(study(), out="out", workers=1).runs["status"].tolist())
"""


def carried_out(home, **script):
    (home / "script.py").write_text(SCRIPT.format(**script))
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=home, capture_output=True, text=True)


def test_a_script_that_registers_a_part_is_a_plugin_of_its_study(home):
    guard = 'if __name__ == "__main__":'
    done = carried_out(home, part=NET, guard=guard)
    assert done.stdout == "['done']\n", done.stderr
    (home / "script.py").rename(home / "elsewhere.py")
    assert StudyFolder(home / "out").settings()["plugins"] == ["plugins/script.py"]
    StudyFolder(home / "out").load_plugins()
    assert Results.load(home / "out").runs["status"].tolist() == ["done"]
    changed = carried_out(home, part=NET.replace("ReLU", "Tanh"), guard=guard)
    assert "script.py: the code has changed since" in changed.stderr


def test_a_script_that_starts_its_study_while_it_is_read_is_told(home):
    done = carried_out(home, part=NET, guard="if True:")
    last = done.stderr.splitlines()[-1]
    assert "runs failed" in last
    assert 'put the call under: if __name__ == "__main__"' in last


def test_a_part_that_no_file_holds_is_refused(home):
    (home / "mine.toml").write_text(STUDY.replace('plugins = ["net.py"]', ""))
    exec(NET.replace("from widths import WIDTH", "WIDTH = 4"), {"__name__": "a cell"})
    with pytest.raises(RequestError, match="model 'mine': registered in a notebook or on"):
        Study.load(home / "mine.toml")


LION = """
import torch

class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad.sign()
"""


@pytest.mark.parametrize("named", [True, False])
def test_an_optimizer_of_the_users_own_counts_in_what_a_run_is(home, monkeypatch, named):
    if not named:
        monkeypatch.syspath_prepend(str(home))
    (home / "lion_here.py").write_text(LION)
    text = STUDY.replace('["net.py"]', '["lion_here.py"]' if named else "[]")
    text = text.replace('"mine"', '"stdcnn"')
    (home / "mine.toml").write_text(text + '[optimizer."lion_here.Lion"]\n')
    study = Study.load(home / "mine.toml")
    assert study.plugins == [str(home / "lion_here.py")]
    assert study.runs[0].code == Plugin.read(home / "lion_here.py").digest
    sgdscope.run(study, out=home / "out", engine="inline")
    assert (home / "out" / "plugins" / "lion_here.py").is_file()
    (home / "lion_here.py").write_text(LION.replace("sign()", "tanh()"))
    assert Study.load(home / "mine.toml").runs[0].id != study.runs[0].id
