"""The measures of robustness on a trained network, and their agreement with the attacks."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from sgdscope import attacks, models
from sgdscope.data import Dataset
from sgdscope.data.inference import accuracy, logits
from sgdscope.measuring import MEASURES, Subject

ACCURACIES = [
    "fgsm_accuracy", "fgsm_margin_accuracy", "pgd_accuracy", "pgd_margin_accuracy",
    "apgd_accuracy", "strong_accuracy",
]  # fmt: skip


@pytest.fixture(scope="module")
def subject(digits: Dataset) -> Subject:
    network = models.build(
        "stdcnn", shape=digits.shape, classes=10, seed=0, mean=digits.mean, std=digits.std
    )
    sgd = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
    torch.manual_seed(0)
    for _ in range(4):
        for some in torch.randperm(len(digits.train)).split(32):
            batch = digits.train[some]
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(network(batch.inputs()), batch.labels).backward()
            sgd.step()
    return Subject(network.eval(), digits, 0)


@pytest.mark.parametrize("name", ACCURACIES)
def test_one_reading_an_eps_with_what_it_can_be_trusted_by(name, subject):
    options = {"steps": 10} if "fgsm" not in name else {}
    if name == "strong_accuracy":
        options["queries"] = 50
    readings = MEASURES[name](eps=[0, 0.1], examples=60, **options).read(subject)
    images = subject.data.test[:60]
    clean = accuracy(logits(subject.model, images), images.labels)
    assert [reading.measure for reading in readings] == [name, name]
    assert readings[0].value == pytest.approx(clean) == readings[1].evidence["clean_accuracy"]
    assert readings[1].value < clean
    assert readings[1].arrays["robust"].double().mean().item() == pytest.approx(readings[1].value)
    assert readings[1].flags == []
    assert all(parameter.requires_grad for parameter in subject.model.parameters())


def test_the_gallery_holds_what_fooled_the_network(subject):
    (reading,) = MEASURES["pgd_accuracy"](eps=[0.2], examples=60).read(subject)
    shown = reading.arrays["shown"]
    original = reading.arrays["original"].float() / 255
    adversarial = reading.arrays["adversarial"]
    assert 0 < len(shown) <= 8
    assert (adversarial - original).abs().max() <= 0.2 + 1e-6
    with torch.no_grad():
        chances = subject.model(adversarial).softmax(1)
    assert torch.equal(chances.argmax(1), reading.arrays["answer"])
    assert (reading.arrays["answer"] != reading.arrays["label"]).all()
    assert torch.allclose(chances.amax(1), reading.arrays["answer_confidence"], atol=1e-5)
    assert save(reading.arrays)


class Silent(nn.Module):
    """Answers images with a dark corner, others with logits that are not finite."""

    def __init__(self, network: nn.Module, nothing: float) -> None:
        super().__init__()
        self.network, self.nothing = network, nothing

    def forward(self, x: Tensor) -> Tensor:
        bright = x[:, 0, :3, :3].amax((1, 2)) > 0.1
        return torch.where(bright[:, None], self.nothing, self.network(x))


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
def test_what_the_network_does_not_answer_is_in_the_gallery_without_an_answer(subject, nothing):
    silent = Subject(Silent(subject.model, nothing).eval(), subject.data, 0)
    (reading,) = MEASURES["fgsm_accuracy"](eps=[0.2], examples=60).read(silent)
    given, sure = reading.arrays["answer"], reading.arrays["answer_confidence"]
    assert len(given)
    assert given.eq(-1).all()
    assert sure.eq(0).all()


def test_a_collapsed_network_is_robust_at_chance_and_says_that_gradients_are_zero(digits):
    network = models.build("stdcnn", shape=digits.shape, classes=10, seed=0)
    for parameter in network.parameters():
        parameter.data.zero_()
    (reading,) = MEASURES["pgd_accuracy"](eps=[0.3]).read(Subject(network.eval(), digits, 0))
    assert reading.value == pytest.approx((digits.test.labels == 0).double().mean().item())
    assert any("no gradient at all" in flag for flag in reading.flags)


def test_an_area_has_the_flags_of_its_accuracies(digits):
    network = models.build("stdcnn", shape=digits.shape, classes=10, seed=0)
    for parameter in network.parameters():
        parameter.data.zero_()
    (reading,) = MEASURES["robustness_area"](eps=[0.1, 0.3]).read(
        Subject(network.eval(), digits, 0)
    )
    assert any(flag.startswith("eps 0.3: ") and "no gradient" in flag for flag in reading.flags)


def test_area_lies_between_the_accuracies_and_median_eps_where_half_are_fooled(subject):
    (whole,) = MEASURES["robustness_area"](eps=[0.05, 0.1, 0.2], examples=60).read(subject)
    levels = [value for name, value in whole.evidence.items() if name.startswith("eps")]
    assert min(levels) < whole.value < 1
    (reading,) = MEASURES["median_eps"](examples=60, steps=10).read(subject)
    images = subject.data.test[:60]
    (result,) = attacks.bim(
        subject.model, images.inputs(), images.labels, eps=[reading.value * 1.1],
        loss="margin", steps=10, step_size=1 / 8,
    )  # fmt: skip
    assert result.accuracy <= 0.52
    assert 0 < reading.evidence["holds"] <= reading.value


@pytest.mark.parametrize(
    ("name", "attack", "options"),
    [
        ("fgsm_accuracy", "fgsm", {"loss": "dlr", "norm": "l2"}),
        ("fgsm_margin_accuracy", "fgsm", {"loss": "margin", "norm": "l2"}),
        (
            "pgd_accuracy",
            "pgd",
            {"loss": "dlr", "norm": "l2", "steps": 3, "step_size": 0.5, "random_start": False,
             "restarts": 2},
        ),
        (
            "pgd_margin_accuracy",
            "pgd",
            {"loss": "margin", "norm": "linf", "steps": 40, "step_size": 1 / 15,
             "random_start": True, "restarts": 1},
        ),
        ("apgd_accuracy", "apgd", {"loss": "dlr", "norm": "l2", "steps": 3, "restarts": 2}),
        ("strong_accuracy", "strong", {"norm": "l2", "steps": 3, "queries": 5}),
    ],
)  # fmt: skip
def test_every_option_reaches_the_attack(monkeypatch, name, attack, options):
    heard = {}
    monkeypatch.setattr(attacks, attack, lambda *_, **given: heard.update(given))
    inputs, labels = torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.long)
    MEASURES[name](eps=[0.2], **options).attack(torch.nn.Flatten(), inputs, labels, 7)
    assert heard == {"eps": [0.2], **options} | ({} if attack == "fgsm" else {"seed": 7})


@pytest.mark.parametrize(
    "options",
    [{}, {"eps": []}, {"eps": [-0.1]}, {"eps": [0.1], "steps": 0}, {"eps": [0.1], "loss": "hinge"},
     {"eps": [0.1], "examples": 0}, {"eps": [0.1], "step_size": 0.0}],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        MEASURES["pgd_accuracy"](**options)


def test_an_eps_may_be_written_as_a_fraction():
    assert MEASURES["pgd_accuracy"](eps="8/255").eps == [8 / 255]
    assert MEASURES["pgd_accuracy"](eps=["8/255", 0.1]).eps == [8 / 255, 0.1]
    assert MEASURES["robustness_area"](eps=["2 / 255"]).eps == [2 / 255]
    for wrong in ("8/0", "eight", ["8/255", "a"]):
        with pytest.raises(ValidationError):
            MEASURES["pgd_accuracy"](eps=wrong)
