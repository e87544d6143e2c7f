"""Networks that exist already are opened safely, measured as studies measure, and kept."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

import sgdscope
from sgdscope import auditing
from sgdscope.auditing.measures import chosen_measures
from sgdscope.auditing.networks import open_network
from sgdscope.auditing.weights import read_weights
from sgdscope.cli import app
from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES, Measure, Reading
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import GivenNetwork
from sgdscope.study.study import Study

BUILD = """
from torch import nn

def build(*, shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, classes))
"""


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))


def trained(digits, *, epochs: int, seed: int = 0) -> nn.Module:
    model = network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs, labels = digits.train.inputs(), digits.train.labels
    for _ in range(epochs):
        for start in range(0, len(labels), 64):
            optimizer.zero_grad()
            part = slice(start, start + 64)
            F.cross_entropy(model(inputs[part]), labels[part]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def home(tmp_path_factory, digits):
    """A folder with a network's code and the weights of two trainings."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "net.py").write_text(BUILD)
    for name, epochs in (("long", 8), ("short", 1)):
        torch.save(trained(digits, epochs=epochs).state_dict(), folder / f"{name}.pt")
    return folder


def source(home, name: str) -> str:
    return f"{home}/net.py:build@{home}/{name}.pt"


def few(*names: str, **options) -> dict[str, Measure]:
    return chosen_measures(names, eps=[0.1], examples=60, options=options)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of one run, with its folder."""
    made = Study.parse(
        {
            "name": "tiny", "model": "stdcnn", "data": "digits", "batch_size": 32, "seed": 3,
            "train_size": 192, "epochs": 2, "schedule": {"fixed": {"learning_rate": 0.05}},
            "measure": {
                "test_accuracy": {}, "pgd_accuracy": {"eps": [0.1], "examples": 40, "steps": 5},
                "top_eigenvalue": {"examples": 50}, "hessian_trace": {"examples": 50},
                "batch_sharpness": {"batches": 2},
            },
        }
    )  # fmt: skip
    out = tmp_path_factory.mktemp("study")
    sgdscope.run(made, out=out, engine="inline")
    return made, StudyFolder(out)


def test_an_audit_of_a_studys_run_gives_the_studys_numbers_to_the_bit(study, tmp_path):
    made, folder = study
    (result,) = folder.results()
    found = auditing.audit(
        str(folder.path / "runs" / result.id), out=tmp_path, measures=made.measures
    )
    (audited,) = found.networks
    assert [m.model_dump() for m in audited.measurements] == [
        m.model_dump() for m in result.measurements
    ]
    assert audited.status == result.status
    robust = [home.arrays(result.id, "pgd_accuracy/") for home in (folder, found.folder)]
    given = [home.arrays(audited.id, "pgd_accuracy/") for home in (found.folder,)]
    assert {k: v.tolist() for k, v in given[0].items()} == {
        k: v.tolist() for k, v in robust[0].items()
    }


def test_weights_that_are_not_what_a_run_ended_with_are_refused(study, tmp_path):
    _, folder = study
    home = Path(shutil.copytree(folder.path, tmp_path / "copy"))
    (file,) = home.glob("runs/*/weights.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RequestError, match="not the weights that the run ended with"):
        auditing.audit(str(file.parent), out=tmp_path / "out", measures=few("test_accuracy"))


def test_the_files_of_a_study_read_and_written_again_keep_their_bytes(study):
    _, folder = study
    (file,) = folder.path.glob("runs/*/result.json")
    assert folder.results()[0].model_dump_json().encode() == file.read_bytes()
    assert list(json.loads(file.read_bytes())) == [
        "run", "status", "error", "history", "measured", "measurements", "seconds",
        "environment", "device", "method", "digests",
    ]  # fmt: skip


def test_running_again_does_only_what_is_missing(home, tmp_path, monkeypatch):
    asked = []
    for name in ("test_accuracy", "train_loss", "pgd_accuracy"):
        read = MEASURES[name].read

        def counted(self, subject, read=read, name=name):
            asked.append(name)
            return read(self, subject)

        monkeypatch.setattr(MEASURES[name], "read", counted)
    given = {"data": "digits", "out": tmp_path}
    auditing.audit(source(home, "long"), measures=few("test_accuracy", "train_loss"), **given)
    auditing.audit(source(home, "long"), measures=few("test_accuracy", "pgd_accuracy"), **given)
    again = few("pgd_accuracy", pgd_accuracy={"steps": 3})
    found = auditing.audit(source(home, "long"), measures=again, **given)
    assert asked == ["test_accuracy", "train_loss", "pgd_accuracy", "pgd_accuracy"]
    assert sorted(found.networks[0].measured) == ["pgd_accuracy", "test_accuracy", "train_loss"]


def test_what_was_measured_before_a_stop_is_kept(home, tmp_path):
    class Stopping(Measure):
        """Never ends well."""

        def read(self, subject) -> list[Reading]:
            raise KeyboardInterrupt

    MEASURES.add("stopping")(Stopping)
    with pytest.raises(KeyboardInterrupt):
        auditing.audit(
            source(home, "long"), data="digits", out=tmp_path,
            measures=few("test_accuracy", "stopping"),
        )  # fmt: skip
    (audited,) = auditing.Audit.load(tmp_path).networks
    assert audited.status == "unfinished"
    assert list(audited.measured) == ["test_accuracy"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_audit_stopped_before_its_first_number_says_so(home, tmp_path, monkeypatch, stop):
    def stopped(subject):
        raise stop

    monkeypatch.setattr("sgdscope.auditing.driver.check_network", stopped)
    words = ["audit", source(home, "long"), "--data", "digits", "--out", str(tmp_path / "out")]
    answer = CliRunner().invoke(app, [*words, "--measure", "test_accuracy"])
    if stop is KeyboardInterrupt:
        assert answer.exit_code == 130
        assert "stopped; what was measured is kept in" in answer.output
    else:
        assert isinstance(answer.exception, stop)
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["networks"] == []
    again = CliRunner().invoke(app, ["report", str(tmp_path / "out")])
    assert again.exit_code == 2
    assert "nothing was measured yet; expected an audit that has been run" in again.output


def test_a_measure_that_fails_spares_the_others_and_is_tried_again(home, tmp_path):
    class Failing(Measure):
        """Fails."""

        def read(self, subject) -> list[Reading]:
            raise ValueError("nothing there")

    MEASURES.add("failing")(Failing)
    measures = few("failing", "test_accuracy")
    found = auditing.audit(source(home, "long"), data="digits", out=tmp_path, measures=measures)
    (audited,) = found.networks
    assert list(audited.measured) == ["test_accuracy"]
    assert "nothing there" in audited.reason
    rows = found.table.set_index("measure")["flags"]
    assert rows["failing"] == "could not be measured: ValueError: nothing there"


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_file_that_would_execute_code_is_refused(tmp_path, capsys):
    for write in (torch.save, lambda obj, file: file.write_bytes(pickle.dumps(obj))):
        write(Harmful(), tmp_path / "bad.pt")
        with pytest.raises(RequestError, match="executing code"):
            read_weights(tmp_path / "bad.pt")
    assert "executed" not in capsys.readouterr().out


def test_a_whole_module_is_refused_with_what_to_save_instead(tmp_path):
    torch.save(network(0), tmp_path / "whole.pt")
    with pytest.raises(RequestError, match=r"torch\.save\(model\.state_dict\(\)"):
        read_weights(tmp_path / "whole.pt")


def test_weights_that_are_anothers_or_wrapped_are_told_apart(home, tmp_path):
    weights = network(1).state_dict()
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}},
               tmp_path / "wrapped.pt")  # fmt: skip
    opened = open_network(f"{home}/net.py:build@{tmp_path}/wrapped.pt", data="digits")
    assert all(torch.equal(opened.model.state_dict()[k], v) for k, v in weights.items())
    torch.save({k: v for k, v in weights.items() if k != "1.bias"}, tmp_path / "part.pt")
    with pytest.raises(RequestError, match=r"lacks '1\.bias'"):
        open_network(f"{home}/net.py:build@{tmp_path}/part.pt", data="digits")
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
               .state_dict(), tmp_path / "small.pt")  # fmt: skip
    with pytest.raises(RequestError, match=r"'1\.weight' has shape \(8, 784\)"):
        open_network(f"{home}/net.py:build@{tmp_path}/small.pt", data="digits")


def opened_from(home, file, weights, function="build"):
    torch.save(weights, file)
    return open_network(f"{home}/net.py:{function}@{file}", data="digits").model.state_dict()


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_what_wrappers_put_before_names_is_taken_off_in_any_order(home, tmp_path, prefix):
    weights = network(1).state_dict()
    wrapped = {f"{prefix}{name}": value for name, value in weights.items()}
    found = opened_from(home, tmp_path / "w.pt", wrapped)
    assert all(torch.equal(found[name], value) for name, value in weights.items())


NORMALISING = """
from collections import OrderedDict
import torch
from torch import nn

