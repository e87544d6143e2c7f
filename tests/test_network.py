"""A network is a fixed function of one input: what breaks that is found, and nothing is changed."""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from sgdscope import attacks
from sgdscope.curvature import (
    GaussNewton,
    Hessian,
    InputHessian,
    input_gradient_norm,
    sam_sharpness,
    spectral_density,
    top_eigenvalues,
    trace,
)
from sgdscope.data import Dataset, Images
from sgdscope.data.inference import accuracy
from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES, Reading, Subject
from sgdscope.network import Network, answers, leaves, logits_of, preflight, rebuilt


def plain(classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, classes)
    return nn.Sequential(*layers).eval()


def images(count: int = 24) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Odd(nn.Module):
    """A network with something added."""

    def __init__(self, what: Callable[[Odd, Tensor], Any]) -> None:
        super().__init__()
        self.network, self.what = plain(), what
        self.register_buffer("kept", torch.zeros(5))
        self.calls = 0

    def forward(self, x: Tensor) -> Any:
        return self.what(self, x)


def counting(odd: Odd, x: Tensor) -> Tensor:
    odd.kept += 1
    return odd.network(x)


def replacing(odd: Odd, x: Tensor) -> Tensor:
    odd.kept = torch.ones(len(x))
    return odd.network(x)


def remembering(odd: Odd, x: Tensor) -> Tensor:
    scores: Tensor = odd.network(x) + odd.calls
    odd.calls += int(len(x) == 1)
    return scores


def switching(odd: Odd, x: Tensor) -> Tensor:
    odd.train()
    return odd.network(x)


def seeding(odd: Odd, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    return odd.network(x + 0.1 * torch.randn_like(x))


def seldom(odd: Odd, x: Tensor) -> Tensor:
    return odd.network(x) if random.random() < 0.9999 else -odd.network(x)


def by_batch(odd: Odd, x: Tensor) -> Tensor:
    scores: Tensor = odd.network(x)
    return (scores - scores.mean(0)) / scores.std(0, correction=0).clamp(min=1e-3)


def partly_nan(odd: Odd, x: Tensor) -> Tensor:
    return torch.where(x[:, :1, 0, 0] < 0.3, torch.nan, odd.network(x))


def graph_dependent(odd: Odd, x: Tensor) -> Tensor:
    return odd.network(x) * (2 if torch.is_grad_enabled() else 1)


FOUND: dict[str, tuple[Callable[[Odd, Tensor], Any], str, str]] = {
    "dropout": (lambda o, x: o.network(F.dropout(x)), "random", "two passes"),
    "numpy": (lambda o, x: o.network(x) + np.random.rand(), "random", "two passes"),
    "seldom": (seldom, "random", "draws random numbers"),
    "seeding": (seeding, "batch", "the rest of its batch"),
    "statistics": (by_batch, "batch", "the rest of its batch"),
    "sorting": (lambda o, x: o.network(x).sort(0).values, "batch", "the others' order"),
    "number": (lambda o, x: o.network(x) * len(x), "batch", "how many there are"),
    "squeeze": (lambda o, x: o.network(x).squeeze(), "batch size", r"1 points is \(5,\)"),
    "memory": (remembering, "memory", "earlier inputs"),
    "buffer": (counting, "buffers", "changes its own 'kept'"),
    "new buffer": (replacing, "buffers", "changes its own 'kept'"),
    "mode": (switching, "mode", "switches training mode"),
    "softmax": (lambda o, x: o.network(x).softmax(1), "probabilities", "are probabilities"),
    "sigmoid": (lambda o, x: o.network(x).sigmoid(), "probabilities", "a sigmoid's"),
    "constant": (lambda o, x: x.sum() * 0 + torch.ones(len(x), 5) * 3, "constant", "bit-identical"),
    "nan": (partly_nan, "finite", "not finite at"),
    "detached": (lambda o, x: o.network(x.detach()), "gradient", "no gradient reaches"),
    "rounded": (lambda o, x: o.network((x * 8).round() / 8), "gradient", "zero throughout"),
    "steep": (lambda o, x: o.network(x + (x - x.detach()).sqrt()), "gradient", "not finite at"),
    "two functions": (graph_dependent, "gradient", "when gradients are enabled"),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_breaks_the_contract_is_found_and_nothing_stays_changed(what):
    function, name, message = FOUND[what]
    network = Odd(function).eval()
    before = copy.deepcopy(network.state_dict())
    buffer = network.kept
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    looked = preflight(network, images(), torch.zeros(24, dtype=torch.long))
    assert name in looked.names()
    assert any(re.search(message, flag) for flag in looked.flags)
    assert network.kept is buffer
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert random.getstate() == streams[1]
    assert np.array_equal(np.random.get_state()[1], streams[2])


@pytest.mark.parametrize("what", ["", "dropout", "statistics", "number", "memory", "two functions"])
@pytest.mark.parametrize("out_of_reach", [-1e4, -1e9, -torch.inf])
def test_classes_that_are_masked_out_hide_nothing(what, out_of_reach):
    function, name, _ = FOUND.get(what, (lambda o, x: o.network(x), "", ""))

    def masked(odd: Odd, x: Tensor) -> Tensor:
        scores: Tensor = function(odd, x)
        return torch.cat([scores, scores.new_full((len(x), 3), out_of_reach)], 1)

    looked = preflight(Odd(masked).eval(), images())
    assert {name} - {""} <= looked.names()
    assert what or not looked.findings


def test_generators_of_its_own_are_put_back_too():
    network = Odd(
        lambda o, x: (
            o.network(x)
            + torch.rand((), generator=o.torchs)
            + o.numpys.random()
            + o.pythons.random()
            + o.older.rand()
        )
    ).eval()
    network.torchs, network.numpys = torch.Generator(), np.random.default_rng(1)
    network.pythons, network.older = random.Random(1), np.random.RandomState(1)
    torch.manual_seed(1)
    expected = copy.deepcopy(network)(images())
    looked = preflight(network, images())
    assert looked.names() == {"random"}
    assert torch.equal(network(images()), expected)


@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.InstanceNorm2d(1), nn.BatchNorm2d(1)])
def test_an_ordinary_network_is_found_in_order_in_few_passes(layer):
    network = nn.Sequential(layer, plain()).eval()
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    looked = preflight(network, images())
    assert looked.findings == ()
    assert looked.classes == 5
    assert sum(seen) <= 70


