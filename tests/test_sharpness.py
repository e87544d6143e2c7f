"""Measures of sharpness: closed forms on quadratics, invariances, what the measures report."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import curvature
from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES, Subject
from sgdscope.models import build


def regression(count: int = 30) -> tuple[nn.Module, Tensor, Tensor]:
    """A quadratic loss: mean (w·x − y)² with Hessian 2 XᵀX/N."""
    torch.manual_seed(4)
    model = nn.Linear(5, 1, bias=False).double().eval()
    inputs = torch.randn(count, 5, dtype=torch.float64)
    return model, inputs, torch.randn(count, 1, dtype=torch.float64)


def slope_and_hessian(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    slope = 2 * ((model(inputs) - labels) * inputs).mean(0).detach()
    return slope, 2 * inputs.T @ inputs / len(inputs)


def test_sam_on_a_quadratic() -> None:
    model, inputs, labels = regression()
    slope, hessian = slope_and_hessian(model, inputs, labels)
    step = 0.1 * slope / slope.norm()
    found = curvature.sam_sharpness(model, inputs, labels, rho=0.1, loss=F.mse_loss)
    assert found.value == pytest.approx((slope @ step + step @ hessian @ step / 2).item())
    assert found.examples == 30


def test_asam_on_a_quadratic() -> None:
    model, inputs, labels = regression()
    slope, hessian = slope_and_hessian(model, inputs, labels)
    size = model.weight.detach()[0].abs()
    step = 0.3 * size**2 * slope / (size * slope).norm()
    found = curvature.asam_sharpness(model, inputs, labels, rho=0.3, loss=F.mse_loss)
    assert found.value == pytest.approx((slope @ step + step @ hessian @ step / 2).item())


def test_keskar_on_a_quadratic() -> None:
    """A convex function is largest at a corner of the box."""
    model, inputs, labels = regression()
    slope, hessian = slope_and_hessian(model, inputs, labels)
    box = 1e-3 * (model.weight.detach()[0].abs() + 1)
    corners = box * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 5)
    rises = corners @ slope + ((corners @ hessian) * corners).sum(1) / 2
    loss = F.mse_loss(model(inputs), labels).item()
    found = curvature.keskar_sharpness(model, inputs, labels, loss=F.mse_loss)
    assert found.value == pytest.approx(100 * rises.max().item() / (1 + loss))


def test_batch_sharpness_of_the_full_batch() -> None:
    model, inputs, labels = regression()
    slope, hessian = slope_and_hessian(model, inputs, labels)
    found = curvature.batch_sharpness(model, inputs, labels, batch_size=30, loss=F.mse_loss)
    assert found.value == pytest.approx((slope @ hessian @ slope / (slope @ slope)).item())
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    few = curvature.batch_sharpness(model, inputs, labels, batch_size=2, loss=F.mse_loss)
    assert few.standard_error > 0
    with pytest.raises(RequestError, match="batch_size = 31; expected at most the 30 examples"):
        curvature.batch_sharpness(model, inputs, labels, batch_size=31)


def test_input_gradient_norm_has_its_closed_form() -> None:
    model, inputs, labels = regression(450)
    each = 2 * (model(inputs) - labels).abs()[:, 0] * model.weight.norm()
    found = curvature.input_gradient_norm(model, inputs, labels, loss=F.mse_loss)
    assert found.value == pytest.approx(each.mean().item())
    assert found.standard_error == pytest.approx(each.std().item() / math.sqrt(450))


def test_gradients_whose_squares_float32_cannot_hold_have_lengths() -> None:
    model, inputs, labels = regression()
    tiny = {"loss": lambda outputs, labels: 1e-25 * F.mse_loss(outputs, labels)}
    whole, given = {"batch_size": 30}, (model.float(), inputs.float(), labels.float())
    for reading, options in ((curvature.batch_sharpness, whole),
                             (curvature.input_gradient_norm, {}),
                             (curvature.sam_sharpness, {})):  # fmt: skip
        expected = reading(*given, loss=F.mse_loss, **options).value
        found = reading(*given, **tiny, **options).value
        assert found == pytest.approx(1e-25 * expected, rel=1e-4, abs=0)


def test_what_a_rescaling_that_changes_nothing_changes() -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()
    inputs, labels = torch.randn(40, 6, dtype=torch.float64), torch.arange(40) % 3
    names = ("sam_sharpness", "asam_sharpness", "keskar_sharpness", "input_gradient_norm")
    before = [getattr(curvature, name)(model, inputs, labels).value for name in names]
    with torch.no_grad():
        model[0].weight *= 5
        model[0].bias *= 5
        model[2].weight /= 5
    after = [getattr(curvature, name)(model, inputs, labels).value for name in names]
    changed = [abs(b - a) > 1e-6 * abs(a) for a, b in zip(before, after, strict=True)]
    assert changed == [True, False, True, False]


def test_bad_requests() -> None:
    model, inputs, labels = regression()
    for name in ("sam_sharpness", "asam_sharpness", "keskar_sharpness", "input_gradient_norm"):
        with pytest.raises(RequestError, match="0 inputs and 0 labels"):
            getattr(curvature, name)(model, inputs[:0], labels[:0])
        with pytest.raises(RequestError, match=r"training mode.*model.eval\(\)"):
            getattr(curvature, name)(model.train(), inputs, labels)
        model.eval()
        with pytest.raises(RequestError, match="the loss is nan"):
            getattr(curvature, name)(model, inputs * torch.nan, labels, loss=F.mse_loss)


MEASURED = {
    "top_eigenvalue": {},
    "bottom_eigenvalue": {},
    "input_top_eigenvalue": {},
    "hessian_trace": {"max_products": 28},
    "spectral_density": {"probes": 2, "steps": 6},
    "sam_sharpness": {},
    "asam_sharpness": {},
    "keskar_sharpness": {},
    "batch_sharpness": {"batches": 3},
    "input_gradient_norm": {},
}


@pytest.fixture(scope="module")
def subject(digits: Dataset) -> Subject:
    model = build("stdcnn", shape=digits.shape, classes=10, seed=0).eval()
    return Subject(model, digits, seed=0, batch_size=16)


@pytest.mark.parametrize("name", MEASURED)
def test_measures_carry_their_evidence_and_leave_the_network(name: str, subject: Subject) -> None:
    before = {key: value.clone() for key, value in subject.model.state_dict().items()}
    measure = MEASURES[name](examples=40, **MEASURED[name])
    (reading,) = measure.read(subject)
    assert reading.measure == name
    assert math.isfinite(reading.value)
    assert reading.evidence["examples"] == 40
    assert bool(reading.flags) != reading.evidence.get("converged", True)
    after = subject.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(p.grad is None for p in subject.model.parameters())
    assert measure.read(subject)[0].value == reading.value


@pytest.mark.parametrize("name", ["input_top_eigenvalue", "input_gradient_norm"])
def test_one_image_tells_nothing_of_the_error_over_images(name: str, subject: Subject) -> None:
    (reading,) = MEASURES[name](examples=1).read(subject)
    assert math.isnan(reading.evidence["standard_error"])


def directly(name: str, model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """What a measure reads, by the function that it stands for."""
    hessian = curvature.Hessian(model, inputs, labels)
    if name == "top_eigenvalue":
        return curvature.top_eigenvalues(hessian).values[0].item()
    if name == "bottom_eigenvalue":
        return curvature.bottom_eigenvalues(hessian).values[0].item()
    if name == "input_top_eigenvalue":
        own = curvature.InputHessian(model, inputs, labels)
        return curvature.top_eigenvalues(own).values[:, 0].mean().item()
    if name == "hessian_trace":
        return curvature.trace(hessian, max_products=28).value
    if name == "spectral_density":
        found = curvature.spectral_density(hessian, probes=2, steps=6)
        size = found.nodes.abs() * found.weights
        return (size[found.nodes < 0].sum() / size.sum()).item()
    options = {"batch_sharpness": {"batch_size": 16, "batches": 3}}.get(name, {})
    return getattr(curvature, name)(model, inputs, labels, **options).value


@pytest.mark.parametrize("name", MEASURED)
def test_a_measure_reads_what_its_name_says_of_the_training_images(
    name: str, subject: Subject
) -> None:
    images = subject.data.train[:40]
    (reading,) = MEASURES[name](examples=40, **MEASURED[name]).read(subject)
    expected = directly(name, subject.model, images.inputs(), images.labels)
    assert reading.value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["top_eigenvalue", "bottom_eigenvalue", "input_top_eigenvalue"])
def test_unconverged_is_flagged(name: str, subject: Subject) -> None:
    measure = MEASURES[name](examples=40, max_products=1, tolerance=1e-6)
    (reading,) = measure.read(subject)
    assert reading.evidence["converged"] is False
    assert "did not converge in 1 products: another eigenvalue" in reading.flags[0]


def test_unconverged_trace_is_flagged(subject: Subject) -> None:
    measure = MEASURES["hessian_trace"](examples=40, max_products=28, tolerance=1e-6)
    (reading,) = measure.read(subject)
    assert reading.evidence["converged"] is False
    assert "The trace did not converge in 28 products" in reading.flags[0]


def test_density_comes_as_arrays(subject: Subject) -> None:
    (reading,) = MEASURES["spectral_density"](examples=40, steps=8).read(subject)
    assert set(reading.arrays) == {"grid", "density", "standard_error"}
    assert 0 <= reading.value <= 1


def test_batch_sharpness_takes_batches_as_large_as_the_run_s(subject: Subject) -> None:
    size = len(subject.data.train)
    large = Subject(subject.model, subject.data, seed=0, batch_size=size)
    (reading,) = MEASURES["batch_sharpness"](batches=2).read(large)
    assert reading.evidence["examples"] == size


def test_batch_sharpness_needs_a_batch_size(subject: Subject) -> None:
    alone = Subject(subject.model, subject.data, seed=0)
    with pytest.raises(RequestError, match="batch_size is not given"):
        MEASURES["batch_sharpness"](examples=40).read(alone)
