"""A user's own code counts in what a run is, travels with its results, and draws from the seed."""

import hashlib

import pytest

import sgdscope
from sgdscope import Study
from sgdscope.errors import RequestError
from sgdscope.results.folder import WEIGHTS, StudyFolder
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