def test_log_probabilities_are_noted_but_change_no_number():
    network = nn.Sequential(plain(), nn.LogSoftmax(1)).eval()
    inputs, labels = images(), answers(plain()(images()))
    looked = preflight(network, inputs, labels)
    assert looked.names() == {"log-probabilities"}
    assert looked.flags == ()
    ours, theirs = (attacks.pgd(n, inputs, labels, eps=0.05)[0] for n in (network, plain()))
    assert torch.equal(ours.fooled, theirs.fooled)
    ours, theirs = (top_eigenvalues(Hessian(n, inputs, labels)) for n in (network, plain()))
    assert torch.allclose(ours.values, theirs.values, rtol=1e-5)


def of_memory(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    raise ValueError("query and memory differ\nin their shape")


def scripted() -> nn.Module:
    return torch.jit.trace(plain(), images(2))


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (plain().train(), images(), r"training mode \(the whole: Sequential\)"),
        (nn.Sequential(nn.Dropout().train(), plain()), images(), "training mode"),
        (lambda x: x, images(), "the network is function; expected an nn.Module"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)).eval(), images(), "no shape yet"),
        (plain().double(), images(), "expected torch.float64, like the network's parameters"),
        (plain(), images().transpose(1, 2), "the network fails on 10 inputs of shape"),
        (plain(), images().to("meta"), "inputs are on meta, the network on cpu"),
        (plain(), images() * 255, "pixels of 0 … 255 are divided by 255"),
        (plain(), images() * 1.0005, r"lie in \[.*, 1\.000\d+\]; expected \[0, 1\]"),
        (plain(), images().numpy(), "inputs are ndarray"),
        (Odd(lambda o, x: o.network(x).argmax(1)).eval(), images(), r"is \(10,\)"),
        (Odd(lambda o, x: F.one_hot(x[:, 0, 0, 0].long(), 3)).eval(), images(), "torch.int64"),
        (Odd(lambda o, x: o.network(x) * torch.nan).eval(), images(), "not finite"),
        (Odd(lambda o, x: dict(a=x, b=x)).eval(), images(), r"dict \(a, b\)"),
        (Odd(lambda o, x: o.network(x.view(24, 1, 8, 8))).eval(), images(), "fails on 10 inputs"),
        (
            Odd(of_memory).eval(),
            images(),
            "fails on 10 inputs.*ValueError: query and memory differ",
        ),
    ],
)
def test_what_no_number_can_be_read_off_is_refused_in_one_sentence(network, inputs, message):
    with pytest.raises(RequestError, match=message) as raised:
        attacks.square(network, inputs, torch.zeros(len(inputs), dtype=torch.long), eps=0.1)
    assert "\n" not in str(raised.value)