class Normalise(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))

    def forward(self, pixels):
        return ((pixels - self.mean) / self.std).flatten(1)

def build(*, shape, classes, rest="{rest}"):
    return nn.Sequential(OrderedDict([("normalise", Normalise()), (rest, nn.Linear(784, classes))]))
"""


@pytest.mark.parametrize("rest", ["last", "network"])  # the second as networks of studies have it
def test_a_network_that_normalises_by_a_layer_of_its_own_is_opened_as_it_is(tmp_path, rest):
    (tmp_path / "net.py").write_text(NORMALISING.format(rest=rest))
    weights = {"normalise.mean": torch.tensor(0.25), "normalise.std": torch.tensor(0.5)}
    weights |= {f"{rest}.weight": torch.randn(10, 784), f"{rest}.bias": torch.randn(10)}
    assert opened_from(tmp_path, tmp_path / "w.pt", weights).keys() == weights.keys()
    opened = open_network(f"{tmp_path}/net.py:build@{tmp_path}/w.pt", data="digits")
    images = opened.data.test[:5].inputs()
    expected = (images - 0.25).flatten(1) / 0.5 @ weights[f"{rest}.weight"].T
    expected += weights[f"{rest}.bias"]
    assert torch.allclose(opened.model(images), expected, rtol=1e-5, atol=1e-4)


def test_an_average_of_weights_is_read_and_never_passed_over_in_silence(home, tmp_path):
    average = torch.optim.swa_utils.AveragedModel(network(1))
    found = opened_from(home, tmp_path / "w.pt", average.state_dict())
    assert torch.equal(found["1.weight"], network(1).state_dict()["1.weight"])
    both = {"state_dict": network(0).state_dict(), "state_dict_ema": average.state_dict()}
    with pytest.raises(
        RequestError, match="two sets of weights, 'state_dict' and 'state_dict_ema'"
    ):
        opened_from(home, tmp_path / "both.pt", both)


def test_a_tied_weight_may_be_kept_under_one_name_and_not_as_two_values(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def tied():\n"
        "    last = nn.Linear(16, 16)\n"
        "    first = nn.Linear(784, 16)\n"
        "    return nn.Sequential(nn.Flatten(), first, last, last, nn.Linear(16, 10))\n"
    )
    torch.manual_seed(5)
    whole = {"1": nn.Linear(784, 16), "2": nn.Linear(16, 16), "4": nn.Linear(16, 10)}
    weights = {f"{n}.{key}": v for n, one in whole.items() for key, v in one.state_dict().items()}
    found = opened_from(tmp_path, tmp_path / "one.pt", weights, "tied")
    assert torch.equal(found["3.weight"], weights["2.weight"])
    weights |= {"3.weight": weights["2.weight"] + 1, "3.bias": weights["2.bias"]}
    with pytest.raises(RequestError, match=r"'2\.weight' and '3\.weight' differ"):
        opened_from(tmp_path, tmp_path / "two.pt", weights, "tied")


def test_weights_of_whole_numbers_are_refused(home, tmp_path):
    weights = {name: (9 * value).to(torch.int8) for name, value in network(1).state_dict().items()}
    with pytest.raises(RequestError, match=r"'1\.weight' holds int8; expected floating-point"):
        opened_from(home, tmp_path / "w.pt", weights)


def test_a_file_is_read_by_what_it_holds(home, tmp_path):
    save_file(network(1).state_dict(), tmp_path / "w.pt")
    found = open_network(f"{home}/net.py:build@{tmp_path}/w.pt", data="digits")
    assert torch.equal(found.model.state_dict()["1.weight"], network(1).state_dict()["1.weight"])
    for content in (b"", b"hello", b"import torch"):
        (tmp_path / "w.pt").write_bytes(content)
        with pytest.raises(RequestError, match=r"w\.pt: not a file of weights"):
            read_weights(tmp_path / "w.pt")
        (tmp_path / "x.pt2").write_bytes(content)
        with pytest.raises(RequestError, match=r"x\.pt2: not an exported program"):
            open_network(f"{tmp_path}/x.pt2", data="digits")


def test_a_network_that_fails_on_many_points_spares_the_others(home, tmp_path):
    (tmp_path / "few.py").write_text(
        f"{BUILD}\nclass Few(nn.Module):\n"
        "    def __init__(self): super().__init__(); self.net = build(shape=None, classes=10)\n"
        "    def forward(self, x):\n"
        "        if len(x) > 20: raise SystemExit('too many')\n"
        "        return self.net(x)\n"
    )
    found = auditing.audit(
        [f"{tmp_path}/few.py:Few", source(home, "long")],
        data="digits", out=tmp_path / "out", measures=few("test_accuracy", "top_eigenvalue"),
    )  # fmt: skip
    failed, whole = found.networks
    assert "fails on 100 inputs" in failed.reason
    assert "Error:" not in failed.measurements[0].flags[0].partition("SystemExit")[0]
    assert set(whole.measured) == {"test_accuracy", "top_eigenvalue"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{home}/long.pt", "weights alone do not make a network"),
        ("{home}/other.py:build@x.pt", "no file"),
        ("{home}/net.py:other@x.pt", "unknown model 'other'"),
        ("{home}/net.py:build@x.pt", "no such file"),
        ("{home}", "not the folder of a study's run"),
        ("{home}/net.py:build@", "nothing after '@'"),
        ("a/b={home}/net.py:build", "expected NAME=NETWORK, where NAME is of letters"),
        ("a=", "expected NAME=NETWORK"),
    ],
)
def test_a_network_that_is_not_there_is_one_clear_message(home, given, said):
    with pytest.raises(RequestError, match=said):
        open_network(given.format(home=home), data="digits")


def test_an_equals_sign_in_a_path_is_no_name(home, tmp_path):
    (tmp_path / "lr=0.1").mkdir()
    (tmp_path / "lr=0.1" / "net.py").write_text(BUILD)
    given = f"{tmp_path}/lr=0.1/net.py:build@{home}/long.pt"
    assert open_network(given, data="digits").network.name == "long"


def test_an_exported_program_answers_as_the_network_does(digits, tmp_path):
    model = trained(digits, epochs=1)
    few = digits.test[:8].inputs().contiguous()
    shapes = ({0: torch.export.Dim("n", min=1)},)
    torch.export.save(torch.export.export(model, (few,), dynamic_shapes=shapes),
                      tmp_path / "net.pt2")  # fmt: skip
    found = auditing.audit(
        f"{tmp_path}/net.pt2", data="digits", out=tmp_path / "out",
        measures=chosen_measures(
            ["test_accuracy", "pgd_accuracy", "top_eigenvalue"], eps=[0.1], examples=60
        ),
    )  # fmt: skip
    (audited,) = found.networks
    assert not audited.findings
    assert audited.error is None
    right = (model(digits.test.inputs()).argmax(1) == digits.test.labels).double().mean()
    assert audited.measurements[0].value == pytest.approx(right.item(), abs=1e-12)


def test_a_networks_id_follows_its_weights_code_and_images_and_not_its_name(home):
    first = open_network(source(home, "long"), data="digits").network
    renamed = open_network(f"it={source(home, 'long')}", data="digits").network
    assert renamed.name == "it"
    assert renamed.id == first.id
    assert open_network(source(home, "short"), data="digits").network.id != first.id
    assert open_network(source(home, "long"), data="digits", split="train").network.id != first.id
    assert isinstance(first, GivenNetwork)


def test_data_of_ones_own_count_by_their_content(home, small, tmp_path):
    ids = []
    for labels in (small.test.labels, 9 - small.test.labels):
        np.savez(
            tmp_path / "mine.npz", train_images=small.train.pixels, train_labels=small.train.labels,
            test_images=small.test.pixels, test_labels=labels,
        )  # fmt: skip
        opened = open_network(source(home, "long"), data=f"npz:{tmp_path}/mine.npz")
        assert torch.equal(opened.data.test.labels.bincount(), labels.bincount())
        ids.append(opened.network.id)
    assert ids[0] != ids[1]


def test_the_command_measures_compares_gates_and_redraws(home, tmp_path):
    base = ["audit", f"long={source(home, 'long')}", f"short={source(home, 'short')}",
            "--data", "digits", "--out", str(tmp_path / "out"), "--eps", "0.05",
            "--measure", "test_accuracy", "--measure", "pgd_accuracy", "--examples", "60",
            "--set", "pgd_accuracy.steps=3"]  # fmt: skip

    def code(*require: str) -> tuple[int, str]:
        options = [part for text in require for part in ("--require", text)]
        answer = CliRunner().invoke(app, [*base, *options])
        return answer.exit_code, answer.output

    assert code()[0] == 0
    assert code("test_accuracy >= 0.3")[0] == 0
    failed, said = code("test_accuracy >= 0.3", "pgd_accuracy@0.05 >= 99%")
    assert failed == 1
    assert "failed: long, pgd_accuracy@0.05 >= 99%" in said
    value = auditing.Audit.load(tmp_path / "out").networks[0].measurements[0].value
    unclear, said = code(f"test_accuracy >= {value:.4f}", "test_accuracy <= 1")
    assert unclear in (1, 3)
    assert "cannot tell: long" in said
    assert code("test_accuracy@0.1 >= 0.3")[0] == 2
    assert code("nothing >= 0.3")[0] == 2
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>Checks</h2>" in page
    assert "2 networks" in page
    (tmp_path / "out" / "report.html").unlink()
    (tmp_path / "out" / "results.csv").unlink()
    assert CliRunner().invoke(app, ["report", str(tmp_path / "out")]).exit_code == 0
    assert (tmp_path / "out" / "report.html").read_text() == page
    told = json.loads(CliRunner().invoke(app, [*base, "--json"]).output)
    assert [one["network"]["name"] for one in told["networks"]] == ["long", "short"]
    assert {one["measure"] for one in told["comparisons"]} == {"test_accuracy", "pgd_accuracy"}


def test_a_network_that_was_trained_again_takes_the_place_of_the_one_before(home, tmp_path):
    given = {"data": "digits", "out": tmp_path, "measures": few("test_accuracy")}
    auditing.audit(f"mine={source(home, 'short')}", **given)
    auditing.audit(f"other={source(home, 'short')}", **given)
    auditing.audit(f"mine={source(home, 'long')}", **given)
    kept = auditing.Audit.load(tmp_path)
    assert [one.network.name for one in kept.networks] == ["other", "mine"]
    assert len(kept.comparisons) == 1


def test_a_folder_of_something_else_is_left_alone(home, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds other files"):
        auditing.audit(source(home, "long"), data="digits", out=tmp_path, measures=few())
    out = tmp_path / "out"
    auditing.audit(source(home, "long"), data="digits", out=out, measures=few("test_accuracy"))
    with pytest.raises(RequestError, match="an audit with split 'test'"):
        auditing.audit(source(home, "long"), data="digits", out=out, split="train")
    with pytest.raises(RequestError, match="holds other files and no study"):
        sgdscope.run(Study.load("quick"), out=out)


def test_the_same_network_twice_is_refused(home, tmp_path):
    twice = [source(home, "long"), f"again={source(home, 'long')}"]
    with pytest.raises(RequestError, match="the same network"):
        auditing.audit(twice, data="digits", out=tmp_path)


def test_networks_of_several_seeds_are_compared_over_seeds_on_terminal_and_page(home, tmp_path):
    names = []
    for name in ("a:0", "a:1", "b:0", "b:1"):
        torch.save(network(len(names)).state_dict(), tmp_path / f"{len(names)}.pt")
        names.append(f"{name}={home}/net.py:build@{tmp_path}/{len(names)}.pt")
    out = tmp_path / "out"
    answer = CliRunner().invoke(
        app, ["audit", *names, "--data", "digits", "--out", str(out), "--measure", "test_accuracy"]
    )
    assert answer.exit_code == 0, answer.output
    assert "over 2 seeds each" in answer.output
    assert "over 2 seeds each" in (out / "report.html").read_text()
    (over_seeds,) = json.loads((out / "audit.json").read_text())["over_seeds"]
    assert (over_seeds["network"], over_seeds["other"]) == ("b", "a")


@pytest.mark.parametrize(
    ("eps", "said"),
    [
        (["-0.1"], "eps = -0.1: expected at least 0"),
        (["nan"], "eps = nan: expected a finite number"),
        (["abc"], "--eps 'abc': expected a number, such as 8/255"),
        ([""], "--eps '': expected a number"),
        (["0.1", "8"], "eps = 8: expected at most 1"),
    ],
)
def test_a_wrong_eps_is_one_sentence(home, tmp_path, eps, said):
    words = ["audit", source(home, "long"), "--data", "digits", "--out", str(tmp_path / "out")]
    words += ["--require", "pgd_accuracy@0.1 >= 0.1", *(w for one in eps for w in ("--eps", one))]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
