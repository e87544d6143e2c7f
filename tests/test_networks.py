"""Networks that a study names by file, module or library, from the file to the page."""

import importlib
import shutil

import pytest
import torch
from torch import nn

import sgdscope
from sgdscope import Study, models, references
from sgdscope.errors import RequestError
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study import plugins
from sgdscope.study.plugins import Plugin

NETS = """
import torch
from types import SimpleNamespace
from torch import nn
from blocks import WIDTH

class Tiny(nn.Module):
    def __init__(self, shape, num_classes, depth=1):
        super().__init__()
        channels, height, width = shape
        self.first = nn.Linear(channels * height * width, WIDTH)
        self.last = nn.Linear(WIDTH, num_classes)

    def forward(self, x):
        return self.last(self.first(x.flatten(1)).relu())

class Answer(Tiny):
    def forward(self, x):
        return SimpleNamespace(logits=super().forward(x), hidden=None)

def plain(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
def seven(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 7))
def twice(): return nn.ModuleList()
def wide(width): return nn.Flatten()
def words(): return "a network"
def still(): return nn.Flatten()
class Words(Tiny):
    def forward(self, x): return "an answer"
class Tuned(Tiny):
    def __init__(self, shape, num_classes, turn):
        super().__init__(shape, num_classes)
        self.turn = turn
    def forward(self, x): return self.turn(super().forward(x))
def cut(shape, classes): return Tuned(shape, classes, lambda y: y.detach())
def two(shape, classes): return Tuned(shape, classes, lambda y: y.view(2, 10))
def leaves(shape, classes): raise SystemExit(3)
class Complex(Tiny):
    def __init__(self, shape, num_classes):
        super().__init__(shape, num_classes)
        self.weight = nn.Parameter(torch.randn(WIDTH, num_classes, dtype=torch.complex64))
    def forward(self, x): return (self.first(x.flatten(1)) + 0j @ self.weight).abs()
made = plain()
def again(): return made
def lazy(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(10))
def sized(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))
"""
STUDY = """
model = ["stdcnn", "nets.py:Tiny"]
data = "digits"
batch_size = 64
epochs = 1
train_size = 128
[schedule.fixed]
learning_rate = 0.1
[measure.test_accuracy]
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "blocks.py").write_text("WIDTH = 8\n")
    (tmp_path / "mine.toml").write_text(STUDY)
    return tmp_path


def loaded(home, model):
    return Study.load(home / "mine.toml", overrides={"model": model})


def test_a_network_in_a_file_is_one_more_value_of_an_axis_from_workers_to_the_page(home):
    study = Study.load(home / "mine.toml")
    code = Plugin.read(home / "nets.py").digest
    assert [(run.model, run.code) for run in study.runs] == [
        ("stdcnn", None),
        ("nets.py:Tiny", code),
    ]
    out = home / "out"
    results = sgdscope.run(study, out=out, workers=1)
    assert results.runs["model"].tolist() == ["nets.py:Tiny", "stdcnn"]
    assert results.runs["reason"].isna().all()
    assert View(results).panels == ["Tiny on digits", "stdcnn on digits"]
    moved = out.rename(home / "moved")
    for name in ("nets.py", "blocks.py", "mine.toml"):
        (home / name).unlink()
    plugins._loaded.clear()
    references.forget()
    StudyFolder(moved).load_plugins()
    assert Study.parse(StudyFolder(moved).settings(), kept=True).model == study.model
    assert len(Results.load(moved).runs) == 2
    again = Study.load(moved / "study.toml")
    assert [run.id for run in again.runs] == [run.id for run in study.runs]


def test_the_code_of_a_network_and_of_what_it_imports_is_part_of_a_run(home):
    first = loaded(home, "nets.py:Tiny").runs[0].id
    (home / "blocks.py").write_text("WIDTH = 16\n")
    second = loaded(home, "nets.py:Tiny").runs[0].id
    (home / "blocks.py").write_text("WIDTH = 8  # as it was\n")
    assert first == loaded(home, "nets.py:Tiny").runs[0].id != second


def test_a_file_counts_by_its_code_and_not_by_where_it_lies(home, monkeypatch):
    (home / "elsewhere").mkdir()
    for name in ("nets.py", "blocks.py"):
        shutil.copy(home / name, home / "elsewhere")
    first = loaded(home, "nets.py:Tiny").runs[0].id
    assert loaded(home, "elsewhere/nets.py:Tiny").runs[0].id == first
    monkeypatch.chdir(home / "elsewhere")
    (home / "nets.py").unlink()
    assert loaded(home, "nets.py:Tiny").runs[0].id == first  # the working directory comes second


def test_a_module_beside_the_study_and_one_in_a_package_with_relative_imports(home):
    assert loaded(home, "nets:plain").runs[0].model == "nets.py:plain"
    (home / "lib").mkdir()
    (home / "lib" / "__init__.py").write_text("")
    (home / "lib" / "sizes.py").write_text("from blocks import WIDTH\n")
    (home / "lib" / "deep.py").write_text(NETS.replace("from blocks", "from .sizes"))
    study = loaded(home, "lib.deep:Tiny")
    plugin = Plugin.read(home / "lib" / "deep.py")
    assert {place for place, _ in plugin.files} == {
        "lib/deep.py", "lib/__init__.py", "lib/sizes.py", "blocks.py",
    }  # fmt: skip
    assert study.runs[0].code == plugin.digest
    results = sgdscope.run(study, out=home / "out", engine="inline")
    assert results.runs["reason"].isna().all()


def test_a_class_of_an_installed_package_is_found_by_its_import_path(home):
    study = loaded(home, "torch.nn:Flatten")
    assert study.runs[0].code is None
    with pytest.raises(RequestError, match=r"'torch\.nn:Flatten': has no parameters to train"):
        sgdscope.run(study, out=home / "out", engine="inline")


def test_an_answer_may_hold_the_logits_and_every_common_name_is_known(home):
    loaded(home, "nets.py:Answer")
    models.check("nets.py:Answer", shape=(1, 28, 28), classes=10)
    seen = {}

    def make(num_classes, in_chans, img_size, depth=2, **rest):
        seen.update({k: v for k, v in locals().items() if k != "seen"})
        return nn.Flatten()

    references.bring("here.py", "0", {"make": make})
    models.build("here.py:make", shape=(3, 8, 6), classes=4, seed=0)
    assert seen == {
        "num_classes": 4, "in_chans": 3, "img_size": (8, 6), "depth": 2, "rest": {},
    }  # fmt: skip


WRONG = {
    "nets.py:seven": r"answers two images of 1×28×28 and 10 classes with shape \(2, 7\); expected "
    r"\(2, 10\)",
    "nets.py:Tni": r"nets.py:Tni: unknown model 'Tni'; did you mean 'Tiny'\?",
    "net.py:Tiny": r"model 'net.py:Tiny': no file net.py in .*; there are blocks.py, nets.py",
    "nets.py:wide": "'nets.py:wide': needs 'width', which a study does not provide",
    "nets.py:words": "'nets.py:words': returns str; expected a torch.nn.Module",
    "nets.py:still": "'nets.py:still': has no parameters to train",
    "nets.py:Words": "'nets.py:Words': the network's output is str .*; expected logits of shape",
    "nets.py:made": "'nets.py:made': a Sequential; expected a function or a class",
    "nets.py:again": "'nets.py:again': returns the same weights each time it is called",
    "nets.py:cut": "'nets.py:cut': no gradient of its answer reaches its parameters",
    "nets.py:two": "'nets.py:two': the network fails on 4 inputs",
    "nets.py:leaves": "'nets.py:leaves': cannot be built for .*: SystemExit: 3",
    "nets.py:Complex": "'nets.py:Complex': 'weight' is complex; expected real parameters",
    "nets.py:twice": "'nets.py:twice': has no parameters",
    "no_such.module:f": "'no_such.module:f': no_such.module cannot be imported: ModuleNotFound",
    "resnet8": r"unknown model 'resnet8'; did you mean 'resnet18'\?",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_network_is_one_sentence_before_any_training(home, name):
    with pytest.raises(RequestError, match=WRONG[name]) as caught:
        sgdscope.run(loaded(home, name), out=home / "out", engine="inline")
    assert "\n" not in str(caught.value)
    assert not (home / "out").exists()


def test_lazy_layers_are_those_of_the_same_sizes(home):
    study = loaded(home, ["nets.py:lazy", "nets.py:sized"])
    values = sgdscope.run(study, out=home / "out", engine="inline").table["value"]
    assert len(set(values)) == 1


def test_a_file_of_the_packages_own_name_is_no_part_of_it(home):
    (home / "sgdscope.py").write_text((home / "nets.py").read_text())
    assert loaded(home, "sgdscope.py:Tiny").runs
    assert loaded(home, "sgdscope.py:sized").runs
    assert importlib.import_module("sgdscope") is sgdscope


def test_two_files_of_one_name_are_refused(home):
    (home / "other").mkdir()
    (home / "other" / "nets.py").write_text("from torch.nn import Flatten\n")
    with pytest.raises(RequestError, match="two files with the same name"):
        loaded(home, ["nets.py:Tiny", "other/nets.py:Flatten"])


def test_labels_are_short_where_that_is_not_ambiguous():
    names = ["nets.py:Tiny", "timm:resnet18", "folder:a/woods?resize=32", "m1"]
    assert list(references.labels(names).values()) == ["Tiny", "resnet18", "woods?resize=32", "m1"]
    assert references.labels(["nets.py:m1"], taken=["m1"]) == {"nets.py:m1": "nets.py:m1"}


def test_a_library_that_is_absent_is_said_with_what_to_install(home, monkeypatch):
    for name in ("timm", "transformers"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        with pytest.raises(RequestError, match=rf"'{name}:any': {name} .*pip install {name}"):
            loaded(home, f"{name}:any")


@pytest.mark.parametrize(
    "name",
    ["timm:resnet18", "timm:vit_tiny_patch16_224", "transformers:resnet", "transformers:deit"],
)
def test_networks_of_libraries_fit_the_images_and_follow_from_the_seed(name):
    pytest.importorskip(name.partition(":")[0])
    models.check(name, shape=(1, 32, 32), classes=7)
    first, second = (models.build(name, shape=(1, 32, 32), classes=7, seed=3) for _ in range(2))
    assert all(map(torch.equal, first.parameters(), second.parameters()))


def test_a_folder_of_transformers_counts_by_its_configuration(home):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                    intermediate_size=16, patch_size=7)  # fmt: skip
    config.save_pretrained(home / "vit")
    study = loaded(home, "transformers:vit")
    assert study.runs[0].content
    results = sgdscope.run(study, out=home / "out", workers=1)
    assert results.runs["reason"].isna().all()
    config.hidden_size = 32
    config.save_pretrained(home / "vit")
    assert loaded(home, "transformers:vit").runs[0].id != study.runs[0].id


def test_a_name_near_one_of_a_librarys_is_told(home):
    pytest.importorskip("timm")
    with pytest.raises(RequestError, match="did you mean 'timm:resnet18'"):
        loaded(home, "timm:resnet81")