def test_a_network_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        network = plain()
    with pytest.raises(RequestError, match="made under torch"):
        attacks.fgsm(network, images(), torch.zeros(24, dtype=torch.long), eps=0.1)
    attacks.fgsm(copy.deepcopy(network), images(), torch.zeros(24, dtype=torch.long), eps=0.1)


def test_every_measure_flags_a_randomised_network(small: Dataset):
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.head = nn.Linear(784, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.dropout(x.flatten(1)))

    options: dict[str, dict[str, Any]] = {
        name: {"examples": 20} for name in MEASURES if "examples" in MEASURES[name].model_fields
    }
    options |= {name: {**options[name], "eps": [0.1]} for name in MEASURES
                if "eps" in MEASURES[name].model_fields}  # fmt: skip
    options |= {"batch_sharpness": {"batch_size": 10, "batches": 2},
                "hessian_trace": {"examples": 20, "max_products": 28},
                "strong_accuracy": {"examples": 9, "eps": [0.1], "steps": 2}}  # fmt: skip
    subject = Subject(Noisy().eval(), small, seed=0)
    for name in MEASURES:
        for reading in MEASURES[name](**options.get(name, {})).read(subject):
            assert any("two passes" in flag for flag in reading.flags), name
            assert len(set(reading.flags)) == len(reading.flags)


@pytest.mark.parametrize("name", ["pgd_accuracy", "median_eps", "sam_sharpness", "batch_sharpness"])
def test_the_first_of_images_sorted_by_class_are_flagged(digits: Dataset, name: str):
    """The first 100 digits are noughts, of which a curvature is not that of any 100 digits."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    options = {"pgd_accuracy": {"eps": [0.1], "steps": 1}, "batch_sharpness": {"batch_size": 10}}

    def flags(data: Dataset, examples: int | None) -> list[str]:
        measure = MEASURES[name](examples=examples, **options.get(name, {}))
        return measure.doubts(Subject(network, data, seed=0))

    def arranged(change: Callable[[Images], Images]) -> Dataset:
        return replace(digits, train=change(digits.train), test=change(digits.test))

    by_class = arranged(lambda images: images[images.labels.argsort()])
    found = [len(flags(by_class, examples)) for examples in (1, 20, 100, None)]
    assert found == [0, 1, 1, name == "batch_sharpness"]  # which then takes 20 batches
    rare = arranged(lambda i: Images(i.pixels, (torch.arange(len(i)) > len(i) - 4).long()))
    for data in (digits, rare):  # a rare class may stand last by chance
        assert not any(flags(data, examples) for examples in (1, 20, 100, None))
    measure = MEASURES[name](examples=20, **options.get(name, {}))
    (reading,) = measure.read(Subject(network, by_class, seed=0))
    assert reading.flags[0].startswith("the first 20 of")


@pytest.mark.parametrize("nothing", [torch.nan, torch.inf, -torch.inf])
def test_measures_of_fit_count_no_answer_that_is_not_there(small: Dataset, nothing: float):
    """Every third image but the first ten, which are looked at, is bright in a corner."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    marked = {"train": copy.deepcopy(small.train), "test": copy.deepcopy(small.test)}
    for images in marked.values():
        images.pixels[:, 0, 0, 0] = 0
        images.pixels[10::3, 0, 0, 0] = 255
    whole = replace(small, **marked, validation=marked["test"])
    answered = torch.ones(len(whole.test), dtype=torch.bool)
    answered[10::3] = False

    class Silent(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x[:, 0, 0, :1] > 0.5, nothing, network(x))

    def read(model: nn.Module, data: Dataset, name: str) -> Reading:
        (reading,) = MEASURES[name]().read(Subject(model.eval(), data, seed=0))
        return reading

    part = replace(whole, test=whole.test[answered.nonzero().squeeze(1)])
    missing = f"not finite at {int((~answered).sum())} of {len(answered)} points"
    for name in ("test_accuracy", "calibration_error", "validation_accuracy", "median_eps"):
        assert any(missing in flag for flag in read(Silent(), whole, name).flags), name
    found, expected = (
        read(*pair, "test_accuracy") for pair in ((Silent(), whole), (network, part))
    )
    share = answered.double().mean().item()
    assert found.value == pytest.approx(expected.value * share)
    for name in ("confidence", "margin"):
        assert found.evidence[name] == pytest.approx(expected.evidence[name])
    most = expected.evidence["most_predicted"] * share
    assert found.evidence["most_predicted"] == pytest.approx(most)
    found, expected = (
        read(*pair, "calibration_error") for pair in ((Silent(), whole), (network, part))
    )
    assert found.value == pytest.approx(expected.value)
    assert found.evidence == pytest.approx(expected.evidence)
    loss = read(Silent(), whole, "train_loss")
    assert not math.isfinite(loss.value)
    assert any("nor is the loss" in flag for flag in loss.flags)


def test_a_users_own_measure_carries_the_findings_too(small: Dataset):
    class Mine(MEASURES["test_accuracy"]):  # type: ignore[misc]
        def read(self, subject: Subject) -> list[Reading]:
            return [Reading("mine", 1.0)]

    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(1)).eval()
    (reading,) = Mine().read(Subject(network, small, seed=0))
    assert len(reading.flags) == 1
    assert "probabilities" in reading.flags[0]


def test_no_curvature_of_a_network_that_is_no_function_has_converged():
    inputs, labels = images(), torch.zeros(24, dtype=torch.long)
    for function in (FOUND["dropout"][0], by_batch):
        network = Odd(function).eval()
        for matrix in (Hessian, GaussNewton, InputHessian):
            found = top_eigenvalues(matrix(network, inputs, labels), max_products=5)
            assert not found.converged
            assert found.flags
        assert not trace(Hessian(network, inputs, labels), max_products=30).converged
        density = spectral_density(Hessian(network, inputs, labels), probes=2, steps=3)
        assert not density.converged
        assert density.flags
        assert sam_sharpness(network, inputs, labels).flags
        assert input_gradient_norm(network, inputs, labels).flags


def test_no_answer_is_counted_as_right():
    logits = torch.tensor([[torch.nan, 0], [torch.inf, 0], [-torch.inf, 0], [1, 0]])
    assert answers(logits).tolist() == [-1, -1, 1, 0]
    assert accuracy(logits, torch.tensor([0, 0, 1, 0])) == 0.5
    network, inputs = Odd(partly_nan).eval(), images()
    labels = plain()(inputs).argmax(1)
    silent = inputs[:, 0, 0, 0] < 0.3
    (result,) = attacks.fgsm(network, inputs, labels, eps=0.0)
    assert torch.equal(result.fooled, silent)
    assert result.inputs.isfinite().all()
    assert any(f"not finite at {int(silent.sum())} of 24" in flag for flag in result.flags)


def test_a_gradient_that_is_not_finite_makes_no_image():
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = plain()

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x) + (x - x.detach()).abs().sqrt().flatten(1).sum(1)[:, None]

    network, inputs = Steep().eval(), images()
    labels = network(inputs).argmax(1).detach()
    for norm in ("linf", "l2"):
        (result,) = attacks.pgd(network, inputs, labels, eps=0.1, norm=norm)
        assert result.inputs.isfinite().all()
        assert any("not finite" in flag for flag in result.flags)


class Pair(NamedTuple):
    logits: Tensor
    hidden: Tensor


@dataclass
class Output:
    hidden: Tensor
    logits: Tensor


WRAPPED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "tuple": lambda z, h: (z, h),
    "list": lambda z, h: [z, h],
    "named tuple": lambda z, h: Pair(z, h),
    "dict": lambda z, h: {"hidden": h, "logits": z},
    "dataclass": lambda z, h: Output(h, z),
    "object": lambda z, h: SimpleNamespace(hidden=h, logits=z),
    "only one": lambda z, h: {"scores": z, "name": "a"},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_logits_are_found_among_the_outputs(kind):
    network = Odd(lambda o, x: WRAPPED[kind](o.network(x), o.network[:3](x))).eval()
    inputs, labels = images(), plain()(images()).argmax(1)
    for attack in (attacks.pgd, attacks.square):
        ours, theirs = (attack(n, inputs, labels, eps=0.05)[0] for n in (network, plain()))
        assert torch.equal(ours.fooled, theirs.fooled)

    def own(outputs: Any, labels: Tensor) -> Tensor:
        assert not isinstance(outputs, Tensor)
        return F.cross_entropy(logits_of(outputs), labels)

    for matrix in (Hessian, GaussNewton, InputHessian):
        expected = top_eigenvalues(matrix(plain(), inputs, labels)).values
        for loss in (F.cross_entropy, own):
            found = top_eigenvalues(matrix(network, inputs, labels, loss=loss)).values
            assert torch.allclose(found, expected, rtol=1e-4)
    expected = trace(Hessian(plain(), inputs, labels)).value
    assert trace(Hessian(network, inputs, labels, loss=own)).value == pytest.approx(expected)
    expected = sam_sharpness(plain(), inputs, labels).value
    assert sam_sharpness(network, inputs, labels, loss=own).value == pytest.approx(expected)


@pytest.mark.parametrize("kind", WRAPPED)
def test_outputs_are_rebuilt_from_their_tensors(kind):
    outputs = WRAPPED[kind](torch.zeros(2, 3), torch.ones(2, 4))
    doubled = rebuilt(outputs, iter([leaf + 1 for leaf in leaves(outputs)]))
    assert type(doubled) is type(outputs)
    assert [leaf.mean().item() - 1 for leaf in leaves(doubled)] == [
        leaf.mean().item() for leaf in leaves(outputs)
    ]


class Viewing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
        self.head = nn.Linear(96, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x).relu()).relu().view(x.size(0), -1))


def test_a_network_may_view_its_activations_whatever_layout_its_inputs_have():
    network, inputs = Viewing().eval(), torch.rand(10, 3, 8, 8)
    labels = network(inputs).argmax(1)
    expected = attacks.strong(network, inputs, labels, eps=0.05, steps=3, queries=10)[0]
    for given in (inputs.to(memory_format=torch.channels_last), inputs.mT.contiguous().mT):
        found = attacks.strong(network, given, labels, eps=0.05, steps=3, queries=10)[0]
        assert torch.equal(found.fooled, expected.fooled)
        attacks.pgd(network, given, labels, eps=0.5, norm="l2")
        value = top_eigenvalues(Hessian(network, given, labels)).values
        assert torch.allclose(value, top_eigenvalues(Hessian(network, inputs, labels)).values)
        sam_sharpness(network, given, labels)
        input_gradient_norm(network, given, labels)


def test_inputs_keep_the_layout_of_a_network_that_computes_with_channels_last():
    network, inputs = Viewing().eval(), torch.rand(10, 3, 8, 8)
    assert Network(network).prepared(inputs).is_contiguous()
    last = network.to(memory_format=torch.channels_last)
    assert Network(last).prepared(inputs).is_contiguous(memory_format=torch.channels_last)


def test_a_network_that_changes_its_inputs_changes_a_copy():
    def shift(odd: Odd, x: Tensor) -> Tensor:
        return odd.network(x.sub_(0.25).clamp_(min=0))

    network, inputs = Odd(shift).eval(), images()
    out_of_place = Odd(lambda o, x: o.network((x - 0.25).clamp(min=0))).eval()
    labels, before = network(inputs.clone()).argmax(1), inputs.clone()
    for attack in (attacks.pgd, attacks.square):
        ours, theirs = (attack(n, inputs, labels, eps=0.1)[0] for n in (network, out_of_place))
        assert torch.equal(ours.fooled, theirs.fooled)
    ours, theirs = (top_eigenvalues(Hessian(n, inputs, labels)) for n in (network, out_of_place))
    assert torch.equal(ours.values, theirs.values)
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_callers_context_changes_no_number(context):
    network, inputs = plain(), images()
    labels = network(inputs).argmax(1)

    def numbers() -> list[float]:
        given = inputs.clone(), labels.clone()
        found = [attack(network, *given, eps=0.05)[0].accuracy
                 for attack in (attacks.fgsm, attacks.pgd, attacks.square)]  # fmt: skip
        found.append(attacks.smallest_eps(network, *given).median)
        results = attacks.pgd(network, *given, eps=0.05)
        found.append(attacks.gather(network, *given, results, loss="margin")[0].weaker_fooled)
        for matrix in (Hessian, GaussNewton, InputHessian):
            found.append(top_eigenvalues(matrix(network, *given)).values.sum().item())
        found.append(trace(Hessian(network, *given)).value)
        found.append(spectral_density(Hessian(network, *given)).nodes.sum().item())
        found += [read(network, *given).value for read in (sam_sharpness, input_gradient_norm)]
        return found

    expected = numbers()
    with context():
        assert numbers() == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def processes():
    """A group of one process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_network_of_several_processes_is_measured_in_one(processes, monkeypatch, compiled):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 4))
    wrapped = DistributedDataParallel(network).eval()
    inputs, labels = torch.rand(12, 1, 6, 6), torch.arange(12) % 4
    measured = torch.compile(wrapped, backend="eager") if compiled else wrapped
    with monkeypatch.context() as patched:
        for wait in ("_sync_buffers", "_pre_forward", "_post_forward"):
            patched.delattr(DistributedDataParallel, wait)
        ours, theirs = (attacks.pgd(n, inputs, labels, eps=0.05)[0] for n in (measured, network))
        assert torch.equal(ours.fooled, theirs.fooled)
        for read in (sam_sharpness, input_gradient_norm):
            assert read(measured, inputs, labels).value == read(network, inputs, labels).value
        ours, theirs = (top_eigenvalues(Hessian(n, inputs, labels)) for n in (measured, network))
        assert torch.equal(ours.values, theirs.values)
    assert torch.equal(wrapped(inputs), network(inputs))


def exported() -> nn.Module:
    shapes = ({0: torch.export.Dim("n", min=1)},)
    return torch.export.export(plain(), (images(2),), dynamic_shapes=shapes).module()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "made",
    [
        lambda: scripted().eval(),
        lambda: torch.compile(plain(), backend="aot_eager").eval(),
        exported,
        lambda: nn.Sequential(nn.Identity().eval(), exported()),  # of which eval() cannot be asked
    ],
)
def test_scripted_compiled_and_exported_networks_give_the_same_numbers(made):
    network, inputs = made(), images()
    if isinstance(network, nn.Sequential):
        network.training = False
    labels = plain()(inputs).argmax(1)
    ours, theirs = (attacks.pgd(n, inputs, labels, eps=0.05)[0] for n in (network, plain()))
    assert torch.equal(ours.fooled, theirs.fooled)
    for matrix in (Hessian, GaussNewton, InputHessian):
        ours, theirs = (top_eigenvalues(matrix(n, inputs, labels)) for n in (network, plain()))
        assert torch.allclose(ours.values, theirs.values, rtol=1e-4)
    if isinstance(network, torch.jit.ScriptModule):
        with pytest.raises(RequestError, match="can't be used with Jitted modules"):
            sam_sharpness(network, inputs, labels)
        return
    ours, theirs = (sam_sharpness(n, inputs, labels) for n in (network, plain()))
    assert ours.value == pytest.approx(theirs.value, rel=1e-4)
